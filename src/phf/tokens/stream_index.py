"""Where the pieces of a stream begin: recorded while it is encoded, so that a resumed stream begins with the one it needs.

A text file. Each line is the CRC-32 of everything up to its end, in hexadecimal, and a JSON object: first the format and the
key of the stream, then a line per piece in the order of the corpus, and at its end {"is_complete": true}. Lines are only
ever added; what an interruption or a bad disk made of the last ones is left out.
"""

import json
import logging
import zlib
from bisect import bisect_right
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from phf.errors import OutputError
from phf.storage.files import write_text_atomic
from phf.storage.reading import parse_json
from phf.tokens.cutting import PackedChunk, PackingState
from phf.tokens.pieces import PieceStart

logger = logging.getLogger(__name__)
FORMAT = 1


@dataclass(frozen=True)
class IndexedPiece:
    """A piece of the corpus: where it begins, and what it becomes in the view."""

    part: int
    start: PieceStart
    before: PackingState
    num_tokens: int
    """Tokens of the view in it."""
    checksum: int
    """CRC-32 of these tokens, their scores and their documents."""

    @classmethod
    def of(cls, part: int, start: PieceStart, before: PackingState, chunk: PackedChunk) -> "IndexedPiece":
        """What a piece was packed into."""
        checksum = 0
        for array in (chunk.ids, chunk.scores, chunk.document_starts, chunk.document_keys):
            checksum = zlib.crc32(array.tobytes(), checksum)
        return cls(part, start, before, len(chunk.ids), checksum)


class StreamIndex:
    """The pieces of an epoch that are known so far, in their order.

    Without a file, and where it is of another stream, nothing is known; where it is damaged, what stands before. A file
    that cannot be written is reported once, and does without what follows.

    Args:
        key: hash of everything that decides where pieces begin.
        file: None: nothing is kept.
        is_written: False in processes that only look into the file of another one.
    """

    def __init__(self, key: str, file: Path | None = None, *, is_written: bool = True) -> None:
        self.pieces: list[IndexedPiece] = []
        self.is_complete = False
        """Whether the last piece ends the corpus."""
        self.problem: str | None = None
        """Why nothing more is known of an incomplete one that was read."""
        self.is_relied_on = False
        """Whether blocks have been handed out by it, so that it is too late to begin again without it."""
        self._key = key
        self._file = file
        self._is_written = is_written and file is not None
        self._checksum = 0
        self._is_as_known = False
        """Whether the file holds exactly what is known."""
        if file is not None:
            self._read(file)

    @property
    def num_tokens(self) -> int:
        """Tokens in the known pieces."""
        return self.pieces[-1].before.num_tokens + self.pieces[-1].num_tokens if self.pieces else 0

    def piece_with(self, token: int) -> int:
        """The number of the known piece that has a token; the last piece for those behind it, 0 if none is known."""
        return max(bisect_right(self.pieces, token, key=lambda piece: piece.before.num_tokens) - 1, 0)

    def put(self, number: int, piece: IndexedPiece) -> bool:
        """Record that a piece is the one of that number; returns False if another one was known. Later ones are then
        forgotten."""
        if number < len(self.pieces) and self.pieces[number] == piece:
            return True
        is_next = number == len(self.pieces) and not self.is_complete
        if not is_next:
            self._forget_from(number)
        self.pieces.append(piece)
        self._write(asdict(piece))
        return is_next

    def finish(self, num_pieces: int) -> None:
        """Record that the corpus ends after so many pieces."""
        if num_pieces < len(self.pieces):
            self._forget_from(num_pieces)
        if not self.is_complete:
            self.is_complete = True
            self._write({"is_complete": True})

    def clear(self, problem: str) -> None:
        """Forget everything, for a reason."""
        self.problem = problem
        self._forget_from(0)

    def _forget_from(self, number: int) -> None:
        del self.pieces[number:]
        self.is_complete = self._is_as_known = False

    def _read(self, file: Path) -> None:
        try:
            lines = file.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            self.problem = f"there is no {file}, as in runs of older versions"
            return
        except OSError as error:
            self.problem = f"{file} cannot be read ({error.strerror or error})"
            return
        for number, line in enumerate(lines):
            written, _, content = line.partition(b" ")
            checksum = zlib.crc32(content, self._checksum)
            if written != b"%08x" % checksum or not content.endswith(b"\n"):
                self.problem = f"{file} is damaged or incomplete from line {number + 1} on"
                return
            try:
                values = parse_json(content, f"{file}, line {number + 1}", OutputError)
                piece = None
                if number and values != {"is_complete": True}:
                    piece = _adapter().validate_json(content, strict=True)
                is_next = piece is None or (piece.before.num_tokens == self.num_tokens and piece.num_tokens >= 0)
            except ValueError:  # pydantic's errors are such too
                is_next = False
            if not is_next:
                self.problem = f"{file} is damaged or incomplete from line {number + 1} on"
                return
            if number == 0 and values != self._header:
                self.problem = f"{file} is of another corpus, tokenizer or version of phf"
                return
            self._checksum = checksum
            if piece is not None:
                self.pieces.append(piece)
            elif number:
                self.is_complete = True
        self._is_as_known = bool(lines)
        self.problem = None if self.is_complete else f"{file} ends there"

    @property
    def _header(self) -> dict[str, Any]:
        return {"format": FORMAT, "key": self._key}

    def _write(self, values: dict[str, Any]) -> None:
        """Add a line, which is of what is known; or, where the file holds something else, everything that is known."""
        if not self._is_written:
            return
        assert self._file is not None
        try:
            if self._is_as_known:
                with self._file.open("a", encoding="ascii") as file:
                    file.write(self._line(values))
                return
            self._checksum = 0
            known = [self._header, *map(asdict, self.pieces), *([{"is_complete": True}] if self.is_complete else [])]
            write_text_atomic(self._file, "".join(map(self._line, known)), sync=False)
            self._is_as_known = True
        except (OSError, OutputError) as error:
            self._is_written = False
            logger.warning("%s cannot be written, so a resumed run will encode the corpus again: %s", self._file, error)

    def _line(self, values: dict[str, Any]) -> str:
        content = json.dumps(values) + "\n"
        self._checksum = zlib.crc32(content.encode("ascii"), self._checksum)
        return f"{self._checksum:08x} {content}"


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(IndexedPiece)
