"""Blocks straight from the corpus, for one that is too large to store: the same view, shuffled a window at a time."""

import hashlib
import json
import logging
import math
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from itertools import count, islice
from pathlib import Path

import numpy as np

from phf.corpus.dataset import in_batches
from phf.errors import OutputError
from phf.storage.hashing import hash64
from phf.tokens.cutting import PackedChunk, Packer, PackingState, cut_into_blocks
from phf.tokens.encoded import EncodedDocuments, avg_score_array, document_key, split_hash_of
from phf.tokens.encoding_processes import EncodingProcesses
from phf.tokens.layout import document_positions, hidden_of, marked
from phf.tokens.pieces import (
    Corpus,
    PieceFiles,
    PieceStart,
    encode_share,
    encoder_of,
    fitting_processes,
    read_sources,
    shares,
)
from phf.tokens.selection import in_part, in_split
from phf.tokens.stream_index import IndexedPiece, StreamIndex
from phf.tokens.view_settings import WHOLE, ViewCounts, ViewSettings
from phf.tokens.views import no_block_error

logger = logging.getLogger(__name__)
Block = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""ids, scores, keys of the first and the last document, starts of the documents and of the segments; see
`cut_into_blocks`."""


class StreamingBlocks:
    """Endless stream of blocks, epoch after epoch, as items like those of `Blocks`.

    Each epoch yields every block once, shuffled inside consecutive windows of `window` blocks. One window is held in memory
    while the next one fills (about `16 * window * seq_length` bytes). The sequence is a function of the corpus and
    `settings`: iterating twice gives it twice. Raises `CorpusError` where the corpus does not fill one block.

    `processes`: how many encode the corpus, a few pieces ahead of what is read, into a temporary folder. None: as many as
    there are CPUs for; 0: this process does, on demand.
    """

    def __init__(
        self, corpus: Corpus, settings: ViewSettings, window: int = 8192, processes: int | None = None
    ) -> None:
        self.corpus = corpus
        self.settings = settings
        self.window = window
        self.processes = processes
        self.num_readers = 1
        """Processes of this machine that iterate over the stream, each with its share of the CPUs."""
        self.index_file: Path | None = None
        """Where it is recorded which piece of the corpus has which blocks; see `StreamIndex`."""
        self.writes_index = True
        """Whether this process records it; others look it up."""
        self.marks_segments = False
        """Whether items have `segment_starts`, bool [seq_length], as `Blocks.segment_starts` returns it."""

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return self.starting_at(0)

    def starting_at(self, first: int) -> Iterator[dict[str, np.ndarray]]:
        """The stream from one of its items on. What lies before is not encoded, nor read where a file can be read from any
        place on, as far as the index knows it; otherwise the corpus is encoded up to there, which is logged."""
        index = self._open_index()
        while True:
            try:
                number, block = self._place(first, index) if first else (0, 0)
                for epoch in count(number):
                    yield from self._epoch(epoch, block, index)
                    block = 0
            except _OtherPieceError:
                index.clear(f"the corpus is not encoded as it was when {self.index_file} was written")

    def epoch(self, number: int) -> Iterator[dict[str, np.ndarray]]:
        """The items of one epoch."""
        index = self._open_index()
        index.is_relied_on = True
        return self._epoch(number, 0, index)

    def _epoch(self, number: int, first: int, index: StreamIndex) -> Iterator[dict[str, np.ndarray]]:
        """The items of an epoch, from one on."""
        first_window, num_past = divmod(first, self.window)
        blocks = self._blocks(first_window * self.window, index)
        window = list(islice(blocks, self.window))
        index.is_relied_on = True
        for position in count(first_window):
            rng = np.random.default_rng(hash64("stream", self.settings.seed, number, position))
            order = rng.permutation(len(window))[num_past:]
            following: list[Block] = []
            for num_left, index_in_window in zip(range(len(order), 0, -1), order, strict=True):
                ids, scores, documents, starts, segments = window[index_in_window]
                item = {"input_ids": ids.astype(np.int64), "token_scores": np.array(scores), "documents": documents}
                if self.settings.attention == "document":
                    item["position_ids"] = document_positions(starts + self.settings.num_closing, len(ids))
                marks = marked(segments, len(ids))
                if self.marks_segments:
                    item["segment_starts"] = marks
                if self.settings.method.hidden_threshold is not None:
                    item["hidden"] = hidden_of(ids, scores, marks, self.settings)
                yield item
                # now, so that no reader waits for a whole window; one each, unless the window was entered in its middle
                following += islice(blocks, math.ceil((self.window - len(following)) / num_left))
            if not following:
                return
            window, num_past = following, 0

    def packed_documents(self) -> Iterator[tuple[int, str]]:
        """(key, id) of the documents of the split that the scores let in and that have text, in order.

        Reads the corpus without encoding it; documents that `skip_tokens` leaves out are among them.
        """
        settings = self.settings
        for batch in in_batches(read_sources(self.corpus.sources, self.corpus.scores_column)):
            kept = in_split(
                np.array([split_hash_of(document, self.corpus.eval_group) for document in batch], np.uint64), settings
            )
            if settings.split == "train":
                kept &= settings.method.keeps(avg_score_array(batch))
                kept &= in_part(np.array([document_key(document.id) for document in batch], np.int64), settings)
            for document, is_kept in zip(batch, kept, strict=True):
                is_dropped = settings.split == "train" and settings.unscored == "drop" and None in document.scores
                if is_kept and not is_dropped and any(document.texts):
                    yield document_key(document.id), document.id

    def _open_index(self) -> StreamIndex:
        settings, method = self.settings, self.settings.method
        described = [
            [self.corpus.key, self.corpus.division],
            [settings.opening, settings.control_ids, settings.unscored, settings.seed, settings.skip_tokens],
            [settings.eval_fraction, settings.split, method.drop_token_fraction],
            # left out where they change nothing, so that indices of earlier versions are still found
            *([] if settings.held_out_groups is None else [settings.held_out_groups]),
            *([] if settings.part == WHOLE else [settings.part]),
            *[[one.name, one.scores_column, one.drop_token_fraction] for one in method.preferences if one.name],
            # elsewhere, where tokens stand depends on which segments have a score, not on what that is
            *([] if method.placement == "before_segment" else [method.placement, method.conditioning_config]),
        ]
        key = hashlib.sha256(json.dumps(described).encode()).hexdigest()[:32]
        return StreamIndex(key, self.index_file, is_written=self.writes_index)

    def _place(self, first: int, index: StreamIndex) -> tuple[int, int]:
        """The epoch of an item of the stream, and its number in the epoch. The index has its block afterwards."""
        seq_length = self.settings.seq_length
        end = (first + 1) * seq_length
        if not index.is_complete and index.num_tokens < end:
            if self.index_file is not None and index.num_tokens < first * seq_length:
                logger.warning(
                    "The stream resumes at block %s, but only its first %s blocks are indexed: %s. The corpus is encoded "
                    "again from there, which takes as long as it did before. The next resume is fast.",
                    f"{first:,}",
                    f"{index.num_tokens // seq_length:,}",
                    index.problem,
                )
            with closing(self._chunks(index.piece_with(end), index)) as chunks:
                for _ in chunks:
                    if index.num_tokens >= end:
                        return 0, first
        if index.is_complete and index.num_tokens < seq_length:  # no stream ends so early
            raise _OtherPieceError
        return divmod(first, index.num_tokens // seq_length) if index.is_complete else (0, first)

    def _blocks(self, first: int, index: StreamIndex) -> Iterator[Block]:
        """The blocks of an epoch in the order of the corpus, from one on that the index has."""
        first_token = first * self.settings.seq_length
        piece = index.piece_with(first_token)
        chunks = self._chunks(piece, index)
        num_skipped = first_token - (index.pieces[piece].before.num_tokens if index.pieces else 0)
        for blocks in cut_into_blocks(chunks, self.settings.seq_length, num_skipped):
            yield from zip(*blocks, strict=True)

    def _chunks(self, first: int, index: StreamIndex) -> Generator[PackedChunk, None, None]:
        """The tokens of an epoch from a piece on, which are recorded; as many as one block has, at least.

        Raises `_OtherPieceError` for a piece that is not as it is recorded, until the index is relied on.
        """
        place, state = (0, PieceStart()), PackingState()
        if index.pieces:
            known = index.pieces[first]
            place, state = (known.part, known.start), known.before
        counts = ViewCounts()
        packer = Packer(self.settings, counts, state)
        number = first
        for part, start, encoded in self._encoded(*place):
            before = packer.state
            chunk = packer.pack(encoded)
            if not index.put(number, IndexedPiece.of(part, start, before, chunk)):
                if not index.is_relied_on:
                    raise _OtherPieceError
                logger.warning("The corpus is not encoded as it was in an earlier epoch or before the run was resumed.")
            number += 1
            yield chunk
        packer.check_altered()
        if packer.state.num_tokens < self.settings.seq_length:
            raise no_block_error(counts, self.settings)
        index.finish(number)

    def _encoded(self, first_part: int, start: PieceStart) -> Iterator[tuple[int, PieceStart, EncodedDocuments]]:
        """(part, start, documents) of each piece in the order of the corpus, from the one on that begins there."""
        parts = self.corpus.parts()
        processes = self.processes
        if processes is None:
            fitting = fitting_processes(parts)
            processes = min(fitting, max(fitting // self.num_readers, 1))
        if not processes:
            encoder = encoder_of(self.corpus)
            for share in shares(parts, 1, first_part, start):
                for begins, encoded in encode_share(self.corpus, *parts[share.part], share, encoder):
                    assert encoded is not None, "no piece is done already"
                    yield share.part, begins, encoded
            return
        with ExitStack() as stack:
            try:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="phf-stream-")))
            except OSError as error:
                raise OutputError(
                    f"Encoding ahead of training needs a temporary folder, and none can be created: {error}. Make room, "
                    "or set TMPDIR to another folder."
                ) from error
            pool = stack.enter_context(EncodingProcesses(self.corpus, folder, processes))
            files = PieceFiles(folder)
            for piece in pool.in_order(shares(parts, processes, first_part, start)):
                encoded = files.read(piece.part, piece.number)
                assert encoded is not None, "it was written just now"
                files.path(piece.part, piece.number).unlink()
                yield piece.part, piece.start, encoded


class _OtherPieceError(Exception):
    """A piece of the corpus is not what is recorded of it."""
