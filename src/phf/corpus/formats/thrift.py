"""Thrift's compact protocol, in which the footer of a Parquet file is written.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md

The bytes may be anybody's: whatever they are, reading them takes time and memory in proportion to their number, and ends with
a structure or with a `ThriftError`.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

BOOLEANS = (1, 2)
BYTE, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = 3, 7, 8, 9, 10, 11, 12, 13
INTEGERS = (4, 5, 6)
MAX_DEPTH = 64
"""Structures and lists within each other, as in Thrift's own library; a Parquet footer has about ten."""

Struct = dict[int, tuple[int, Any]]
"""Number of a field -> its type and value."""


Wanted = Mapping[int, Any]
"""Number of a field that is kept -> what is kept of it and of the elements of its list; None: all."""


class ThriftError(ValueError):
    """Bytes that are not what they should be."""


def read_struct(content: bytes, wanted: Wanted | None = None) -> Struct:
    """The structure with which the bytes begin; `struct_bytes` is the inverse. Raises `ThriftError` if there is none.

    What is not `wanted` is skipped, and takes no memory.
    """
    return read_struct_at(content, wanted)[0]


def read_struct_at(content: bytes, wanted: Wanted | None = None) -> tuple[Struct, int]:
    """(the structure with which the bytes begin, its length in bytes); see `read_struct`."""
    reader = _Reader(content)
    return reader.struct(0, wanted), reader.at


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self.at = 0

    def struct(self, depth: int, wanted: Wanted | None) -> Struct:
        if depth > MAX_DEPTH:
            raise ThriftError(f"values are nested more than {MAX_DEPTH} deep")
        fields: Struct = {}
        number = 0
        while kind := (header := self._byte()) & 15:
            number = number + (header >> 4) if header >> 4 else self._integer()
            of_field = None if wanted is None else wanted.get(number, {})
            value = None if kind in BOOLEANS else self._value(kind, depth + 1, of_field)
            if wanted is None or number in wanted:
                fields[number] = (kind, value)
        return fields

    def _value(self, kind: int, depth: int, wanted: Wanted | None) -> Any:
        if kind in INTEGERS:
            return self._integer()
        if kind == BINARY:
            return self._take(self._varint())
        if kind == STRUCT:
            return self.struct(depth, wanted)
        if kind in (LIST, SET):
            header = self._byte()
            count = self._count(header >> 4 if header >> 4 < 15 else self._varint(), depth)
            elements = (self._value(header & 15, depth + 1, wanted) for _ in range(count))
            return header & 15, _kept(elements, wanted)
        if kind == MAP:
            count = self._count(self._varint(), depth)
            kinds = self._byte() if count else 0
            elements = (
                (self._value(kinds >> 4, depth + 1, wanted), self._value(kinds & 15, depth + 1, wanted))
                for _ in range(count)
            )
            return kinds, _kept(elements, wanted)
        if kind == UUID:
            return self._take(16)
        if kind == DOUBLE:
            return self._take(8)
        if kind == BYTE or kind in BOOLEANS:  # booleans in a list
            return self._take(1)
        raise ThriftError(f"there is no type {kind}")

    def _count(self, count: int, depth: int) -> int:
        """The number of elements of a list, each of which takes a byte at least."""
        if depth > MAX_DEPTH:
            raise ThriftError(f"values are nested more than {MAX_DEPTH} deep")
        if count > len(self._content) - self.at:
            raise ThriftError("a list is longer than what follows")
        return count

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
            if shift > 63:
                raise ThriftError("a number has more than 64 bits")

    def _byte(self) -> int:
        if self.at >= len(self._content):
            raise ThriftError("it ends in the middle of a value")
        self.at += 1
        return self._content[self.at - 1]

    def _take(self, count: int) -> bytes:
        if count > len(self._content) - self.at:
            raise ThriftError("it ends in the middle of a value")
        self.at += count
        return self._content[self.at - count : self.at]


def _kept(elements: Iterator[Any], wanted: Wanted | None) -> list[Any]:
    """The elements, read one after the other; none of them if nothing of them is wanted."""
    return list(deque(elements, maxlen=None if wanted is None or wanted else 0))


def struct_bytes(fields: Struct) -> bytes:
    """A structure in Thrift's compact protocol; the inverse of `read_struct`."""
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
