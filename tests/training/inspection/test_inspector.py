"""Inspections of runs: what they find, and that nothing else depends on them."""

import json
import random

import numpy as np
import pytest
import torch
from tests.tiny import losses, tiny_config

from phf.runs.layout import INSPECTED
from phf.scorers import Scorer
from phf.training.inspection.steps import InspectedSteps
from phf.training.run import train

NUM_STEPS = 6
QUIET = {
    "generation.run_on_train_start": False,
    "generation.run_on_train_end": False,
    "generation.scenario_configs": [],
    "dataset.eval_fraction": 0.0,
    "training.save_strategy": "no",
}


class EndingScorer(Scorer):
    """The digit before the end of a line / 10; None for a line that ends with "?". Draws random numbers, as a sampler would."""

    segmenter = "lines"

    def score_texts(self, texts):
        random.random(), np.random.rand(), torch.rand(())
        return [None if text.endswith("?\n") else int(text[-2]) / 10 for text in texts]


class RaisingScorer(EndingScorer):
    def score_texts(self, texts):
        raise RuntimeError("cannot")


def write_corpus(path, wrong=False):
    """Sixty documents scored by `EndingScorer`; `wrong`: every third segment by something else."""
    with path.open("w") as file:
        for i in range(60):
            texts = [f"value {i} of {j} = {(i * j) % 10}\n" for j in range(3)]
            texts += [f"what {i}?\n"]
            scores = EndingScorer().score_texts(texts)
            if wrong:
                scores[2] = 1.0
            file.write(json.dumps({"id": f"d{i}", "texts": texts, "scores": scores}) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.jsonl")


def config_of(source, method, scorer="EndingScorer", **changes):
    class_name = f"{__name__}:{scorer}"
    settings = {
        "generation.scorer_config": {"class_name": class_name},
        "generation.metrics_configs": [],
        "training.inspect_steps": 3,
        "model.config_kwargs.resid_pdrop": 0.1,
    }
    return tiny_config(source, method, **{**QUIET, **settings, **changes})


def lines_of(run_dir):
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def inspections(run_dir):
    """Step -> its numbers; each step is there once."""
    inspected = [line for line in lines_of(run_dir) if "inspect/num_blocks" in line]
    assert len({line["step"] for line in inspected}) == len(inspected)
    return {line["step"]: line for line in inspected}


def segments(run_dir):
    return [json.loads(line) for line in (run_dir / INSPECTED).read_text().splitlines()]


@pytest.mark.parametrize(("streaming", "tokenization"), [(False, "segments"), (True, "document")])
def test_what_was_packed_right_is_found_to_be_right(streaming, tokenization, source, tmp_path):
    changes = {"dataset.streaming": streaming, "dataset.tokenization": tokenization}
    train(config_of(source, "conditional", **changes), tmp_path / "run")
    inspected = inspections(tmp_path / "run")
    assert sorted(inspected) == [3, 6]
    for numbers in inspected.values():
        assert numbers["inspect/num_blocks"] == 4
        assert numbers["inspect/num_segments"] > 10
        assert numbers["inspect/differing_share"] == 0
        assert numbers["inspect/mistagged_share"] == 0
        assert numbers["inspect/score_correlation"] == pytest.approx(1)
        assert numbers["inspect/score_packed"] == pytest.approx(numbers["inspect/score_again"])
        assert numbers["inspect/num_unscored"] == numbers["inspect/num_unscored_again"] > 0
        assert numbers["inspect/input_embedding_norm/aligned"] > 0
    assert {line["step"] for line in segments(tmp_path / "run")} == {3, 6}


def test_scores_of_another_text_are_found_and_named(tmp_path):
    train(config_of(write_corpus(tmp_path / "wrong.jsonl", wrong=True), "ul"), tmp_path / "run")
    wrong = [line for line in segments(tmp_path / "run") if line["differs"]]
    assert wrong
    assert {line["score"] for line in wrong} == {1.0}
    inspected = inspections(tmp_path / "run")
    shown = [line["step"] for line in wrong]
    for step, numbers in inspected.items():
        assert numbers["inspect/differing_share"] == pytest.approx(shown.count(step) / numbers["inspect/num_segments"])
        assert numbers["inspect/score_packed"] > numbers["inspect/score_again"]


def test_weights_of_targets_are_those_of_the_loss_however_a_step_is_cut(source, tmp_path):
    inspected = {}
    for blocks in (4, 1):
        changes = {"training.per_device_train_batch_size": blocks, "model.config_kwargs.resid_pdrop": 0.0}
        train(config_of(source, "awr", **changes), tmp_path / str(blocks))
        inspected[blocks] = inspections(tmp_path / str(blocks))
    logged = {line["step"]: line for line in lines_of(tmp_path / "4") if "train/loss" in line}
    for step, numbers in inspected[4].items():
        for key in ("value_avg", "advantage_avg", "weight_avg"):
            assert numbers[f"inspect/{key}"] == pytest.approx(logged[step][f"train/{key}"], rel=1e-5)
        assert numbers["inspect/num_targets"] < 4 * 63  # some are unscored
        assert numbers["inspect/weight_p05"] < numbers["inspect/weight_p50"] < numbers["inspect/weight_p95"]
        assert -1 <= numbers["inspect/value_reward_correlation"] <= 1
        assert -1 < numbers["inspect/segment_value_avg"] < 0
        assert inspected[1][step] == pytest.approx(numbers, rel=1e-4, abs=1e-5, nan_ok=True)


def test_an_inspection_changes_neither_losses_nor_random_state(source, tmp_path):
    for every in (None, 1):
        train(config_of(source, "awr", **{"training.inspect_steps": every}), tmp_path / str(every))
    assert losses(tmp_path / "1") == losses(tmp_path / "None")
    assert sorted(inspections(tmp_path / "1")) == list(range(1, NUM_STEPS + 1))
    assert not inspections(tmp_path / "None")
    assert not (tmp_path / "None" / INSPECTED).exists()


def test_a_scorer_that_raises_leaves_segments_unscored_and_does_not_end_the_run(source, tmp_path):
    train(config_of(source, "mle", scorer="RaisingScorer"), tmp_path / "run")
    for numbers in inspections(tmp_path / "run").values():
        assert numbers["inspect/num_unscored_again"] == numbers["inspect/num_segments"] > 0
        assert numbers["inspect/score_again"] is None


def test_blocks_are_spread_over_a_step_and_steps_over_a_run():
    assert InspectedSteps(3, 4).read_back == {0, 1, 2, 3}
    assert InspectedSteps(3, 64).read_back == {0, 8, 16, 24, 32, 40, 48, 56}
    steps = InspectedSteps(3, 4)
    assert [sample for sample in range(24) if steps.has_sample(sample)] == [8, 9, 10, 11, 20, 21, 22, 23]
    assert not any(InspectedSteps(None, 4).has(step) for step in range(10))
