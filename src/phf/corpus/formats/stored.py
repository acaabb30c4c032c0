"""Files where they are stored: on this machine, or at a URL that `fsspec` reads (s3://, gs://, hf://, ...)."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from phf.corpus.formats.compression import DAMAGE, compression_of, decompressed
from phf.errors import CorpusError, MissingExtraError
from phf.storage.content import content_sha256
from phf.storage.hub import NOT_OF_THE_HUB
from phf.text import counted

REMEDY = "Copy the dataset again, or delete manifest.json and run the command that made the dataset."
"""For a dataset that is not what its manifest says: what is intact of it is kept when it is rebuilt."""
HEAD_BYTES = 2**16
"""Bytes of the content of a file, enough to recognise its kind."""
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
LFS_POINTER_BYTES = 1024
"""Maximum size of a Git LFS pointer, by its specification."""
_URL = re.compile(r"(?:[A-Za-z0-9+.-]+::)*[A-Za-z][A-Za-z0-9+.-]+://")
EXTRAS = {
    "s3": ("s3fs", "s3"),
    "s3a": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "abfs": ("adlfs", "azure"),
    "abfss": ("adlfs", "azure"),
    "az": ("adlfs", "azure"),
}
"""Protocol -> package that reads it, extra that installs it; hf:// needs none."""


def is_url(source: str) -> bool:
    """Whether a source is named by a URL."""
    return _URL.match(source) is not None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file at a path or URL, as it was when it was listed."""

    location: str
    num_bytes: int
    stamp: str
    """Changes when the content does: modification time in ns, or the store's equivalent."""
    num_rows: int | None = None
    """Number of its rows, if known from elsewhere."""
    sha256: str | None = None
    """Hash of its content, if known from elsewhere."""

    @classmethod
    def local(cls, path: str | Path) -> "StoredFile":
        """A local file; raises `OSError` if there is none."""
        status = os.stat(path)
        return cls(str(path), status.st_size, str(status.st_mtime_ns))

    @property
    def name(self) -> str:
        """The last part of its location."""
        return self.location.rpartition("/")[2]

    def open(self) -> BinaryIO:
        """The open file, to be closed by the caller. Raises `CorpusError` if it cannot be opened, or is damaged."""
        if not is_url(self.location):
            with reading(self.location):
                self.check_content()
                return Path(self.location).open("rb")
        with reaching(self.location):
            store, path = file_system(self.location)
            return cast(BinaryIO, store.open(path, "rb"))

    def check_rows(self, num_rows: int) -> None:
        """Raise `CorpusError` unless the file has the expected number of rows."""
        if self.num_rows not in (None, num_rows):
            raise CorpusError(
                f"{self.location} has {counted(num_rows, 'row')}, but the manifest next to it says {self.num_rows:,}. "
                "Annotate again."
            )

    def check_content(self) -> None:
        """Raise `CorpusError` unless a local file has the expected content, which a process reads once for that."""
        if self.sha256 is not None and not is_url(self.location) and content_sha256(self.location) != self.sha256:
            raise CorpusError(
                f"{self.location} is damaged: it has the size, but not the content (SHA-256) that the manifest next to it "
                f"lists. {REMEDY}"
            )

    def identity(self, real_folders: dict[str, str]) -> str:
        """Part of the fingerprint of a source. `real_folders`: folders whose links are resolved already; grows."""
        if is_url(self.location):
            return f"{self.location}:{self.num_bytes}:{self.stamp}"
        folder, name = os.path.split(self.location)
        if os.path.islink(self.location) or name in ("", "..", "."):
            place = os.path.realpath(self.location)
        else:  # of thousands of files, their folder is resolved once
            if folder not in real_folders:
                real_folders[folder] = os.path.realpath(folder)
            place = os.path.join(real_folders[folder], name)
        return f"{place}:{self.num_bytes}:{self.stamp}"


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    import fsspec

    protocol = url.partition(":")[0].lower()
    try:
        return fsspec.core.url_to_fs(url)  # type: ignore[no-any-return]
    except ImportError as error:
        if protocol in EXTRAS:
            raise MissingExtraError(f"Reading {url}", *EXTRAS[protocol]) from error
        raise CorpusError(f"{url}: {error}.") from error
    except ValueError as error:
        raise CorpusError(
            f"{url}: {error}. Choose one of the protocols {', '.join([*EXTRAS, 'hf'])}, or a local file."
        ) from error


