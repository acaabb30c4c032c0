"""Content hashes of files, computed once by a process for as long as a file stays the same."""

import os
import time
from pathlib import Path

from phf.storage.files import file_sha256

SETTLED_NS = 10**9
"""A file whose modification is more recent may be modified again within the same tick of the clock of its file system."""
_known: dict[tuple[str, int, int, int], str] = {}


def content_sha256(path: str | Path) -> str:
    """`file_sha256`; a file of the same size, modification time and inode is read once. Raises `OSError`."""
    status = os.stat(path)
    key = str(path), status.st_size, status.st_mtime_ns, status.st_ino
    if key not in _known:
        digest = file_sha256(Path(path))
        if time.time_ns() - status.st_mtime_ns < SETTLED_NS:
            return digest
        _known[key] = digest
    return _known[key]
