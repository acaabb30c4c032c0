"""Pieces joined into the arrays of a store, in the order of the corpus and while later ones are still being encoded."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from phf.errors import OutputError
from phf.storage.file_list import write_file_list
from phf.storage.files import write_json_atomic
from phf.tokens.encoded import DOCUMENT, FORMAT, MAX_EXAMPLES, EncodedDocuments
from phf.tokens.pieces import Corpus, PieceFiles
from phf.tokens.store import META, avg_file, score_file

LENGTHS = "lengths.tmp"


class Joining:
    """Writes the arrays of a store into a folder; they are on the disk when the block ends without an error.

    Raises `OutputError` if that fails.
    """

    def __init__(self, folder: Path, corpus: Corpus) -> None:
        self._folder = folder
        self._corpus = corpus
        self._stack = ExitStack()
        self._opened: dict[str, BinaryIO] = {}
        self._part = self._number = 0
        """The piece that comes next."""
        self._totals = {"num_tokens": 0, "num_segments": 0, "num_documents": 0}
        self._altered: list[dict[str, Any]] = []
        self._longest = 0

    def __enter__(self) -> "Joining":
        names = {
            "ids": "ids.bin",
            "lengths": LENGTHS,
            "documents": "documents.bin",
            "document_ids": "document_ids.bin",
            "scores": score_file(self._corpus.scores_column),
            "avg_scores": avg_file(self._corpus.scores_column),
        }
        with ExitStack() as stack:
            for name, file in names.items():
                self._opened[name] = stack.enter_context(_created(self._folder / file))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if error is None:
            self._describe()

    def take(self, files: PieceFiles, stops: Sequence[int | None]) -> bool:
        """Write the pieces that come next, up to the first that is missing or damaged; returns whether that is none.

        `stops`: the number of pieces of each part, None where it is not known yet.
        """
        while self._part < len(stops):
            if self._number == stops[self._part]:
                self._part, self._number = self._part + 1, 0
                continue
            encoded = files.read(self._part, self._number)
            if encoded is None:
                return False
            self._write(encoded)
            self._number += 1
        return True

    def take_all(self, files: PieceFiles, stops: Sequence[int]) -> None:
        """Write all pieces that are left. Raises `OutputError` if one cannot be read."""
        if not self.take(files, stops):
            path = files.path(self._part, self._number)
            path.unlink(missing_ok=True)
            raise OutputError(
                f"{path} was damaged and has been removed. Run again: all other pieces are kept. If that happens again, "
                "check the disk, or set PHF_CACHE to another folder."
            )

    def remove_damaged(self, files: PieceFiles, stops: Sequence[int]) -> None:
        """Remove the pieces that cannot be read, of those that have not been written."""
        for part, stop in enumerate(stops[self._part :], self._part):
            for number in range(self._number if part == self._part else 0, stop):
                if files.read(part, number) is None:
                    files.path(part, number).unlink(missing_ok=True)

    def _write(self, encoded: EncodedDocuments) -> None:
        with output_errors(self._folder):
            for name, file in self._opened.items():
                array = getattr(encoded, name)
                file.write(array if isinstance(array, bytes) else array.data)
        totals = self._totals
        self._altered += [
            asdict(example) | {"document": example.document + totals["num_documents"]} for example in encoded.altered
        ]
        del self._altered[MAX_EXAMPLES:]
        self._longest = max(self._longest, int(encoded.lengths.max(initial=0)))
        totals["num_tokens"] += len(encoded.ids)
        totals["num_segments"] += len(encoded.lengths)
        totals["num_documents"] += len(encoded.documents)

    def _describe(self) -> None:
        """What is known when all pieces are there."""
        corpus, folder = self._corpus, self._folder
        segments_dtype = next(dtype for dtype in ("uint8", "uint16", "uint32") if self._longest <= np.iinfo(dtype).max)
        _narrow(folder / LENGTHS, folder / "segments.bin", segments_dtype)
        keys = np.fromfile(folder / "documents.bin", DOCUMENT)["key"]
        meta = {
            "format": FORMAT,
            **self._totals,
            "num_repeated_ids": len(keys) - len(np.unique(keys)),
            "ids_dtype": corpus.tokenizer.dtype.name,
            "segments_dtype": segments_dtype,
            "altered": self._altered,
            "made_of": {"sources": list(corpus.sources), "tokenization": corpus.tokenization},
            "listed": True,
        }
        write_json_atomic(folder / META, meta)
        write_file_list(folder)


def _narrow(wide: Path, narrow: Path, dtype: str) -> None:
    with wide.open("rb") as file, _created(narrow) as output:
        while content := file.read(2**22):
            with output_errors(narrow):
                output.write(np.frombuffer(content, np.uint32).astype(dtype).data)
    wide.unlink()


@contextmanager
def _created(path: Path) -> Iterator[BinaryIO]:
    """A new file whose content is on the disk, not only in its queue, when the block ends."""
    with output_errors(path):
        file = path.open("wb")
    try:
        yield file
        with output_errors(path):
            file.flush()
            os.fsync(file.fileno())
    finally:
        with output_errors(path):  # closing writes what is buffered, and fails as writing did
            file.close()


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
