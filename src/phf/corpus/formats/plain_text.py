"""Files that are a document each: text, or source code in the encoding that it declares."""

import codecs
import io
import tokenize

from phf.corpus.formats.row_policy import BadRowError
from phf.corpus.formats.stored import LFS_POINTER, LFS_POINTER_BYTES, StoredFile, head_of, reaching, refuse_pointer
from phf.errors import CorpusError

PYTHON_SUFFIXES = (".py", ".pyi", ".pyw")
BINARY, POINTER = "binary", "Git LFS pointers, not the data (git lfs pull)"
"""Reason for leaving out a file of a folder."""


def read_text(file: StoredFile, longest: int) -> tuple[str | None, str | None]:
    """(text, None), or (None, why the file is not a document).

    Line ends "\\r\\n" become "\\n". Python source is decoded as it declares (PEP 263), everything else is UTF-8. Raises
    `CorpusError` naming file and line for text that cannot be decoded or is longer than `longest` bytes.
    """
    if file.num_bytes > longest:
        raise BadRowError(file.location, f"is {file.num_bytes:,} bytes long; a document may have at most {longest:,}.")
    with file.open() as opened, reaching(file.location):
        content = opened.read()
    if content.startswith(LFS_POINTER) and len(content) < LFS_POINTER_BYTES:
        return None, POINTER
    if b"\0" in content and not content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None, BINARY
    encoding = _declared(content, file) if _is_python(file.name, content) else None
    try:
        return content.decode(encoding or "utf-8-sig").replace("\r\n", "\n"), None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        name = encoding if encoding and not encoding.startswith("utf-8") else "UTF-8"
        raise BadRowError(
            f"{file.location}, line {line}", f"is not {name} (byte {error.start}). Convert the file or remove it."
        ) from None
    except (LookupError, UnicodeError) as error:  # "rot13" and the like are not encodings of text
        raise BadRowError(f"{file.location}, line 1", f"cannot be decoded as it declares: {error}.") from None


def not_a_document(file: StoredFile, reason: str) -> CorpusError:
    """The error for a file that was named explicitly."""
    if reason == POINTER:
        refuse_pointer(file.location, LFS_POINTER)
    compression = head_of(file)[0]
    what = (
        "binary" if compression is None else f"binary: text compressed with {compression}, which has to be decompressed"
    )
    return CorpusError(
        f"{file.location}: is {what}. Text is read, and records: JSON Lines, JSON, CSV, Parquet, Arrow, ORC."
    )


def _is_python(name: str, content: bytes) -> bool:
    first = content.partition(b"\n")[0]
    return name.lower().endswith(PYTHON_SUFFIXES) or (first.startswith(b"#!") and b"python" in first)


def _declared(content: bytes, file: StoredFile) -> str | None:
    """The encoding of Python source; None if it declares none. Raises `BadRowError` if Python would refuse it."""
    try:
        return tokenize.detect_encoding(io.BytesIO(content).readline)[0]
    except SyntaxError as error:
        if "coding" not in str(error) or b"coding" not in b"\n".join(content.split(b"\n", 2)[:2]):
            return None  # not UTF-8 and nothing declared: reported with its line
        raise BadRowError(f"{file.location}, line 1", f"cannot be decoded as it declares: {error}.") from None
