"""Building a token store: one or several processes encode pieces, which are joined in the order of the corpus."""

import logging
import os
import shutil
import zipfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock

from phf.corpus.dataset import in_batches, read_annotated
from phf.corpus.sources.parts import Part
from phf.errors import ConfigError, CorpusError, OutputError
from phf.storage.cache_entries import PARTIAL
from phf.storage.cache_locks import making_of
from phf.storage.files import acquire_if_supported, atomic_write, write_json_atomic
from phf.tokens.backends import Backend, encode_parts
from phf.tokens.encoded import (
    DOCUMENT,
    FORMAT,
    MAX_EXAMPLES,
    Altered,
    EncodedDocuments,
    avg_score_array,
    score_array,
)
from phf.tokens.pieces import Corpus, End, Piece, PieceFiles
from phf.tokens.selection import ENOUGH_DOCUMENTS, check_altered
from phf.tokens.store import META, TokenStore, avg_file, open_store, score_file

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with the numbers of documents and text tokens that are encoded so far."""
_Encode = Callable[[Corpus, Sequence[tuple[str, Part]], PieceFiles], Generator[Piece | End, None, None]]
MOSTLY = 0.5
"""A tokenizer that changes more of the documents than this, and than is allowed, is refused before everything is encoded."""


def build_store(
    corpus: Corpus,
    stores_dir: Path,
    *,
    max_altered_documents: float = 1.0,
    processes: int | None = None,
    backend: Backend = "local",
    ray_address: str | None = None,
    progress: Progress = lambda num_documents, num_tokens: None,
) -> TokenStore:
    """Encode a corpus into a store in `stores_dir`, or open the store that is there already; with its column of scores.

    The files are the same for any number of processes (None: one per CPU, if the corpus has enough work for them),
    on this machine or as actors of a Ray cluster (`ray_address`: an existing one; None: one of this machine). Processes
    that build the same store at the same time wait for the first one. A build continues from what an interrupted one has
    encoded; a store that is truncated, incomplete or in another format is rebuilt.

    Raises `CorpusError` for documents without these scores, `ConfigError` where the tokenizer changes most of them or more
    than `max_altered_documents`, `OutputError` where the folder cannot be written.
    """
    folder = stores_dir / corpus.key
    store = open_store(folder)
    if store is not None and store.has_scores(corpus.scores_column):
        return store
    with output_errors(folder):
        stores_dir.mkdir(parents=True, exist_ok=True)
    with _alone(making_of(folder)):
        store = open_store(folder)
        if store is None:
            if folder.exists():
                logger.warning("The token store %s is incomplete or in another format: it is rebuilt.", folder)
            encode = partial(encode_parts, processes=processes, backend=backend, ray_address=ray_address)
            _build(folder, corpus, max_altered_documents, encode, progress)
            store = TokenStore(folder)
        if not store.has_scores(corpus.scores_column):
            add_scores(store, corpus)
    return store


def add_scores(store: TokenStore, corpus: Corpus) -> None:
    """Add another column of scores of the documents of a store, which are not encoded for it."""
    rows = store.documents["num_segments"]
    scores: list[np.ndarray] = []
    avg_scores: list[np.ndarray] = []
    num_segments: list[np.ndarray] = []
    for source, part in corpus.parts():
        for batch in in_batches(read_annotated(source, corpus.scores_column, [part])):
            scores.append(score_array(batch))
            avg_scores.append(avg_score_array(batch))
            num_segments.append(np.array([len(document.texts) for document in batch], np.uint32))
    if not np.array_equal(np.concatenate([np.empty(0, np.uint32), *num_segments]), rows):
        raise CorpusError(
            f"{', '.join(corpus.sources)}: the documents are not those that the token store {store.folder} was built from. "
            "Delete that folder to rebuild it."
        )
    # The scores of segments last: with them the column is there.
    for name, arrays in ((avg_file(corpus.scores_column), avg_scores), (score_file(corpus.scores_column), scores)):
        with atomic_write(store.folder / name) as temporary, temporary.open("wb") as file:
            for array in arrays:
                file.write(array.data)


def _build(folder: Path, corpus: Corpus, max_altered_documents: float, encode: _Encode, progress: Progress) -> None:
    """Fill a temporary folder next to `folder` and rename it.

    The caller holds the lock, so anything that is there was left by a build that died.
    """
    partial = folder.with_name(f".{folder.name}.pieces{PARTIAL}")
    with output_errors(partial):
        if folder.is_file() or folder.is_symlink():
            folder.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(partial / "store", ignore_errors=True)
        (partial / "store").mkdir(parents=True)
    pieces_dir = partial / corpus.division
    try:
        files = PieceFiles(pieces_dir)
        stops = _encode(corpus, files, max_altered_documents, encode, progress)
        if _remove_damaged(files, stops):
            stops = _encode(corpus, PieceFiles(pieces_dir), max_altered_documents, encode, progress)
        _put_together(partial / "store", corpus, files, stops)
    except (ConfigError, CorpusError):
        shutil.rmtree(partial, ignore_errors=True)
        raise
    with output_errors(folder):
        (partial / "store").rename(folder)
    shutil.rmtree(partial, ignore_errors=True)


def _encode(
    corpus: Corpus, files: PieceFiles, max_altered_documents: float, encode: _Encode, progress: Progress
) -> list[int]:
    """Make the pieces that are not there yet; returns the number of pieces of each part."""
    parts = corpus.parts()
    stops = [0] * len(parts)
    num_documents = num_tokens = num_altered = 0
    examples: Sequence[Altered] = ()
    with closing(encode(corpus, parts, files)) as answers:
        for answer in answers:
            if isinstance(answer, End):
                stops[answer.share.part] = max(stops[answer.share.part], answer.stop)
                continue
            num_documents += answer.num_documents
            num_tokens += answer.num_tokens
            num_altered += answer.num_altered
            progress(num_documents, num_tokens)
            if answer.num_altered and not examples and (encoded := files.read(answer.part, answer.number)) is not None:
                examples = encoded.altered
            if num_documents >= ENOUGH_DOCUMENTS and num_altered > MOSTLY * num_documents:
                check_altered(num_altered, num_documents, max_altered_documents, examples)
    return stops


def _put_together(folder: Path, corpus: Corpus, files: PieceFiles, stops: Sequence[int]) -> None:
    """The arrays of a store from the pieces of all parts."""
    totals = {"num_tokens": 0, "num_segments": 0, "num_documents": 0}
    altered: list[dict[str, Any]] = []
    longest = 0
    names = {
        "ids": "ids.bin",
        "lengths": "lengths.tmp",
        "documents": "documents.bin",
        "document_ids": "document_ids.bin",
        "scores": score_file(corpus.scores_column),
        "avg_scores": avg_file(corpus.scores_column),
    }
    with ExitStack() as stack:
        opened = {name: stack.enter_context(_created(folder / file)) for name, file in names.items()}
        for encoded in _pieces(files, stops):
            with output_errors(folder):
                for name, file in opened.items():
                    array = getattr(encoded, name)
                    file.write(array if isinstance(array, bytes) else array.data)
            altered += [
                asdict(example) | {"document": example.document + totals["num_documents"]}
                for example in encoded.altered
            ]
            del altered[MAX_EXAMPLES:]
            longest = max(longest, int(encoded.lengths.max(initial=0)))
            totals["num_tokens"] += len(encoded.ids)
            totals["num_segments"] += len(encoded.lengths)
            totals["num_documents"] += len(encoded.documents)
    segments_dtype = next(dtype for dtype in ("uint8", "uint16", "uint32") if longest <= np.iinfo(dtype).max)
    _narrow(folder / "lengths.tmp", folder / "segments.bin", segments_dtype)
    keys = np.fromfile(folder / "documents.bin", DOCUMENT)["key"]
    meta = {
        "format": FORMAT,
        **totals,
        "num_repeated_ids": len(keys) - len(np.unique(keys)),
        "ids_dtype": corpus.tokenizer.dtype.name,
        "segments_dtype": segments_dtype,
        "altered": altered,
        "made_of": {"sources": list(corpus.sources), "tokenization": corpus.tokenization},
    }
    write_json_atomic(folder / META, meta)


def _remove_damaged(files: PieceFiles, stops: Sequence[int]) -> bool:
    """Whether pieces of an earlier build, which a machine that lost power has cut off, were removed."""
    paths = [files.path(part, number) for part, stop in enumerate(stops) for number in range(stop)]
    damaged = [path for path in paths if not zipfile.is_zipfile(path)]
    for path in damaged:
        path.unlink(missing_ok=True)
    return bool(damaged)


def _pieces(files: PieceFiles, stops: Sequence[int]) -> Iterator[EncodedDocuments]:
    for part, stop in enumerate(stops):
        for number in range(stop):
            encoded = files.read(part, number)
            if encoded is None:
                files.path(part, number).unlink(missing_ok=True)
                raise OutputError(
                    f"{files.path(part, number)} was damaged and has been removed. Run again: all other pieces are kept."
                )
            yield encoded


def _narrow(wide: Path, narrow: Path, dtype: str) -> None:
    with wide.open("rb") as file, _created(narrow) as output:
        while content := file.read(2**22):
            with output_errors(narrow):
                output.write(np.frombuffer(content, np.uint32).astype(dtype).data)
    wide.unlink()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock while the block runs; on a file system without locks nothing is held."""
    lock = FileLock(path)
    with output_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        acquire_if_supported(lock)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _created(path: Path) -> Iterator[BinaryIO]:
    """A new file whose content is on the disk, not only in its queue, when the block ends."""
    with output_errors(path):
        file = path.open("wb")
    with file:
        yield file
        with output_errors(path):
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn an error of the operating system about the cache into an `OutputError`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"The token store cannot be written: {path}: {reason}. Make room or set PHF_CACHE to another folder."
        ) from error
