"""Loss spikes: found by their definition, with their documents, the same after a resume and for any number of processes."""

import json
import math
import re

import pytest
import torch
from tests.tiny import tiny_config, tiny_corpus

from phf.feedback import objectives
from phf.feedback.objectives import MLE
from phf.runs.writer import RunWriter
from phf.training import spikes as module
from phf.training.run import train
from phf.training.spikes import ENOUGH, MOST_OPEN, WINDOW, Spike, SpikeLog, Spikes

QUIET = {"generation.run_on_train_start": False, "generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}


class OneProcess:
    num_processes = 1


class TwoProcesses:
    """What the first of two sees; the other one has the same losses plus 2, and blocks of its own."""

    num_processes = 2

    def reduce(self, losses, how):
        assert how == "mean"
        return losses + 1


def series(*special, length=ENOUGH):
    """Losses 1, 3, 1, 3, ...: mean 2, standard deviation 1; then the special ones."""
    return [1.0 if i % 2 == 0 else 3.0 for i in range(length)] + list(special)


def feed(spikes, losses, first=1, settle_every=None):
    spotted = []
    for step, loss in enumerate(losses, start=first):
        spikes.add(step, torch.tensor(loss), torch.tensor([[step, step + 1]]))
        if settle_every and step % settle_every == 0:
            spotted += spikes.settle()
    return spotted + spikes.settle()


@pytest.mark.parametrize(("loss", "is_spike"), [(8.9, False), (9.0, False), (9.1, True), (-50.0, False)])
def test_a_spike_is_more_than_so_many_deviations_above_the_mean_of_the_steps_before(loss, is_spike):
    spotted = feed(Spikes(7.0, OneProcess()), series(loss))
    expected = [Spike(ENOUGH + 1, pytest.approx(loss), 2.0, 1.0, [(ENOUGH + 1, ENOUGH + 2)])]
    assert spotted == (expected if is_spike else [])


def test_a_few_steps_say_too_little():
    assert not feed(Spikes(7.0, OneProcess()), series(100.0, length=ENOUGH - 1))


def test_only_the_last_steps_count():
    falling = [100.0 + i % 2 for i in range(200)] + series(9.5, length=WINDOW)
    assert [spike.step for spike in feed(Spikes(7.0, OneProcess()), falling)] == [len(falling)]


def test_a_loss_that_is_not_finite_is_neither_a_spike_nor_part_of_the_mean():
    spotted = feed(Spikes(7.0, OneProcess()), series(math.inf, math.nan, 9.5))
    assert [(spike.step, spike.mean) for spike in spotted] == [(ENOUGH + 3, 2.0)]


def test_batches_of_a_step_are_added_up_with_their_documents():
    spikes = Spikes(7.0, OneProcess())
    feed(spikes, series())
    for loss, spans in ((4.0, [[1, 2], [2, 2]]), (6.0, [[5, 6]])):
        spikes.add(40, torch.tensor(loss), torch.tensor(spans))
    (spike,) = spikes.settle()
    assert (spike.step, spike.loss, spike.spans) == (40, 10.0, [(1, 2), (2, 2), (5, 6)])


@pytest.mark.parametrize("settle_every", [1, 7, None])
def test_when_losses_are_fetched_does_not_matter(settle_every):
    losses = series(9.5, 1.0, 30.0)
    assert [s.step for s in feed(Spikes(7.0, OneProcess()), losses, settle_every=settle_every)] == [33, 35]


def test_a_loss_is_the_mean_over_the_processes_and_has_the_documents_of_all(monkeypatch):
    monkeypatch.setattr(module, "gather_object", lambda mine: [*mine, [[(70, 71)]]])
    (spike,) = feed(Spikes(7.0, TwoProcesses()), series(9.5))
    assert (spike.mean, spike.loss) == (3.0, 10.5)
    assert spike.spans == [(33, 34), (70, 71)]


def test_nothing_is_kept_without_deviations_and_it_is_said_when_much_is():
    spikes = Spikes(None, OneProcess())
    assert not feed(spikes, series(1000.0))
    assert not spikes.is_full
    spikes = Spikes(7.0, OneProcess())
    for step in range(MOST_OPEN):
        assert not spikes.is_full
        spikes.add(step, torch.tensor(1.0), None)
    assert spikes.is_full
    spikes.settle()
    assert not spikes.is_full


def test_losses_before_a_checkpoint_are_compared_with_after_it(tmp_path):
    before, after = series()[:20], [*series()[20:], 9.5]
    first, second = Spikes(7.0, OneProcess()), Spikes(7.0, OneProcess())
    feed(first, before)
    first.save(tmp_path)
    second.load(tmp_path)
    assert feed(second, after, first=21) == feed(first, after, first=21) != []
    second.load(tmp_path / "of an older version")


class Documents:
    def packed_documents(self):
        return iter((key, f"d{key}") for key in range(100))


class Gone:
    def packed_documents(self):
        raise OSError


def lines(folder):
    return [json.loads(line) for line in (folder / "spikes.jsonl").read_text().splitlines()]


SPIKES = [Spike(5, 9.0, 2.0, 1.0, [(3, 4), (20, 29)]), Spike(6, 9.5, 2.0, 1.0, [(1, 1)])]


def test_spikes_are_written_with_their_documents_and_announced(tmp_path):
    said = []
    SpikeLog(RunWriter(tmp_path), lambda step: Documents(), False, lambda step: 10 * step, said.append)(SPIKES)
    first, second = lines(tmp_path)
    assert first == {
        "step": 5,
        "tokens_seen": 50,
        "loss": 9.0,
        "mean_before": 2.0,
        "standard_deviation_before": 1.0,
        "documents": ["d3", "d4", *(f"d{i}" for i in range(20, 30))],
    }
    assert second["documents"] == ["d1"]
    assert said[0].startswith("Loss spike at step 5: 9, where the steps before had 2 with a standard deviation of 1")
    assert said[0].endswith("d3, d4, d20, d21, d22, d23, d24, d25 and 4 more")
    assert "training.spike_deviations" in said[0]


def test_documents_of_a_stream_are_looked_up_at_the_end(tmp_path):
    said = []
    log = SpikeLog(RunWriter(tmp_path), lambda step: Documents(), True, lambda step: step, said.append)
    log(SPIKES)
    assert [line["documents"] for line in lines(tmp_path)] == [None, None]
    assert "looked up when training ends" in said[0]
    log.complete()
    assert [line["documents"][0] for line in lines(tmp_path)] == ["d3", "d1"]
    assert not any("document_keys" in line for line in lines(tmp_path))
    said.clear()
    log.complete()
    assert not said


def test_a_corpus_that_is_gone_stops_no_run(tmp_path):
    said = []
    log = SpikeLog(RunWriter(tmp_path), lambda step: Gone(), False, lambda step: step, said.append)
    log(SPIKES)
    log.complete()
    assert "spikes.jsonl keeps hashes of the documents" in said[-1]
    assert [line["document_keys"] for line in lines(tmp_path)] == [[[3, 4], [20, 29]], [[1, 1]]]


class SpikedAt(MLE):
    """MLE whose loss is 10 times as high in one batch."""

    def __init__(self, batch):
        self.batch, self.num_batches = batch, 0

    def bind(self, scores, values):
        self.num_batches += 1
        return super().bind(scores, values)

    def token_loss(self, nll, scores, values):
        factor = 10 if self.num_batches == self.batch else 1
        return nll + (factor - 1) * nll.detach(), {}


@pytest.mark.slow
def test_a_run_records_the_spike_of_its_step_with_the_documents_of_its_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ENOUGH", 4)
    monkeypatch.setattr(objectives, "build_objective", lambda section: SpikedAt(11))  # two batches in a step: step 6
    (tmp_path / "corpus").mkdir()
    source = tiny_corpus(tmp_path / "corpus")
    steps = {"training.num_tokens": 8 * 4 * 64, "training.logging_steps": 3, "training.save_steps": 4}
    config = tiny_config(source, **QUIET, **steps)
    said = []
    train(config, tmp_path / "run", announce=said.append)
    (spike,) = lines(tmp_path / "run")
    assert spike["step"] == 6
    assert spike["tokens_seen"] == 6 * 4 * 64
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    mean = {line["step"]: line["train/loss"] for line in logged if "train/loss" in line}
    assert spike["loss"] > spike["mean_before"] + 7 * spike["standard_deviation_before"]
    assert mean[6] == pytest.approx((spike["loss"] + 2 * spike["mean_before"]) / 3, rel=0.02)
    assert spike["documents"]
    assert all(re.search(r"\d\d\.py", name) for name in spike["documents"])
    assert sum("Loss spike at step 6" in message for message in said) == 1
    # a resumed run writes again what came after the checkpoint, and nothing else
    for folder in ("checkpoint-8", "model"):
        (tmp_path / "run" / folder).rename(tmp_path / folder)
    monkeypatch.setattr(objectives, "build_objective", lambda section: SpikedAt(3))
    train(config, tmp_path / "run", resume=True)
    (again,) = lines(tmp_path / "run")
    assert again.keys() == spike.keys()
    assert [again[key] for key in ("step", "documents")] == [spike[key] for key in ("step", "documents")]
    assert again["mean_before"] == pytest.approx(spike["mean_before"], rel=1e-6)
