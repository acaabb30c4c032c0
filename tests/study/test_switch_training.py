"""Both sides of a switch, trained on a toy model: which text, how many tokens, which learning rates, which vocabulary."""

import json

import pytest
from tests.study.pieces import a_study
from tests.study.test_run import tiny_values
from tests.tiny import tiny_corpus

from phf.feedback import Prompting
from phf.study.folder import StudyFolder
from phf.study.plan import expand
from phf.training.data import prepare_data
from phf.training.run import train

OF_STEP = 4 * 64
NUM_STEPS = 18


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Name of an arm -> (configuration, run folder) of MLE until 1/3, and of both methods after it."""
    folder = StudyFolder(tmp_path_factory.mktemp("study"))
    (folder.path / "corpus").mkdir()
    values = tiny_values(
        tiny_corpus(folder.path / "corpus"),
        **{"generation.run_on_train_end": False, "generation.run_on_train_start": False},
    )
    values |= {"seeds": [3], "num_tokens": NUM_STEPS * OF_STEP + 5, "switch_points": [1 / 3], "training_from": "task"}
    runs, _ = expand(a_study(**values), (), folder.path)
    for run in runs:
        train(run.config, folder.run(run.name))
    return {run.arm.name: (run.config, folder.run(run.name)) for run in runs}


def lines_of(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "train/loss" in line]


@pytest.mark.slow
def test_tokens_add_up_and_none_is_read_twice(trained):
    until, *afters = trained.values()
    packed = []
    for _, folder in trained.values():
        provenance = json.loads((folder / "provenance.json").read_text())
        assert provenance["max_steps"] * 4 <= provenance["blocks"]["num_blocks"]  # no second epoch
    assert [line["tokens_seen"] for line in lines_of(until[1])] == [step * OF_STEP for step in range(1, 7)]
    for _, folder in afters:
        assert [line["tokens_seen"] for line in lines_of(folder)] == [step * OF_STEP for step in range(7, 19)]
    for config, folder in (until, *afters):
        data = prepare_data(config, lambda message: None, folder / "tokenizer")
        packed.append({name for _, name in data.train.packed_documents()})
    before, *others = packed
    assert others[0] == others[1]
    assert before.isdisjoint(others[0])
    whole = until[0].model_copy(update={"dataset": until[0].dataset.model_copy(update={"part": [0.0, 1.0]})})
    data = prepare_data(whole, lambda message: None, until[1] / "tokenizer")
    assert {name for _, name in data.train.packed_documents()} == before | others[0]


@pytest.mark.slow
def test_mle_on_both_sides_has_a_whole_schedule_on_each_and_continues_from_its_loss(trained):
    (_, until), (_, after) = trained["mle-until-33.3333"], trained["mle-from-33.3333"]
    before, now = ([line["train/learning_rate"] for line in lines_of(folder)] for folder in (until, after))
    assert max(before) == max(now) == trained["mle-from-33.3333"][0].training.learning_rate
    assert before[0] == now[0] == 0
    assert before[-1] < max(before) / 2
    assert sum(before) / 6 == pytest.approx(sum(now) / 12, rel=0.15)
    losses = [line["train/loss"] for line in lines_of(until)]
    assert abs(lines_of(after)[0]["train/loss"] - losses[-1]) < (losses[0] - losses[-1]) / 4


@pytest.mark.slow
def test_control_tokens_come_with_the_switch(trained):
    tokens, rows = {}, {}
    for name, (_, folder) in trained.items():
        tokens[name] = len(Prompting.load(folder / "model").control_tokens)
        rows[name] = json.loads((folder / "model" / "config.json").read_text())["vocab_size"]
    first, *_ = trained
    assert tokens == {first: 0, "mle-from-33.3333": 0, "conditional-from-33.3333": 2}
    assert [count - rows[first] for count in rows.values()] == [0, 0, 2]
