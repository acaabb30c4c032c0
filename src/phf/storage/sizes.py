"""Sizes and ages as people write them."""

import re

from phf.errors import ConfigError
from phf.text import counted

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
BINARY_UNITS = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40, "pi": 2**50}
SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def parse_size(text: str, where: str) -> int:
    """Bytes: "50GB" is 50 * 10**9, "50GiB" 50 * 2**30, "1000" 1000. Raises `ConfigError`, which names `where`."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgtp]?i?)b?\s*", text.lower())
    unit = None if match is None else (UNITS | BINARY_UNITS).get(match[2])
    if match is None or unit is None:
        raise ConfigError(f"{where} {text}: is not a size. Write it like 50GB, 500MB or 20GiB.")
    return int(float(match[1]) * unit)


def parse_age(text: str, where: str) -> float:
    """Seconds: "30d" is 30 days; also s, min, h and w. Raises `ConfigError`, which names `where`."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d|w)\s*", text.lower())
    if match is None:
        raise ConfigError(f"{where} {text}: is not an age. Write it like 30d, 12h or 2w.")
    return float(match[1]) * SECONDS[match[2]]


def size_text(num_bytes: float) -> str:
    """1,234,567,890 bytes are "1.2 GB"."""
    unit = next((unit for unit in "PTGMk" if num_bytes >= UNITS[unit.lower()]), "")
    value = num_bytes / UNITS[unit.lower()]
    return f"{value:.0f} {unit}B" if value >= 100 or not unit else f"{value:.1f} {unit}B"


def age_text(seconds: float) -> str:
    """How long ago, in the largest unit that fits: "3 days ago"."""
    for name, unit in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= unit:
            return f"{counted(int(seconds // unit), name)} ago"
    return "now"
