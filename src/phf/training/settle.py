"""What a run chooses once it has its model: blocks per device, and whether the model is compiled. All of it is announced."""

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from phf.feedback.schedule import hides_segments
from phf.models import ObjectiveLM
from phf.sampling.division import Division
from phf.text import counted
from phf.training.hardware import Choice, compile_choice
from phf.training.micro_batch import find_micro_batch
from phf.training.plan import Plan

COMPILE_ERRORS = (RuntimeError, OSError, ImportError, subprocess.SubprocessError)
"""Raised by torch.compile where there is no compiler, or one that does not work."""


def settle(
    plan: Plan,
    module: ObjectiveLM,
    division: Division,
    recorded: Mapping[str, Any],
    announce: Callable[[str], None],
) -> tuple[Plan, dict[str, Any]]:
    """Choose, prepare `module` and the arguments of Trainer, and announce what the run uses.

    `recorded`: what a run that is resumed was begun with. Returns the plan with the micro-batch, and what to record.
    """
    plan, micro_batch = _with_micro_batch(plan, module, division, recorded)
    compiled = _compile(plan, module, division)
    arithmetic, choices = plan.arithmetic, plan.choices
    lm_config = module.lm.config
    attention = getattr(lm_config, "_attn_implementation", None) or "that of the model"
    optimizer = getattr(plan.arguments.optim, "value", plan.arguments.optim)
    for line in choices.lines(arithmetic.world_size):
        announce(line)
    for name, choice in {
        "attention": Choice(attention, attention, "model.model_kwargs.attn_implementation overrides"),
        "compiled": compiled,
        "head": Choice(module.head, module.head, "model.head overrides"),
        "optimizer": Choice(optimizer, optimizer, "training.optim overrides"),
        "micro-batch": micro_batch,
    }.items():
        announce(f"{name}: {choice}")
    record = {
        "precision": choices.precision.shown,
        "attention": attention,
        "compiled": compiled.value,
        "optimizer": optimizer,
        "per_device_train_batch_size": arithmetic.per_device_train_batch_size,
        "loader_workers": choices.loader_workers.value,
    }
    return plan, record


def _with_micro_batch(
    plan: Plan, module: ObjectiveLM, division: Division, recorded: Mapping[str, Any]
) -> tuple[Plan, Choice]:
    """The plan with the number of blocks per device, found by trying if it is auto."""
    arithmetic, why = plan.arithmetic, "training.per_device_train_batch_size overrides"
    if arithmetic.finds_micro_batch:
        share = arithmetic.effective_batch_size // arithmetic.world_size
        preferred = recorded.get("per_device_train_batch_size")
        keeps_documents = plan.config.dataset.attention == "document"
        hides = hides_segments(plan.config)

        def find() -> int:
            return find_micro_batch(
                module,
                share,
                arithmetic.seq_length,
                plan.arguments,
                keeps_documents=keeps_documents,
                hides=hides,
                preferred=preferred,
            )

        size = min(division.gather(find))  # the same in all processes: what the smallest device needs
        arithmetic = replace(arithmetic, per_device_train_batch_size=size, gradient_accumulation_steps=share // size)
        plan.arguments.per_device_train_batch_size = size
        plan.arguments.gradient_accumulation_steps = arithmetic.gradient_accumulation_steps
        plan, why = replace(plan, arithmetic=arithmetic), f"auto: the most that fits; {why}"
    size, steps = arithmetic.per_device_train_batch_size, arithmetic.gradient_accumulation_steps
    shown = f"{counted(size, 'block')} of {arithmetic.seq_length:,} tokens per device, {steps} per step"
    return plan, Choice(size, shown, why)


def _compile(plan: Plan, module: ObjectiveLM, division: Division) -> Choice:
    """Compile trunk and head of the module if that was chosen and works in all processes."""
    arguments = plan.arguments
    asked: bool | str = plan.config.model.compile
    if asked == "auto" and "torch_compile" in (plan.config.training.model_extra or {}):
        asked = bool(arguments.torch_compile)
    elif arguments.torch_compile and asked == "auto":
        asked = True  # a backend or mode was chosen
    is_sharded = bool(arguments.fsdp) or arguments.deepspeed is not None
    hardware = plan.choices.hardware
    choice = compile_choice(asked, module.why_not_compiled(), hardware, plan.arithmetic.max_steps, is_sharded)
    settings = {"backend": arguments.torch_compile_backend or "inductor", "mode": arguments.torch_compile_mode}
    arguments.torch_compile = False  # Trainer would compile the head and the objective too
    if choice.value:
        problems = division.gather(lambda: compiler_problem(arguments.device, settings))
        problem = next(filter(None, problems), None)
        if problem is not None:
            return Choice(False, "no", f"torch.compile does not work here: {problem}")
        module.compile_trunk(**settings)
        module.compile_head(**settings)
    return choice


def compiler_problem(device: torch.device, settings: Mapping[str, Any]) -> str | None:
    """Why nothing can be compiled here, found by compiling a small function and its derivative; None if it works."""

    def small(x: torch.Tensor) -> torch.Tensor:
        return (x * x.sin()).sum()

    try:
        torch.compile(small, **settings)(torch.ones(8, device=device, requires_grad=True)).backward()
    except COMPILE_ERRORS as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return " ".join(lines[:2]) or type(error).__name__
    return None
