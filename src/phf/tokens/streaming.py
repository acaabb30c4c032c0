"""Blocks straight from the corpus, for one that is too large to cache: the same packing, shuffled a window at a time."""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from phf.storage.hashing import hash64
from phf.tokens.blocks import cut_into_blocks, no_block_error, read_sources
from phf.tokens.packing import PackingConfig, PackingCounts, pack_documents

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Block = tuple[np.ndarray, np.ndarray, np.ndarray]


class StreamingBlocks:
    """Endless stream of blocks, epoch after epoch, as items like those of `TokenBlocks`.

    Each epoch yields every block once, shuffled inside consecutive windows of `window` blocks, which are held in memory
    (about `6 * window * seq_length` bytes). The sequence is a function of the sources and `config`: iterating twice
    gives it twice. Raises `CorpusError` where the corpus does not fill one block.
    """

    def __init__(
        self, sources: Sequence[str], tokenizer: "PreTrainedTokenizerBase", config: PackingConfig, window: int = 8192
    ) -> None:
        self.sources = sources
        self.tokenizer = tokenizer
        self.config = config
        self.window = window

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for number in count():
            yield from self.epoch(number)

    def epoch(self, number: int) -> Iterator[dict[str, np.ndarray]]:
        """The items of one epoch."""
        for position, window in enumerate(self._windows()):
            rng = np.random.default_rng(hash64("stream", self.config.seed, number, position))
            for index in rng.permutation(len(window)):
                ids, scores, documents = window[index]
                yield {"input_ids": ids.astype(np.int64), "token_scores": np.array(scores), "documents": documents}

    def _windows(self) -> Iterator[list[Block]]:
        """Consecutive blocks in corpus order, `window` at a time; the last list may be shorter."""
        window: list[Block] = []
        is_empty = True
        counts = PackingCounts()
        documents = read_sources(self.sources, self.config.scores_column)
        chunks = pack_documents(documents, self.tokenizer, self.config, counts=counts)
        for blocks in cut_into_blocks(chunks, self.config.seq_length):
            for block in zip(*blocks, strict=True):
                window.append(block)
                if len(window) == self.window:
                    yield window
                    window = []
            is_empty = False
        if is_empty:
            raise no_block_error(counts, self.config)
        if window:
            yield window
