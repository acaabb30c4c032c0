"""Attention below the diagonal: the same losses and gradients as from the whole mask, with fewer products."""

import pytest
import torch
from tests.models.test_documents import LLAMA
from tests.models.test_hiding import HIDDEN, POSITIONS, batch, build
from tests.tiny import TINY_MODELS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from phf.feedback.objectives import MLE
from phf.models import ObjectiveLM
from phf.models.building import masked_attention


@pytest.fixture
def shapes(monkeypatch):
    """(queries, keys) of each call of transformers' own attention, from now on, with parts of 5 queries."""
    called = []
    original = masked_attention.WHOLE

    def recorded(module, query, key, *arguments, **settings):
        called.append((query.size(2), key.size(2)))
        return original(module, query, key, *arguments, **settings)

    monkeypatch.setattr(masked_attention, "WHOLE", recorded)
    monkeypatch.setattr(masked_attention, "ROWS", 5)
    yield called
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is recorded, "left as it was"
    ALL_ATTENTION_FUNCTIONS["sdpa"] = original


def loss_and_gradients(lm, positions=None, **settings):
    ids, labels = batch()
    torch.manual_seed(2)
    lm.zero_grad()
    module = ObjectiveLM(lm, MLE(), **settings)
    loss = module(ids, labels, position_ids=positions, hidden=HIDDEN)["loss"]
    loss.backward()
    return loss.detach(), {name: parameter.grad.clone() for name, parameter in lm.named_parameters()}


@pytest.mark.parametrize("head", ["chunked", "dense"])
@pytest.mark.parametrize("positions", [None, POSITIONS], ids=["packed", "documents apart"])
@pytest.mark.parametrize(("model_type", "size"), [("gpt2", TINY_MODELS["gpt2"]), ("llama", LLAMA)])
def test_parts_give_the_losses_and_gradients_of_the_whole(model_type, size, positions, head, shapes, monkeypatch):
    lm = build(model_type, size)
    loss, gradients = loss_and_gradients(lm, positions, head=head)
    assert {(5, 5), (5, 10), (2, 12)} <= set(shapes)
    monkeypatch.setattr(masked_attention, "ROWS", 12)
    shapes.clear()
    expected, gradients_of_whole = loss_and_gradients(lm, positions, head=head)
    assert (12, 12) in shapes
    assert (5, 10) not in shapes
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients, gradients_of_whole, rtol=1e-9, atol=1e-12)


def test_dropout_and_recomputed_activations_have_the_whole_mask(shapes):
    lm = build("gpt2", {**TINY_MODELS["gpt2"], "attn_pdrop": 0.5}).train()
    loss_and_gradients(lm)
    assert (12, 12) in shapes
    shapes.clear()
    lm = build("gpt2", {**TINY_MODELS["gpt2"], "attn_pdrop": 0.0}).train()
    _, gradients = loss_and_gradients(lm)
    assert (2, 12) in shapes
    lm.gradient_checkpointing_enable()
    shapes.clear()
    _, recomputed = loss_and_gradients(lm)
    assert (12, 12) in shapes
    assert (5, 10) not in shapes
    torch.testing.assert_close(recomputed, gradients, rtol=1e-9, atol=1e-12)
