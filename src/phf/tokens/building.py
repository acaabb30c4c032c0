"""Building a token store: one or several processes encode pieces, which are joined in the order of the corpus."""

import logging
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from phf.corpus.dataset import in_batches, read_annotated
from phf.corpus.sources.parts import Part
from phf.errors import ConfigError, CorpusError
from phf.storage.cache import only_maker
from phf.storage.cache_entries import PARTIAL
from phf.storage.file_list import FILE_LIST, add_to_file_list
from phf.storage.files import atomic_write
from phf.tokens.backends import Backend, encode_parts
from phf.tokens.encoded import Altered, avg_score_array, score_array
from phf.tokens.joining import Joining, output_errors
from phf.tokens.pieces import Corpus, End, Piece, PieceFiles
from phf.tokens.selection import ENOUGH_DOCUMENTS, check_altered
from phf.tokens.store import TokenStore, avg_file, files_of_scores, open_store, score_file, store_damage

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
    with only_maker(folder, logger.warning):
        store = open_store(folder)
        if store is None:
            if folder.exists():
                problems = "; ".join(store_damage(folder)) or "it is incomplete or in another format"
                logger.warning("The token store %s is rebuilt: %s.", folder, problems)
            encode = partial(encode_parts, processes=processes, backend=backend, ray_address=ray_address)
            _build(folder, corpus, max_altered_documents, encode, progress)
            store = TokenStore(folder)
        if not store.has_scores(corpus.scores_column):
            if all((folder / name).exists() for name in files_of_scores(corpus.scores_column)):
                logger.warning(
                    "The scores '%s' of the token store %s are damaged: read again.", corpus.scores_column, folder
                )
            add_scores(store, corpus)
    return store


def build_store_with(corpus: Corpus, stores_dir: Path, columns: Sequence[str], **settings: Any) -> TokenStore:
    """`build_store`, with further columns of scores, which are read one by one where they are not there yet."""
    store = build_store(corpus, stores_dir, **settings)
    for column in columns:
        if not store.has_scores(column):
            store = build_store(replace(corpus, scores_column=column), stores_dir, **settings)
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
    if (store.folder / FILE_LIST).is_file():
        add_to_file_list(store.folder, files_of_scores(corpus.scores_column))


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
    files = PieceFiles(partial / corpus.division)
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, partial / "store", ignore_errors=True)  # the pieces stay
        with _without_pieces_of_a_bad_corpus(partial), Joining(partial / "store", corpus) as joining:
            stops = _encode(corpus, files, joining, max_altered_documents, encode, progress)
            if not joining.take(files, stops):  # a machine that lost power has cut off pieces of an earlier build
                joining.remove_damaged(files, stops)
                files = PieceFiles(files.folder)
                stops = _encode(corpus, files, joining, max_altered_documents, encode, progress)
                joining.take_all(files, stops)
        undo.pop_all()
    with output_errors(folder):
        (partial / "store").rename(folder)
    shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _without_pieces_of_a_bad_corpus(partial: Path) -> Iterator[None]:
    """Deletes `partial` for an error in the corpus or the configuration, which the next attempt does not repeat."""
    try:
        yield
    except (ConfigError, CorpusError):
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _encode(
    corpus: Corpus,
    files: PieceFiles,
    joining: Joining,
    max_altered_documents: float,
    encode: _Encode,
    progress: Progress,
) -> list[int]:
    """Make the pieces that are not there yet, and join them meanwhile; returns the number of pieces of each part."""
    parts = corpus.parts()
    ends: list[list[End]] = [[] for _ in parts]
    stops: list[int | None] = [None] * len(parts)
    num_documents = num_tokens = num_altered = 0
    examples: Sequence[Altered] = ()
    with closing(encode(corpus, parts, files)) as answers:
        for answer in answers:
            if isinstance(answer, End):
                of_part = ends[answer.share.part]
                of_part.append(answer)
                if len(of_part) == answer.share.of:
                    stops[answer.share.part] = max(end.stop for end in of_part)
            else:
                num_documents += answer.num_documents
                num_tokens += answer.num_tokens
                num_altered += answer.num_altered
                progress(num_documents, num_tokens)
                if answer.num_altered and not examples:
                    encoded = files.read(answer.part, answer.number)
                    examples = () if encoded is None else encoded.altered
                if num_documents >= ENOUGH_DOCUMENTS and num_altered > MOSTLY * num_documents:
                    check_altered(num_altered, num_documents, max_altered_documents, examples)
            joining.take(files, stops)
    return [stop for stop in stops if stop is not None]
