"""Attention below the diagonal: the same losses and gradients as from the whole mask, with fewer products."""

from types import SimpleNamespace

import pytest
import torch
from tests.models.test_documents import LLAMA
from tests.models.test_hiding import HIDDEN, POSITIONS, batch, build
from tests.tiny import TINY_MODELS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from phf.feedback.objectives import MLE
from phf.models import ObjectiveLM
from phf.models.building import hiding, masked_attention


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


def states_of(heads, key_heads, seq, width, dtype, device="cpu"):
    """Queries, keys and values, the mask that hides every third pair of tokens, and what is added to logits for it."""
    draw = torch.Generator().manual_seed(0)
    sizes = (heads, key_heads, key_heads)
    states = [torch.randn(2, n, seq, width, generator=draw, dtype=torch.float64).to(device, dtype) for n in sizes]
    segments = torch.arange(seq, device=device) // 2
    mask = hiding.visibility(torch.where(segments % 3 == 2, segments, 0).expand(2, -1))
    return states, mask, hiding.added_to_logits(mask, dtype, -torch.inf)


def causal_kernel(called):
    """Stands for a kernel of a GPU: leaves out by itself what is above the diagonal."""

    def kernel(query, key, value, bias, dropout, scale):
        called.append((bias.shape, dropout, scale))
        is_above = torch.ones(bias.shape[-2:], dtype=torch.bool).triu(1)
        bias = bias.masked_fill(is_above, -torch.inf)
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, bias, dropout, scale=scale)

    return kernel


@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_a_kernel_of_a_gpu_is_given_what_gives_the_output_of_the_mask(key_heads, scaling):
    (query, key, value), mask, bias = states_of(4, key_heads, 24, 16, torch.bfloat16)
    module, called = SimpleNamespace(num_key_value_groups=4 // key_heads, is_causal=True), []
    settings = {"scaling": scaling, "sliding_window": None}
    output, weights = masked_attention.causal_attention(
        causal_kernel(called), module, query, key, value, bias, **settings
    )
    expected, _ = masked_attention.WHOLE(module, query, key, value, mask, **settings)
    torch.testing.assert_close(output, expected, rtol=0, atol=0.02)
    assert weights is None
    assert output.is_contiguous()
    assert called == [((2, 4, 24, 24), 0.0, scaling or 0.25)]


@pytest.mark.parametrize(
    ("seq", "width", "dtype", "is_bias"),
    [
        (24, 16, torch.float32, True),
        (24, 12, torch.bfloat16, True),
        (24, 136, torch.bfloat16, True),
        (23, 16, torch.bfloat16, True),
        (24, 16, torch.bfloat16, False),
    ],
    ids=["single precision", "width", "wide", "length", "mask of bool"],
)
def test_what_a_kernel_of_a_gpu_does_not_take_is_computed_as_ever(seq, width, dtype, is_bias):
    states, mask, bias = states_of(2, 2, seq, width, dtype)
    module, called = SimpleNamespace(is_causal=True), []
    given = bias if is_bias else mask
    output, _ = masked_attention.causal_attention(causal_kernel(called), module, *states, given)
    assert torch.equal(output, masked_attention.WHOLE(module, *states, given)[0])
    assert not called


def test_a_kernel_that_is_missing_or_ignores_the_mask_or_the_diagonal_is_not_used():
    works = masked_attention._works.__wrapped__
    sdpa = torch.nn.functional.scaled_dot_product_attention

    def missing(*arguments):
        raise RuntimeError("No available kernel.")

    def only_causal(query, key, value, bias, dropout, scale):
        return sdpa(query, key, value, is_causal=True, scale=scale)

    def only_masked(query, key, value, bias, dropout, scale):
        return sdpa(query, key, value, bias, scale=scale)

    device = torch.device("cpu")
    kernels = (causal_kernel([]), missing, only_causal, only_masked)
    assert [works(kernel, device) for kernel in kernels] == [True, False, False, False]


@pytest.mark.gpu
@pytest.mark.parametrize("kernel", [masked_attention._cudnn, masked_attention._cutlass], ids=["cudnn", "cutlass"])
@pytest.mark.parametrize(("seq", "width"), [(1024, 64), (520, 128), (64, 24)])
def test_kernels_of_a_gpu_give_the_outputs_and_gradients_of_the_mask(kernel, seq, width):
    states, mask, bias = states_of(4, 4, seq, width, torch.bfloat16, "cuda")
    module = SimpleNamespace(is_causal=True)
    results = {}
    for name in ("kernel", "mask", "double"):
        dtype = torch.float64 if name == "double" else torch.bfloat16
        own = [state.detach().clone().to(dtype).requires_grad_() for state in states]
        if name == "kernel":
            output, _ = masked_attention.causal_attention(kernel, module, *own, bias)
        else:
            output, _ = masked_attention.WHOLE(module, *own, mask)
        output.square().sum().backward()
        results[name] = [tensor.detach().double() for tensor in (output, *(state.grad for state in own))]
    for own, of_mask, exact in zip(results["kernel"], results["mask"], results["double"], strict=True):
        error, usual = (own - exact).norm() / exact.norm(), (of_mask - exact).norm() / exact.norm()
        assert error < 0.01
        assert error < 2 * usual


@pytest.mark.gpu
@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_training_on_a_gpu_hides_as_with_a_mask(is_compiled, dropout, monkeypatch):
    size = {"n_embd": 128, "n_layer": 2, "n_head": 2, "n_positions": 64, "attn_pdrop": dropout, "resid_pdrop": 0.0}
    lm = build("gpt2", {**size, "embd_pdrop": 0.0}).float().cuda().train()
    module = ObjectiveLM(lm, MLE())
    if is_compiled:
        module.compile_trunk()
    ids = torch.randint(0, 120, (8, 64), generator=torch.Generator().manual_seed(1)).cuda()
    hidden = torch.where(torch.arange(64) // 8 % 2 == 1, torch.arange(64) // 8, 0).int().expand(8, -1).cuda()
    called = []
    for name in ("_cudnn", "_cutlass"):
        original = getattr(masked_attention, name)

        def recorded(*arguments, original=original):
            called.append(original)
            return original(*arguments)

        monkeypatch.setattr(masked_attention, name, recorded)
    losses = []
    for kernels in (True, False):
        if not kernels:
            monkeypatch.setattr(hiding, "added_to_logits", lambda mask, dtype, lowest: mask)
        lm.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = module(ids, hidden=hidden)["loss"]
        loss.backward()
        losses.append(float(loss.detach()))
        if kernels:
            gradients = {name: parameter.grad.clone() for name, parameter in lm.named_parameters()}
    assert called
    assert losses[0] == pytest.approx(losses[1], rel=0.05 if dropout else 2e-3)
    for name, parameter in lm.named_parameters():
        if not dropout and gradients[name].norm() > 1e-4:
            assert (parameter.grad - gradients[name]).norm() < 0.03 * gradients[name].norm()
