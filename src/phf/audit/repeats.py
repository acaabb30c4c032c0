"""What samples repeat of a corpus verbatim: their longest spans, and what the scorer detected in them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from phf.audit.common import CommonSpan
from phf.audit.detections import Spelling, detections_of
from phf.audit.places import Places
from phf.audit.search import SequenceSearch
from phf.runs.reader import Sample
from phf.tokens.store import TokenStore

Check = Callable[[], None]
IN_FRONT, BEHIND = (".", "_", "-", "+", "%", "@"), ("_", "@")
"""Characters besides letters and digits that continue a word, or an address, in front of what was detected and behind it."""


class TracedSample(NamedTuple):
    """A sample of a run, and where the run has it."""

    scenario: str
    number: int
    """Its place among the samples of the scenario, from 0."""
    sample: Sample


class Occurrences(NamedTuple):
    """Where a sequence of tokens is in the corpus."""

    times: int
    first: int
    """Position of its first token, the first time; undefined where it does not occur."""


class Repeats:
    """See `OriginFinder`, whose arguments these are."""

    def __init__(
        self,
        store: TokenStore,
        places: Places,
        spelling: Spelling,
        is_trained_on: np.ndarray | None,
        shown: Callable[[str], str],
    ) -> None:
        self._store, self._places, self._spelling = store, places, spelling
        self._is_trained_on, self._shown = is_trained_on, shown

    def of(
        self,
        samples: Sequence[TracedSample],
        ids: Sequence[np.ndarray],
        longest: Sequence[CommonSpan | None],
        check: Check,
    ) -> list[dict[str, Any]]:
        """For each sample, for JSON: `longest`, its longest span in a segment, and `detections`, what the scorer detected in
        it; each with how often it occurs in the corpus, and a document that has it."""
        texts = ["".join(row.sample.segments) for row in samples]
        detected = [detections_of(row.sample) for row in samples]
        spans = [
            own[span.start : span.start + span.num_tokens]
            for own, span in zip(ids, longest, strict=True)
            if span is not None
        ]
        variants = {
            data: self._spelling.variants(data)
            for text, some in zip(texts, detected, strict=True)
            for data in (text[one.start : one.end] for one in some)
        }
        sequences = [*spans, *(own for some in variants.values() for own in some)]
        occurrences = iter(self._occurrences(sequences, len(spans), check))
        of_spans = iter([next(occurrences) for _ in spans])
        of_data = {data: [next(occurrences) for _ in some] for data, some in variants.items()}
        return [
            {
                "longest": None if span is None else self._longest(text, own, span, next(of_spans)),
                "detections": [{**one._asdict(), **self._detected(text[one.start : one.end], of_data)} for one in some],
            }
            for text, own, span, some in zip(texts, ids, longest, detected, strict=True)
        ]

    def _longest(self, text: str, own: np.ndarray, span: CommonSpan, occurrences: Occurrences) -> dict[str, Any]:
        """Offsets are in the sample's text, and null where the tokenizer changes the text."""
        pieces = self._spelling.tokens(own)
        before = "".join(pieces[: span.start])
        copied = "".join(pieces[span.start : span.start + span.num_tokens])
        is_kept = "".join(pieces) == text
        return {
            "num_tokens": span.num_tokens,
            "start": len(before) if is_kept else None,
            "end": len(before + copied) if is_kept else None,
            "text": self._shown(copied),
            "occurrences": occurrences.times,
            "document": self._document_at(span.position),
        }

    def _detected(self, data: str, of_data: dict[str, list[Occurrences]]) -> dict[str, Any]:
        """`occurrences` is null where the tokenizer changes the text, so that it cannot be looked for."""
        variants = of_data[data]
        there = [one for one in variants if one.times]
        return {
            "text": self._shown(data),
            "occurrences": sum(one.times for one in there) if variants else None,
            "document": self._document_at(min(one.first for one in there)) if there else None,
        }

    def _document_at(self, position: int) -> str:
        return self._store.document_ids(self._places.documents_of(np.array([position])).tolist())[0]

    def _occurrences(self, sequences: Sequence[np.ndarray], first_word: int, check: Check) -> list[Occurrences]:
        """Of each sequence; those from number `first_word` on count where they are not a part of a longer word."""
        counts, firsts = np.zeros(len(sequences), np.int64), np.full(len(sequences), self._store.meta["num_tokens"])
        search = SequenceSearch(sequences)
        for numbers, starts in search.matches(self._store, "counting what samples repeat", check):
            documents = self._places.documents_of(starts)
            is_counted = np.ones(len(starts), bool) if self._is_trained_on is None else self._is_trained_on[documents]
            words = np.flatnonzero(is_counted & (numbers >= first_word))
            ends = starts[words] + search.lengths[numbers[words]]
            is_counted[words] = self._are_words(starts[words], ends, documents[words])
            numbers, starts = numbers[is_counted], starts[is_counted]
            counts += np.bincount(numbers, minlength=len(counts))
            np.minimum.at(firsts, numbers, starts)
        return [Occurrences(*one) for one in zip(counts.tolist(), firsts.tolist(), strict=True)]

    def _are_words(self, starts: np.ndarray, ends: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """bool [asked]: whether the tokens from each of `starts` to before `ends` are not a part of a longer word."""
        document_ends = self._places.token_ends
        document_starts = np.where(documents > 0, document_ends[documents - 1], 0)
        is_word = np.ones(len(starts), bool)
        for places, has_neighbour, goes_on in (
            (starts, starts > document_starts, _goes_on_in_front),
            (ends, ends < document_ends[documents], _goes_on_behind),
        ):
            chosen = np.flatnonzero(has_neighbour)
            meeting = np.stack([self._store.ids[places[chosen] - 1], self._store.ids[places[chosen]]], axis=1)
            pairs, inverse = np.unique(meeting, axis=0, return_inverse=True)
            texts = [self._spelling.tokens(pair.astype(np.int64)) for pair in pairs]
            is_part = np.array([goes_on(left, right) for left, right in texts], bool)
            is_word[chosen] &= ~is_part[inverse.reshape(-1)]
        return is_word


def _goes_on_in_front(left: str, right: str) -> bool:
    return right[:1].isalnum() and (left[-1:].isalnum() or left[-1:] in IN_FRONT)


def _goes_on_behind(left: str, right: str) -> bool:
    return left[-1:].isalnum() and (right[:1].isalnum() or right[:1] in BEHIND)
