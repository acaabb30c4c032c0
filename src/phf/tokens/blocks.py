"""Blocks of tokens on disk, in a form that is mapped into memory, cached under a hash of everything that went in."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from filelock import FileLock

from phf.corpus.dataset import read_annotated
from phf.corpus.duplicates import noting_repeated_ids
from phf.corpus.sources.documents import AnnotatedDocument, fingerprint
from phf.corpus.sources.parts import distinct_parts
from phf.errors import CorpusError, OutputError
from phf.storage.reading import read_json, read_json_as
from phf.storage.shapes import BlocksMeta
from phf.tokens.packing import PackedChunk, PackingConfig, PackingCounts, pack_documents
from phf.tokens.tokenizer import token_dtype, tokenizer_fingerprint

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CACHE_FORMAT = 3
"""Part of every cache key: raise it when the same input packs into other blocks or files."""


class TokenBlocks:
    """The blocks of one cache folder: token ids and scores, mapped into memory and read when asked for.

    Item i is {"input_ids": int64 [seq_length], "token_scores": float32 [seq_length], NaN where unscored, "documents":
    int64 [2], the keys of the first and the last document in it}. Travels to data-loading processes as a path, not as data.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        advice = f"Delete {folder}: the blocks are made again."
        self.meta: dict[str, Any] = read_json(folder / "meta.json", OutputError, advice, finite=True)
        """Counts, settings and shape of the blocks."""

    def __reduce__(self) -> tuple[type["TokenBlocks"], tuple[Path]]:
        return TokenBlocks, (self.folder,)

    def __len__(self) -> int:
        return self.meta["num_blocks"]

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        ids, scores = self.block(index)
        return {"input_ids": ids, "token_scores": scores, "documents": np.array(self._documents[index])}

    def block(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """-> (ids int64 [seq_length], scores float32 [seq_length]), both copies."""
        return self._ids[index].astype(np.int64), np.array(self._scores[index])

    def score_batches(self, num_blocks: int = 4096) -> Iterator[np.ndarray]:
        """The scores of all tokens, `num_blocks` blocks at a time."""
        for start in range(0, len(self), num_blocks):
            yield self._scores[start : start + num_blocks]

    @property
    def seq_length(self) -> int:
        """Tokens in a block."""
        return self.meta["config"]["seq_length"]

    @cached_property
    def counts(self) -> PackingCounts:
        """What was packed; `num_tokens` includes the last `meta["num_tokens_dropped"]`, which fill no block."""
        return PackingCounts(**self.meta["counts"])

    @cached_property
    def _ids(self) -> np.ndarray:
        return self._mapped("ids.bin", np.dtype(self.meta["dtype"]))

    @cached_property
    def _scores(self) -> np.ndarray:
        return self._mapped("scores.bin", np.dtype(np.float32))

    @cached_property
    def _documents(self) -> np.ndarray:
        return self._mapped("documents.bin", np.dtype(np.int64), 2)

    def _mapped(self, name: str, dtype: np.dtype, width: int | None = None) -> np.ndarray:
        mapped = np.memmap(self.folder / name, dtype, "r", shape=(len(self), width or self.seq_length))
        # A plain view of the mapping: indexing the memmap class itself is several times slower.
        return mapped.view(np.ndarray)


def build_blocks(
    sources: Sequence[str],
    tokenizer: "PreTrainedTokenizerBase",
    config: PackingConfig,
    cache_dir: Path,
    progress: Callable[[PackingCounts], None] | None = None,
) -> TokenBlocks:
    """Pack annotated `sources` into blocks, or open them at once where `cache_dir` has them already.

    Processes that build the same blocks wait for the first of them. What a killed build leaves behind is never read and
    goes with the next build. `progress` is called with the counts so far.
    Raises `CorpusError` where the corpus does not fill one block, `OutputError` where the cache cannot be written.
    """
    key = cache_key(sources, tokenizer, config)
    folder = cache_dir / key
    if _is_complete(folder):
        return TokenBlocks(folder)
    lock = FileLock(cache_dir / f"{key}.lock")
    with _output_errors(cache_dir):
        cache_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        if not _is_complete(folder):
            _build(folder, sources, tokenizer, config, progress)
    finally:
        lock.release()
    return TokenBlocks(folder)


def cache_key(sources: Sequence[str], tokenizer: "PreTrainedTokenizerBase", config: PackingConfig) -> str:
    """Hash of everything that decides the blocks: the sources in their order, the tokenizer, every packing setting."""
    parts = {
        "format": CACHE_FORMAT,
        "sources": [fingerprint(source) for source in sources],
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "config": asdict(config),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def read_sources(sources: Sequence[str], scores_column: str) -> Iterator[AnnotatedDocument]:
    """The annotated documents of all sources, one source after the other."""
    named = distinct_parts(sources)
    return chain.from_iterable(
        read_annotated(source, scores_column, parts) for source, parts in zip(sources, named, strict=True)
    )


def cut_into_blocks(
    chunks: Iterable[PackedChunk], seq_length: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Join the chunks and cut them -> (ids, scores), each [num_blocks, seq_length], several blocks at a time, and the keys
    of the documents that the first and the last token of each block belong to, int64 [num_blocks, 2].

    Only the tail of the last chunk is dropped, where it does not fill a block.
    """
    rest: PackedChunk | None = None
    for chunk in chunks:
        joined = chunk if rest is None else _joined(rest, chunk)
        end = len(joined.ids) - len(joined.ids) % seq_length
        starts, keys = joined.document_starts, joined.document_keys
        if end:
            firsts = np.arange(0, end, seq_length)
            spans = np.stack([firsts, firsts + seq_length - 1], axis=1)
            documents = keys[np.searchsorted(starts, spans, side="right") - 1]
            shape = (-1, seq_length)
            yield joined.ids[:end].reshape(shape), joined.scores[:end].reshape(shape), documents
        kept = max(int(np.searchsorted(starts, end, side="right")) - 1, 0)
        rest = PackedChunk(joined.ids[end:], joined.scores[end:], starts[kept:] - end, keys[kept:])


def _joined(first: PackedChunk, second: PackedChunk) -> PackedChunk:
    return PackedChunk(
        np.concatenate([first.ids, second.ids]),
        np.concatenate([first.scores, second.scores]),
        np.concatenate([first.document_starts, second.document_starts + len(first.ids)]),
        np.concatenate([first.document_keys, second.document_keys]),
    )


def no_block_error(counts: PackingCounts, config: PackingConfig) -> CorpusError:
    """The error for a corpus that does not fill a single block."""
    if counts.num_tokens:
        advice = f"Name a larger corpus or set dataset.seq_length={counts.num_tokens} or less."
    elif config.split == "eval":
        advice = (
            f"No document is held out by dataset.eval_fraction={config.eval_fraction}: raise it or name more documents."
        )
    elif counts.num_documents_filtered or counts.num_documents_skipped:
        advice = "Relax dataset.filter_threshold, dataset.unscored or dataset.skip_tokens."
    else:
        advice = "Name a corpus that has text."
    return CorpusError(
        f"The {config.split} split does not fill one block of {config.seq_length} tokens: {counts.describe()}. {advice}"
    )


def _build(
    folder: Path,
    sources: Sequence[str],
    tokenizer: "PreTrainedTokenizerBase",
    config: PackingConfig,
    progress: Callable[[PackingCounts], None] | None,
) -> None:
    """Fill a temporary folder beside `folder` and rename it. The caller holds the lock, so what is there is a dead one's."""
    partial = folder.with_suffix(".partial")
    with _output_errors(partial):
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        partial.mkdir()
    try:
        _write(partial, sources, tokenizer, config, progress)
        with _output_errors(folder):
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(
    folder: Path,
    sources: Sequence[str],
    tokenizer: "PreTrainedTokenizerBase",
    config: PackingConfig,
    progress: Callable[[PackingCounts], None] | None,
) -> None:
    counts = PackingCounts()
    corpus = read_sources(sources, config.scores_column)
    if config.eval_fraction and config.split == "train":
        corpus = noting_repeated_ids(corpus)
    chunks = pack_documents(corpus, tokenizer, config, counts=counts)
    blocks = cut_into_blocks(chunks, config.seq_length)
    num_blocks = 0
    with (
        _created(folder / "ids.bin") as ids_file,
        _created(folder / "scores.bin") as scores_file,
        _created(folder / "documents.bin") as documents_file,
    ):
        for ids, scores, documents in blocks:
            with _output_errors(folder):
                ids_file.write(ids.data)
                scores_file.write(scores.data)
                documents_file.write(documents.data)
            num_blocks += len(ids)
            if progress is not None:
                progress(counts)
    if num_blocks == 0:
        raise no_block_error(counts, config)
    meta = {
        "format": CACHE_FORMAT,
        "num_blocks": num_blocks,
        "num_tokens_dropped": counts.num_tokens - num_blocks * config.seq_length,
        "dtype": token_dtype(tokenizer).name,
        "counts": asdict(counts),
        "config": asdict(config),
    }
    with _created(folder / "meta.json") as meta_file, _output_errors(folder):
        meta_file.write(json.dumps(meta, indent=2).encode())


def _is_complete(folder: Path) -> bool:
    """Whether `folder` holds blocks. A folder gets its name when it is whole; sizes tell of damage done later."""
    try:
        read_json_as(BlocksMeta, folder / "meta.json", OutputError, finite=True)
    except OutputError:
        return False  # missing or damaged
    blocks = TokenBlocks(folder)
    num_tokens = len(blocks) * blocks.seq_length
    sizes = {"ids.bin": num_tokens * np.dtype(blocks.meta["dtype"]).itemsize, "scores.bin": num_tokens * 4}
    sizes["documents.bin"] = len(blocks) * 16
    return all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes.items())


@contextmanager
def _created(path: Path) -> Iterator[BinaryIO]:
    """A new file whose content is on the disk, not only in its queue, when the block ends."""
    with _output_errors(path):
        file = path.open("wb")
    with file:
        yield file
        with _output_errors(path):
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"The cache of token blocks cannot be written: {path}: {reason}. Make room or choose another folder for it."
        ) from error
