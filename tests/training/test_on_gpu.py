"""What only a GPU can show: no step waits for it, bfloat16 compiled steps train, and the head needs little memory."""

import json

import pytest
import torch
from tests.tiny import losses, tiny_config, tiny_corpus
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import GPT2Config, GPT2LMHeadModel, TrainerCallback

from phf.feedback.objectives import MLE
from phf.models import ObjectiveLM, chunked_loss
from phf.models.log_odds import turn_into_difference
from phf.training import run as training
from phf.training.micro_batch import find_micro_batch
from phf.training.plan import plan_run
from phf.training.run import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]

QUIET = {"generation.run_on_train_start": False, "generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}
WIDE = {"model.config_kwargs.n_embd": 256, "training.num_tokens": 12 * 4 * 64, "training.logging_steps": 12}
INSPECTED = {"training.inspect_steps": 4}


class SyncIsAnError(TrainerCallback):
    """Steps in the middle of the run, from their first forward pass to the update of the weights."""

    num_steps = 0

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step in (4, 5, 6):
            torch.cuda.set_sync_debug_mode("error")

    def on_step_end(self, args, state, control, **kwargs):
        SyncIsAnError.num_steps += torch.cuda.get_sync_debug_mode() == 2
        torch.cuda.set_sync_debug_mode("default")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize("method", ["mle", "ul", "awr", "rwr", "hiding"])
def test_no_step_waits_for_the_gpu(method, compiles, source, tmp_path, monkeypatch):
    make = training.ObjectiveTrainer
    monkeypatch.setattr(SyncIsAnError, "num_steps", 0)
    monkeypatch.setattr(
        training,
        "ObjectiveTrainer",
        lambda *args, callbacks, **kwargs: make(*args, callbacks=[*callbacks, SyncIsAnError()], **kwargs),
    )
    try:
        changes = {**QUIET, **WIDE, **INSPECTED, "model.compile": compiles}
        train(tiny_config(source, method, **changes), tmp_path / "run")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert SyncIsAnError.num_steps == 3
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "inspect/num_segments" in line] == [4, 8, 12]


def test_bfloat16_is_chosen_and_a_compiled_run_gives_the_losses_of_one_that_is_not(source, tmp_path):
    assert plan_run(tiny_config(source, **WIDE), tmp_path / "run").arguments.bf16 == torch.cuda.is_bf16_supported(
        including_emulation=False
    )
    for compiles in (False, True):
        train(tiny_config(source, **QUIET, **WIDE, **{"model.compile": compiles}), tmp_path / str(compiles))
    assert losses(tmp_path / "True") == pytest.approx(losses(tmp_path / "False"), rel=0.01)


def test_attention_runs_in_the_flash_kernel():
    config = GPT2Config(n_layer=1, n_embd=128, n_head=2, n_positions=256, vocab_size=512, attn_pdrop=0.0)
    module = ObjectiveLM(GPT2LMHeadModel(config), MLE()).cuda().train()
    ids = torch.randint(512, (2, 256), device="cuda")
    with torch.autocast("cuda", torch.bfloat16), sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # an error without it
        module(ids)["loss"].backward()


def test_head_and_loss_need_an_eighth_of_the_memory_of_dense_logits():
    vocab_size, num_tokens, width = 128_000, 8192, 256
    weight = torch.nn.Parameter(torch.randn(vocab_size, width, device="cuda") * 0.02)
    targets = torch.randint(vocab_size, (1, num_tokens + 1), device="cuda")
    hidden = torch.randn(1, num_tokens + 1, width, device="cuda", requires_grad=True)

    def ours():
        scores = torch.full((num_tokens,), torch.nan, device="cuda")
        rows = hidden[:, :-1].flatten(0, 1)
        return chunked_loss(
            hidden=rows,
            weight=weight,
            targets=targets[:, 1:].flatten(),
            scores=scores,
            values=None,
            objective=MLE(),
            num_items=num_tokens,
        ).loss

    def dense():
        return F.cross_entropy(F.linear(hidden[:, :-1].flatten(0, 1), weight).float(), targets[:, 1:].flatten())

    peaks = {}
    for loss in (ours, dense):
        weight.grad = hidden.grad = None
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        loss().backward()
        peaks[loss] = torch.cuda.max_memory_allocated() - before
    assert peaks[ours] <= peaks[dense] / 8


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_loss_and_gradients_of_the_head_are_those_of_dense_logits(dtype, tolerance, compiles):
    torch.manual_seed(0)
    vocab_size, num_tokens, width = 1003, 300, 64  # neither rows nor columns fill the last tile
    weight = torch.randn(vocab_size, width, device="cuda", requires_grad=True)
    hidden = torch.randn(num_tokens, width, device="cuda", requires_grad=True)
    targets = torch.randint(vocab_size, (num_tokens,), device="cuda")
    expected = F.cross_entropy(hidden.double() @ weight.double().T, targets)
    with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
        loss = chunked_loss(
            hidden=hidden,
            weight=weight,
            targets=targets,
            scores=torch.full((num_tokens,), torch.nan, device="cuda"),
            values=None,
            objective=MLE(),
            num_items=num_tokens,
            chunk_tokens=128,
            compiled=torch.compile(turn_into_difference) if compiles else None,
        ).loss
    assert (loss - expected).abs() < tolerance * expected
    gradients = (torch.autograd.grad(of, (hidden, weight)) for of in (loss, expected))
    for mine, reference in zip(*gradients, strict=True):
        assert (mine - reference).norm() < tolerance * reference.norm()


def test_the_largest_micro_batch_that_fits_does_fit(source, tmp_path):
    plan = plan_run(tiny_config(source, **WIDE, **{"training.per_device_train_batch_size": "auto"}), tmp_path / "run")
    config = GPT2Config(n_layer=2, n_embd=256, n_head=4, n_positions=1024, vocab_size=50_257)
    module = ObjectiveLM(GPT2LMHeadModel(config), MLE())
    size = find_micro_batch(module, 2**14, 1024, plan.arguments)
    assert 1 < size < 2**14
    ids = torch.randint(50_257, (size, 1024), device="cuda")
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    for _ in range(2):
        with torch.autocast("cuda", torch.bfloat16, enabled=plan.arguments.bf16):
            module(ids)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
