"""On a GPU no step waits for the device: an update that is not finite is kept away from the weights there, and reported at
the next look. Run here on a CPU, where the guard is otherwise not used, under a mode that refuses whatever would wait."""

import math
from contextlib import ExitStack

import pytest
import torch
from tests.tiny import tiny_config, tiny_corpus
from tests.training.test_divergence import QUIET, BrokenAt, lines
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import TrainerCallback

from phf.errors import DivergedError
from phf.feedback import objectives
from phf.training import run as training
from phf.training.checkpoints.find import last_checkpoint
from phf.training.guard import UpdateGuard
from phf.training.run import train

WAITING = {
    "_local_scalar_dense",
    "item",
    "nonzero",
    "masked_select",
    "is_nonzero",
    "equal",
    "allclose",
    "unique_dim",
    "_unique2",
    "repeat_interleave",
}
"""Operations whose result, or its size, a host has to read."""
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}


class NoWaiting(TorchDispatchMode):
    """Refuses what would make the host wait for a GPU."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        indices = args[1] if name in INDEXING else ()
        is_mask = any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)
        if name in WAITING or is_mask:
            raise AssertionError(f"{function} waits for the device")
        return function(*args, **(kwargs or {}))


class WithoutWaiting(TrainerCallback):
    """One step, from its first forward pass to the update of the weights, under the mode."""

    def __init__(self):
        self.open, self.num_steps = ExitStack(), 0

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 1:
            self.open.enter_context(NoWaiting())

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 2:
            self.open.close()
            self.num_steps += 1


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def guarded(monkeypatch):
    """As on a GPU."""
    monkeypatch.setattr("phf.training.trainer.can_guard", lambda optimizer, device: True)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.masked_select(x > 0),
        lambda x: x.__setitem__(x > 0, x[:1].expand(2)),
    ],
)
def test_the_mode_finds_what_waits(operation):
    x = torch.tensor([1.0, 0.0, 2.0])
    with NoWaiting(), pytest.raises(AssertionError, match="waits for the device"):
        operation(x)
    with NoWaiting():
        assert (x[torch.tensor([0, 1])] + x[1:]).shape == (2,)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("mle", {}),
        ("mle", {"training.bf16": True}),
        ("ul", {}),
        ("awr", {}),
        ("awr", {"model.head": "dense"}),
        ("awr", {"objective.normalize_advantage": True, "training.max_grad_norm": 0}),
        ("rwr", {}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else value,
)
def test_a_step_waits_for_nothing(method, settings, guarded, source, tmp_path, monkeypatch):
    callback = WithoutWaiting()
    make = training.ObjectiveTrainer

    def with_callback(*args, callbacks, **kwargs):
        return make(*args, callbacks=[*callbacks, callback], **kwargs)

    monkeypatch.setattr(training, "ObjectiveTrainer", with_callback)
    steps = {"training.num_tokens": 3 * 4 * 64, "training.logging_steps": 3, "training.save_strategy": "no"}
    with callback.open:
        train(tiny_config(source, method, **QUIET, **steps, **settings), tmp_path / "run")
    assert callback.num_steps == 1
    assert lines(tmp_path / "run")[-1]["train/loss"] > 0


@pytest.mark.parametrize(
    ("objective", "what"),
    [
        (BrokenAt(7, math.nan), "the loss is not finite"),
        (BrokenAt(8, square=True), "the norm of the gradient is not finite"),
    ],
)
def test_a_guarded_run_ends_at_the_next_look_with_the_weights_before_the_bad_step(
    objective, what, source, tmp_path, monkeypatch
):
    weights = {}
    monkeypatch.setattr(objectives, "build_objective", lambda section: objective)
    make = training.ObjectiveLM
    for name in ("at once", "later"):
        if name == "later":
            monkeypatch.setattr("phf.training.trainer.can_guard", lambda optimizer, device: True)
        made = []
        monkeypatch.setattr(training, "ObjectiveLM", lambda *a, made=made, **k: made.append(make(*a, **k)) or made[0])
        objective.num_batches = 0
        config = tiny_config(source, **QUIET, **{"training.logging_steps": 6, "training.num_tokens": 8 * 4 * 64})
        with pytest.raises(DivergedError) as error:
            train(config, tmp_path / name)
        assert str(error.value).startswith(f"Training diverged at step 4: {what}. The documents of that step: ")
        assert last_checkpoint(tmp_path / name) == tmp_path / name / "checkpoint-2"
        assert not (tmp_path / name / "checkpoint-4").exists()
        last = lines(tmp_path / name)[-1]
        assert (last["step"], last["train/grad_norm"]) == (4, None)
        assert (last["train/loss"] is None) == ("loss" in what)
        weights[name] = made[0].state_dict()
    assert objective.num_batches == 8  # step 4 is saved, so it is looked at then
    for key, tensor in weights["at once"].items():
        assert torch.equal(weights["later"][key], tensor)


def test_the_loss_of_a_guarded_run_is_a_mean_over_all_steps_up_to_the_look(source, tmp_path, monkeypatch):
    objective = BrokenAt(5, square=True)  # in step 3, which is neither logged nor saved
    monkeypatch.setattr(objectives, "build_objective", lambda section: objective)
    settings = {"training.logging_steps": 6, "training.num_tokens": 8 * 4 * 64}
    ended = {}
    for name in ("at once", "later"):
        if name == "later":
            monkeypatch.setattr("phf.training.trainer.can_guard", lambda optimizer, device: True)
        objective.num_batches = 0
        with pytest.raises(DivergedError):
            train(tiny_config(source, **QUIET, **settings), tmp_path / name)
        ended[name] = lines(tmp_path / name)[-1]
    assert objective.num_batches > 6  # the look came after another step
    assert ended["later"]["step"] == ended["at once"]["step"] == 3
    assert ended["later"]["train/loss"] == pytest.approx(ended["at once"]["train/loss"], rel=0.1)


def test_nothing_is_updated_after_the_first_bad_step_and_it_is_the_one_reported():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=True)
    guard = UpdateGuard(optimizer, torch.device("cpu"), lambda flags: flags)
    assert guard.read() is None
    seen = []
    for step, norm in enumerate([1.0, math.inf, 1.0, math.nan], start=1):
        weight.grad = torch.ones(3)
        guard.check(step, torch.tensor(2.0), torch.tensor(norm), [torch.tensor([[step, step]])])
        optimizer.step()
        seen.append(weight.detach().clone())
    assert not torch.equal(seen[0], torch.ones(3))
    assert all(torch.equal(later, seen[0]) for later in seen)
    assert guard.num_unread == 4
    bad = guard.read()
    assert (bad.step, bad.is_loss, bad.is_norm, bad.norm) == (2, False, True, math.inf)
    assert bad.documents[0].tolist() == [[2, 2]]
    assert guard.num_unread == 0


def test_all_processes_hear_of_a_loss_that_is_bad_in_one():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=True)
    other = torch.tensor([1.0, 0.0], dtype=torch.float64)
    guard = UpdateGuard(optimizer, torch.device("cpu"), lambda flags: flags + other)
    guard.check(5, torch.tensor(2.0), torch.tensor(1.0), [])
    bad = guard.read()
    assert (bad.step, bad.is_loss, bad.is_norm) == (5, True, False)
