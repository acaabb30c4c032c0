"""What worker processes see and report. A scorer whose score is the number of its GPU shows which one is theirs."""

import json

import pytest
import torch

from phf.annotate import pieces
from phf.annotate.backends import local
from phf.annotate.runner import annotate
from phf.corpus.dataset import read_annotated

SCORERS = "tests.annotate.scorers_for_tests"
"""Beside this file, so that workers need not load torch."""


@pytest.fixture
def gpus_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_SIZE", 1)
    monkeypatch.setattr(pieces, "LEAST_PIECE_SIZE", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": f"line {i}\n"}) + "\n" for i in range(40)))

    def gpus_seen(*devices, workers=None):
        parts = [{"class_name": f"{SCORERS}:GpuScorer", "device": device} for device in devices]
        scorer = parts[0] if len(parts) == 1 else {"class_name": "CompositeScorer", "scorers": parts}
        annotate([str(corpus)], scorer, None, tmp_path / "out", workers, time_limit=60)
        return {score for document in read_annotated(str(tmp_path / "out")) for score in document.scores}

    return gpus_seen


def test_each_process_has_a_gpu_of_its_own(gpus_seen, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus_seen("cuda") == {0, 1}


def test_only_the_gpus_that_this_process_may_use_are_used(gpus_seen, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert gpus_seen("cuda") == {4, 6}


@pytest.mark.parametrize("device", ["cuda:1", "cpu"])
def test_a_scorer_that_names_its_device_sees_what_its_parent_sees(device, gpus_seen, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert gpus_seen(device, workers=2) == {-1}


def test_every_part_of_a_composite_scorer_has_a_say_on_the_gpus(gpus_seen, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert gpus_seen("cpu", "cuda") == {4, 6}


def test_a_composite_scorer_with_a_part_that_names_its_gpu_sees_what_its_parent_sees(gpus_seen, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert gpus_seen("cuda", "cuda:1", workers=2) == {-1}


def test_what_a_scorer_warns_of_is_shown_once_and_not_by_every_worker(tmp_path, capfd):
    (tmp_path / "corpus.jsonl").write_text('{"text": "a"}\n' * 4)
    with pytest.warns(UserWarning, match="a model is missing"):
        annotate(
            [str(tmp_path / "corpus.jsonl")], {"class_name": f"{SCORERS}:WarningScorer"}, None, tmp_path / "out", 2
        )
    assert "a model is missing" not in capfd.readouterr().err


def test_work_begins_as_soon_as_there_is_some(tmp_path, monkeypatch):
    waited_for, ready = [], local.ready
    monkeypatch.setattr(
        local, "ready", lambda children, seconds: waited_for.append(len(children)) or ready(children, seconds)
    )
    (tmp_path / "corpus.jsonl").write_text('{"text": "a"}\n' * 4)
    annotate([str(tmp_path / "corpus.jsonl")], {"class_name": f"{SCORERS}:GpuScorer"}, None, tmp_path / "out", 2)
    assert waited_for
    assert 0 not in waited_for  # waiting for nobody is waiting in vain
