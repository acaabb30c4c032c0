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
        found = iter(self._occurrences([*spans, *(own for some in variants.values() for own in some)], check))
        of_spans = iter([next(found) for _ in spans])
        of_data = {data: [next(found) for _ in some] for data, some in variants.items()}
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

    def _occurrences(self, sequences: Sequence[np.ndarray], check: Check) -> list[Occurrences]:
        counts, firsts = np.zeros(len(sequences), np.int64), np.full(len(sequences), self._store.meta["num_tokens"])
        for numbers, starts in SequenceSearch(sequences).matches(self._store, "counting what samples repeat", check):
            if self._is_trained_on is not None:
                is_counted = self._is_trained_on[self._places.documents_of(starts)]
                numbers, starts = numbers[is_counted], starts[is_counted]
            counts += np.bincount(numbers, minlength=len(counts))
            np.minimum.at(firsts, numbers, starts)
        return [Occurrences(*one) for one in zip(counts.tolist(), firsts.tolist(), strict=True)]