def remote_file(store: Any, info: dict[str, Any]) -> StoredFile:
    """A file as its file system describes it."""
    stamps = (info.get(key) for key in ("ETag", "etag", "mtime", "LastModified", "last_modified", "blob_id", "created"))
    stamp = next((str(stamp) for stamp in stamps if stamp is not None), "")
    return StoredFile(store.unstrip_protocol(info["name"]), int(info.get("size") or 0), stamp)


@contextmanager
def reading(name: object) -> Iterator[None]:
    """Turn errors of the operating system into a `CorpusError`."""
    try:
        yield
    except OSError as error:
        raise CorpusError(f"{error.filename or name} cannot be read: {error.strerror or error}.") from error


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Turn errors of the library behind a URL into a `CorpusError`."""
    try:
        yield
    except CorpusError:
        raise
    except MissingExtraError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0] or "no details"
        if isinstance(error, JSONDecodeError):
            reason = f"the answer {NOT_OF_THE_HUB}"
        raise CorpusError(f"{url} cannot be read ({type(error).__name__}: {reason}).") from error


def head_of(file: StoredFile) -> tuple[str | None, bytes]:
    """(compression, the first bytes of the content, decompressed); fewer if it is damaged."""
    with file.open() as raw:
        with reaching(file.location):
            first = raw.read(HEAD_BYTES)
        compression = compression_of(file.name, first)
        if compression is None:
            return None, first
        raw.seek(0)
        try:
            return compression, decompressed(raw, compression, file.name).read(HEAD_BYTES)
        except (*DAMAGE, OSError):
            return compression, b""


def refuse_pointer(location: str, content: bytes) -> None:
    """Raise `CorpusError` for the pointer that Git LFS keeps instead of a large file until it is fetched."""
    if content.startswith(LFS_POINTER):
        raise CorpusError(f"{location}: is a Git LFS pointer, not the data. Get it with: git lfs pull")


class Opened(NamedTuple):
    """A file that is being read."""

    raw: BinaryIO
    """The stored bytes: their position shows how far reading has come."""
    content: BinaryIO
    """The decompressed content; the same object if it is not compressed."""
    head: bytes
    """The beginning of the content, without consuming it."""
    compression: str | None


@contextmanager
def opened(file: StoredFile) -> Iterator[Opened]:
    """Open a file, compressed or not.

    Raises `CorpusError` for a pointer of Git LFS, which is stored where the file should be, and for a file that is
    empty although its format cannot be.
    """
    with file.open() as raw:
        with reaching(file.location):
            first = raw.read(512)
            raw.seek(0)
        refuse_pointer(file.location, first)
        compression = compression_of(file.name, first)
        if compression is not None and not first:
            raise CorpusError(f"{file.location}: is empty (0 bytes), which a compressed file cannot be.")
        content = _peekable(decompressed(raw, compression, file.name))
        try:
            head = content.peek(HEAD_BYTES)
        except (*DAMAGE, OSError):
            # a reader that raised once does not raise again: a reader that starts from the beginning must see the damage
            raw.seek(0)
            content, head = _peekable(decompressed(raw, compression, file.name)), b""
        yield Opened(raw, content, head, compression)


def _peekable(content: BinaryIO) -> Any:
    return content if hasattr(content, "peek") else io.BufferedReader(cast(io.RawIOBase, content))
