"""What is kept in the cache: each entry with its size, last use and origin; removing entries and what dead processes left."""

import os
import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ConfigDict
from typing_extensions import TypedDict

from phf.errors import CorpusError, OutputError
from phf.storage.cache_locks import ENTRIES, NoLocksError, is_in_use, last_use, lock_of, making_of, record_of, unused
from phf.storage.reading import read_json_as

PARTIAL = ".partial"
EARLIER = {
    "annotated": re.compile(r".+-[0-9a-f]{16}"),
    "blocks": re.compile(r"[0-9a-f]{32}"),
    "thresholds": re.compile(r"[0-9a-f]{32}\.json"),
    "references": re.compile(r"reference-[0-9a-f]{16}\.json"),
}
"""How versions without records named what they kept. Anything else that has no record is not ours, and is left alone."""


class Record(TypedDict):
    """What made an entry."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    kind: str
    source: str
    made_at: str
    """In UTC, ISO 8601."""
    phf: str
    """The version."""


@dataclass(frozen=True)
class Entry:
    """Something that the cache keeps."""

    path: Path
    size: int
    """Bytes, with those of an unfinished one."""
    last_used: float
    """Seconds since the epoch."""
    record: Record | None
    """None: of a version that kept no records, or the record is damaged."""
    is_in_use: bool | None
    """None: the file system does not say."""

    @property
    def kind(self) -> str:
        return self.path.parent.name

    @property
    def name(self) -> str:
        return self.path.name


@dataclass
class Pruned:
    """What pruning removed, or would remove."""

    removed: list[Entry] = field(default_factory=list)
    in_use: list[Entry] = field(default_factory=list)
    """Those that were to be removed, but are in use."""
    failed: dict[Path, str] = field(default_factory=dict)
    """Those that could not be removed, with the reason."""
    leftover_bytes: int = 0
    """Bytes that dead processes left."""
    remaining_bytes: int = 0


def entries(root: Path) -> list[Entry]:
    """What is kept under `root`, the least recently used first. A folder that is missing keeps nothing.

    Raises `OutputError` where the folder cannot be read.
    """
    paths: dict[Path, list[Path]] = {}
    for kind in _kinds(root):
        for child in _children(kind):
            if owner := _owner_of_partial(child):
                paths.setdefault(owner, []).append(child)
            elif _is_ours(child):
                paths.setdefault(child, []).append(child)
    listed = [
        Entry(path, sum(map(_size, parts)), last_use(path), _record(path), is_in_use(path))
        for path, parts in paths.items()
        if path in parts or is_in_use(path) is not False  # else it is a leftover
    ]
    return sorted(listed, key=lambda entry: (entry.last_used, entry.path))


def known_kinds(root: Path) -> list[str]:
    """The kinds of entries that are kept under `root`, or were."""
    return [path.name for path in _kinds(root)]


def leftover_bytes(root: Path) -> int:
    """What unfinished entries of dead processes take."""
    return _remove_leftovers(root, dry_run=True)


def prune(
    root: Path,
    *,
    to_bytes: int | None = 0,
    older_than: float = 0,
    kinds: Collection[str] | None = None,
    dry_run: bool = False,
) -> Pruned:
    """Remove what dead processes left, then entries, the least recently used first, until all take at most `to_bytes`
    (None: any number).

    Never removes an entry that is in use, one used within the last `older_than` seconds, or one of a kind that is not
    among `kinds`.
    """
    pruned = Pruned(leftover_bytes=_remove_leftovers(root, dry_run))
    now = time.time()
    listed = entries(root)
    remaining = sum(entry.size for entry in listed)
    for entry in listed:
        is_wanted = now - entry.last_used >= older_than and (kinds is None or entry.kind in kinds)
        if to_bytes is None or remaining <= to_bytes or not is_wanted:
            continue
        try:
            is_removed = entry.is_in_use is False if dry_run else remove(entry.path)
        except OutputError as error:
            pruned.failed[entry.path] = str(error)
            continue
        if is_removed:
            pruned.removed.append(entry)
            remaining -= entry.size
        else:
            pruned.in_use.append(entry)
    pruned.remaining_bytes = remaining
    return pruned


def remove(path: Path) -> bool:
    """Remove an entry that is not in use; False if it is, or if there is no way to know.

    It disappears at once: a process that opens it afterwards makes it again. Raises `OutputError` where it cannot be removed.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        with unused(path) as is_unused:
            if not is_unused:
                return False
            with suppress(FileNotFoundError):  # by another process that prunes
                path.rename(aside)
            _forget(path)
    except NoLocksError:
        return False
    except OSError as error:
        raise OutputError(f"{path} cannot be removed: {error.strerror or error}.") from error
    delete(aside)
    return True


