"""Levels of preferences: which control tokens a text starts with, and how a user asks for them.

A *prefix* is what texts begin with: the control tokens themselves, `<|pep8-1|><|pii-2|>`, at most one of each preference and in
the order of the preferences. A *request* names levels, `pep8=best,pii=2`, and is translated into a prefix.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from phf.storage.reading import short

Levels = Mapping[str, Sequence[str]]
"""Name of a preference -> its control tokens, best first; "" is the name of the only one of a model."""
BEST, WORST, NONE = "best", "worst", "none"
WRITTEN = (
    "Write NAME=LEVEL,NAME=LEVEL; a level is best, worst, none (no control token), a number from 1, the best, or a control "
    "token"
)


class LevelError(ValueError):
    """A request that cannot be met; says what there is, without a place and a full stop of its own."""


def request_of(value: Any) -> Any:
    """A request as text, for one that is written as a mapping ({pep8: best, pii: 2}) or a number; anything else unchanged."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}={level}" for name, level in value.items())
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def best_prefix(levels: Levels) -> str:
    """The best control token of each preference; "" where there are none."""
    return "".join(tokens[0] for tokens in levels.values() if tokens)


def tokens_in(prefix: str, levels: Levels) -> tuple[str | None, ...] | None:
    """The control token of each preference in a prefix, None for one without; None for what is not a prefix."""
    match = re.fullmatch("".join(f"({'|'.join(map(re.escape, tokens))})?" for tokens in levels.values()), prefix)
    return None if match is None else match.groups()


def prefix_of(request: str, levels: Levels) -> str:
    """The control tokens that a request asks for; a prefix is one already. Preferences that it leaves out have their best.

    Raises `LevelError` for a preference or a level that does not exist, and one that is named twice.
    """
    if tokens_in(request, levels) is not None:
        return request
    chosen = {name: tokens[0] for name, tokens in levels.items()}
    seen: set[str] = set()
    for part in request.split(","):
        name, separator, level = (text.strip() for text in part.rpartition("="))
        if not separator and [*levels] != [""]:
            raise LevelError(f"{short(repr(part.strip()))} does not name a preference. {_known(levels)} {WRITTEN}")
        if name not in levels:
            raise LevelError(f"there is no preference {short(repr(name))}. {_known(levels)} {WRITTEN}")
        if name in seen:
            raise LevelError(f"{name or 'the level'} is named twice; give it once")
        seen.add(name)
        chosen[name] = _token(level, name, levels[name])
    return "".join(chosen.values())


def ambiguous(levels: Levels) -> tuple[str, str] | None:
    """Two control tokens of several preferences of which one begins with the other, so that a prefix could be read in two
    ways; None if there are none."""
    if len(levels) < 2:
        return None
    names = sorted(token for tokens in levels.values() for token in tokens)
    return next(((first, second) for first, second in pairwise(names) if second.startswith(first)), None)


def _token(level: str, name: str, tokens: Sequence[str]) -> str:
    if level in tokens:
        return level
    known = {BEST: tokens[0], WORST: tokens[-1], NONE: ""}
    known |= {str(number): token for number, token in enumerate(tokens, 1)}
    called = {token.removeprefix("<|").removesuffix("|>"): token for token in tokens}
    if level in known and called.get(level, known[level]) != known[level]:
        raise LevelError(
            f"{short(repr(level))} is a level of the model and the name of another control token: {known[level] or NONE}, or "
            f"{called[level]}. Write the whole control token, or another level"
        )
    known |= called
    if level not in known:
        of = f" of {name}" if name else ""
        raise LevelError(
            f"there is no level {short(repr(level))}{of}. Its control tokens are {', '.join(tokens)}: {BEST}, {WORST}, {NONE}, "
            f"or a number from 1, the best, to {len(tokens)}"
        )
    return known[level]


def _known(levels: Levels) -> str:
    if not levels:
        return "There are no control tokens."
    if [*levels] == [""]:
        tokens = ", ".join(levels[""])
        return f"There is one preference, without a name: write its level alone. Its control tokens are {tokens}."
    return f"Preferences: {', '.join(levels)}."
