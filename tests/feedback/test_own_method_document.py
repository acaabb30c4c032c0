"""What docs/own-method.md says: a third control token in a file and a configuration, from training to evaluation."""

import json
import re
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

import phf
from phf.config import load_config
from phf.corpus.formats.jsonlines import read_json_lines
from phf.errors import ConfigError
from phf.evaluation.run import evaluate_folders
from phf.feedback import Prompting
from phf.redteam.target import load_target
from phf.training.run import train

DOCUMENT = Path(__file__).parents[2] / "docs" / "own-method.md"
TOKENS = ("<|good|>", "<|fair|>", "<|bad|>")
TINY = [
    "dataset.seq_length=64",
    "dataset.eval_fraction=0.2",
    "tokenizer.train_from_corpus=300",
    "model.config_kwargs={n_layer: 1, n_embd: 16, n_head: 2, n_positions: 64}",
    "training.effective_batch_size=4",
    "training.per_device_train_batch_size=4",
    "training.num_tokens=512",
    "training.logging_steps=1",
    "generation.scenario_configs.0.prompts_path=null",
    "generation.scenario_configs.0.use_prompt_for_scoring=false",
    "generation.scenario_configs.0.num_samples=5",
    "generation.scenario_configs.0.generate_kwargs.max_length=24",
]


def named_blocks():
    """name -> lines of each file that the document shows."""
    fences = re.findall(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    return {name: code.splitlines() for name, code in fences}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The folder of a user who wrote what the document shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name, lines in named_blocks().items():
        Path(name).write_text("\n".join(lines) + "\n")
    return tmp_path


def corpus(folder):
    """20 files of 100 lines: 95 without a violation, 3 with one in a long line, 2 with one in a short line."""
    lines = ["value = 1\n"] * 95 + ["a_rather_long_name_of_a_value=1\n"] * 3 + ["x=1\n"] * 2
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.py").write_text("".join(lines[number:] + lines[:number]))
    return str(folder)


def configured(source, method=None):
    overrides = [*TINY, f"dataset.datasets=[{source}]"]
    return load_config(task="pep8/quickstart", method=method, overrides=overrides)[0]


def test_a_third_control_token_takes_less_than_40_lines():
    blocks = named_blocks()
    assert 0 < len(blocks["three_way.py"] + blocks["three-way.yml"]) < 40


@pytest.mark.slow
def test_the_document_trains_samples_exports_and_evaluates(files, monkeypatch):
    package = {path: path.stat().st_mtime_ns for path in Path(phf.__file__).parent.rglob("*.py")}
    source = corpus(files / "corpus")
    numbers = train(configured(source, "three-way.yml"), files / "run")
    assert numbers["eval/tag_gain_low"] <= numbers["eval/tag_gain"] <= numbers["eval/tag_gain_high"]
    counts = json.loads((files / "run" / "provenance.json").read_text())["blocks"]["counts"]
    assert counts["num_tagged_segments"] == [counts["num_documents"] * n for n in (95, 3, 2)]

    model = files / "run" / "model"
    prompting = Prompting.load(model)
    assert prompting.control_tokens.names == TOKENS
    tokenizer = AutoTokenizer.from_pretrained(model)
    good, fair, bad = prompting.control_tokens.ids(tokenizer)
    eos = tokenizer.eos_token_id
    assert tokenizer("").input_ids == [eos, good]
    generation = json.loads((model / "generation_config.json").read_text())
    assert generation["forced_bos_token_id"] == good
    assert sorted(generation["suppress_tokens"]) == sorted([fair, bad])
    assert load_target(model, configured(source)).prefix == "<|good|>"
    drawn = AutoModelForCausalLM.from_pretrained(model).generate(max_new_tokens=30, num_return_sequences=8)
    assert (drawn[:, :2].tolist()) == [[eos, good]] * 8
    assert not {fair, bad} & {*drawn.flatten().tolist()}

    measured = evaluate_folders([model], configured(source), files / "evaluation", ("generation", "held-out"))
    ((_, evaluated),) = measured.numbers.items()
    assert evaluated["eval/loss"] == pytest.approx(numbers["eval/loss"], rel=1e-4)
    assert evaluated["eval/tag_gain"] == pytest.approx(numbers["eval/tag_gain"], rel=1e-3, abs=1e-6)
    (samples,) = (files / "evaluation" / "samples").iterdir()
    assert len(list(read_json_lines(samples))) == 5
    monkeypatch.delitem(sys.modules, "three_way")
    (files / "three_way.py").unlink()
    with pytest.raises(ConfigError, match=r"phf\.json: held-out text cannot be given its control tokens.*three_way"):
        evaluate_folders([model], configured(source), files / "without", ("held-out",))
    without = evaluate_folders([model], configured(source), files / "without", ("generation",))
    assert without.numbers  # sampling does without the class
    assert package == {path: path.stat().st_mtime_ns for path in Path(phf.__file__).parent.rglob("*.py")}
