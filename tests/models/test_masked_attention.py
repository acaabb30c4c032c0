"""Attention in parts, or by the numbers of hidden segments: the same losses and gradients as from the whole mask, with fewer
products."""

import pytest
import torch
from tests.models.test_documents import LLAMA
from tests.models.test_hiding import HIDDEN, POSITIONS, batch, build
from tests.tiny import TINY_MODELS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from phf.feedback.objectives import MLE
from phf.models import ObjectiveLM
from phf.models.building import hiding, masked_attention
from phf.models.building.masked_attention import attention_by_numbers


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


@pytest.fixture
def by_numbers(monkeypatch):
    """Segments are hidden by their numbers, as on a GPU; the masks that transformers' own attention is given from now on."""
    masks = []
    original = masked_attention.WHOLE

    def recorded(module, query, key, value, attention_mask, **settings):
        masks.append(attention_mask)
        return original(module, query, key, value, attention_mask, **settings)

    monkeypatch.setattr(masked_attention, "WHOLE", recorded)
    monkeypatch.setattr(hiding, "BY_NUMBERS", ("cpu",))
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "sdpa", recorded)
    yield masks
    ALL_ATTENTION_FUNCTIONS["sdpa"] = original


GROUPED = {**LLAMA, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4}


@pytest.mark.parametrize("head", ["chunked", "dense"])
@pytest.mark.parametrize(("model_type", "size"), [("gpt2", TINY_MODELS["gpt2"]), ("llama", LLAMA), ("llama", GROUPED)])
def test_numbers_give_the_losses_and_gradients_of_the_mask(model_type, size, head, by_numbers, monkeypatch):
    lm = build(model_type, size)
    loss, gradients = loss_and_gradients(lm, head=head)
    assert by_numbers
    assert not any(torch.is_tensor(mask) for mask in by_numbers)
    monkeypatch.setattr(hiding, "BY_NUMBERS", ())
    expected, gradients_of_mask = loss_and_gradients(lm, head=head)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients, gradients_of_mask, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scaling", [None, 0.01, 1.0])
def test_what_is_hidden_has_no_weight_in_any_precision(dtype, scaling):
    seq, heads, width = 1024, 2, 16
    draw = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(1, heads, seq, width, generator=draw, dtype=torch.float64).to(dtype) for _ in range(3)
    )
    segments = 1 + torch.arange(seq)  # every token is a segment, every other one hidden, up to the largest number
    numbers = torch.where(segments % 2 == 0, segments + 1, 0).int().view(1, 1, 1, seq)
    module = torch.nn.Module()
    output = attention_by_numbers(module, query, key, value, numbers, scaling=scaling)[0]
    mask = hiding.visibility(numbers[:, 0, 0])
    expected = masked_attention.WHOLE(
        module, query.double(), key.double(), value.double(), mask, scaling=scaling or width**-0.5
    )[0]
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}.get(dtype, 0.05)
    torch.testing.assert_close(output.double(), expected, rtol=tolerance, atol=tolerance)
    hidden = numbers.flatten().nonzero().flatten()
    value[:, :, hidden] += 1000
    changed = attention_by_numbers(module, query, key, value, numbers, scaling=scaling)[0]
    visible = (numbers.flatten() == 0).nonzero().flatten()
    assert torch.equal(changed[:, visible], output[:, visible])
    assert not torch.equal(changed[:, hidden], output[:, hidden]), "their own segment sees them"


def test_recomputed_activations_and_documents_that_are_kept_apart_have_a_mask(by_numbers):
    lm = build("gpt2", {**TINY_MODELS["gpt2"], "attn_pdrop": 0.0}).train()
    loss, gradients = loss_and_gradients(lm)
    assert not any(torch.is_tensor(mask) for mask in by_numbers)
    lm.gradient_checkpointing_enable()
    by_numbers.clear()
    of_recomputed, recomputed = loss_and_gradients(lm)
    assert all(mask.shape == (2, 1, 12, 12) for mask in by_numbers[-4:])
    torch.testing.assert_close(of_recomputed, loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(recomputed, gradients, rtol=1e-9, atol=1e-12)
    lm.gradient_checkpointing_disable()
    by_numbers.clear()
    loss_and_gradients(lm, POSITIONS)
    assert all(torch.is_tensor(mask) for mask in by_numbers[-2:])


def test_heads_too_wide_for_a_flash_kernel_have_a_mask(by_numbers, monkeypatch):
    lm = build("llama", LLAMA)
    loss, gradients = loss_and_gradients(lm)
    monkeypatch.setattr(masked_attention, "WIDEST", 8)
    by_numbers.clear()
    of_mask, gradients_of_mask = loss_and_gradients(lm)
    assert all(mask.shape == (2, 1, 12, 12) for mask in by_numbers[-2:])
    torch.testing.assert_close(of_mask, loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients_of_mask, gradients, rtol=1e-9, atol=1e-12)


def test_a_model_that_takes_a_mask_but_no_numbers_gets_a_mask(by_numbers):
    lm = build("gpt2", TINY_MODELS["gpt2"])
    expected, _ = loss_and_gradients(lm)
    forward = lm.transformer.forward

    def masks_only(*arguments, attention_mask=None, **settings):
        if attention_mask is not None and attention_mask.dtype != torch.bool:
            raise ValueError("masks are of bool")
        return forward(*arguments, attention_mask=attention_mask, **settings)

    lm.transformer.forward = masks_only
    by_numbers.clear()
    loss, _ = loss_and_gradients(lm)
    assert all(mask.dtype == torch.bool for mask in by_numbers[-2:])
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
