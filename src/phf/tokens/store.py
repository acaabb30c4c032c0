"""The token store: a dataset encoded once, mapped into memory, for any number of views.

A folder of plain arrays:

    ids.bin                  uint16 or uint32 [tokens], of text only
    segments.bin             uint8, uint16 or uint32 [segments], tokens of each segment
    documents.bin            `DOCUMENT` [documents]
    document_ids.bin         UTF-8, the ids of the documents
    scores-COLUMN.bin        float32 [segments], NaN where unscored; one for each column of scores that was asked for
    avg_scores-COLUMN.bin    float32 [documents]
    meta.json                sizes and types, sources and tokenization
    files.json               the files with their sizes and hashes; written last. Earlier versions wrote none

Nothing about thresholds, control tokens, filters, seeds, lengths of blocks or held-out shares is in it.
"""

from collections.abc import Collection, Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired
from urllib.parse import quote, unquote

import numpy as np
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from phf.errors import CorpusError, OutputError
from phf.storage.file_list import FILE_LIST, damaged_files
from phf.storage.reading import read_json_as
from phf.tokens.encoded import DOCUMENT, Altered

META = "meta.json"
FILES = (META, "ids.bin", "segments.bin", "documents.bin", "document_ids.bin")
"""Of every store, besides those of scores."""
_Count = Annotated[int, Field(ge=0, lt=2**63)]


class AlteredExample(TypedDict):
    """`Altered`, in meta.json of a store."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    document: _Count
    id: str
    before: str
    after: str
    is_kept_whole: bool


class StoreMeta(TypedDict):
    """meta.json of a store."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    format: Literal[1]
    num_tokens: _Count
    num_segments: _Count
    num_documents: _Count
    num_repeated_ids: _Count
    """Documents that have the id of an earlier one."""
    ids_dtype: Literal["uint16", "uint32"]
    segments_dtype: Literal["uint8", "uint16", "uint32"]
    altered: list[AlteredExample]
    """Examples of documents that the tokenizer changes."""
    made_of: dict[str, Any]
    """For people: sources, tokenizer, tokenization."""
    listed: NotRequired[Literal[True]]
    """There is a list of the files; those of an earlier version have none."""


