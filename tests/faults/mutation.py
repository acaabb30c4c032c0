"""Files that somebody damaged or made up: values of other types, missing and unknown keys, and broken bytes."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1.5, -0.5, 2**31, 2**53 + 1, 2**63, 10**40, 1e308, float("nan"), float("inf")),
    *(
        "",
        " ",
        "x",
        "1",
        "1.5",
        "null",
        "nan",
        "\x1b[31m",
        "\u202e",
        "\ud800",
        "\0",
        "../../etc/passwd",
        "/dev/zero",
        "~",
    ),
    *(
        "x" * 3000,
        "{{ 7 * 7 }}",
        "<script>alert(1)</script>",
        "| a | b |\n# c",
        "[a](javascript:x)",
        "!!python/name:os.x",
    ),
    *([], [None], [[]], [1, "x"], ["x"], [1.5], {}, {"": 0}, {"x": None}, {"a": {"b": {"c": []}}}, [{}], [[1, 2, 3]]),
)
NOISE = (
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\x80",
    b"{",
    b"}",
    b"[",
    b'"',
    b"\n",
    b",",
    b":",
    b"\\",
    b"NaN",
    b"1e999",
)


def mutated_json(value: Any, rng: random.Random) -> bytes:
    """JSON text of a value in which one to three things are wrong, mostly their types; sometimes its bytes."""
    value = json.loads(json.dumps(value))  # in which no two places are the same object
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = mutated(value, rng)
    content = json.dumps(value).encode()
    return damaged(content, rng) if rng.random() < 0.25 else content


def mutated(value: Any, rng: random.Random) -> Any:
    """The value, changed in place where it can be, with one thing in it replaced, deleted, added or repeated."""
    places = list(_places(value))
    if not places:
        return _any(rng)
    holder, key = rng.choice(places)
    kind = rng.random()
    if kind < 0.65:
        holder[key] = _other(holder[key], rng)
    elif kind < 0.85:
        del holder[key]
    elif isinstance(holder, dict):
        holder[rng.choice(("x", "", "name", "\0", "class_name", str(key) + "s"))] = _any(rng)
    else:
        holder.insert(rng.randrange(len(holder) + 1), rng.choice((holder[key], _any(rng))))
    return value


def _other(value: Any, rng: random.Random) -> Any:
    """Something near the value, or anything."""
    if rng.random() < 0.4:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return rng.choice((str(value), value + 0.5, -value, float(value), value * 1000, [value], bool(value)))
        if isinstance(value, str):
            return rng.choice((value.upper(), value + " ", [value], {value: 1}, value[:-1], 0, None))
        if isinstance(value, list):
            return rng.choice((value * 2, value[::-1], value[:-1], dict(enumerate(map(str, value))), str(value), {}))
        if isinstance(value, dict):
            return rng.choice((list(value.items()), list(value), str(value), {}, [value]))
    return _any(rng)


def _any(rng: random.Random) -> Any:
    """A copy, since it may be changed in its place: `VALUES` are the same for every case, and none may contain itself."""
    return copy.deepcopy(rng.choice(VALUES))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(holder, key) of everything in a value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Bytes of which some are cut off, changed, repeated or inserted."""
    kind, place = rng.randrange(6), rng.randrange(len(content) + 1)
    end = min(len(content), place + rng.choice((1, 2, 10, 100)))
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + content[end:]
    if kind == 2:
        return content[:place] + rng.choice(NOISE) * rng.choice((1, 1, 2, 200)) + content[place:]
    if kind == 3:
        return content[:place] + content[place:end] * 3 + content[end:]
    if kind == 4:
        return content[:place] + rng.randbytes(end - place) + content[end:]
    return content[place:]