def _forget(path: Path) -> None:
    """Remove the notes on an entry. Only for a process that holds it exclusively."""
    for file in (record_of(path), making_of(path), lock_of(path)):
        file.unlink(missing_ok=True)


def made_bytes(path: Path) -> int:
    """Bytes of an entry and of unfinished copies of it."""
    partials = (child for child in _children(path.parent) if _owner_of_partial(child) == path)
    return sum(map(_size, (path, *partials)))


def set_aside(path: Path) -> None:
    """Remove a damaged entry even if it is in use: processes that have mapped it into memory keep their mapping."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    path.rename(aside)
    delete(aside)


def remove_partials(path: Path) -> None:
    """Remove unfinished copies of an entry. Only for the process that may make it: all others must have ended."""
    for child in _children(path.parent):
        if _owner_of_partial(child) == path:
            delete(child)


def _remove_leftovers(root: Path, dry_run: bool) -> int:
    """Remove unfinished entries of dead processes, and notes on what is not there -> bytes of the former."""
    num_bytes = 0
    for kind in _kinds(root):
        for child in _children(kind):
            owner = _owner_of_partial(child)
            if owner is not None and _is_abandoned(child, owner):
                num_bytes += _size(child)
                if not dry_run:
                    delete(child)
        for note in _children(root / ENTRIES / kind.name) if not dry_run else ():
            path = kind / note.stem
            if os.path.lexists(path):
                continue
            with suppress(NoLocksError, OSError), unused(path) as is_unused:
                if is_unused and not os.path.lexists(path):
                    _forget(path)
    return num_bytes


def _is_abandoned(partial: Path, owner: Path) -> bool:
    if partial.stem == owner.name:  # as blocks were made without records: beside a lock of that name
        try:
            with FileLock(owner.with_name(f"{owner.name}.lock"), timeout=0):
                return True
        except (Timeout, OSError, NotImplementedError):
            return False
    return is_in_use(owner) is False


def _owner_of_partial(path: Path) -> Path | None:
    """The entry that `path` was to become, or was; None for one that is whole."""
    if path.suffix != PARTIAL:
        return None
    if path.name.startswith("."):
        name, _, ending = path.stem[1:].rpartition(".")
        return path.with_name(name) if name and ending else None
    is_earlier = path.parent.name in EARLIER and EARLIER[path.parent.name].fullmatch(path.stem)
    return path.with_name(path.stem) if is_earlier else None


def _is_ours(path: Path) -> bool:
    pattern = EARLIER.get(path.parent.name)
    return record_of(path).is_file() or (pattern is not None and pattern.fullmatch(path.name) is not None)


def _record(path: Path) -> Record | None:
    try:
        return read_json_as(Record, record_of(path), CorpusError)
    except CorpusError:
        return None


def _kinds(root: Path) -> Iterator[Path]:
    known = {*EARLIER, *(path.name for path in _children(root / ENTRIES))}
    return (path for path in _children(root) if path.name in known and path.is_dir())


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(
            f"The cache cannot be read: {folder}: {error.strerror}. Set PHF_CACHE to another folder."
        ) from error


def _size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder; links are not followed, and what disappears meanwhile counts 0."""
    try:
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_size
        with os.scandir(path) as children:
            return sum(_size(Path(child)) for child in children)
    except OSError:
        return 0


def delete(path: Path) -> None:
    """Delete as much as possible: the next pruning removes what is left."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
