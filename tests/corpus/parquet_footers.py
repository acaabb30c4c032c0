"""Other footers for Parquet files."""

import struct

from phf.corpus.formats.parquet_footer import CHUNK_METADATA, COLUMNS, MAGIC, ROW_GROUPS, read_footer
from phf.corpus.formats.thrift import INTEGERS, struct_bytes

I64 = INTEGERS[-1]


def rewrite(path, change):
    """Write another footer: `change` gets the one that there is."""
    with path.open("rb") as file:
        footer, start = read_footer(file)
    change(footer)
    content = struct_bytes(footer)
    path.write_bytes(path.read_bytes()[:start] + content + struct.pack("<I", len(content)) + MAGIC)


def first_group(footer):
    return footer[ROW_GROUPS][1][1][0]


def first_chunk(footer):
    return first_group(footer)[COLUMNS][1][1][0]


def metadata(footer):
    return first_chunk(footer)[CHUNK_METADATA][1]
