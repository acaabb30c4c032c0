"""Several preferences at once: each puts a control token of its own in front of a segment, by scores of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from phf.config.preferences import CONDITIONING, PREFERENCES, settings_of
from phf.feedback.answers import checked_tags, name_of, probe
from phf.feedback.conditioning import Conditioning, checked_conditioning
from phf.feedback.control_tokens import NO_TOKEN


@dataclass(frozen=True, kw_only=True)
class Preference:
    """What chooses one control token of each segment. Picklable."""

    conditioning: Conditioning
    control_tokens: tuple[str, ...]
    """What it chooses from, best first."""
    name: str = ""
    """What prompts call it; "" for the only one of a method."""
    scores_column: str | None = None
    """The scores that it looks at; None: those of `dataset.scores_column`."""
    drop_token_fraction: float = 0.0
    """Share of segments, in [0, 1], that do not get its control token."""
    first_token: int = 0
    """How many control tokens of the method are of the preferences before it."""

    def tags(self, scores: np.ndarray) -> np.ndarray:
        """Which control token precedes each segment; a pure function of the scores.

        Args:
            scores: [segments] float32, NaN where unscored: such a segment has none.

        Returns [segments] int8, indices into the control tokens of the method, -1 for none. Raises `MethodError` where a
        user's own class breaks its contract.
        """
        tags = np.full(len(scores), NO_TOKEN, np.int8)
        is_scored = ~np.isnan(scores)
        name = name_of(self.conditioning, "tags")
        tags[is_scored] = checked_tags(self.conditioning.tags, name, scores[is_scored], self.control_tokens)
        if self.first_token:
            tags[tags != NO_TOKEN] += np.int8(self.first_token)
        return tags


class ScorePreferences:
    """What `dataset.conditioning.preferences` stands for: preferences in their order, which is that of their control tokens.

    `preferences`: plain values with all keys of `phf.config.schema.preference`. Raises `ConfigError` and `MethodError`, with
    the key, as a single one does.
    """

    def __init__(self, preferences: list[dict[str, Any]]) -> None:
        self.preferences: tuple[Preference, ...] = ()
        self.alignment_threshold: float | None = None
        """The score up to which a segment counts as aligned in evaluation; see `measured_by`."""
        first_token = 0
        for number, one in enumerate(preferences):
            self.preferences += (_preference(one, number, first_token),)
            first_token += len(one["control_tokens"])

    def tags(self, scores: np.ndarray) -> np.ndarray:
        """Not asked: each of the preferences is, with its own scores."""
        raise AssertionError("preferences have scores of their own")

    def measured_by(self, scores_column: str) -> "ScorePreferences":
        """The same with the threshold of the first preference that looks at the scores that evaluation splits text by."""
        of_column = [one for one in self.preferences if one.scores_column == scores_column]
        threshold = getattr(of_column[0].conditioning, "alignment_threshold", None) if of_column else None
        return self._with(self.preferences, threshold)

    def without_dropout(self) -> "ScorePreferences":
        """The same with no control token left out."""
        kept = tuple(replace(one, drop_token_fraction=0.0) for one in self.preferences)
        return self._with(kept, self.alignment_threshold)

    def _with(self, preferences: tuple[Preference, ...], threshold: float | None) -> "ScorePreferences":
        changed = ScorePreferences([])
        changed.preferences, changed.alignment_threshold = preferences, threshold
        return changed


def _preference(one: Mapping[str, Any], number: int, first_token: int) -> Preference:
    tokens = tuple(one["control_tokens"])
    conditioning = checked_conditioning(settings_of(one), tokens, f"{CONDITIONING}.{PREFERENCES}.{number}")
    preference = Preference(
        conditioning=conditioning,
        control_tokens=tokens,
        name=one["name"],
        scores_column=one["scores_column"],
        drop_token_fraction=one["drop_token_fraction"],
        first_token=first_token,
    )
    probe(preference.tags, name_of(conditioning, "tags"))
    return preference
