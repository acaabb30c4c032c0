"""The files below a folder, or matching a glob, local or at a URL."""

import glob
import os
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from phf.corpus.formats.kinds import kind_by_name
from phf.corpus.formats.row_policy import ReadNotes
from phf.corpus.formats.stored import StoredFile, file_system, is_url, reaching, reading, remote_file

JOB = "job.json"
"""File in a folder that `phf annotate` writes: what its shards are made of. Written first, so that the folder is recognised."""
PIECES = ".pieces"
"""Folder beside it, of documents that are annotated and not yet in a shard."""
HIDDEN = "hidden"
LINK = "links to folders"
ANNOTATED = "in an annotated dataset of its own"


@dataclass
class Tree:
    """Files below a root."""

    root: str
    files: list[tuple[str, StoredFile]] = field(default_factory=list)
    """(path below the root, with slashes, file), sorted by the parts of the path."""
    folders: list[str] = field(default_factory=list)
    """That a glob matched."""
    records_in_text: list[str] = field(default_factory=list)
    """Names of files of records among files that are mostly text."""
    notes: ReadNotes = field(default_factory=ReadNotes)

    def sort(self) -> "Tree":
        """The same, sorted like paths."""
        self.files.sort(key=lambda item: item[0].split("/"))
        return self


def is_folder(source: str) -> bool:
    """Whether `source` is a folder, here or at a URL."""
    if not is_url(source):
        with reading(source):
            return Path(source).is_dir()
    with reaching(source):
        store, path = file_system(source)
        return bool(store.isdir(path))


def find(source: str) -> Tree | None:
    """What `source` names: one file, a folder's files, or a glob's matches; None if nothing has that name."""
    if is_url(source):
        return _find_remote(source)
    path = Path(source)
    with reading(source):
        if path.is_file():
            return Tree(str(path.parent), [(path.name, StoredFile.local(path))])
        if path.is_dir():
            return _below(path)
        return _matches(source)


def is_partition(name: str) -> bool:
    """Whether a folder is part of a table: Hive's `language=en`, or Spark's `2020.parquet`."""
    key, equals, value = name.partition("=")
    return bool(key and equals and value) or kind_by_name(name)[0] is not None


def is_direct(name: str) -> bool:
    """Whether a file lies in the folder itself, or in parts of a table below it."""
    return all(is_partition(folder) for folder in name.split("/")[:-1])


def _below(folder: Path) -> Tree:
    tree = Tree(str(folder))
    for place, subfolders, names in os.walk(folder, onerror=_raise):
        here = os.path.relpath(place, folder)
        prefix = "" if here == "." else f"{here.replace(os.sep, '/')}/"
        kept = []
        for name in sorted(subfolders):
            path = os.path.join(place, name)
            if name[0] == ".":
                tree.notes.leave_out(f"{prefix}{name}/", HIDDEN)
            elif os.path.islink(path):
                tree.notes.leave_out(f"{prefix}{name}/", LINK)
            elif os.path.isfile(os.path.join(path, JOB)):
                tree.notes.leave_out(f"{prefix}{name}/", ANNOTATED)
            else:
                kept.append(name)
        subfolders[:] = kept
        for name in sorted(names):
            if name[0] == ".":
                tree.notes.leave_out(f"{prefix}{name}", HIDDEN)
            elif os.path.isfile(os.path.join(place, name)):
                tree.files.append((f"{prefix}{name}", StoredFile.local(os.path.join(place, name))))
            else:
                tree.notes.leave_out(f"{prefix}{name}", "not a file (a broken link, a pipe or a device)")
    return tree.sort()


def _raise(error: OSError) -> None:
    raise error


def _matches(pattern: str) -> Tree | None:
    """The matches of a glob, which skips hidden files like a shell. Folders that are Spark tables stand for their contents."""
    root = str(Path(*takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)))
    tree = Tree(root)
    for match in dict.fromkeys(map(os.path.normpath, glob.iglob(pattern, recursive=True))):
        name = os.path.relpath(match, root).replace(os.sep, "/")
        if os.path.isfile(match):
            tree.files.append((name, StoredFile.local(match)))
        elif os.path.isdir(match) and is_partition(os.path.basename(match)):
            below = _below(Path(match))
            tree.files += [(f"{name}/{inner}", file) for inner, file in below.files if is_direct(inner)]
            for inner, _ in below.files:
                if not is_direct(inner):
                    tree.notes.leave_out(f"{name}/{inner}", "in subfolders of a table")
            for reason, files in below.notes.left_out.items():
                for inner in files.names:
                    tree.notes.leave_out(f"{name}/{inner}", reason)
        elif os.path.isdir(match):
            tree.folders.append(match)
    tree.files = list(dict(tree.files).items())  # `**` matches a folder and what is in it
    return tree.sort() if tree.files or tree.folders else None


def _find_remote(source: str) -> Tree | None:
    with reaching(source):
        store, path = file_system(source)
        path = path.rstrip("/")
        if glob.has_magic(path):
            root = "/".join(takewhile(lambda part: not glob.has_magic(part), path.split("/")))
            infos = store.glob(path, detail=True)
        elif store.isfile(path):
            root = path.rpartition("/")[0]
            infos = {path: store.info(path)}
        elif store.isdir(path):
            root, infos = path, store.find(path, detail=True)
        else:
            return None
        tree = Tree(store.unstrip_protocol(root))
        for name, info in infos.items():
            below = name.removeprefix(root).strip("/")
            if info.get("type") == "directory":
                if is_partition(below.rpartition("/")[2]):
                    entries = store.find(name, detail=True)
                    tree.files += [(n.removeprefix(root).strip("/"), remote_file(store, i)) for n, i in entries.items()]
            elif any(part.startswith(".") for part in below.split("/")):
                tree.notes.leave_out(below, HIDDEN)
            else:
                tree.files.append((below, remote_file(store, info)))
        tree.files = list(dict(tree.files).items())
        return tree.sort() if tree.files else None
