"""The scripts and the notebook of examples/ run, at sizes for tests."""

import importlib
import json
from pathlib import Path

import pytest
from tests.tiny import tiny_corpus, tiny_lm, tiny_tokenizer

EXAMPLES = Path(__file__).parents[2] / "examples"
UNPROMPTED = (
    "generation.scenario_configs.0.prompts_path=null",
    "generation.scenario_configs.0.use_prompt_for_scoring=false",
)
TINY = [
    "dataset.seq_length=64", "dataset.eval_fraction=0.2", "dataset.max_eval_tokens=1280", "tokenizer.train_from_corpus=300",
    "model.config_kwargs.n_layer=1", "model.config_kwargs.n_embd=16", "model.config_kwargs.n_head=2",
    "model.config_kwargs.n_positions=64", "training.num_tokens=512", "training.effective_batch_size=4",
    "training.per_device_train_batch_size=4", "training.logging_steps=1", "generation.scenario_configs.0.num_samples=4",
    "generation.scenario_configs.0.generate_kwargs.max_length=24", *UNPROMPTED,
]  # fmt: skip


@pytest.fixture(autouse=True)
def examples(monkeypatch):
    """Python finds the scripts, as it does those that it runs."""
    monkeypatch.syspath_prepend(str(EXAMPLES))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """(output folder of annotate_and_train.py, the numbers that it returns)."""
    folder = tmp_path_factory.mktemp("output")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        numbers = importlib.import_module("annotate_and_train").main(corpus, folder, TINY)
    return folder, numbers


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_a_script_can_be_read_at_a_glance_and_says_how_it_is_run(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") < 60
    assert f"python examples/{path.name} " in text
    assert "sys.exit(__doc__)" in text  # without arguments


def test_a_scorer_of_ones_own(tmp_path, capsys):
    (tmp_path / "corpus.jsonl").write_text(
        '{"id": "a", "text": "Hello there."}\n{"id": "b", "text": "BUY NOW. A b."}\n'
    )
    importlib.import_module("own_scorer").main(str(tmp_path / "corpus.jsonl"), tmp_path / "scored")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "   1.0  'BUY NOW! '"
    assert lines[2].split() == ["None", "'A.'"]
    assert "too few letters" in lines[-2]
    assert lines[-1] == "Worst: b, mean score 1.000"


@pytest.mark.slow
def test_a_corpus_is_annotated_and_trained_on(trained):
    folder, numbers = trained
    assert (folder / "run" / "model" / "model.safetensors").is_file()
    assert numbers["eval/loss"] > 0
    assert "generation/prompted/score" in numbers


@pytest.mark.slow
def test_a_method_of_ones_own(trained, tmp_path, capsys):
    dataset = f"dataset.datasets={json.dumps([str(trained[0] / 'annotated')])}"
    importlib.import_module("own_method").main(tmp_path, [dataset, *TINY])
    assert "soft-masking: mean score" in capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "soft-masking" / "metrics.jsonl").read_text().splitlines()]
    assert all(0 < line["train/weight"] < 1 for line in lines if "train/loss" in line)
    assert (tmp_path / "report.html").is_file()


@pytest.mark.slow
def test_any_model_of_transformers_is_evaluated_beside_one_of_ours(trained, tmp_path, capsys):
    tokenizer = tiny_tokenizer()
    tiny_lm("llama", tokenizer).save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    scenario = "generation.scenario_configs.0"
    small = [f"{scenario}.num_samples=4", f"{scenario}.generate_kwargs.max_new_tokens=8", *UNPROMPTED]
    models = [str(tmp_path / "other"), str(trained[0] / "run")]
    numbers = importlib.import_module("evaluate_any_model").main(tmp_path / "out", models, small)
    assert list(numbers) == ["other", "run"]
    assert all("generation/prompted/score" in of_model for of_model in numbers.values())
    assert "prompted: " in capsys.readouterr().out


@pytest.mark.slow
def test_the_notebook_reads_a_run_folder(trained, monkeypatch):
    monkeypatch.setenv("RUN", str(trained[0] / "run"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = json.loads((EXAMPLES / "read_a_run.ipynb").read_text(encoding="utf-8"))
    names = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)  # nothing of the author's machine
            exec(compile("".join(cell["source"]), "read_a_run.ipynb", "exec"), names)
    assert names["provenance"]["method"] == "conditional"
    assert len(names["training"]) == 2
    assert "generation/prompted/score" in names["last"]
    assert len(names["worst"]) == 4
