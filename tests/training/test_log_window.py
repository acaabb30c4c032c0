"""A line of the log is a mean over the targets of its window: however steps are cut, whoever trains, and after a resume."""

import json

import pytest
import torch
from tests.tiny import tiny_config

from phf.feedback.objectives.logs import LogTotals
from phf.training.checkpoints.window import FILE, load_window, save_window
from phf.training.meter import NAMES
from phf.training.run import train

QUIET = {"generation.run_on_train_start": False, "generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Half of the documents are unscored, so micro-batches differ in their scored targets."""
    folder = tmp_path_factory.mktemp("scored")
    with (folder / "corpus.jsonl").open("w") as file:
        for i in range(60):
            scores = [None, None] if i % 3 else [0.1 * (i % 7), 1.0]
            file.write(
                json.dumps({"id": f"d{i}", "texts": ["x = 1\n" * (i % 5 + 1), f"y={i}\n"], "scores": scores}) + "\n"
            )
    return str(folder / "corpus.jsonl")


def training_lines(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {
        line["step"]: {
            key: value
            for key, value in line.items()
            if "samples_per_second" not in key and key.removeprefix("train/") not in NAMES
        }
        for line in lines
        if "train/loss" in line
    }


@pytest.mark.parametrize("method", ["awr", "ul"])
def test_lines_do_not_depend_on_the_size_of_micro_batches(method, source, tmp_path):
    lines = {}
    for per_device in (4, 1):
        changes = {"training.per_device_train_batch_size": per_device, "training.logging_steps": 3, **QUIET}
        train(tiny_config(source, method, **changes), tmp_path / str(per_device))
        lines[per_device] = training_lines(tmp_path / str(per_device))
    for step, line in lines[4].items():
        assert lines[1][step] == pytest.approx(line, rel=1e-4), step


def test_the_line_of_a_window_that_was_interrupted_is_the_same(source, tmp_path):
    changes = {"training.logging_steps": 3, "training.save_steps": 2, **QUIET}  # checkpoints in the middle of windows
    config = tiny_config(source, "awr", **changes)
    train(config, tmp_path / "run")
    whole = training_lines(tmp_path / "run")
    assert sorted(whole) == [1, 3, 6]
    for folder in ("checkpoint-6", "checkpoint-4", "model"):
        (tmp_path / "run" / folder).rename(tmp_path / folder)
    train(config, tmp_path / "run", resume=True)  # from step 2, between the lines of 1 and 3
    assert training_lines(tmp_path / "run") == whole


def totals_of(*numbers):
    totals = LogTotals()
    totals.add_tokens({"a": torch.tensor(numbers), "a_max": torch.tensor(numbers)})
    return totals


def test_a_window_comes_back_exactly_and_is_shared_by_another_number_of_processes(tmp_path):
    for process, number in enumerate((1.0, 4.0)):
        save_window(tmp_path, process, totals_of(number, torch.nan), loss=number / 3, since=7)
    totals, loss, since = load_window(tmp_path, 1, 2, torch.device("cpu"))
    assert (totals.pairs(), loss, since) == ({"a": (4.0, 1.0), "a_max": (4.0, 1.0)}, 4.0 / 3, 7)
    alone, loss, _ = load_window(tmp_path, 0, 1, torch.device("cpu"))
    assert (alone.pairs(), loss) == ({"a": (5.0, 2.0), "a_max": (4.0, 2.0)}, pytest.approx(5.0 / 6))
    assert load_window(tmp_path, 1, 3, torch.device("cpu"))[0].pairs() == {}
    (tmp_path / FILE.format(0)).unlink()
    assert load_window(tmp_path, 0, 1, torch.device("cpu")) is None


def test_the_window_of_one_process_is_not_counted_again_by_each_of_several(tmp_path):
    save_window(tmp_path, 0, totals_of(1.0, 4.0), loss=2.5, since=7)
    windows = [load_window(tmp_path, process, 2, torch.device("cpu")) for process in range(2)]
    assert [totals.pairs() for totals, _, _ in windows] == [{"a": (5.0, 2.0), "a_max": (4.0, 2.0)}, {}]
    assert [loss for _, loss, _ in windows] == [2.5, 2.5]
