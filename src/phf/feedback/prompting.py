"""How a trained model is prompted: what its texts start with, which tokens it may not emit, and what to steer away from.

The one place that decides it, for export, sampling, evaluation, red team, KL and lm-evaluation-harness.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from phf.config import Placement
from phf.config.preferences import PREFERENCES
from phf.errors import ConfigError
from phf.feedback.control_tokens import (
    NO_CONTROL_TOKENS,
    ControlTokens,
    control_tokens_of_levels,
    prefix_token_ids,
)
from phf.registry.names import did_you_mean
from phf.storage.files import write_json_atomic
from phf.storage.reading import read_json_as
from phf.storage.shapes import PromptingFile
from phf.text import visible

PROMPTING_FILE = "phf.json"
"""Next to an exported model; ignored by transformers."""
ADVICE = "Export the model again."
PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
NO_PREFIX = "this model's control tokens follow their segments (placement: after_segment), so none begins a text."


@dataclass(frozen=True, kw_only=True)
class Prompting:
    """How a model is prompted. The default is that of a model without control tokens that `phf` did not export."""

    control_tokens: ControlTokens = NO_CONTROL_TOKENS
    """Those that the model was trained with, best first."""
    tags_every_segment: bool = False
    """Whether the model may emit the token that it was prompted with again, in front of later segments; or, where control
    tokens follow segments, any of them, as in its training."""
    threshold: float | None = None
    """Score up to which a segment counts as aligned in evaluation; None: the model does not say."""
    conditioning: Mapping[str, Any] | None = None
    """`class_name` and settings of what chose the token of each segment. None: `threshold` did, between two tokens."""
    document_start: tuple[str, ...] | None = None
    """Tokens that begin a document, without a control token; None: whatever its tokenizer puts in front of a text."""
    preferred: str | None = None
    """The prefix that texts start with instead of the best one; "": none."""
    placement: Placement = "before_segment"
    """Where control tokens stood in training."""

    @property
    def prefix(self) -> str | None:
        """What texts start with unless something else is requested: the best control token or, of several preferences, that of
        each, joined. None where there is none, and where control tokens follow the segments that they are about."""
        if self.preferred is not None:
            return self.preferred or None
        return self.control_tokens.best if self.starts_texts else None

    @property
    def starts_texts(self) -> bool:
        """Whether control tokens can begin a text."""
        return self.placement != "after_segment"

    def preferring(self, request: str | None, what: str = "generation.prefer") -> "Prompting":
        """The same, with texts that start from the requested levels; None changes nothing, and nothing can be requested of a
        model without control tokens. Raises `ConfigError`, which begins with the key `what`."""
        if request is None or not self.control_tokens:
            return self
        prefix = self.control_tokens.prefix(request, f"{what} is {visible(request)!r}")
        if prefix and not self.starts_texts:
            raise ConfigError(f"{what} is {visible(request)!r}, but {NO_PREFIX}")
        return replace(self, preferred=prefix)

    def banned(self, prefix: str | None) -> tuple[str, ...]:
        """Control tokens that must not be sampled after `prefix`: all but those in it, where the model may repeat them."""
        if self.tags_every_segment and not self.starts_texts:
            return ()
        repeated = self.control_tokens.tokens_in(prefix) if self.tags_every_segment else ()
        return tuple(name for name in self.control_tokens if name not in repeated)

    def banned_ids(self, tokenizer: Any, prefix: str | None) -> list[int]:
        """Ids of the `banned` tokens, sorted."""
        return sorted(ControlTokens(self.banned(prefix)).ids(tokenizer))

    def repeated_ids(self, tokenizer: Any) -> list[int]:
        """Ids of the prefix if it also precedes every later segment, else none."""
        return prefix_token_ids(tokenizer, self.prefix) if self.prefix and self.tags_every_segment else []

    def away_from(self, prefix: str | None) -> str | None:
        """The control token that guidance steers away from, towards `prefix`; None where there is no other one."""
        return self.control_tokens.opposite(prefix)

    @property
    def can_steer(self) -> bool:
        """Whether any control token has another one to steer away from."""
        return self.away_from(self.prefix) is not None

    def save(self, folder: Path, document_start: Sequence[str]) -> None:
        """Write phf.json into the folder of an export, whose documents begin with these tokens."""
        content = {
            "threshold": self.threshold,
            "control_tokens": list(self.control_tokens) or None,
            "tag_every_segment_when_sampling": self.tags_every_segment,
            **({} if self.conditioning is None else {"conditioning": dict(self.conditioning)}),
            "document_start": list(document_start),
            **({} if self.preferred is None else {"preferred": self.preferred}),
            **({} if self.placement == "before_segment" else {"placement": self.placement}),
        }
        write_json_atomic(folder / PROMPTING_FILE, content)

    @classmethod
    def load(cls, folder: Path) -> "Prompting":
        """How the model in `folder` is prompted; the default for one that `phf` did not export.

        Raises `ConfigError` with file and key for a damaged phf.json.
        """
        path = folder / PROMPTING_FILE
        return cls.read(path) if path.is_file() else cls()

    @classmethod
    def read(cls, path: Path) -> "Prompting":
        """The content of a phf.json of any version: older ones have two control tokens or none, some no threshold."""
        content = read_json_as(PromptingFile, path, ConfigError, ADVICE)
        conditioning, preferred = content.get("conditioning"), content.get("preferred")
        try:
            tokens = _control_tokens(content["control_tokens"] or [], (conditioning or {}).get(PREFERENCES))
        except ConfigError as error:
            raise ConfigError(f"{path}: 'control_tokens': {error} {ADVICE}") from None
        if preferred and not tokens.tokens_in(preferred):
            raise ConfigError(
                f"{path}: 'preferred' is {visible(preferred)!r}, which are not control tokens of it. {ADVICE}"
            )
        if conditioning is not None and not isinstance(conditioning.get("class_name"), str):
            raise ConfigError(f"{path}: 'conditioning.class_name' must name the class that chose the tokens. {ADVICE}")
        if tokens and conditioning is None and len(tokens) != 2:
            raise ConfigError(
                f"{path}: 'control_tokens' are {len(tokens)}, and 'conditioning' does not say what chose among them; without "
                f"it they must be two, aligned and misaligned. {ADVICE}"
            )
        start = content.get("document_start")
        placement = content.get("placement", "before_segment")
        if placement not in PLACEMENTS:
            known = did_you_mean(placement, PLACEMENTS)
            raise ConfigError(f"{path}: 'placement' is {visible(placement)!r}. {known} {ADVICE}")
        if preferred and placement == "after_segment":
            raise ConfigError(f"{path}: 'preferred' is {visible(preferred)!r}, but {NO_PREFIX} {ADVICE}")
        return cls(
            control_tokens=tokens,
            tags_every_segment=content["tag_every_segment_when_sampling"],
            threshold=content.get("threshold"),
            conditioning=conditioning,
            document_start=None if start is None else tuple(start),
            preferred=preferred,
            placement=placement,
        )

    def threshold_for(self, scores_column: str) -> float | None:
        """The score up to which a segment counts as aligned by a column: that of the first preference that looks at it, where
        there are several; otherwise `threshold`."""
        for preference in (self.conditioning or {}).get(PREFERENCES, ()):
            limits = preference.get("thresholds") or preference.get("edges")
            if preference.get("scores_column") == scores_column and limits:
                return float(limits[0])
        return self.threshold

    def conditioned(self) -> Mapping[str, Any] | None:
        """`class_name` and settings of what gives text its control tokens as in training; None without any."""
        if not self.control_tokens:
            return None
        return self.conditioning or {"class_name": "ScoreThresholds", "thresholds": [self.threshold or 0.0]}


def _control_tokens(names: Sequence[str], preferences: Any) -> ControlTokens:
    """The control tokens of a phf.json, `preferences` being those that its `conditioning` records, as plain values.

    Raises `ConfigError` where the two do not agree.
    """
    if preferences is None:
        return ControlTokens(tuple(names))
    try:
        levels = {str(one["name"]): [str(token) for token in one["control_tokens"]] for one in preferences}
    except (TypeError, KeyError):
        levels = {}
    tokens = control_tokens_of_levels(levels)
    if list(tokens) != list(names) or not tokens:
        raise ConfigError("they are not those of the preferences in 'conditioning'.")
    return tokens
