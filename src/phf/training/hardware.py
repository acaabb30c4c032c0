"""What a run uses of its hardware: every choice in one place, with its reason and the key that overrides it.

`choose` decides what is known before the model is built; `compile_choice` what depends on the model; how many blocks fit on
a device is tried out in `phf.training.micro_batch`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from phf.models.bfloat16 import cpu_has_bfloat16, cpu_multiplies_bfloat16
from phf.models.building.architecture import Architecture
from phf.models.context import text_config
from phf.runs.provenance import cpu_name
from phf.workers.cpus import available_cpus

MIN_WIDTH_OF_BFLOAT16 = 256
"""Width from which a model is trained in bfloat16 by default: the steps of narrower ones are not matrix products."""
MIN_WIDTH_ON_CPU = 128
"""The same on a CPU. With AVX-512 BF16, a step of GPT-2 with 3 layers takes 1.3x as long in float32 at this width and a
vocabulary of 2,048, 1.5x with 16,384; 1.1x at width 64, and the same time at 32."""
LOADER_WORKERS = 2
"""Processes that assemble blocks ahead of a GPU, if there are enough CPUs."""
MIN_STEPS_TO_COMPILE = 300
"""Runs with fewer steps are over before compiling, a matter of minutes, would pay."""
BFLOAT16, FLOAT16, FLOAT32 = "bfloat16", "float16", "float32"
OF_ACCELERATE = {"bf16": BFLOAT16, "fp16": FLOAT16, "no": FLOAT32}
"""Values of ACCELERATE_MIXED_PRECISION that have a key of `training`."""


@dataclass(frozen=True)
class Hardware:
    """What this process can use."""

    device: str
    """Torch's type of device: cpu, cuda, mps, ..."""
    name: str
    has_bfloat16: bool
    """Whether the device has instructions that multiply bfloat16 matrices."""
    num_cpus: int
    """CPUs of each process on this machine."""


@dataclass(frozen=True)
class Choice:
    """One setting of a run: what was chosen, and why, or which key says so."""

    value: Any
    shown: str
    why: str

    def __str__(self) -> str:
        return f"{self.shown} ({self.why})"


@dataclass(frozen=True)
class Choices:
    """The settings that depend on the hardware."""

    hardware: Hardware
    precision: Choice
    loader_workers: Choice

    @property
    def arguments(self) -> dict[str, Any]:
        """Keys of `TrainingArguments` for what the configuration does not set."""
        arguments: dict[str, Any] = {
            "dataloader_num_workers": self.loader_workers.value,
        }
        if self.precision.value in (BFLOAT16, FLOAT16):
            arguments["bf16" if self.precision.value == BFLOAT16 else "fp16"] = True
        if self.hardware.device == "cuda":
            arguments["accelerator_config"] = {"non_blocking": True}  # batches are copied while the GPU computes
        return arguments

    def lines(self, world_size: int) -> list[str]:
        """The choices for a reader."""
        processes = f"{world_size} process" + ("es" if world_size > 1 else "")
        return [
            f"device: {self.hardware.device} ({self.hardware.name}), {processes}",
            f"precision: {self.precision}",
            f"loader workers: {self.loader_workers}",
        ]


