"""The list of the files in a folder, with their sizes and hashes: what is missing, truncated or altered is found by it.

It is written last, so a folder without one was not finished.
"""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from phf.errors import OutputError, PhfError
from phf.storage.content import content_sha256
from phf.storage.files import file_sha256, write_json_atomic
from phf.storage.reading import read_json_as
from phf.storage.shapes import FileList, ListedFile

FILE_LIST = "files.json"
MAX_THREADS = 8
"""Files that are hashed at a time; more would wait for the disk."""


def write_file_list(folder: Path, paths: Sequence[Path] | None = None) -> None:
    """Write the list of files in `folder` and its subfolders; `paths`: None for all. Raises `OutputError` if that fails."""
    if paths is None:
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / FILE_LIST]
    write_json_atomic(folder / FILE_LIST, {"files": _described(folder, paths)})


def add_to_file_list(folder: Path, names: Sequence[str]) -> None:
    """Add files that were just written to the list of `folder`; what it says of others stays. Raises `OutputError`."""
    listed = read_json_as(FileList, folder / FILE_LIST, OutputError)["files"]
    write_json_atomic(folder / FILE_LIST, {"files": listed | _described(folder, [folder / name for name in names])})


def _described(folder: Path, paths: Sequence[Path]) -> dict[str, ListedFile]:
    files: dict[str, ListedFile] = {}
    for path, digest in zip(paths, _hashes(paths, file_sha256), strict=True):
        name = path.relative_to(folder).as_posix()
        if isinstance(digest, OSError):
            raise OutputError(f"{path} was just written and cannot be read: {digest.strerror or digest}.") from digest
        files[name] = {"bytes": path.stat().st_size, "sha256": digest}
    return files


def damaged_files(folder: Path, names: Collection[str] | None = None) -> list[str]:
    """What is wrong with files on the list of `folder`, a phrase for each; empty if all are as they were written.

    `names`: the files that are checked; None: all on the list. Files that are not on it do not count. Contents are read only if
    all sizes are right, and once by a process.
    """
    try:
        listed = read_json_as(FileList, folder / FILE_LIST, PhfError)["files"]
    except PhfError as error:
        return [str(error).removeprefix(f"{folder}/").rstrip(".")]
    if not listed:
        return [f"{FILE_LIST} names no files"]
    if outside := [name for name in listed if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts]:
        return [f"{FILE_LIST} names {outside[0][:80]}, which is not in the folder"]
    if names is not None:
        if unlisted := [name for name in names if name not in listed]:
            return [f"{FILE_LIST} does not name {name}" for name in unlisted]
        listed = {name: listed[name] for name in names}
    problems = [_size_problem(folder / name, name, facts["bytes"]) for name, facts in listed.items()]
    if any(problems):
        return list(filter(None, problems))
    actual = _hashes([folder / name for name in listed], content_sha256)
    problems = [
        _problem(name, digest, facts["sha256"]) for (name, facts), digest in zip(listed.items(), actual, strict=True)
    ]
    return list(filter(None, problems))


def unlisted_files(folder: Path) -> list[str]:
    """Names in `folder` of files and subfolders that the list, which `damaged_files` has found sound, does not name."""
    listed = {PurePosixPath(name).parts[0] for name in read_json_as(FileList, folder / FILE_LIST, PhfError)["files"]}
    return sorted(path.name for path in folder.iterdir() if path.name not in {*listed, FILE_LIST})


def _size_problem(path: Path, name: str, num_bytes: int) -> str | None:
    try:
        if not path.is_file():
            return f"{name} is missing"
        size = path.stat().st_size
    except OSError as error:  # a name that is too long, for example
        return f"{name[:80]} cannot be read: {error.strerror or error}"
    return None if size == num_bytes else f"{name} has {size:,} bytes instead of {num_bytes:,}"


def _problem(name: str, digest: str | OSError, expected: str) -> str | None:
    if isinstance(digest, OSError):
        return f"{name} cannot be read: {digest.strerror or digest}"
    return None if digest == expected else f"{name} does not have the content that was written"


def _hashes(paths: Sequence[Path], hash_of: Callable[[Path], str]) -> list[str | OSError]:
    """SHA-256 of each file, or why it cannot be read; in threads, since reading and hashing release the interpreter."""

    def attempt(path: Path) -> str | OSError:
        try:
            return hash_of(path)
        except OSError as error:
            return error

    with ThreadPoolExecutor(MAX_THREADS) as pool:
        return list(pool.map(attempt, paths))
