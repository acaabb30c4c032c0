"""Blocks straight from the corpus, for one that is too large to store: the same view, shuffled a window at a time."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path

import numpy as np

from phf.corpus.dataset import in_batches
from phf.errors import OutputError
from phf.storage.hashing import hash64
from phf.tokens.cutting import cut_into_blocks, pack
from phf.tokens.encoded import EncodedDocuments, Encoder, avg_score_array, document_key, split_hash
from phf.tokens.encoding_processes import EncodingProcesses
from phf.tokens.layout import document_positions
from phf.tokens.pieces import Corpus, PieceFiles, Share, encode_share, fitting_processes, read_sources, shares
from phf.tokens.selection import in_split
from phf.tokens.view_settings import ViewCounts, ViewSettings
from phf.tokens.views import no_block_error

Block = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""ids, scores, keys of the first and the last document, starts of the documents; see `cut_into_blocks`."""


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

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for number in count():
            yield from self.epoch(number)

    def epoch(self, number: int) -> Iterator[dict[str, np.ndarray]]:
        """The items of one epoch."""
        blocks = self._blocks()
        window = list(islice(blocks, self.window))
        for position in count():
            rng = np.random.default_rng(hash64("stream", self.settings.seed, number, position))
            following: list[Block] = []
            for index in rng.permutation(len(window)):
                ids, scores, documents, starts = window[index]
                item = {"input_ids": ids.astype(np.int64), "token_scores": np.array(scores), "documents": documents}
                if self.settings.attention == "document":
                    item["position_ids"] = document_positions(starts + self.settings.num_closing, len(ids))
                yield item
                following += islice(blocks, 1)  # now, so that no reader waits for a whole window
            if not following:
                return
            window = following

    def packed_documents(self) -> Iterator[tuple[int, str]]:
        """(key, id) of the documents of the split that the scores let in and that have text, in order.

        Reads the corpus without encoding it; documents that `skip_tokens` leaves out are among them.
        """
        settings = self.settings
        for batch in in_batches(read_sources(self.corpus.sources, self.corpus.scores_column)):
            kept = in_split(np.array([split_hash(document.id) for document in batch], np.uint64), settings)
            if settings.split == "train":
                kept &= settings.method.keeps(avg_score_array(batch))
            for document, is_kept in zip(batch, kept, strict=True):
                is_dropped = settings.split == "train" and settings.unscored == "drop" and None in document.scores
                if is_kept and not is_dropped and any(document.texts):
                    yield document_key(document.id), document.id

    def _blocks(self) -> Iterator[Block]:
        """The blocks in the order of the corpus; at least one."""
        is_empty = True
        counts = ViewCounts()
        for blocks in cut_into_blocks(pack(self._encoded(), self.settings, counts), self.settings.seq_length):
            yield from zip(*blocks, strict=True)
            is_empty = False
        if is_empty:
            raise no_block_error(counts, self.settings)

    def _encoded(self) -> Iterator[EncodedDocuments]:
        parts = self.corpus.parts()
        processes = self.processes
        if processes is None:
            fitting = fitting_processes(parts)
            processes = min(fitting, max(fitting // self.num_readers, 1))
        if not processes:
            encoder = Encoder(self.corpus.tokenizer, self.corpus.tokenization)
            for share in map(Share, range(len(parts))):
                for _, encoded in encode_share(self.corpus, *parts[share.part], share, encoder):
                    assert encoded is not None, "no piece is done already"
                    yield encoded
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
            for piece in pool.in_order(shares(parts, processes)):
                encoded = files.read(piece.part, piece.number)
                assert encoded is not None, "it was written just now"
                files.path(piece.part, piece.number).unlink()
                yield encoded
