"""Blocks of a token store: what a method, a seed and a length make of it, assembled on demand."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from phf.errors import CorpusError
from phf.tokens.encoding import ranges
from phf.tokens.layout import document_positions, hidden_of, marked
from phf.tokens.spans import Span, Tokens, span_between, tokens_between
from phf.tokens.store import TokenStore
from phf.tokens.view_index import Index, Runs, index_of
from phf.tokens.view_settings import ViewCounts, ViewSettings


class Blocks:
    """The tokens of a view in blocks of `seq_length`; only the tail that fills no block is left out.

    Item i is {"input_ids": int64 [seq_length], "token_scores": float32 [seq_length], NaN where unscored, "documents":
    int64 [2], the keys of the first and the last document in it}, and for `attention: document` "position_ids", int64
    [seq_length]; see `document_positions`. Where the method hides segments: "hidden", int32 [seq_length]; see
    `hidden_numbers`. Nothing is written. Travels to data-loading processes as a folder and settings,
    and is the same in each.

    Raises `CorpusError` where the documents do not fill one block, or the store lacks the column of scores.
    """

    def __init__(self, folder: Path, settings: ViewSettings) -> None:
        self.store = TokenStore(folder)
        self.settings = settings

    def __reduce__(self) -> tuple[type["Blocks"], tuple[Path, ViewSettings]]:
        return Blocks, (self.store.folder, self.settings)

    def __len__(self) -> int:
        return self.counts.num_tokens // self.seq_length

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        start, stop, span = self._span(index)
        ids, scores = span.cut(start, stop)
        first, last = (
            self._runs.documents[self._runs.ends.searchsorted(place, "right")] for place in (start, stop - 1)
        )
        item = {"input_ids": ids, "token_scores": scores, "documents": self._keys[[first, last]]}
        if self.settings.attention == "document":
            item["position_ids"] = document_positions(self._document_starts(span) - start, self.seq_length)
        if self.settings.method.hidden_threshold is not None:
            item["hidden"] = hidden_of(ids, scores, self._segment_starts(span, start, stop), self.settings)
        return item

    def block(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """-> (ids int64 [seq_length], scores float32 [seq_length]), both copies."""
        start, stop, span = self._span(index)
        return span.cut(start, stop)

    def document_starts(self, index: int) -> np.ndarray:
        """Where documents begin in a block: int64, ascending, counted from its start; 0 is not among them unless a document
        begins there."""
        start, stop, span = self._span(index)
        starts = self._document_starts(span)
        return starts[(starts >= start) & (starts < stop)] - start

    def segment_starts(self, index: int) -> np.ndarray:
        """Where segments begin in a block, with what precedes their text: bool [seq_length]."""
        start, stop, span = self._span(index)
        return self._segment_starts(span, start, stop)

    def tokens(self, index: int) -> Tokens:
        """A block with the segment and the document of each of its tokens."""
        start = range(len(self))[index] * self.seq_length
        return tokens_between(start, start + self.seq_length, self.store, self._index, self.settings)

    @property
    def seq_length(self) -> int:
        """Tokens in a block."""
        return self.settings.seq_length

    @property
    def counts(self) -> ViewCounts:
        """What is packed; `num_tokens` includes the last ones, which fill no block."""
        return self._index.counts

    @property
    def num_tokens_dropped(self) -> int:
        """Tokens at the end, which fill no block."""
        return self.counts.num_tokens % self.seq_length

    def matched(self, other: "Blocks") -> np.ndarray:
        """Which block of `other`, a view of the same store, has the text in the middle of each block: int64 [blocks].

        The next one where it lacks that document.
        """
        middles = np.arange(len(self), dtype=np.int64) * self.seq_length + self.seq_length // 2
        runs = self._runs.ends.searchsorted(middles, "right")
        starts, ends = self._runs.ends - np.diff(self._runs.ends, prepend=0), self._runs.ends
        theirs = other._runs
        their_runs = np.minimum(
            theirs.first_segments.searchsorted(self._runs.first_segments[runs]), len(theirs.ends) - 1
        )
        is_same = theirs.first_segments[their_runs] == self._runs.first_segments[runs]
        their_starts = theirs.ends - np.diff(theirs.ends, prepend=0)
        widths, their_widths = ends - starts, theirs.ends - their_starts
        inside = (middles - starts[runs]) * their_widths[their_runs] // np.maximum(widths[runs], 1)
        places = their_starts[their_runs] + np.where(is_same, inside, 0)
        return np.minimum(places // other.seq_length, len(other) - 1)

    def score_batches(self, num_runs: int = 4096) -> Iterator[np.ndarray]:
        """The scores of all segments that are in a block, many at a time: float32 [segments]."""
        scores = self.store.scores(self.settings.scores_column)
        last = int(np.searchsorted(self._runs.ends, len(self) * self.seq_length, side="left")) + 1
        for start in range(0, last, num_runs):
            chosen = slice(start, min(start + num_runs, last))
            firsts, sizes = self._runs.first_segments[chosen], self._runs.num_segments[chosen]
            numbers = ranges(firsts, sizes)
            yield scores[numbers][self.store.lengths[numbers] > 0]

    def document_numbers(self) -> np.ndarray:
        """The places in the corpus of the documents that have tokens in the view, in order: int64 [documents]."""
        return self._runs.documents[self._runs.has_opening]

    def packed_documents(self) -> Iterator[tuple[int, str]]:
        """(key, id) of the documents that have tokens in the view, in order."""
        numbers = self.document_numbers()
        for start in range(0, len(numbers), 4096):
            some = numbers[start : start + 4096]
            yield from zip(self._keys[some].tolist(), self.store.document_ids(some.tolist()), strict=True)

    def describe(self) -> dict[str, Any]:
        """For the record of a run."""
        return {
            "num_blocks": len(self),
            "seq_length": self.seq_length,
            "num_tokens_dropped": self.num_tokens_dropped,
            "counts": asdict(self.counts),
        }

    @cached_property
    def _index(self) -> Index:
        index = index_of(self.store, self.settings)
        if index.counts.num_tokens < self.seq_length:
            raise no_block_error(index.counts, self.settings)
        return index

    @property
    def _runs(self) -> Runs:
        return self._index.runs

    def _span(self, index: int) -> tuple[int, int, Span]:
        start = range(len(self))[index] * self.seq_length
        stop = start + self.seq_length
        return start, stop, span_between(start, stop, self.store, self._index, self.settings)

    def _segment_starts(self, span: Span, start: int, stop: int) -> np.ndarray:
        starts = span.segment_starts()
        return marked(starts[(starts >= start) & (starts < stop)] - start, self.seq_length)

    def _document_starts(self, span: Span) -> np.ndarray:
        return span.document_starts(self.settings.num_closing)

    @cached_property
    def _keys(self) -> np.ndarray:
        return self.store.documents["key"]


def no_block_error(counts: ViewCounts, settings: ViewSettings) -> CorpusError:
    """The error for a corpus that does not fill a single block."""
    if counts.num_tokens:
        advice = f"Choose a larger corpus or set dataset.seq_length={counts.num_tokens} or less."
    elif settings.split == "eval":
        advice = f"No document is held out by dataset.eval_fraction={settings.eval_fraction}: raise it or name more documents."
    elif counts.num_documents_skipped and not counts.num_documents_filtered:
        skipped = f"dataset.skip_tokens is {settings.skip_tokens:,}"
        advice = f"{skipped}, which is all or nearly all of the data. Lower it, or add data."
    elif counts.num_documents_of_other_parts:
        advice = f"Of the corpus, dataset.part is {list(settings.part)}. Widen it, or add data."
    elif counts.num_documents_filtered or counts.num_documents_skipped:
        advice = "Relax dataset.filter_threshold, dataset.unscored or dataset.skip_tokens."
    else:
        advice = "Choose a corpus that has text."
    return CorpusError(
        f"The {settings.split} split does not fill one block of {settings.seq_length} tokens: {counts.describe()}. {advice}"
    )
