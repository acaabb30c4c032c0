"""One small model of an architecture through everything that `phf` does with a model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from tests.sweep.architectures import small_settings
from tests.tiny import conditional_prompting, tiny_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from phf.config import KLConfig, ModelConfig
from phf.errors import PhfError
from phf.evaluation.kl.estimate import measure_kl
from phf.feedback import ControlTokens
from phf.feedback.objectives import MLE
from phf.models import ObjectiveLM, export_model, load_lm
from phf.models.building.build import check_architecture
from phf.sampling.generate import generate_samples
from phf.sampling.padding import Together, runs_together
from phf.sampling.scenarios import GenerationScenario
from phf.sampling.static_cache import runs_own_loop

ALIGNED, MISALIGNED = "<|aligned|>", "<|misaligned|>"
SEQ_LENGTH = 32
MAX_PARAMETERS = 5_000_000
PROMPTS = ("def", "def f(x):\n    return", "x", "    return x\n")

BATCHES = {Together.ANY: "any", Together.ONE_LENGTH: "of one length", Together.ALONE: "alone"}


@dataclass(frozen=True)
class Outcome:
    """What the table says of an architecture."""

    kind: str
    head: str
    """"chunked" or "dense": what `model.head: auto` chose."""
    sampling: str
    """What draws samples: our own loop, or `generate` of the model."""
    batches: str
    """Which prompts share a batch."""


def check_model_type(model_type: str, folder: Path) -> Outcome:
    """Build, train, export, reload, sample and compare with itself; an `AssertionError` where anything is not as promised."""
    tokenizer = tiny_tokenizer((ALIGNED, MISALIGNED))
    section = ModelConfig(model_type=model_type, config_kwargs=small_settings(model_type))
    check_architecture(section, SEQ_LENGTH)
    lm = load_lm(section, tokenizer, SEQ_LENGTH, 0, ControlTokens((ALIGNED, MISALIGNED)))
    lm.eval()
    head = check_heads(lm)
    check_step(lm)
    lm.eval()
    start = tokenizer.convert_tokens_to_ids([tokenizer.eos_token, ALIGNED])
    export = folder / "model"
    prompting = conditional_prompting(ALIGNED, MISALIGNED, threshold=0.0)
    export_model(lm, tokenizer, export, prompting)
    check_export(lm, export, start)
    check_samples(lm, tokenizer, folder)
    check_kl(lm, tokenizer, export, start, folder)
    is_own = runs_own_loop(lm)
    together = runs_together(lm, in_own_loop=is_own)
    return Outcome(type(lm).__name__, head, "own loop" if is_own else "generate", BATCHES[together])


def check_refused(model_type: str) -> None:
    """What cannot be trained is refused before anything is."""
    with pytest.raises((PhfError, StrictDataclassError)):
        check_architecture(ModelConfig(model_type=model_type, config_kwargs=small_settings(model_type)), SEQ_LENGTH)


def batch() -> dict[str, torch.Tensor]:
    """Two blocks of text tokens."""
    ids = torch.randint(1, 250, (2, SEQ_LENGTH), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "labels": ids.clone()}


def check_heads(lm: Any) -> str:
    """Loss and gradients of both heads are the same, and the loss is that of the model's own logits."""
    head = ObjectiveLM(lm, MLE()).head
    of_heads = {}
    for name in dict.fromkeys((head, "dense")):
        module = ObjectiveLM(lm, MLE(), head=name)
        module.train(lm.config.model_type == "reformer")  # which has no gradients outside of training
        module.zero_grad()
        loss = module(**batch())["loss"]
        loss.backward()
        grads = {key: p.grad.clone() for key, p in module.named_parameters() if p.grad is not None}
        of_heads[name] = (loss.item(), grads)
    lm.eval()
    (loss, grads), (dense_loss, dense_grads) = of_heads[head], of_heads["dense"]
    assert abs(loss - dense_loss) < 1e-5, f"loss of the chunked head {loss}, of the dense one {dense_loss}"
    assert grads.keys() == dense_grads.keys()
    for key, grad in dense_grads.items():
        assert (grads[key] - grad).norm() <= 1e-3 * grad.norm() + 1e-6, f"the gradients of {key} differ"
    with torch.no_grad():
        given = batch()
        logits = lm(input_ids=given["input_ids"], use_cache=False).logits[:, :-1].float()
        own = torch.nn.functional.cross_entropy(logits.flatten(0, 1), given["labels"][:, 1:].flatten()).item()
    assert abs(dense_loss - own) < 1e-4, f"loss {dense_loss}, cross-entropy of the model's logits {own}"
    return head


