"""Two preferences from the annotation of a corpus to the export: annotate, train, evaluate at a level, export at a level."""

import json

import pytest
import torch
from tests.tiny import losses, tiny_config, tiny_corpus
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from phf.annotate.runner import annotate
from phf.cli.app import app
from phf.config import load_config
from phf.errors import ConfigError, CorpusError
from phf.evaluation.run import evaluate_folders
from phf.feedback import Prompting
from phf.runs.reader import read_run
from phf.training.run import train

LENGTH = {"class_name": "tests.annotate.scorers_for_tests:LengthScorer", "column": "short"}
PREFERENCES = [
    {"name": "pep8", "thresholds": [0.0], "drop_token_fraction": 0.1},
    {"name": "short", "scores_column": "short_scores", "kind": "quantiles", "num_bins": 3},
]
TOKENS = ["<|pep8-1|>", "<|pep8-2|>", "<|short-1|>", "<|short-2|>", "<|short-3|>"]


def config_for(source, **changes):
    return tiny_config(source, **{"dataset.conditioning": {"preferences": PREFERENCES}, **changes})


@pytest.fixture(scope="module")
def annotated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("annotated")
    (folder / "raw").mkdir()
    annotate([tiny_corpus(folder / "raw")], [{"class_name": "PEP8Scorer"}, LENGTH], "lines", folder / "both")
    return str(folder / "both")


@pytest.fixture(scope="module")
def run(annotated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "two"
    changes = {"training.num_tokens": 3 * 4 * 64, "training.inspect_steps": 2}
    return folder, train(config_for(annotated, **changes), folder)


@pytest.mark.slow
def test_a_run_with_two_preferences_measures_and_exports_both(run):
    folder, numbers = run
    assert len(losses(folder)) == 3
    assert numbers["eval/tag_gain"] == numbers["eval/tag_gain"]  # not NaN
    saved, _ = load_config(config=folder / "config.yaml")
    edges = saved.dataset.conditioning.model_extra["preferences"][1]["edges"]
    assert all(isinstance(edge, float) for edge in edges)
    assert saved.dataset.conditioning.control_tokens[:2] == TOKENS[:2]
    percentiles = json.loads((folder / "provenance.json").read_text())["percentiles"]
    assert percentiles["dataset.conditioning.preferences.1.edges.0"].startswith("p33.3333 = ")
    prompting = Prompting.load(folder / "model")
    assert prompting.prefix == "<|pep8-1|><|short-1|>"
    assert prompting.away_from(prompting.prefix) == f"<|pep8-2|>{prompting.control_tokens.names[-1]}"
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert tokenizer.convert_ids_to_tokens(tokenizer("").input_ids) == ["<|endoftext|>", "<|pep8-1|>", "<|short-1|>"]
    logged = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    inspected = next(line for line in logged if "inspect/mistagged_share" in line)
    # of pep8 alone, whose scorer is that of the task; beginnings of blocks are scored again without what precedes them
    assert inspected["inspect/mistagged_share"] < 0.3
    assert inspected["inspect/tagged_share/pep8-1"] + inspected["inspect/tagged_share/pep8-2"] < 1  # some were dropped
    shares = [value for key, value in inspected.items() if key.startswith("inspect/tagged_share/short-")]
    assert sum(shares) == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize("prefer", ["pep8=worst,short=best", "short=none"])
def test_an_export_starts_as_preferred_with_plain_transformers(prefer, run, tmp_path):
    output = tmp_path / "exported"
    result = CliRunner().invoke(app, ["export", str(run[0]), str(output), "--prefer", prefer])
    assert result.exit_code == 0, result.output
    expected = {"pep8=worst,short=best": ["<|pep8-2|>", "<|short-1|>"], "short=none": ["<|pep8-1|>"]}[prefer]
    assert "".join(expected) in result.output
    assert Prompting.load(output).prefix == "".join(expected)
    tokenizer, lm = AutoTokenizer.from_pretrained(output), AutoModelForCausalLM.from_pretrained(output)
    assert tokenizer.convert_ids_to_tokens(tokenizer("").input_ids)[1:] == expected
    control = tokenizer.convert_tokens_to_ids(Prompting.load(output).control_tokens.names)
    torch.manual_seed(0)
    sampled = lm.generate(max_new_tokens=30, num_return_sequences=8)
    start = tokenizer.convert_tokens_to_ids(expected)
    for row in sampled.tolist():
        assert row[1 : 1 + len(start)] == start
        assert not set(row[1 + len(start) :]) & {*control}
    again = CliRunner().invoke(app, ["export", str(run[0]), str(tmp_path / "no"), "--prefer", "long=best"])
    assert "there is no preference 'long'. Preferences: pep8, short" in " ".join(again.output.split())


@pytest.mark.slow
def test_an_evaluation_starts_from_the_levels_that_are_asked_for(run, annotated, tmp_path):
    folder, _ = run
    said = []
    task, _ = load_config(
        config=folder / "config.yaml", overrides=["generation.prefer='pep8=2,short=worst'"], for_models=True
    )
    numbers = evaluate_folders([folder], task, tmp_path / "worst", ("generation", "held-out"), said.append).numbers
    assert next(iter(numbers.values()))["eval/loss"] > 0
    best, _ = load_config(config=folder / "config.yaml", for_models=True)
    evaluate_folders([folder], best, tmp_path / "best", ("generation",))
    texts = [
        [sample.continuation for sample in read_run(tmp_path / name).samples["unconditional"]]
        for name in ("worst", "best")
    ]
    assert texts[0] != texts[1]
    overrides = ["generation.prefer='pep8=x'"]
    wrong, _ = load_config(config=folder / "config.yaml", overrides=overrides, for_models=True)
    with pytest.raises(ConfigError, match=r"there is no level 'x' of pep8"):
        evaluate_folders([folder], wrong, tmp_path / "wrong", ("generation",))


def test_a_column_that_is_missing_is_refused_before_any_work(annotated, tmp_path):
    rows = [{"texts": ["x = 1\n"], "scores": [0.0]}]
    (tmp_path / "one.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    key = r"dataset\.conditioning\.preferences\.1\.scores_column"
    with pytest.raises(CorpusError, match=rf"has no 'short_scores'\. Columns of scores there: scores; set {key}"):
        train(config_for(str(tmp_path / "one.jsonl")), tmp_path / "run")
    (tmp_path / "raw.txt").write_text("x = 1\n")
    with pytest.raises(CorpusError, match=rf"raw\.txt is raw text.*{key} is 'short_scores'.*several --scorer"):
        train(config_for(str(tmp_path / "raw.txt")), tmp_path / "run")
    assert not (tmp_path / "run" / "provenance.json").exists()
