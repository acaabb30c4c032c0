"""Where two settings differ, by their keys, for the refusal to mix two jobs."""

from collections.abc import Iterator
from typing import Any

from phf.storage.reading import short

MOST = 8


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


def differences(before: Any, now: Any) -> str:
    """ "training.seed: 1 -> 2; ...", the first few; "" if nothing differs."""
    lines = [f"{key}: {short(repr(old))} -> {short(repr(new))}" for key, old, new in _differing(before, now, "")]
    more = f"; and {len(lines) - MOST} more" if len(lines) > MOST else ""
    return "; ".join(lines[:MOST]) + more


def _differing(before: Any, now: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*now, *before]):
            yield from _differing(before.get(name, MISSING), now.get(name, MISSING), f"{key}.{name}".lstrip("."))
    elif isinstance(before, list | tuple) and isinstance(now, list | tuple) and len(before) == len(now):
        for number, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from _differing(old, new, f"{key}.{number}")
    elif before != now or isinstance(before, bool) != isinstance(now, bool):
        yield key or "all", before, now
