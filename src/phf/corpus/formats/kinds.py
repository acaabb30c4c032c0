"""The kind of a file, by its first bytes, then by its name."""

import codecs
import json
import re
from typing import Literal

from phf.corpus.formats.compression import SUFFIXES as COMPRESSIONS
from phf.corpus.formats.delimited import header_of
from phf.corpus.formats.row_policy import ReadOptions
from phf.corpus.formats.stored import StoredFile, head_of
from phf.errors import CorpusError

Kind = Literal["parquet", "arrow", "orc", "json", "csv", "text"]
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("parquet", "parq", "pq"), "parquet"),
    **dict.fromkeys(("arrow", "feather", "ipc"), "arrow"),
    "orc": "orc",
    **dict.fromkeys(("jsonl", "jsonlines", "ndjson", "json", "geojsonl", "jl"), "json"),
    **dict.fromkeys(("csv", "tsv", "tab"), "csv"),
}
"""Suffix in lower case -> kind of records."""
AMBIGUOUS = ("json", "csv", "tsv", "tab")
"""In a folder, files with these suffixes may be records, or something else next to them."""
_MAGIC: dict[bytes, Kind] = {
    b"PAR1": "parquet",
    b"PARE": "parquet",
    b"ARROW1": "arrow",
    b"FEA1": "arrow",
    b"ORC": "orc",
}
_FOREIGN = {
    b"pk\x03\x04": "a ZIP archive; extract the files in it",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; extract the files in it",
    b"%pdf-": "a PDF document; save its text",
    b"<!doctype html": "an HTML page, perhaps of a failed download",
    b"<html": "an HTML page, perhaps of a failed download",
}
"""First bytes in lower case -> what is sometimes found under the name of a file of records."""
_TAR_MAGIC = (b"ustar\0", b"ustar  \0")
_TEXT_KEY = r'"(?:{})"\s*:'
OWN_FILES = re.compile(r"_SUCCESS|_(common_)?metadata|_committed_.*|_started_.*|.*\.crc")
"""Names of the files that Spark and Hadoop write for their own use."""


def kind_by_name(name: str) -> tuple[Kind | None, bool]:
    """(kind of records that a name promises, whether a file that was not specified itself may be something else)."""
    *parts, suffix = name.lower().split(".")
    if suffix in COMPRESSIONS and len(parts) > 1:
        suffix = parts[-1]
    kind = _KINDS.get(suffix) if len(parts) > 0 else None
    return kind, suffix in AMBIGUOUS


def kind_by_magic(head: bytes) -> Kind | None:
    """The kind of a columnar file by its first bytes."""
    for magic, kind in _MAGIC.items():
        # text may begin with "ORC" or "PAR1" too, but hardly with a control character after it
        if head.startswith(magic) and any(byte < 9 or byte > 127 for byte in head[len(magic) : 64]):
            return kind
    return "arrow" if head.startswith(b"\xff\xff\xff\xff") else None


def refuse_foreign(place: str, head: bytes) -> None:
    """Raise `CorpusError` for a file that is in none of the formats read, and say what it is."""
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()[:16].lower()
    foreign = next((what for magic, what in _FOREIGN.items() if start.startswith(magic)), None)
    if head[257:].startswith(_TAR_MAGIC):  # with the NUL: text may have "mustard" there
        foreign = "a tar archive; extract the files in it"
    if foreign is not None:
        raise CorpusError(f"{place}: is {foreign}.")


def kind_by_content(file: StoredFile, options: ReadOptions) -> tuple[Kind, str]:
    """(kind, why it is not one of records): "text" unless it is records with a column that holds text."""
    by_name, _ = kind_by_name(file.name)
    compression, head = head_of(file)
    if (kind := kind_by_magic(head)) is not None:
        return kind, ""
    if by_name == "csv":
        return _with_text("csv", header_of(head), options)
    keys = _keys(head)
    if keys is None:
        reason = f"compressed ({compression}) and not records" if compression else "not records"
        return "text", "JSON that is not records with text" if by_name == "json" else reason
    if keys:
        return _with_text("json", keys, options)
    pattern = _TEXT_KEY.format("|".join(map(re.escape, _text_names(options))))
    is_found = re.search(pattern, head.decode("utf-8", "replace")) is not None
    return ("json", "") if is_found else ("text", "records without a column of text")


def _with_text(kind: Kind, names: list[str], options: ReadOptions) -> tuple[Kind, str]:
    try:
        has_text = bool(options.text_columns(names))
    except CorpusError:
        has_text = True  # the user has to choose among its columns
    return (kind, "") if has_text else ("text", "records without a column of text")


def _text_names(options: ReadOptions) -> tuple[str, ...]:
    from phf.corpus.formats.row_policy import TEXT_COLUMNS

    return TEXT_COLUMNS if options.text_column is None else (options.text_column,)


def _keys(head: bytes) -> list[str] | None:
    """Keys of the first object of a file of JSON that begins like this.

    None: it is not JSON objects; empty: it may be, but the first one is longer than what was read.
    """
    text = head.decode("utf-8-sig", "ignore").lstrip()
    in_array = text.startswith("[")
    text = text.removeprefix("[").lstrip()
    if not text.startswith("{"):
        return None
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        is_cut_off = error.pos >= len(text) - 16 or error.msg.startswith("Unterminated string")
        return [] if is_cut_off and len(head) >= 2**15 else None
    except (ValueError, RecursionError):
        return None
    following = text[end:].lstrip()[:1]
    is_json = following in (("", ",", "]") if in_array else ("", "{"))
    return list(value) if is_json and value else None
