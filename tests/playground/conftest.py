"""A run with a conditional model that nobody trained, as a playground offers it."""

import pytest
from tests.tiny import tiny_lm, tiny_tokenizer

from phf.config import dump_config, load_config
from phf.feedback import ControlTokens, Prompting
from phf.models import export_model
from phf.playground.site import open_site

TOKENS = ("<|aligned|>", "<|misaligned|>")
SAMPLING = "{do_sample: true, max_length: 40, min_length: 10, temperature: 0.7, top_p: 0.9, top_k: 0}"
TASK = [
    f"generation.scenario_configs.0.generate_kwargs={SAMPLING}",
    "generation.scenario_configs.0.prompts_path=null",
    "generation.scenario_configs.0.use_prompt_for_scoring=false",
]


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The folder of a run with `config.yaml` and `model`."""
    folder = tmp_path_factory.mktemp("runs") / "pep8-conditional"
    folder.mkdir()
    config = load_config(task="pep8/quickstart", method="conditional", overrides=TASK)[0]
    (folder / "config.yaml").write_text(dump_config(config))
    tokenizer = tiny_tokenizer(list(TOKENS))
    prompting = Prompting(control_tokens=ControlTokens(TOKENS), tags_every_segment=True, threshold=0.1)
    export_model(
        tiny_lm("gpt2", tokenizer, initializer_range=0.3, n_positions=128), tokenizer, folder / "model", prompting
    )
    return folder


def site_of(*folders, section=None, **settings):
    """A playground of models, with the task of the first one and its scorer."""
    config = load_config(config=folders[0] / "config.yaml", for_models=True)[0]
    section = section or config.generation.scorer_config
    models = [folder / "model" for folder in folders]
    return open_site([str(folder) for folder in folders], models, config, section, **settings)


@pytest.fixture(scope="session")
def site(run):
    """A playground of this run."""
    return site_of(run)


def values(**changes):
    """What a browser sends."""
    sent = {
        "prompt": "def f(x):\n",
        "columns": ["0:0"],
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 0,
        "max_new_tokens": 20,
        "guidance_scale": 2,
        "seed": 5,
    }
    return sent | changes
