"""How fast a run trains, how much of the device that is, and what it waits for: measured without waiting for the device.

Work that is not training (evaluations, samples) is ignored: the meter's clock stands still while it is paused.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from phf.models.bfloat16 import cpu_has_bfloat16
from phf.models.context import text_config
from phf.training.settings.arguments import Arithmetic

MATMUL_SIZES = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the matrices whose product is timed: large enough for a device to reach its best rate."""
OTHER_MATMUL_SIZE = 4096
MATMUL_SECONDS = 0.05
"""Within which products are repeated, the fastest of which counts."""

NAMES = ("tokens_per_second", "model_flops_utilization", "data_wait_share", "peak_memory_bytes", "seconds_left")
"""What a meter adds to a line of the log: numbers that another run of the same configuration does not repeat."""


class Spent(NamedTuple):
    """What one process spent on the steps since the last line of the log."""

    num_steps: int
    seconds: float
    waited: float
    """Seconds of these in which training waited for a batch."""
    peak_memory: int
    """Bytes, of the whole run so far."""


class Meter:
    """The clock of one process.

    Args:
        flops_per_token: see `flops_per_token`; None: utilisation is not reported.
        device: whose memory is measured.
        clock: seconds.
    """

    def __init__(
        self,
        arithmetic: Arithmetic,
        flops_per_token: float | None,
        device: torch.device,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.arithmetic = arithmetic
        self.flops_per_token = flops_per_token
        self.device = device
        self.device_flops: float | None = None
        """Floating-point operations per second of one device, if known."""
        self._clock = clock
        self._paused = 0.0
        self._waited = 0.0
        self._line = (0, self._now())
        self._steady: tuple[int, float] | None = None
        """Step and time from which the pace is measured: the end of the first step, which may compile."""

    def begin(self, step: int) -> None:
        """Training begins, or resumes, at `step`."""
        self._line, self._steady, self._waited = (step, self._now()), None, 0.0
        if self.device.type == "cuda":  # what was tried before is ignored
            torch.cuda.reset_peak_memory_stats(self.device)

    def pause(self, seconds: float) -> None:
        """`seconds` up to now were not spent training."""
        self._paused += seconds

    def timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The same batches; the time that each takes to arrive counts as waiting."""
        while True:
            start = self._now()
            try:
                batch = next(batches)
            except StopIteration:
                return
            finally:
                self._waited += self._now() - start
            yield batch

    def step_made(self, step: int) -> None:
        """Called at the end of each step."""
        if self._steady is None:
            self._steady = (step, self._now())

    def spent(self, step: int) -> Spent:
        """What the steps up to `step` cost since this was last called."""
        now = self._now()
        spent = Spent(step - self._line[0], now - self._line[1], self._waited, peak_memory(self.device))
        self._line, self._waited = (step, now), 0.0
        return spent

    def numbers(self, step: int, spent: Sequence[Spent]) -> dict[str, float]:
        """What belongs into the line of `step`; `spent`: of all processes, the main one first.

        The processes make their steps together, so the one that waits longest for its data delays all.
        """
        main = spent[0]
        numbers = {"peak_memory_bytes": max(own.peak_memory for own in spent), **self.time_left(step)}
        if main.num_steps <= 0 or main.seconds <= 0:
            return numbers
        rate = main.num_steps * self.arithmetic.tokens_per_step / main.seconds
        numbers["tokens_per_second"] = rate
        numbers["data_wait_share"] = min(1.0, max(own.waited / max(own.seconds, 1e-9) for own in spent))
        if self.flops_per_token is not None and self.device_flops is not None:
            available = self.device_flops * self.arithmetic.world_size
            share = rate * self.flops_per_token / available
            if share <= 1:  # more than everything: something else was computing while the device was measured
                numbers["model_flops_utilization"] = share
        return numbers

    def time_left(self, step: int) -> dict[str, float]:
        """Seconds until the last step at the pace so far, without evaluations; nothing before there is a pace."""
        if self._steady is None or step <= self._steady[0]:
            return {}
        pace = (self._now() - self._steady[1]) / (step - self._steady[0])
        return {"seconds_left": pace * max(0, self.arithmetic.max_steps - step)}

    def _now(self) -> float:
        return self._clock() - self._paused


def flops_per_token(lm: Any, seq_length: int) -> float | None:
    """Floating-point operations that forward and backward pass need for a token: 6 N + 12 L H Q T.

    N: parameters that every token is multiplied with (the output head, but no table of embeddings that is only looked
    up); L layers of H heads of Q numbers; T: `seq_length`. Causality, recomputed activations and all that is not a matrix
    product are disregarded (PaLM, arXiv 2204.02311, appendix B). None for models whose tokens do not use all
    parameters (mixtures of experts) or do not have attention heads of one size.
    """
    config = text_config(lm.config)
    sizes: list[Any] = [
        getattr(config, name, None) for name in ("num_hidden_layers", "num_attention_heads", "hidden_size")
    ]
    is_mixture = any("expert" in name.lower() or "router" in name.lower() for name, _ in lm.named_modules())
    if is_mixture or not all(isinstance(size, int) and size > 0 for size in sizes):
        return None
    layers, heads, width = sizes
    tables = {
        id(parameter)
        for module in lm.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
    }
    output = lm.get_output_embeddings()
    num_multiplied = sum(_size(parameter) for parameter in lm.parameters() if id(parameter) not in tables)
    if output is not None and id(output.weight) in tables:
        num_multiplied += _size(output.weight)
    head_size = getattr(config, "head_dim", None) or width // heads
    return 6.0 * num_multiplied + 12.0 * layers * heads * head_size * seq_length


def _size(parameter: Any) -> int:
    return getattr(parameter, "ds_numel", parameter.numel())  # DeepSpeed's ZeRO 3 leaves an empty tensor


def multiplied_in(arguments: Any, lm: Any) -> torch.dtype:
    """The type of numbers that a run's matrix products are of."""
    if arguments.mixed_precision == "bf16" and (arguments.device.type != "cpu" or cpu_has_bfloat16()):
        return torch.bfloat16
    return torch.float16 if arguments.mixed_precision == "fp16" else lm.dtype


def measure_device(meter: Meter, arguments: Any, lm: Any, announce: Callable[[str], None]) -> None:
    """Tell a meter how fast the device is that a run trains on, where its utilisation is reported."""
    if meter.flops_per_token is None:
        return
    device, dtype = arguments.device, multiplied_in(arguments, lm)
    meter.device_flops = matmul_flops(device, dtype)
    announce(
        f"Large {str(dtype).removeprefix('torch.')} matrices are multiplied at {meter.device_flops / 1e12:.3g} TFLOP/s here: "
        "the utilisation of the log is relative to that"
    )


@torch.no_grad()
def matmul_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product on `device`, briefly measured."""
    size = MATMUL_SIZES.get(device.type, OTHER_MATMUL_SIZE)
    generator = torch.Generator(device).manual_seed(0)  # training's own random numbers stay as they are
    matrix = torch.randn(size, size, device=device, generator=generator).to(dtype)
    product = matrix @ matrix
    started, fastest = time.perf_counter(), float("inf")
    while fastest == float("inf") or time.perf_counter() - started < MATMUL_SECONDS:
        _wait_for(device)
        start = time.perf_counter()
        torch.mm(matrix, matrix, out=product)
        _wait_for(device)
        fastest = min(fastest, time.perf_counter() - start)
    del matrix, product
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return 2.0 * size**3 / fastest


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def peak_memory(device: torch.device) -> int:
    """Bytes that tensors took at most on a CUDA device; elsewhere the largest resident size of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):  # unlike getrusage, it does not carry the parent's size over
                return int(line.split()[1]) * 1024
    import resource  # Windows has none

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
