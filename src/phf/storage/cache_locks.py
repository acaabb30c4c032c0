"""Who is using an entry of the cache: a shared lock that ends with the process, and the time of the last use.

An entry is `ROOT/KIND/NAME`, a file or a folder. What is known of it is kept in `ROOT/.entries/KIND`: NAME.json says what made
it, NAME.lock is held by those that use it, and was last touched when it was last opened.
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from phf.errors import ConfigError
from phf.storage.files import NO_LOCKS

try:
    import fcntl
except ImportError:  # Windows: who uses what cannot be known, so nothing is removed there by itself
    fcntl = None  # type: ignore[assignment]

ENTRIES = ".entries"
_kept: dict[Path, int] = {}
"""Entry -> descriptor of its lock, which this process holds until it ends. Children that it forks hold it too."""


class NoLocksError(Exception):
    """Who uses what cannot be known: the platform or the file system has no locks."""


def cache_root() -> Path:
    """`$PHF_CACHE`, else `phf` in `$XDG_CACHE_HOME` or `~/.cache`. Raises `ConfigError` for a user without a home."""
    root = Path(os.environ.get("PHF_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "phf")
    try:
        return root.expanduser()
    except RuntimeError:  # a number of a user that is not known, as in containers, and no $HOME
        raise ConfigError(f"The folder of the cache, {root}, is not known: no home folder. Set PHF_CACHE.") from None


def record_of(path: Path) -> Path:
    """The file that says what made an entry."""
    return path.parents[1] / ENTRIES / path.parent.name / f"{path.name}.json"


def lock_of(path: Path) -> Path:
    """The file that those who use an entry hold a lock on. Its modification time is that of the last use."""
    return record_of(path).with_suffix(".lock")


def making_of(path: Path) -> Path:
    """The file that a process holds a lock on while it makes an entry."""
    return record_of(path).with_suffix(".making")


def keep_in_use(path: Path) -> None:
    """Hold an entry until this process ends, and note that it was used now."""
    path = path.absolute()
    if path in _kept and not _is_file_of(_kept[path], lock_of(path)):
        os.close(_kept.pop(path))  # the whole cache was deleted meanwhile
    if path not in _kept:
        with suppress(NoLocksError, OSError):
            _kept[path] = _locked(lock_of(path), shared=True)
    if path in _kept:
        _touch(_kept[path])


@contextmanager
def using(path: Path) -> Iterator[None]:
    """Hold an entry while the block runs, and note that it was used now.

    Where the cache is read-only, full or without locks, the entry is used all the same, and not held.
    """
    descriptor = None
    with suppress(NoLocksError, OSError):
        descriptor = _locked(lock_of(path), shared=True)
        _touch(descriptor)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def unused(path: Path) -> Iterator[bool]:
    """Whether an entry is not in use; while the block runs, no process can begin to use it.

    Raises `NoLocksError` where that cannot be known, `OSError` where the lock cannot be opened.
    """
    try:
        descriptor = _locked(lock_of(path), shared=False)
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:
        os.close(descriptor)


def is_in_use(path: Path) -> bool | None:
    """Whether a process uses an entry, this one included; None where that cannot be known. Changes nothing."""
    if not lock_of(path).exists():
        return False if fcntl is not None else None
    try:
        with unused(path) as is_unused:
            return not is_unused
    except (NoLocksError, OSError):
        return None


def last_use(path: Path) -> float:
    """Seconds since the epoch: of an entry that was never opened since it is registered, when it was last changed."""
    for file in (lock_of(path), path):
        with suppress(OSError):
            return file.lstat().st_mtime
    return time.time()


def _locked(path: Path, *, shared: bool) -> int:
    """A descriptor that holds a lock on the file, which is created if need be; waits for a lock only if it is `shared`.

    A file that was removed in between is locked again under its name: the lock on the old one protects nothing.
    """
    if fcntl is None:
        raise NoLocksError("no file locks on this platform")
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX | fcntl.LOCK_NB
    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, how)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError) and error.errno in NO_LOCKS:
                raise NoLocksError(str(error)) from error
            raise
        if _is_file_of(descriptor, path):
            return descriptor
        os.close(descriptor)


def _is_file_of(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _touch(descriptor: int) -> None:
    with suppress(OSError):  # a lock of another user, or of a read-only disk
        os.utime(descriptor)
