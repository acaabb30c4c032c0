"""Devices without float64 (MPS): numbers leave them before they become doubles."""

import numpy as np
import pytest
import torch
from tests.evaluation.test_heldout import Blocks, Stub, measure
from tests.tiny import tiny_lm, tiny_tokenizer

from phf.evaluation.kl.logprob import after_prefix, sequence_logprobs
from phf.models import ObjectiveLM


class OnMps(torch.Tensor):
    """A tensor that cannot become float64 where it is, but can be copied to the CPU."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.Tensor.cpu:
            return args[0].as_subclass(torch.Tensor).clone()
        asked = [value for value in (*args, *(kwargs or {}).values()) if isinstance(value, torch.dtype)]
        if function is torch.Tensor.double or torch.float64 in asked:
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
            )
        return super().__torch_function__(function, types, args, kwargs or {})


@pytest.fixture
def on_mps(monkeypatch):
    for kind in (Stub, ObjectiveLM):
        own = kind.token_nll
        monkeypatch.setattr(kind, "token_nll", lambda self, *a, own=own: own(self, *a).as_subclass(OnMps))


def test_the_stand_in_refuses_as_mps_does():
    tensor = torch.ones(2).as_subclass(OnMps)
    for convert in (lambda: tensor.double(), lambda: tensor.to(torch.float64), lambda: tensor.to(dtype=torch.float64)):
        with pytest.raises(TypeError, match="float64"):
            convert()
    assert type(tensor.cpu()) is torch.Tensor


def test_held_out_loss_is_measured_on_a_device_without_float64(on_mps):
    assert measure(Blocks([[8, 1, 2, 3]], [[np.nan] * 4]))["loss"] == pytest.approx(2)


def test_log_probabilities_are_measured_on_a_device_without_float64(on_mps):
    lm = tiny_lm("gpt2", tiny_tokenizer())
    (logprobs,) = sequence_logprobs(lm, [after_prefix([0], [1, 2, 3])], banned_ids=[], batch_size=1)
    assert logprobs.dtype == np.float64
    assert (logprobs < 0).all()
