"""The cache folder: what is expensive to make is made once, kept under a name that says what it depends on, and found again.

An entry is held by the processes that use it. When the cache outgrows its limit, entries that are not in use are
removed, the least recently used first.
"""

import os
import secrets
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

import phf
from phf.errors import ConfigError, OutputError
from phf.storage.cache_entries import (
    PARTIAL,
    delete,
    entries,
    leftover_bytes,
    made_bytes,
    prune,
    remove_partials,
    set_aside,
)
from phf.storage.cache_locks import cache_root, keep_in_use, lock_of, making_of, record_of, using
from phf.storage.files import acquire_if_supported, write_json_atomic
from phf.storage.sizes import parse_size, size_text

__all__ = [
    "cache_root",
    "entry_path",
    "keep_entry",
    "made_once",
    "only_maker",
    "opened_entry",
    "size_limit",
    "trim",
    "using",
]

LIMIT = "PHF_CACHE_LIMIT"
DEFAULT_LIMIT = "200GB"
STALLED_SECONDS = 3600.0
"""How long a process that makes an entry may write nothing before others stop waiting for it."""
LOOK_SECONDS = 10.0
"""Between looks at what it has written."""


def entry_path(kind: str, name: str) -> Path:
    """Where the cache keeps something; `name` holds a hash of all that it depends on.

    Raises `ConfigError` where `$PHF_CACHE_LIMIT` is not a size: before anything is made.
    """
    assert not name.startswith(".")
    assert "/" not in name
    size_limit()
    return cache_root() / kind / name


def size_limit() -> int | None:
    """Bytes that the cache may take: `$PHF_CACHE_LIMIT`, such as 50GB; None for `none`."""
    text = os.environ.get(LIMIT) or DEFAULT_LIMIT
    if text.strip().lower() == "none":
        return None
    limit = parse_size(text, LIMIT)
    if not limit:
        raise ConfigError(f"{LIMIT} {text}: must be more than 0; `none` sets no limit.")
    return limit


def keep_entry(path: Path, source: str) -> Path:
    """Hold an entry until this process ends, whether it is there already or is about to be made at `path`.

    `source`: what made it, for people. Call `trim` when it is made.
    """
    keep_in_use(path)
    _write_record(path, source)
    return path


@contextmanager
def opened_entry(path: Path, source: str) -> Iterator[Path]:
    """Hold an entry while the block runs, which reads it, or makes it if it is missing."""
    with using(path):
        existed = path.exists()
        yield path
        if not existed and path.exists():
            _write_record(path, source)
            trim(path.parents[1])


def made_once(
    path: Path,
    source: str,
    make: Callable[[Path], None],
    *,
    is_whole: Callable[[Path], bool] = Path.exists,
    announce: Callable[[str], None] = lambda message: None,
) -> Path:
    """The entry at `path`, held until this process ends; where it is missing or incomplete, it is made first.

    `make(partial)` writes a file or a folder, which is then renamed to `path`: it is there as a whole, or not at all. Other
    processes that want the same entry wait. What a dead process left of it is removed.

    Raises `OutputError` where the cache cannot be written, or as `only_maker` does.
    """
    keep_entry(path, source)
    if is_whole(path):
        return path
    with _output_errors(path), only_maker(path, announce) as is_alone:
        if is_whole(path):  # by the process that was waited for
            return path
        if is_alone:
            remove_partials(path)
        if os.path.lexists(path):
            announce(f"{path} is damaged, incomplete or from another version; it is rebuilt.")
            set_aside(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
        try:
            make(partial)
            _rename(partial, path, is_whole)
        finally:
            delete(partial)
        _write_record(path, source)
    trim(path.parents[1])
    return path


def trim(root: Path) -> None:
    """Where the cache exceeds its limit, remove what dead processes left, then what is not in use, the least recently used
    first, until it keeps to it; a warning says what was removed.

    Below the limit nothing is removed: what an interrupted process has done may be of use to the next one.
    """
    limit = size_limit()
    if limit is None or sum(entry.size for entry in entries(root)) + leftover_bytes(root) <= limit:
        return
    pruned = prune(root, to_bytes=limit)
    if pruned.removed:
        names = ", ".join(f"{entry.kind}/{entry.name} ({size_text(entry.size)})" for entry in pruned.removed)
        warnings.warn(f"The cache is limited to {size_text(limit)} ({LIMIT}): removed {names}", stacklevel=2)
    if pruned.remaining_bytes > limit:
        warnings.warn(
            f"The cache holds {size_text(pruned.remaining_bytes)}, more than its limit of {size_text(limit)} ({LIMIT}), "
            f"and none of it can be removed now. It is in {root}; phf cache lists it.",
            stacklevel=2,
        )


def _write_record(path: Path, source: str) -> None:
    """Say what made an entry, unless that is known. In a cache that cannot be written nothing is noted."""
    file = record_of(path)
    if file.exists():
        return
    made_at = path.stat().st_mtime if path.exists() else time.time()
    record = {
        "kind": path.parent.name,
        "source": source,
        "made_at": datetime.fromtimestamp(made_at, UTC).isoformat(timespec="seconds"),
        "phf": phf.__version__,
    }
    with suppress(OutputError):
        write_json_atomic(file, record, sync=False)


@contextmanager
def only_maker(path: Path, announce: Callable[[str], None]) -> Iterator[bool]:
    """Make the entry at `path` in one process at a time; on a file system without locks, where it yields False, in any number.

    While another process makes it, this one waits, after a line that says so. Raises `OutputError` if that process has written
    nothing for `STALLED_SECONDS`; one that ends holds nothing any more.
    """
    lock = FileLock(making_of(path))
    with _output_errors(path):
        lock_of(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            acquire_if_supported(lock, timeout=0)
        except Timeout:
            announce(f"Waiting for another process that makes {path}")
            _wait_for_maker(path, lock)
    try:
        yield lock.is_locked
    finally:
        lock.release()


def _wait_for_maker(path: Path, lock: FileLock) -> None:
    last_size, changed_at = -1, time.monotonic()
    while True:
        try:
            acquire_if_supported(lock, timeout=LOOK_SECONDS)
            return
        except Timeout:
            size = made_bytes(path)
        if size != last_size:
            last_size, changed_at = size, time.monotonic()
        elif time.monotonic() - changed_at >= STALLED_SECONDS:
            raise OutputError(
                f"Another process is making {path}, but has written nothing for {STALLED_SECONDS / 60:,.0f} minutes: it may "
                f"hang. End it, then run again; what it has written is kept. It holds a lock on {making_of(path)}."
            )


def _rename(partial: Path, path: Path, is_whole: Callable[[Path], bool]) -> None:
    try:
        partial.replace(path)
    except OSError:
        if not is_whole(path):  # else another process was first, on a file system without locks
            raise


@contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"The cache cannot be written: {error.filename or path}: {reason}. "
            "Make room (phf cache prune), or set PHF_CACHE to another folder."
        ) from error
