"""Numbers to log, kept as sums and counts so that they are means over targets however a batch was cut.

Sums stay on their device until they are read: logging costs no host synchronisation between two lines.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

PairOf = tuple[float, float]
"""(sum, count) of a mean; (extreme, number of tokens it is of) where the name ends in `_max` or `_min`."""


class Total(NamedTuple):
    """What has been logged under one name: 0-dimensional tensors."""

    value: Tensor
    """Sum over the tokens that had a number; the largest or smallest where the name ends in `_max` or `_min`."""
    count: Tensor
    """Number of those tokens."""


class LogTotals:
    """Name -> `Total`, to which chunks, micro-batches and processes are added."""

    def __init__(self, totals: dict[str, Total] | None = None) -> None:
        self.totals: dict[str, Total] = dict(totals or {})

    def add_nll(self, nll: Tensor, is_target: Tensor | None = None) -> None:
        """Add -log p of `[tokens]` as `lm_loss`, of all or of some. A NaN among them is not left out: the mean is then NaN."""
        nll = nll.detach()
        if is_target is None:
            count = count_of(nll)
        else:
            nll, count = torch.where(is_target, nll, 0.0), is_target.sum()
        self._add("lm_loss", Total(nll.sum(dtype=_sum_dtype(nll)), count))

    def add_tokens(self, token_logs: dict[str, Tensor], is_target: Tensor | None = None) -> None:
        """Add `[tokens]` tensors, of all or of some, without the tokens that are NaN."""
        for name, tensor in token_logs.items():
            tensor = tensor.detach()
            if is_target is not None:
                tensor = torch.where(is_target, tensor, torch.nan)
            is_number = ~tensor.isnan()
            if name.endswith("_max"):
                value = tensor.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf).amax()
            elif name.endswith("_min"):
                value = tensor.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf).amin()
            else:
                value = tensor.nansum(dtype=_sum_dtype(tensor))
            self._add(name, Total(value, is_number.sum()))

    def add(self, other: dict[str, Total]) -> None:
        """Add what another one holds."""
        for name, total in other.items():
            self._add(name, total)

    def _add(self, name: str, new: Total) -> None:
        if name in self.totals:
            old = self.totals[name]
            new = Total(_combination(name)(old.value, new.value), old.count + new.count)
        self.totals[name] = new

    def means(self) -> dict[str, Tensor]:
        """name -> mean over the tokens that had a number, or their maximum or minimum; NaN where none had one."""
        return {
            name: torch.where(total.count > 0, total.value, torch.nan)
            if is_extreme(name)
            else total.value / total.count
            for name, total in self.totals.items()
        }

    def pairs(self) -> dict[str, PairOf]:
        """The totals as plain numbers, which can be written down and sent; waits for the device."""
        if not self.totals:
            return {}
        dtype = _sum_dtype(next(iter(self.totals.values())).value)
        flat = torch.stack([part.to(dtype) for total in self.totals.values() for part in total]).tolist()
        return dict(zip(self.totals, zip(flat[::2], flat[1::2], strict=True), strict=True))

    def set_pairs(self, pairs: dict[str, PairOf], device: torch.device) -> None:
        """Restore the totals that `pairs` returned."""
        dtype = _sum_dtype(torch.empty(0, device=device))
        self.totals = {
            name: Total(torch.tensor(value, dtype=dtype, device=device), torch.tensor(int(count), device=device))
            for name, (value, count) in pairs.items()
        }


def count_of(tensor: Tensor) -> Tensor:
    """The number of elements of a tensor, on its device, which is filled in there and not copied to it."""
    return torch.full((), tensor.numel(), dtype=torch.int64, device=tensor.device)


def merged(pairs: Iterable[dict[str, PairOf]]) -> dict[str, float]:
    """name -> mean (maximum, minimum) over all of `pairs`, one of each process; NaN where no token had a number."""
    everything = LogTotals()
    for pairs_of_process in pairs:
        part = LogTotals()
        part.set_pairs(pairs_of_process, torch.device("cpu"))
        everything.add(part.totals)
    return {name: mean.item() for name, mean in everything.means().items()}


def is_extreme(name: str) -> bool:
    """Whether a logged tensor is reduced by maximum or minimum instead of being averaged."""
    return name.endswith(("_max", "_min"))


def _combination(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    if name.endswith("_max"):
        return torch.maximum
    return torch.minimum if name.endswith("_min") else torch.add


def _sum_dtype(tensor: Tensor) -> torch.dtype:
    """float64, which a window of many steps does not exhaust, where the device has it."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64
