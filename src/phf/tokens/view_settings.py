"""The settings of a view of encoded documents: which are included, what precedes their segments, how long a block is."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np

from phf.errors import ConfigError
from phf.feedback.method import Method

WHOLE = (0.0, 1.0)
"""All of a corpus, as a part."""


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """Everything that decides which tokens encoded documents become. Picklable."""

    opening: tuple[int, ...]
    """Ids in front of each document; see `opening_ids`."""
    num_closing: int = 0
    """How many of the ids of `opening`, the first ones, end the document before: an EOS in front of a BOS does."""
    attention: Literal["packed", "document"] = "packed"
    """Whether items have `position_ids`, which keep documents apart; see `document_positions`."""
    method: Method = field(default_factory=Method)
    """Which documents are trained on, and which control token precedes a segment."""
    control_ids: tuple[int, ...] = ()
    """Ids of the method's control tokens, in their order."""
    seq_length: int = 1024
    """Tokens in a block."""
    unscored: Literal["keep", "drop"] = "keep"
    """Whether to drop the documents that have an unscored segment."""
    seed: int = 42
    """Decides which segments go without their control token."""
    skip_tokens: int = 0
    """Leave out the documents that begin within this many tokens of the start of the corpus as MLE packs it."""
    part: tuple[float, float] = WHOLE
    """Only documents whose random number, in [0, 1) by id and seed, is at least the first and below the second."""
    eval_fraction: float = 0.0
    """Share of documents held out, in [0, 1); which ones depends on nothing but their ids."""
    held_out_groups: tuple[int, ...] | None = None
    """Hashes of the groups held out, where documents are held out by groups: then `eval_fraction` is without effect here."""
    split: Literal["train", "eval"] = "train"
    """The held-out split is the same for every method: nothing is filtered, dropped or skipped in it."""
    max_tokens: int | None = None
    """Only as many documents, in an order by the hashes of their ids, as have no more tokens than this without control
    tokens, but at least as many as fill a block: the same for every method. None: all."""
    scores_column: str = "scores"
    max_altered_documents: float = 0.01
    """Largest share of documents, in [0, 1], that the tokenizer may change (characters it lacks, lower-casing)."""

    @property
    def columns(self) -> list[str]:
        """The column of scores of each of the method's preferences."""
        return [one.scores_column or self.scores_column for one in self.method.preferences]

    @property
    def more_columns(self) -> tuple[str, ...]:
        """The columns besides `scores_column` that the method's preferences look at."""
        return tuple(column for column in dict.fromkeys(self.columns) if column != self.scores_column)

    def __post_init__(self) -> None:
        assert len(self.control_ids) == len(self.method.control_tokens)
        assert 0 <= self.num_closing < len(self.opening)
        _require(self.seq_length >= 1, "seq_length", self.seq_length, "at least 1")
        _require(self.unscored in ("keep", "drop"), "unscored", self.unscored, "keep or drop")
        _require(self.skip_tokens >= 0, "skip_tokens", self.skip_tokens, "at least 0")
        _require(0 <= self.part[0] < self.part[1] <= 1, "part", self.part, "ascending, from 0 to 1")
        _require(0 <= self.eval_fraction < 1, "eval_fraction", self.eval_fraction, "at least 0 and below 1")
        _require(self.max_tokens is None or self.max_tokens >= 1, "max_tokens", self.max_tokens, "at least 1")
        _require(self.split in ("train", "eval"), "split", self.split, "train or eval")
        _require(
            0 <= self.max_altered_documents <= 1, "max_altered_documents", self.max_altered_documents, "between 0 and 1"
        )


def opening_ids(eos_id: int, document_start: Sequence[int] = ()) -> tuple[int, ...]:
    """What precedes each document: `document_start`, after an EOS if it does not begin with one, so that ends
    are learned."""
    start = tuple(document_start)
    return start if start[:1] == (eos_id,) else (eos_id, *start)


@dataclass(kw_only=True)
class ViewCounts:
    """What a view holds and what it leaves out."""

    num_documents: int = 0
    """Documents packed."""
    num_documents_empty: int = 0
    num_documents_filtered: int = 0
    """Documents left out by the method or by `unscored`."""
    num_documents_skipped: int = 0
    """Documents left out by `skip_tokens`."""
    num_documents_of_other_parts: int = 0
    """Documents left out by `part`."""
    num_documents_altered: int = 0
    """Documents whose tokens do not decode to their text; see `ViewSettings.max_altered_documents`."""
    num_segments: int = 0
    """Segments packed, that is, those with at least one token."""
    num_unscored_segments: int = 0
    num_tagged_segments: list[int] = field(default_factory=list)
    """Segments for each control token, whether or not their token was dropped."""
    num_tokens: int = 0
    """All tokens: text, control tokens and what opens each document."""
    num_text_tokens: int = 0
    num_control_tokens: int = 0
    num_bytes: int = 0
    """UTF-8 bytes of the text packed."""

    def add_segments(self, lengths: np.ndarray, scores: np.ndarray, tags: np.ndarray) -> None:
        """Count segments by their tokens and scores, [segments], and the control tokens that the method gives them,
        [preferences, segments]."""
        has_tokens = lengths > 0
        self.num_text_tokens += int(lengths.sum())
        self.num_segments += int(has_tokens.sum())
        self.num_unscored_segments += int(np.isnan(scores[has_tokens]).sum())
        tagged = np.bincount(tags[tags >= 0], minlength=len(self.num_tagged_segments)).tolist()
        self.num_tagged_segments = [sum(pair) for pair in zip(self.num_tagged_segments, tagged, strict=True)]

    def describe(self) -> str:
        """The counts that are not zero, as a phrase for messages."""
        values: list[tuple[str, Any]] = [(field.name, getattr(self, field.name)) for field in fields(self)]
        nonzero = [(name, value) for name, value in values if (any(value) if isinstance(value, list) else value)]
        return ", ".join(f"{name}={value}" for name, value in nonzero) or "no documents at all"


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value!r}; it must be {expected}.")