class TokenStore:
    """A finished store. Raises `OutputError` where its description is missing or damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        advice = f"Delete {folder}: the store is then rebuilt."
        self.meta: StoreMeta = read_json_as(StoreMeta, folder / META, OutputError, advice, finite=True)
        self._scores: dict[str, np.ndarray] = {}

    def __reduce__(self) -> tuple[type["TokenStore"], tuple[Path]]:
        return TokenStore, (self.folder,)

    @cached_property
    def ids(self) -> np.ndarray:
        return self._mapped("ids.bin", np.dtype(self.meta["ids_dtype"]))

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each segment."""
        return self._mapped("segments.bin", np.dtype(self.meta["segments_dtype"]))

    @cached_property
    def documents(self) -> np.ndarray:
        """`DOCUMENT` [documents]."""
        return self._mapped("documents.bin", DOCUMENT)

    @cached_property
    def altered(self) -> list[Altered]:
        """Examples of documents that the tokenizer changes, in the order of the corpus."""
        return [
            Altered(one["document"], one["id"], one["before"], one["after"], one["is_kept_whole"])
            for one in self.meta["altered"]
        ]

    @property
    def columns(self) -> list[str]:
        """The columns whose scores are complete."""
        names = (path.name for path in self.folder.glob("scores-*.bin"))
        columns = (unquote(name.removeprefix("scores-").removesuffix(".bin")) for name in names)
        return sorted(column for column in columns if self.has_scores(column))

    def has_scores(self, column: str) -> bool:
        """Whether the scores of this column are complete and undamaged."""
        sizes = {score_file(column): self.meta["num_segments"] * 4, avg_file(column): self.meta["num_documents"] * 4}
        is_whole = all(_has_size(self.folder / name, size) for name, size in sizes.items())
        return is_whole and not store_damage(self.folder, files_of_scores(column))

    def scores(self, column: str) -> np.ndarray:
        """float32 [segments], NaN where unscored. Raises `CorpusError` naming the columns there are."""
        return self._mapped_scores(score_file(column), column)

    def avg_scores(self, column: str) -> np.ndarray:
        """float32 [documents], NaN without a scored segment."""
        return self._mapped_scores(avg_file(column), column)

    def document_ids(self, numbers: Iterable[int]) -> list[str]:
        """The ids of documents by their numbers."""
        text, ends = self._document_ids, self._id_ends
        ranges = ((int(ends[n - 1]) if n else 0, int(ends[n])) for n in numbers)
        return [text[start:end].tobytes().decode("utf-8", "surrogatepass") for start, end in ranges]

    @cached_property
    def _id_ends(self) -> np.ndarray:
        return np.cumsum(self.documents["id_bytes"], dtype=np.int64)

    @cached_property
    def _document_ids(self) -> np.ndarray:
        return self._mapped("document_ids.bin", np.dtype(np.uint8))

    def _mapped_scores(self, name: str, column: str) -> np.ndarray:
        if name not in self._scores:
            self._check_column(column)
            self._scores[name] = self._mapped(name, np.dtype(np.float32))
        return self._scores[name]

    def _check_column(self, column: str) -> None:
        if not self.has_scores(column):
            columns = ", ".join(self.columns) or "none"
            raise CorpusError(
                f"The token store {self.folder} has no scores '{column}'. Columns of scores there: {columns}. Set "
                "dataset.scores_column to one of them, or prepare the data again with the column that you mean."
            )

    def _mapped(self, name: str, dtype: np.dtype) -> np.ndarray:
        path = self.folder / name
        try:
            if not path.stat().st_size:
                return np.empty(0, dtype)  # which cannot be mapped
            # A plain view of the mapping: indexing the memmap class itself is several times slower.
            return np.memmap(path, dtype, "r").view(np.ndarray)
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be read: {error.strerror or error}. Run again: a token store that is missing or "
                "incomplete is rebuilt."
            ) from error


def open_store(folder: Path) -> TokenStore | None:
    """The store in a folder; None if there is none, or if it is damaged, incomplete or in another format.

    Its files are compared with their list, which a process does once; those of an earlier version by their sizes, and it is
    checked that those of documents, segments and ids agree.
    """
    if store_damage(folder):
        return None
    try:
        store = TokenStore(folder)
    except OutputError:
        return None
    meta = store.meta
    if meta.get("listed") and not (folder / FILE_LIST).is_file():
        return None
    sizes = {
        "ids.bin": meta["num_tokens"] * np.dtype(meta["ids_dtype"]).itemsize,
        "segments.bin": meta["num_segments"] * np.dtype(meta["segments_dtype"]).itemsize,
        "documents.bin": meta["num_documents"] * DOCUMENT.itemsize,
    }
    if not all(_has_size(folder / name, size) for name, size in sizes.items()):
        return None
    documents = store.documents
    num_id_bytes = int(documents["id_bytes"].sum(dtype=np.int64))
    is_whole = (
        _has_size(folder / "document_ids.bin", num_id_bytes)
        and documents["num_segments"].sum(dtype=np.int64) == meta["num_segments"]
        and documents["num_tokens"].sum(dtype=np.int64) == meta["num_tokens"]
        and store.lengths.sum(dtype=np.int64) == meta["num_tokens"]
    )
    return store if is_whole else None


def store_damage(folder: Path, names: Collection[str] | None = None) -> list[str]:
    """What is wrong with files of a store by their list, a phrase for each; empty for a store without a list.

    `names`: the files; None: all apart from scores, which are checked column by column.
    """
    if not (folder / FILE_LIST).is_file():
        return []
    return damaged_files(folder, FILES if names is None else names)


def score_file(column: str) -> str:
    """Name of the file with the scores of a column, whatever the column is called."""
    return f"scores-{quote(column, safe='')}.bin"


def avg_file(column: str) -> str:
    """Name of the file with the average scores of documents by a column."""
    return f"avg_scores-{quote(column, safe='')}.bin"


def files_of_scores(column: str) -> tuple[str, str]:
    """Names of both."""
    return score_file(column), avg_file(column)


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
