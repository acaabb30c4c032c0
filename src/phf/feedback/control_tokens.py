"""Control tokens: a small vocabulary, of any size, whose tokens say how good the segment after them is."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from phf.config.levels import LevelError, best_prefix, prefix_of, tokens_in
from phf.errors import ConfigError
from phf.registry.names import did_you_mean
from phf.text import visible

NO_TOKEN = -1
"""The tag of a segment without a control token."""
MAX_TOKENS = 127
"""Tags are stored as int8."""


@dataclass(frozen=True)
class ControlTokens:
    """The control tokens of a method by name, best first; empty for a method without any.

    Tags are indices into `names`. A *prefix* is what a text starts with: one of them or, of several preferences, at most one
    of each, joined. Raises `ConfigError` for names that are empty or not distinct.
    """

    names: tuple[str, ...] = ()
    """Of several preferences: those of the first, best first, then those of the second, and so on."""
    preferences: tuple[tuple[str, int], ...] = ()
    """Name of each of several preferences, and the number of its control tokens; empty: there is one, without a name."""

    def __post_init__(self) -> None:
        if "" in self.names or len({*self.names}) < len(self.names):
            listed = ", ".join(repr(visible(name)) for name in self.names)
            raise ConfigError(f"Control tokens must be different strings, none of them empty, not {listed}.")
        if len(self.names) > MAX_TOKENS:
            raise ConfigError(f"{len(self.names)} control tokens are more than the {MAX_TOKENS} that are supported.")
        assert not self.preferences or sum(size for _, size in self.preferences) == len(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Preference -> its control tokens, best first; the name of a single one is ""."""
        if not self.preferences:
            return {"": self.names} if self.names else {}
        ends = accumulate((size for _, size in self.preferences), initial=0)
        return {
            name: self.names[start:end]
            for (name, _), (start, end) in zip(self.preferences, pairwise(ends), strict=True)
        }

    @property
    def best(self) -> str | None:
        """The prefix that samples start from, the best token of each preference; None where there is none."""
        return best_prefix(self.levels) or None

    def prefix(self, request: str, what: str) -> str:
        """The prefix that a request asks for; see `phf.config.levels`. Raises `ConfigError`, which begins with `what`."""
        try:
            return prefix_of(request, self.levels)
        except LevelError as error:
            raise ConfigError(f"{what}: {error}.") from None

    def tokens_in(self, prefix: str | None) -> tuple[str, ...]:
        """The control tokens in a prefix; none for anything else."""
        return tuple(filter(None, tokens_in(prefix or "", self.levels) or ()))

    def opposite(self, prefix: str | None) -> str | None:
        """The prefix to steer away from when sampling after `prefix`: the worst token of each preference that it has one of, or
        the best where it has the worst.

        None for what is not a prefix, and where there is no other token.
        """
        there = tokens_in(prefix or "", self.levels) or ()
        opposite = "".join(
            tokens[0] if token == tokens[-1] else tokens[-1]
            for token, tokens in zip(there, self.levels.values(), strict=bool(there))
            if token is not None
        )
        return opposite if opposite and opposite != prefix else None

    def labels(self) -> dict[str, str]:
        """What each token is called in tables and names of scenarios (its name without brackets) -> the token."""
        return {name.removeprefix("<|").removesuffix("|>"): name for name in self.names}

    def ids(self, tokenizer: Any) -> list[int]:
        """Their ids in a tokenizer that has them, found by name. Raises `ConfigError` naming one that it lacks."""
        return [control_token_id(tokenizer, name) for name in self.names]

    def id_groups(self, tokenizer: Any) -> list[list[int]]:
        """The same for each preference."""
        return [ControlTokens(tuple(tokens)).ids(tokenizer) for tokens in self.levels.values()]


NO_CONTROL_TOKENS = ControlTokens()
RELEASED_TOKENS = ControlTokens(("<|aligned|>", "<|misaligned|>"))
"""Those of the released system, whose checkpoints record them in the tokenizer only."""


def best_token_of(dataset: Mapping[str, Any]) -> str | None:
    """The best control token, or prefix, that the `dataset` section of a saved configuration of any version names."""
    released, section = (dataset.get(key) or {} for key in ("conditional_training_config", "conditioning"))
    several = section.get("preferences") or [section]
    best = [one["control_tokens"][0] for one in several if one.get("control_tokens")]
    return released.get("aligned_prefix") or "".join(best) or None


def prefix_token_ids(tokenizer: Any, prefix: str, where: str = "The control token ") -> list[int]:
    """Ids of the special tokens that a prefix consists of; `ConfigError`, which `where` begins, if the tokenizer lacks one."""
    special = _special(tokenizer)
    if prefix in special:
        return [special[prefix]]
    longest_first = sorted(special, key=len, reverse=True)
    names = re.compile("|".join(map(re.escape, longest_first))).findall(prefix) if special else []
    if not names or "".join(names) != prefix:
        return [control_token_id(tokenizer, prefix, where)]  # which says what is wrong
    return [special[name] for name in names]


def control_token_id(tokenizer: Any, name: str, where: str = "The control token ") -> int:
    """Id of a control token; `ConfigError`, which `where` begins, if the tokenizer has no special token of that name."""
    special = _special(tokenizer)
    if name not in special:
        raise ConfigError(
            f"{where}{name!r} is not a special token of the model's tokenizer. {did_you_mean(name, special)}"
        )
    return special[name]


def _special(tokenizer: Any) -> dict[str, int]:
    return {str(token): i for i, token in tokenizer.added_tokens_decoder.items() if token.special}


def control_tokens_of_levels(levels: Mapping[str, Sequence[str]]) -> ControlTokens:
    """The control tokens of all preferences, name -> those of each, as one vocabulary."""
    names = tuple(token for tokens in levels.values() for token in tokens)
    return ControlTokens(names, tuple((name, len(tokens)) for name, tokens in levels.items() if name))
