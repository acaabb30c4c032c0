"""The scores of each part of a corpus: by a key of `meta`, or by the origin of its files."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import CorpusError
from phf.registry.names import did_you_mean
from phf.text import visible

MAX_GROUPS = 1000
NONE, REST = "(none)", "(all others)"
MAX_NAME = 80


@dataclass
class Group:
    """Counts of one part of the corpus. Shares are `above` / all, unscored segments included."""

    name: str
    """The name, with control characters as escapes, truncated."""
    num_documents: int = 0
    num_segments: int = 0
    num_unscored_segments: int = 0
    num_segments_above: int = 0
    """Segments whose score is above the threshold."""
    num_characters: int = 0
    num_characters_above: int = 0
    num_tokens: int | None = None
    num_tokens_above: int | None = None
    sum_of_scores: float = 0.0

    @property
    def mean_score(self) -> float | None:
        """Mean score of the scored segments; None if there is none."""
        num_scored = self.num_segments - self.num_unscored_segments
        return self.sum_of_scores / num_scored if num_scored else None


class GroupCounter:
    """Counts documents by `meta[by]`; if `by` is None, by the only key of the first `meta`, otherwise by origin.

    `origins_are` is the kind of the origins: "source" or "file". At most `max_groups` groups are distinguished, in
    order of appearance; the documents of later ones are counted together.
    """

    def __init__(
        self, threshold: float, by: str | None, origins_are: str = "file", max_groups: int = MAX_GROUPS
    ) -> None:
        self._threshold = np.float32(threshold)
        self._wanted = by
        self._origins_are = origins_are
        self._key = by
        self._is_decided = by is not None
        self._max_groups = max_groups
        self._groups: dict[str, Group] = {}
        """Groups by full values, since truncated names may coincide."""
        self._keys_seen: set[str] = set()

    @property
    def by(self) -> str:
        """The key that the groups are named by."""
        return self._origins_are if self._key is None else self._key

    def add(self, documents: Sequence[AnnotatedDocument], origin: str, num_tokens: np.ndarray | None = None) -> None:
        """Add documents of one origin, with the number of tokens of each of their segments if it is known."""
        start = 0
        for document in documents:
            end = start + len(document.texts)
            self._count(document, origin, None if num_tokens is None else num_tokens[start:end])
            start = end

    def result(self) -> list[Group]:
        """The groups, the one with most documents first. Raises `CorpusError` if no document had the requested key."""
        if self._wanted is not None and set(self._groups) <= {NONE}:
            raise CorpusError(
                f"No document has '{self._wanted}' in its meta. {did_you_mean(self._wanted, self._keys_seen)}"
                if self._keys_seen
                else f"No document has meta, so there is no '{self._wanted}' to group by. Leave --by out to group by "
                f"{self._origins_are}."
            )
        return sorted(self._groups.values(), key=lambda group: (-group.num_documents, group.name))

    def _count(self, document: AnnotatedDocument, origin: str, num_tokens: np.ndarray | None) -> None:
        if len(self._keys_seen) < self._max_groups:
            self._keys_seen.update(document.meta)
        if not self._is_decided:
            # Origins before the first document with meta stay separate groups.
            self._is_decided = bool(document.meta)
            self._key = next(iter(document.meta)) if len(document.meta) == 1 else None
        value = origin if self._key is None else self._value(document)
        if value not in self._groups and len(self._groups) >= self._max_groups:
            value = REST
        if value not in self._groups:
            self._groups[value] = Group(visible(value, MAX_NAME))
        group = self._groups[value]
        scores = np.array(document.scores, np.float32)
        lengths = np.fromiter(map(len, document.texts), np.int64, len(document.texts))
        is_above = scores > self._threshold
        group.num_documents += 1
        group.num_segments += len(scores)
        group.num_unscored_segments += int(np.isnan(scores).sum())
        group.num_segments_above += int(is_above.sum())
        group.num_characters += int(lengths.sum())
        group.num_characters_above += int(lengths[is_above].sum())
        group.sum_of_scores += float(np.nansum(scores, dtype=np.float64))
        if num_tokens is not None:
            group.num_tokens = (group.num_tokens or 0) + int(num_tokens.sum())
            group.num_tokens_above = (group.num_tokens_above or 0) + int(num_tokens[is_above].sum())

    def _value(self, document: AnnotatedDocument) -> str:
        value = document.meta.get(str(self._key))
        return NONE if value is None else str(value)
