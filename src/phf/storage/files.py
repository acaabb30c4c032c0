"""Files that are either complete or absent: written under a temporary name and renamed."""

import errno
import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phf.errors import OutputError

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"
"""Name of the lock file in a folder that a job writes, or has written."""
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
"""Errors of file systems without locks, such as some network file systems."""
FULL = {errno.ENOSPC, errno.EDQUOT}
"""Errors of a full disk, or of a quota that is used up."""
IN_THE_WAY = {errno.EEXIST, errno.ENOTDIR, errno.ENOENT}
"""Errors of a path on which something other than a folder stands."""
DEVICES = Path("/dev")
KILLED_SECONDS = 3600.0
"""An unfinished file that has not been written to for this long belongs to no process any more."""

UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.partial", re.DOTALL)
SURROGATE = re.compile(r"[\ud800-\udfff]")
BLOCK_BYTES = 65_536
"""Read at once to find the last line of a file."""


@contextmanager
def atomic_write(path: Path, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; it becomes `path` when the block ends without an error.

    `sync`: wait until it is on disk; False: the caller uses `sync_file` when it matters, since a machine that loses power may
    leave it truncated. Raises `OutputError` naming `path` when the disk is full or the folder cannot be written, and for a
    device, whose place a file would take if the superuser writes it.
    """
    # only a name: the block creates the file. One that is there and is truncated is written to disk by ext4 as soon as it is
    # closed, and deleting it waits for that
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    with writing(path):
        if path.parent.absolute() == DEVICES or (path.exists() and not (path.is_file() or path.is_dir())):
            raise OutputError(f"{path} cannot be written: it is a device, not a file. Choose another path.")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            if sync:
                _sync(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises `OutputError` naming `path`, which the block writes, for what the operating system refuses."""
    try:
        yield
    except OSError as error:
        raise _output_error(path, error) from error


def sync_file(path: Path) -> None:
    """Return when the content of a file is on disk. Raises `OutputError` if it cannot be written."""
    with writing(path):
        _sync(path)


def write_text_atomic(path: Path, text: str, sync: bool = True) -> None:
    """Write UTF-8 text; see `atomic_write`."""
    with atomic_write(path, sync) as partial:
        partial.write_text(text, encoding="utf-8")


def append_atomic(path: Path, content: bytes) -> None:
    """Append to a file, all or nothing, even if the disk fills up.

    A process that is killed meanwhile may leave a part. Raises `OutputError` naming `path`.
    """
    with writing(path), path.open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        left = memoryview(content)
        with ExitStack() as undo:
            undo.callback(file.truncate, size)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
            undo.pop_all()


def last_line(path: Path) -> bytes:
    """The last line of a file with the newline that ends it, if one does; empty for an empty file or none."""
    if not path.is_file():
        return b""
    tail = b""
    with path.open("rb") as file:
        start = file.seek(0, os.SEEK_END)
        while start and b"\n" not in tail[:-1]:
            end, start = start, max(0, start - BLOCK_BYTES)
            file.seek(start)
            tail = file.read(end - start) + tail
    return tail[tail.rfind(b"\n", 0, max(0, len(tail) - 1)) + 1 :]


def write_json_atomic(path: Path, value: Any, sync: bool = True) -> None:
    """Write a value as indented JSON; see `atomic_write`."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if SURROGATE.search(text):  # from somebody's JSON, which can represent one; UTF-8 cannot
        text = json.dumps(value, indent=2)
    write_text_atomic(path, text + "\n", sync)


def remove_remains(folder: Path, name: str | None = None) -> None:
    """Delete unfinished files of `atomic_write` that killed commands have left in `folder`.

    `name`: of what they were to become; None for any. Those of the last hour stay: another command may be writing them.
    """
    for partial in folder.glob(f".{'*' if name is None else glob.escape(name)}.*.partial"):
        with suppress(OSError):  # removed by another process, or not ours to remove
            if UNFINISHED.fullmatch(partial.name) and time.time() - partial.lstat().st_mtime > KILLED_SECONDS:
                partial.unlink()


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder that becomes `folder` when the block ends without an error: it is there as a whole, or not at all.

    Meanwhile other processes that would make it are refused. What a killed one has left is removed. Raises `OutputError` if
    `folder` exists or cannot be written.
    """
    exists = OutputError(f"{folder} exists. Choose another folder, or remove it.")
    if os.path.lexists(folder):
        raise exists
    partial = folder.with_name(f".{folder.name}.partial")
    with only_job(partial, folder):
        try:
            if os.path.lexists(folder):  # made by another process since then
                raise exists
            _empty(partial)
            yield partial
            with writing(folder):
                (partial / LOCK).unlink(missing_ok=True)
                partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def only_job(folder: Path, of: Path | None = None) -> Iterator[None]:
    """Hold `folder` against other jobs while the block runs. Raises `OutputError` if another one holds it.

    `of`: what the message names instead. On a file system without locks nothing is held. A folder to which the block wrote
    nothing is removed.
    """
    from filelock import FileLock, Timeout  # workers have no use for it

    existed = folder.is_dir()
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        acquire_if_supported(lock)
    except Timeout as error:
        raise OutputError(
            f"{of or folder} is being written by another job. Wait for it, or choose another folder."
        ) from error
    except OSError as error:
        raise _output_error(of or folder, error) from error
    remove_remains(folder)
    try:
        yield
    finally:
        lock.release()
        if not existed and is_unused(folder):
            shutil.rmtree(folder, ignore_errors=True)


def acquire_if_supported(lock: "BaseFileLock", timeout: float | None = None) -> None:
    """Acquire `lock`; on a file system without locks nothing is held.

    `timeout`: seconds, -1 to wait for as long as it takes; None: the lock's own. Raises filelock's `Timeout`, or `OSError`
    where the lock cannot be written.
    """
    try:
        lock.acquire(timeout=timeout)
    except NotImplementedError:
        pass  # filelock's error on a file system without locks
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def is_unused(folder: Path) -> bool:
    """Whether nothing has written to `folder` yet: it does not exist, or contains only the remains of a killed job."""
    return not folder.is_dir() or all(path.name == LOCK or path.suffix == ".partial" for path in folder.iterdir())


def refuse_others(folder: Path, own: Collection[str], command: str) -> None:
    """Raises `OutputError` for a folder that holds something, but none of the files `own`, which `command` writes."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder. Choose another with --output.")
    if is_unused(folder) or any((folder / name).is_file() for name in own):
        return
    example = min(path.name for path in folder.iterdir() if path.name != LOCK)
    raise OutputError(
        f"{folder} is not empty and was not made by {command}: it has {example}. Choose another with --output."
    )


@contextmanager
def claimed_folder(folder: Path | None, own: Collection[str], command: str) -> Iterator[None]:
    """Hold a folder to which `command` writes the files `own` at its end; None holds nothing.

    Raises `OutputError` at once for one that cannot be written, that another process holds, or that has something else in it.
    """
    if folder is None:
        yield
        return
    refuse_others(folder, own, command)
    with only_job(folder):
        yield


def apply_umask(folder: Path) -> None:
    """Give the weights in a folder the permissions of any new file: safetensors writes them for their owner alone."""
    probe = folder / f".{secrets.token_hex(4)}.partial"  # asking for the umask itself would change it for a moment
    probe.touch()
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    for path in folder.glob("*.safetensors"):
        path.chmod(mode)


def file_sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _in_the_way(path: Path) -> str | None:
    """What stands where `path`, or a folder that it is in, would be; None if nothing does."""
    first = next((place for place in (path, *path.parents) if os.path.lexists(place)), None)
    if first is None or os.path.isdir(first):
        return None
    if first.is_symlink() and not os.path.exists(first):
        return f"{first} is a link to {os.readlink(first)}, which does not exist"
    return f"{first} is a file, not a folder"


def _output_error(path: Path, error: OSError) -> OutputError:
    reason = _in_the_way(path) if error.errno in IN_THE_WAY else None
    reason = reason or error.strerror or str(error)
    advice = "Make room or choose another folder" if error.errno in FULL else "Choose another folder"
    return OutputError(f"{path} cannot be written: {reason}. {advice}; finished files are kept.")
