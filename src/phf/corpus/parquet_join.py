"""Parquet files of one schema joined into one without decoding them: their row groups are copied as they are.

No library does this: pyarrow's `FileMetaData.append_row_groups` keeps every offset as it is in the file it came from, for
a `_metadata` file beside them, and reading and writing row groups again takes over ten times as long as copying them, which
would be a third of the time of annotating with a fast scorer.

Only the footer is rewritten, in which every place is counted from the start of the file. It is a Thrift structure in the
compact protocol (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md), whose fields are
numbered in https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

MAGIC = b"PAR1"
CHUNK_BYTES = 2**20
BOOLEANS = (1, 2)
BYTE, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = 3, 7, 8, 9, 10, 11, 12
INTEGERS = (4, 5, 6)
# FileMetaData
NUM_ROWS, ROW_GROUPS = 3, 4
# RowGroup, ColumnChunk and ColumnMetaData: their fields that are places in the file
COLUMNS, GROUP_OFFSET, ORDINAL = 1, 5, 7
CHUNK_METADATA, CHUNK_OFFSETS = 3, (2, 4, 6)
PAGE_OFFSETS = (9, 10, 11, 14)

Struct = dict[int, tuple[int, Any]]
"""Number of a field -> its type and value."""


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


def read_footer(file: BinaryIO) -> tuple[Struct, int]:
    """(the footer of a Parquet file, the place where it begins)."""
    end = file.seek(-8, 2)
    length, magic = struct.unpack("<I4s", file.read(8))
    assert magic == MAGIC
    file.seek(end - length)
    return _Reader(file.read(length)).struct(), end - length


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


class _Reader:
    """Thrift's compact protocol."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def struct(self) -> Struct:
        fields: Struct = {}
        number = 0
        while header := self._byte():
            kind = header & 15
            number = number + (header >> 4) if header >> 4 else self._integer()
            fields[number] = (kind, None if kind in BOOLEANS else self._value(kind))
        return fields

    def _value(self, kind: int) -> Any:
        if kind in INTEGERS:
            return self._integer()
        if kind == BINARY:
            return self._take(self._varint())
        if kind == STRUCT:
            return self.struct()
        if kind in (LIST, SET):
            header = self._byte()
            count = header >> 4 if header >> 4 < 15 else self._varint()
            return header & 15, [self._value(header & 15) for _ in range(count)]
        if kind == MAP:
            count = self._varint()
            kinds = self._byte() if count else 0
            return kinds, [(self._value(kinds >> 4), self._value(kinds & 15)) for _ in range(count)]
        return self._take(8 if kind == DOUBLE else 1)  # bytes, and booleans in a list

    def _integer(self) -> int:
        number = self._varint()
        return number >> 1 ^ -(number & 1)

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _take(self, count: int) -> bytes:
        self._at += count
        return self._content[self._at - count : self._at]


def struct_bytes(fields: Struct) -> bytes:
    """A structure in Thrift's compact protocol; the inverse of what `read_footer` does."""
    content = bytearray()
    before = 0
    for number, (kind, value) in sorted(fields.items()):
        step = number - before
        content += bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + _integer(number)
        content += b"" if kind in BOOLEANS else _value(kind, value)
        before = number
    return bytes(content) + b"\0"


def _value(kind: int, value: Any) -> bytes:
    if kind in INTEGERS:
        return _integer(value)
    if kind == BINARY:
        return _varint(len(value)) + value  # type: ignore[no-any-return]
    if kind == STRUCT:
        return struct_bytes(value)
    if kind in (LIST, SET):
        inner, elements = value
        count = len(elements)
        header = bytes([count << 4 | inner]) if count < 15 else bytes([240 | inner]) + _varint(count)
        return header + b"".join(_value(inner, element) for element in elements)
    if kind == MAP:
        kinds, pairs = value
        header = _varint(len(pairs)) + (bytes([kinds]) if pairs else b"")
        return header + b"".join(_value(kinds >> 4, key) + _value(kinds & 15, element) for key, element in pairs)
    return value  # type: ignore[no-any-return]


def _integer(number: int) -> bytes:
    return _varint(number << 1 if number >= 0 else -number * 2 - 1)


def _varint(number: int) -> bytes:
    content = bytearray()
    while number > 127:
        content.append(number & 127 | 128)
        number >>= 7
    content.append(number)
    return bytes(content)
