"""What is written into a run folder is what is read from it; what is not finite becomes null."""

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch

from phf.config import load_config
from phf.corpus.sources.listing import MANIFEST
from phf.errors import CorpusError
from phf.runs.folder import OF_OTHER_VERBS
from phf.runs.reader import read_provenance, read_run, read_samples
from phf.runs.writer import RunWriter, finite_or_none

SAMPLE = {"prompt": "a\u2028", "continuation": "b", "score": 0.5, "segments": ["b"], "segment_scores": [None]}


@pytest.fixture
def writer(tmp_path):
    (tmp_path / "run").mkdir()
    return RunWriter(tmp_path / "run")


def test_what_is_written_is_read_again(writer):
    config = load_config(task="pep8/quickstart", method="mle")[0]
    writer.write_config(config)
    writer.write_provenance({"method": "mle", "max_steps": 2, "threshold": 0.25, "best": math.nan})
    writer.append_metrics(0, 0, {"eval/loss": 2.5})
    writer.append_metrics(2, 64, {"train/loss": math.inf, "eval/loss": np.float64(1.5)})
    for step in (0, 2):
        writer.write_samples("s", step, [SAMPLE, {**SAMPLE, "score": math.nan, "continuation": str(step)}])
    run = read_run(writer.folder)
    assert run.metrics == [
        {"step": 0, "tokens_seen": 0, "eval/loss": 2.5},
        {"step": 2, "tokens_seen": 64, "train/loss": None, "eval/loss": 1.5},
    ]
    assert [(sample.prompt, sample.continuation, sample.score) for sample in run.samples["s"]] == [
        ("a\u2028", "b", 0.5),
        ("a\u2028", "2", None),
    ]
    assert (run.method, run.threshold, run.provenance["best"]) == ("mle", 0.25, None)
    assert run.training.seed == config.training.seed


def test_all_metrics_at_once_replace_those_before(writer):
    writer.append_metrics(7, 7, {"a": 1.0})
    writer.write_metrics([(0, 0, {"a": math.nan}), (1, 8, {"a": 2.0})])
    assert [line["a"] for line in read_run(writer.folder).metrics] == [None, 2.0]


def test_what_is_past_a_step_is_cut_everywhere(writer):
    for step in (0, 1, 2):
        writer.append_metrics(step, step, {})
        writer.write_samples("s", step, [SAMPLE])
    writer.cut_after(1)
    lines = [(writer.folder / name).read_text().splitlines() for name in ("metrics.jsonl", "samples/s.jsonl")]
    assert [[json.loads(line)["step"] for line in of_file] for of_file in lines] == [[0, 1], [0, 1]]


def test_only_what_is_not_finite_becomes_none():
    values = {"a": [1, math.nan, "nan", None, True], "b": {"c": (-math.inf, 0.0)}}
    assert finite_or_none(values) == {"a": [1, None, "nan", None, True], "b": {"c": [None, 0.0]}}


def test_provenance_has_versions_hardware_and_what_it_is_given_and_no_environment(writer, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_ENVIRONMENT", "hidden")
    monkeypatch.setattr("sys.argv", ["phf", "train"])
    started = datetime.now(UTC)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"H100 number {number}")
    writer.write_provenance({"dataset": [{"source": "a"}], "seeds": {"training": 3}})
    facts = json.loads((writer.folder / "provenance.json").read_text())
    assert facts["command"] == ["phf", "train"]
    assert facts["dataset"] == [{"source": "a"}]
    assert facts["seeds"] == {"training": 3}
    assert facts["hardware"]["gpus"] == ["H100 number 0"]
    assert facts["hardware"]["cores"] >= 1
    assert facts["versions"]["torch"]
    assert abs(datetime.fromisoformat(facts["started"]) - started) < timedelta(minutes=5)
    assert "hidden" not in json.dumps(facts)


def test_the_folder_of_an_annotated_dataset_is_not_taken_for_a_run():
    assert MANIFEST in OF_OTHER_VERBS


def test_the_samples_of_one_step_are_read_without_the_others(writer):
    for step, count in ((1, 2), (10, 3)):
        writer.write_samples("s", step, [{**SAMPLE, "continuation": f"{step}.{i}"} for i in range(count)])
    with (writer.folder / "samples" / "s.jsonl").open("a") as file:
        file.write('{"step": 1, "prompt": "cut off')
    texts = [line["continuation"] for line in read_samples(writer.folder, "s", 1)]
    assert texts == ["1.0", "1.1"]
    assert len(read_samples(writer.folder, "s", 10, most=2)) == 2
    assert read_samples(writer.folder, "s", 2) == read_samples(writer.folder, "t", 1) == []
    with (writer.folder / "samples" / "s.jsonl").open("a") as file:
        file.write('"}\n')
    with pytest.raises(CorpusError, match="is missing"):
        read_samples(writer.folder, "s", 1)


def test_samples_of_a_later_step_are_appended_without_reading_or_writing_those_before(writer, monkeypatch):
    writer.write_samples("s", 9, [SAMPLE])
    path = writer.folder / "samples" / "s.jsonl"
    before, file = path.read_bytes(), path.stat().st_ino
    monkeypatch.setattr("phf.runs.writer.read_text", None)
    writer.write_samples("s", 10, [SAMPLE, SAMPLE])
    assert path.stat().st_ino == file
    assert path.read_bytes() == before + 2 * before.replace(b'"step": 9', b'"step": 10')


@pytest.mark.parametrize("left", ['{"step": 2, "prompt": "cut', '{"st', '{"step": 2, "prompt": ""}\n{"step": 2, "pr'])
def test_samples_that_a_killed_process_left_are_replaced(writer, left):
    writer.write_samples("s", 1, [SAMPLE])
    path = writer.folder / "samples" / "s.jsonl"
    with path.open("a") as file:
        file.write(left)
    writer.write_samples("s", 2, [SAMPLE])
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]


def test_a_folder_without_provenance_has_none(writer):
    assert read_provenance(writer.folder) == {}
    (writer.folder / "provenance.json").write_text('{"max_steps": "many"}')
    with pytest.raises(CorpusError, match="max_steps"):
        read_provenance(writer.folder)
