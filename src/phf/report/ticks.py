"""Round numbers along an axis, and how they are written."""

import math

MOST_TICKS = 6
STEPS = (1, 2, 2.5, 5, 10)
LARGE = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def ticks(low: float, high: float, most: int = MOST_TICKS) -> list[float]:
    """Multiples of a round step in [low, high], at most `most`; `low` < `high`."""
    raw = (high - low) / most
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in STEPS if size * factor >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten in [low, high], or the powers alone where those are many; `low` > 0."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if math.log10(high / low) <= 3 else (1,)
    values = [factor * 10.0**power for power in powers for factor in factors]
    return [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]


def tick_label(value: float) -> str:
    """ "0.005", "250k", "3M"."""
    if value == 0 or abs(value) < 1e-12:
        return "0"
    for size, unit in LARGE:
        if abs(value) >= size * 0.9999 and (size > 1e3 or abs(value) >= 1e4):
            return f"{value / size:.4g}{unit}"
    return f"{value:.6g}"