def find_hardware(uses_cpu: bool = False) -> Hardware:
    """The device that this process trains on: a GPU or other accelerator if there is one, unless `uses_cpu`."""
    has_accelerator = torch.accelerator.is_available() and not uses_cpu
    device = torch.accelerator.current_accelerator().type if has_accelerator else "cpu"  # type: ignore[union-attr]
    if device == "cuda":
        name = torch.cuda.get_device_name()
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        name = cpu_name() if device == "cpu" else device
        has_bfloat16 = device == "cpu" and cpu_multiplies_bfloat16()
    num_local = max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    return Hardware(device, name, has_bfloat16, max(1, available_cpus() // num_local))


def choose(
    applied: Mapping[str, Any],
    architecture: Architecture | None,
    hardware: Hardware,
    *,
    streams: bool = False,
    recorded: Mapping[str, Any] | None = None,
) -> Choices:
    """What can be chosen before the model is built.

    Args:
        applied: the keys of the `training` section, from `check_keys`; what they set is not chosen.
        architecture: of the model; None if it cannot be read.
        streams: whether blocks are packed while training.
        recorded: for a run that has begun, what it was begun with: empty if that was not recorded yet; None: a new run.
    """
    return Choices(
        hardware,
        _precision(applied, architecture, hardware, recorded),
        _loader_workers(applied, hardware, streams),
    )


def _precision(
    applied: Mapping[str, Any],
    architecture: Architecture | None,
    hardware: Hardware,
    recorded: Mapping[str, Any] | None,
) -> Choice:
    for key, name in (("bf16", BFLOAT16), ("fp16", FLOAT16)):
        if applied.get(key) and key == "fp16" and hardware.device == "cpu":
            return Choice(None, FLOAT32, "training.fp16 needs a GPU")
        if applied.get(key) and key == "bf16" and hardware.device == "cpu" and not cpu_has_bfloat16():
            return Choice(None, FLOAT32, "training.bf16 needs a GPU or a CPU with AVX-512")
        if applied.get(key):
            return Choice(None, name, f"training.{key}")
    for key in ("bf16", "fp16"):
        if key in applied:
            return Choice(None, FLOAT32, f"training.{key}: false")
    if applied.get("deepspeed") is not None:
        return Choice(None, "that of its configuration", "training.deepspeed")
    if "ACCELERATE_MIXED_PRECISION" in os.environ:
        mixed = os.environ["ACCELERATE_MIXED_PRECISION"]
        return Choice(None, OF_ACCELERATE.get(mixed, mixed), "ACCELERATE_MIXED_PRECISION, set by a launcher")
    overridden = "training.bf16 overrides"
    if recorded is not None:
        before = recorded.get("precision", FLOAT32)
        before = OF_ACCELERATE.get(before, before)
        if before == FLOAT16 and hardware.device == "cpu":
            return Choice(FLOAT32, FLOAT32, "the run began in float16, which needs a GPU")
        if before == BFLOAT16 and not hardware.has_bfloat16:
            return Choice(FLOAT32, FLOAT32, f"the run began in bfloat16, which this {_kind(hardware)} does not have")
        return Choice(before, before, f"as the run began; {overridden}")
    if not hardware.has_bfloat16:
        return Choice(FLOAT32, FLOAT32, f"this {_kind(hardware)} has no bfloat16 instructions; {overridden}")
    if architecture is None:
        return Choice(FLOAT32, FLOAT32, f"the model is not known; {overridden}")
    if architecture.dtype != torch.float32:
        dtype = str(architecture.dtype).removeprefix("torch.")
        return Choice(None, f"that of the weights, {dtype}", "model.model_kwargs.dtype")
    width = getattr(text_config(architecture.config), "hidden_size", None)
    least = MIN_WIDTH_ON_CPU if hardware.device == "cpu" else MIN_WIDTH_OF_BFLOAT16
    if not isinstance(width, int) or width < least:
        why = f"a model narrower than {least} does not gain from bfloat16; {overridden}"
        return Choice(FLOAT32, FLOAT32, why)
    return Choice(BFLOAT16, BFLOAT16, f"faster on this {_kind(hardware)}; training.bf16: false for float32")


def _loader_workers(applied: Mapping[str, Any], hardware: Hardware, streams: bool) -> Choice:
    key = "training.dataloader_num_workers"
    if "dataloader_num_workers" in applied:
        return Choice(applied["dataloader_num_workers"], f"{applied['dataloader_num_workers']}", key)
    if hardware.device == "cpu":
        return Choice(0, "0", f"they would compete with training for the CPU; {key} overrides")
    workers = min(1 if streams else LOADER_WORKERS, max(hardware.num_cpus - 1, 0))
    return Choice(workers, f"{workers}", f"of {hardware.num_cpus} CPUs per process; {key} overrides")


def _kind(hardware: Hardware) -> str:
    return {"cpu": "CPU", "cuda": "GPU"}.get(hardware.device, hardware.device)


def compile_choice(
    asked: bool | str, why_not: str | None, hardware: Hardware, max_steps: int, is_sharded: bool
) -> Choice:
    """Whether the layers before the head are compiled.

    Args:
        asked: `model.compile`, or True if `training.torch_compile` asks for it.
        why_not: why this model cannot be compiled.
        is_sharded: whether FSDP or DeepSpeed divide the model.
    """
    key = "model.compile"
    if asked is False:
        return Choice(False, "no", f"{key}: false")
    if why_not is not None:
        return Choice(False, "no", why_not)
    if asked is True:
        return Choice(True, "yes", f"{key}: true")
    overridden = f"{key}: true overrides"
    if hardware.device != "cuda":
        return Choice(False, "no", f"chosen on GPUs only; {overridden}")
    if is_sharded:
        return Choice(False, "no", f"not chosen for a model that is sharded; {overridden}")
    if max_steps < MIN_STEPS_TO_COMPILE:
        return Choice(False, "no", f"the run has fewer than {MIN_STEPS_TO_COMPILE} steps; {overridden}")
    return Choice(True, "yes", f"faster on a GPU; {key}: false overrides")
