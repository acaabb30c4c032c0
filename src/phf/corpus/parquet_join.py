"""Parquet files of one schema joined into one without decoding them: their row groups are copied as they are.

No library does this: pyarrow's `FileMetaData.append_row_groups` keeps every offset as it is in the file it came from, for
a `_metadata` file beside them, and reading and writing row groups again takes over ten times as long as copying them, which
would be a third of the time of annotating with a fast scorer.

Only the footer is rewritten, in which every place is counted from the start of the file.
"""

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from phf.corpus.formats.parquet_footer import CHUNK_METADATA, COLUMNS, MAGIC, NUM_ROWS, ROW_GROUPS, read_footer
from phf.corpus.formats.thrift import LIST, STRUCT, Struct, struct_bytes

CHUNK_BYTES = 2**20
# fields that are places in the file: of RowGroup, ColumnChunk and ColumnMetaData
GROUP_OFFSET, ORDINAL = 5, 7
CHUNK_OFFSETS = (2, 4, 6)
PAGE_OFFSETS = (9, 10, 11, 14)


class Joined(NamedTuple):
    """What was written."""

    sha256: str
    num_bytes: int


class ParquetJoiner:
    """Writes the row groups of Parquet files to one file, which is the same for the same pieces in the same order.

    They must be whole and of one schema, as files of ours are.
    """

    def __init__(self, output: Path) -> None:
        self._file = output.open("wb")
        self._digest = hashlib.sha256()
        self._footer: Struct = {}
        self._groups: list[Struct] = []
        self._write(MAGIC)

    def add(self, path: Path) -> None:
        """Append the row groups of a piece to those of the pieces before."""
        with path.open("rb") as piece:
            own, num_bytes = read_footer(piece)
            for group in own[ROW_GROUPS][1][1]:
                self._groups.append(_moved_group(group, self._file.tell() - len(MAGIC), len(self._groups)))
            if not self._footer:
                self._footer = own
            else:
                footer = self._footer
                assert {key: own[key] for key in own if key not in (NUM_ROWS, ROW_GROUPS)} == {
                    key: footer[key] for key in footer if key not in (NUM_ROWS, ROW_GROUPS)
                }, "pieces of one shard have one schema"
                footer[NUM_ROWS] = (footer[NUM_ROWS][0], footer[NUM_ROWS][1] + own[NUM_ROWS][1])
            piece.seek(len(MAGIC))
            left = num_bytes - len(MAGIC)
            while left:
                content = piece.read(min(left, CHUNK_BYTES))
                assert content, "a file that has its name is whole"
                left -= len(content)
                self._write(content)

    def finish(self) -> Joined:
        """Write the footer and close the file, to which at least one piece was added."""
        self._footer[ROW_GROUPS] = (LIST, (STRUCT, self._groups))
        content = struct_bytes(self._footer)
        self._write(content + struct.pack("<I", len(content)) + MAGIC)
        num_bytes = self._file.tell()
        self.close()
        return Joined(self._digest.hexdigest(), num_bytes)

    def close(self) -> None:
        """Close the file as it is: a part of a Parquet file, unless it is finished."""
        self._file.close()

    def _write(self, content: bytes) -> None:
        self._digest.update(content)
        self._file.write(content)


def _moved_group(group: Struct, distance: int, ordinal: int) -> Struct:
    moved = _moved(group, (GROUP_OFFSET,), distance)
    kind, columns = moved[COLUMNS][1]
    moved[COLUMNS] = (LIST, (kind, [_moved_chunk(column, distance) for column in columns]))
    if ORDINAL in moved:
        moved[ORDINAL] = (moved[ORDINAL][0], ordinal)
    return moved


def _moved_chunk(chunk: Struct, distance: int) -> Struct:
    moved = _moved(chunk, CHUNK_OFFSETS, distance)
    moved[CHUNK_METADATA] = (STRUCT, _moved(moved[CHUNK_METADATA][1], PAGE_OFFSETS, distance))
    return moved


def _moved(fields: Struct, places: Sequence[int], distance: int) -> Struct:
    """Fields of which some are places in the file; 0 is none."""
    return {
        number: (kind, value + distance if number in places and value else value)
        for number, (kind, value) in fields.items()
    }
