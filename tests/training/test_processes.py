"""Two processes and one: every number of a run is the same, and either continues what the other has begun."""

import json
import shutil
from pathlib import Path

import pytest
from tests.ranks import run_ranks
from tests.tiny import tiny_config, tiny_corpus, tiny_reference

from phf.config import dump_config
from phf.training.run import train

METHODS = ["mle", "filtering", "conditional", "ul", "awr", "rwr"]
NUM_STEPS, SAVED_AT = 12, 6
SECONDS = 600
"""Given to the runs of all methods, which take about 10 on an idle machine."""
SPEEDS = ("per_second", "seconds", "memory", "utilization", "wait")
"""In the names of what is measured of the machine."""


def config_of(method, corpus, reference):
    """2 or 4 micro-batches in a step of one process; a line of the log is open when a checkpoint is written."""
    blocks = 8 if method == "awr" else 4
    changes = {
        "model.config_kwargs.n_layer": 1,
        "training.effective_batch_size": blocks,
        "training.num_tokens": NUM_STEPS * blocks * 64,
        "training.save_steps": SAVED_AT,
        "training.logging_steps": 4,
        "training.inspect_steps": 3,
        "generation.every_n_steps": SAVED_AT,
        "generation.batch_size": 2,
        "kl_gpt3_callback": {
            "reference": {"path_or_name": reference},
            "num_samples": 5,
            "max_tokens": 12,
            "batch_size": 2,
            "every_n_steps": NUM_STEPS,
        },
    }
    if method == "filtering":
        changes["dataset.filter_threshold"] = 0.05
    return tiny_config(corpus, method, **changes)


def train_in_two(jobs, folder):
    """[(configuration, run folder, resume)], one after the other, in the same two processes."""
    lines = []
    for number, (config, run_dir, resume) in enumerate(jobs):
        (folder / f"config-{number}.yaml").write_text(dump_config(config))
        lines.append([str(folder / f"config-{number}.yaml"), str(run_dir), resume])
    (folder / "jobs.json").write_text(json.dumps(lines))
    return run_ranks([str(Path(__file__).with_name("on_ranks.py")), str(folder / "jobs.json")], folder, timeout=SECONDS)


def numbers(run_dir):
    """(step, key) -> number, of everything that training and its evaluations give."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {
        (line["step"], key): value
        for line in lines
        for key, value in line.items()
        if value is not None and not any(speed in key for speed in SPEEDS)
    }


def assert_same_numbers(numbers_of_run, expected):
    """Values of an untrained head differ by a thousandth from each other, so rounding is that much larger in what they
    correlate with."""
    for is_correlation, tolerance in ((False, 1e-6), (True, 1e-4)):
        of_kind = [
            {key: value for key, value in of_run.items() if key[1].endswith("_correlation") is is_correlation}
            for of_run in (numbers_of_run, expected)
        ]
        assert of_kind[0] == pytest.approx(of_kind[1], rel=tolerance, abs=tolerance, nan_ok=True)


def texts(run_dir):
    lines = (run_dir / "samples" / "unconditional.jsonl").read_text().splitlines()
    return [(line["step"], line["continuation"]) for line in map(json.loads, lines)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """-> (folder of the runs of one process, of two processes, configuration of each method, what two processes said)"""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    corpus = tiny_corpus(tmp_path_factory.mktemp("corpus"))
    reference = tiny_reference(tmp_path_factory.mktemp("reference"))
    configs = {method: config_of(method, corpus, reference) for method in METHODS}
    for method, config in configs.items():
        train(config, one / method)
    ranks = train_in_two([(config, two / method, False) for method, config in configs.items()], two)
    return one, two, configs, "".join(rank.stdout + rank.stderr for rank in ranks)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_number_and_sample_is_that_of_one_process(runs, method):
    one, two, _, _ = runs
    expected, of_two = numbers(one / method), numbers(two / method)
    assert of_two.keys() == expected.keys()
    assert {"train/loss", "train/lm_loss", "eval/loss", "kl/nats_per_sequence"} <= {key for _, key in expected}
    assert_same_numbers(of_two, expected)
    assert texts(two / method) == texts(one / method)
    assert len(texts(two / method)) == 5 * 2
    assert {step for step, key in expected if key == "inspect/num_segments"} == {3, 6, 9, 12}
    segments = [
        [json.loads(line)["text"] for line in (runs_of / method / "inspected.jsonl").read_text().splitlines()]
        for runs_of in (one, two)
    ]
    assert segments[0] == segments[1]
    assert len(segments[0]) > 20


@pytest.mark.slow
def test_no_process_looks_for_parameters_without_a_gradient_where_there_are_none(runs):
    assert "find_unused_parameters" not in runs[3]


@pytest.mark.slow
def test_either_number_of_processes_continues_the_run_of_the_other(runs, tmp_path):
    one, two, configs, _ = runs
    copies = {}
    for name, source in (("one", one), ("two", two)):
        copies[name] = shutil.copytree(source / "awr", tmp_path / name)
        shutil.rmtree(copies[name] / "model")
        shutil.rmtree(copies[name] / f"checkpoint-{NUM_STEPS}")
    announced = []
    train(configs["awr"], copies["two"], resume=True, announce=announced.append)
    train_in_two([(configs["awr"], copies["one"], True)], tmp_path)
    assert any(f"from step {SAVED_AT}" in message for message in announced)
    expected = numbers(one / "awr")
    for copy in copies.values():
        assert_same_numbers(numbers(copy), expected)
        assert texts(copy) == texts(one / "awr")
        assert (copy / "model" / "model.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"training.effective_batch_size": 7},
            "training.effective_batch_size is 7, which 2 processes cannot share equally",
        ),
        ({"dataset.filter_threshold": -1.0, "objective.name": "MLE"}, "does not fill one block of 64 tokens"),
        ({"kl_gpt3_callback.reference.path_or_name": "no/such/model"}, "'no/such/model' cannot be loaded"),
    ],
    ids=["in all processes", "in the main process, which goes first", "in the main process, which answers for all"],
)
def test_a_mistake_ends_all_processes_with_one_message(tmp_path, changes, message):
    """Also where the main process meets it and the others wait for it: they do not report that it has ended."""
    (tmp_path / "corpus").mkdir()
    config = tiny_config(tiny_corpus(tmp_path / "corpus"), **changes)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    command = ["-m", "phf", "train", "--config", str(tmp_path / "config.yaml"), "--output-dir", str(tmp_path / "runs")]
    ranks = run_ranks(command, tmp_path, may_fail=True)
    assert [rank.status for rank in ranks] == [2, 2]
    said = "".join(rank.stderr for rank in ranks)
    assert said.count("Error:") == said.count(message) == 1