def check_step(lm: Any) -> None:
    """A step of training lowers the loss of its own batch."""
    module = ObjectiveLM(lm, MLE()).train()
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-3)
    optimiser.zero_grad()
    before = module(**batch())["loss"]
    before.backward()
    optimiser.step()
    after = module(**batch())["loss"]
    assert torch.isfinite(after)
    assert after < before, f"loss {before.item()} before the step, {after.item()} after it"


@torch.no_grad()
def check_export(lm: Any, export: Path, start: list[int]) -> None:
    """Plain transformers reads the same model, its tokenizer opens a text as trained, and so does `generate()`."""
    reloaded, tokenizer = AutoModelForCausalLM.from_pretrained(export).eval(), AutoTokenizer.from_pretrained(export)
    ids = batch()["input_ids"]
    difference = reloaded(input_ids=ids, use_cache=False).logits - lm(input_ids=ids, use_cache=False).logits
    assert difference.abs().max() < 1e-4, "the reloaded model has other logits"
    assert tokenizer("def")["input_ids"][:2] == start
    drawn = reloaded.generate(max_new_tokens=3, do_sample=False)[0].tolist()
    assert drawn[:2] == start, f"generate() without a prompt begins with {drawn[:2]}"


def check_samples(lm: Any, tokenizer: Any, folder: Path) -> None:
    """Greedy continuations do not depend on the batch, and are those of `generate` on one prompt at a time."""
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"text": text}) + "\n" for text in PROMPTS), encoding="utf-8")
    scenario = GenerationScenario(
        name="greedy",
        num_samples=len(PROMPTS),
        prompts_path=str(prompts),
        prefix=ALIGNED,
        generate_kwargs={"max_new_tokens": 8},
    )
    banned = [tokenizer.convert_tokens_to_ids(MISALIGNED), tokenizer.convert_tokens_to_ids(ALIGNED)]
    alone, together = (
        generate_samples(lm, tokenizer, scenario, seed=0, batch_size=size, banned_token_ids=banned).continuations
        for size in (1, len(PROMPTS))
    )
    assert alone == together, "continuations depend on the batch"
    own = lm.generation_config
    lm.generation_config = GenerationConfig()
    ids = torch.tensor(scenario.prompt_ids(tokenizer, [PROMPTS[1]]))
    config = GenerationConfig(max_new_tokens=8, do_sample=False, eos_token_id=0, pad_token_id=0, suppress_tokens=banned)
    drawn = lm.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)[0, ids.size(1) :]
    lm.generation_config = own
    text = tokenizer.decode([i for i in drawn.tolist() if i != 0], clean_up_tokenization_spaces=False)
    assert alone[1] == text, f"continuation {alone[1]!r}, from generate {text!r}"


def check_kl(lm: Any, tokenizer: Any, export: Path, start: list[int], folder: Path) -> None:
    """The KL of the model from itself is 0."""
    section = KLConfig(reference={"path_or_name": str(export)}, num_samples=8, max_tokens=8, batch_size=8)
    numbers = measure_kl(lm, tokenizer, section, prefix_ids=start, cache_dir=folder / "references")
    assert abs(numbers["kl/nats_per_sequence"]) < 1e-3, f"KL from itself: {numbers['kl/nats_per_sequence']} nats"
