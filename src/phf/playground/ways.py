"""The ways in which a model can be prompted: each level of its preferences, guided, and without any control token."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from phf.feedback import Prompting

MOST_LEVELS = 16
"""Combinations of levels that are all listed; of more, only those that differ from the best in one preference."""
PLAIN = "no control token"


@dataclass(frozen=True)
class Way:
    """One way to prompt a model."""

    label: str
    prefix: str | None
    """Control tokens that the text starts with; "": none; None: the model has none."""
    is_guided: bool = False

    def scale(self, scale: float) -> float | None:
        """The guidance scale of a request in which this way is chosen."""
        return scale if self.is_guided else None


def ways_of(prompting: Prompting, requests: Sequence[str] = ()) -> list[Way]:
    """All ways, the preferred one first; `requests`: levels to list in any case, as for `phf evaluate --prefer`.

    Raises `ConfigError` for a request that the model cannot meet.
    """
    tokens = prompting.control_tokens
    requested = [prompting.preferring(request, "--prefer").prefix or "" for request in requests]
    if not tokens or not prompting.starts_texts:
        return [Way(PLAIN, None)]
    prefixes = [prompting.prefix or "", *requested]
    prefixes += [*_levels([list(of_one) for of_one in tokens.levels.values()]), ""]
    ways = [Way(_label(prefix, prompting), prefix) for prefix in dict.fromkeys(prefixes)]
    guided = prompting.prefix
    if prompting.away_from(guided) is not None:
        away = _label(prompting.away_from(guided) or "", prompting)
        ways.insert(
            len(requests) + 1, Way(f"guided: {_label(guided or '', prompting)}, away from {away}", guided, True)
        )
    return ways


def preselected(ways: Sequence[Way], prompting: Prompting, is_alone: bool) -> list[Way]:
    """Those that are shown first: the preferred one and, of a model by itself, also its opposite and the guided one."""
    if not is_alone:
        return list(ways[:1])
    opposite = prompting.away_from(prompting.prefix)
    return [way for way in ways if way == ways[0] or way.is_guided or (opposite is not None and way.prefix == opposite)]


def _levels(levels: Sequence[list[str]]) -> list[str]:
    """Prefixes with a control token of each preference, the best first."""
    count = 1
    for tokens in levels:
        count *= len(tokens)
    if count <= MOST_LEVELS:
        return ["".join(tokens) for tokens in product(*levels)]
    best = [tokens[0] for tokens in levels]
    others = [
        "".join([*best[:number], token, *best[number + 1 :]])
        for number, tokens in enumerate(levels)
        for token in tokens[1:]
    ]
    return ["".join(best), *others, "".join(tokens[-1] for tokens in levels)]


def _label(prefix: str, prompting: Prompting) -> str:
    names = {token: label for label, token in prompting.control_tokens.labels().items()}
    return " + ".join(names[token] for token in prompting.control_tokens.tokens_in(prefix)) or PLAIN
