"""Finding the files of a source: records, or text; and reporting which files of a folder are neither."""

import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from phf.corpus.formats.compression import compression_of
from phf.corpus.formats.kinds import OWN_FILES, Kind, kind_by_content, kind_by_name
from phf.corpus.formats.row_policy import ReadNotes, ReadOptions
from phf.corpus.formats.stored import StoredFile, is_url, reading
from phf.corpus.shards import MANIFEST, listed_remote_shards, listed_shards, with_known_content
from phf.corpus.sources.tree import JOB, PIECES, Tree, find, is_direct, is_folder
from phf.errors import CorpusError

__all__ = ["JOB", "MANIFEST", "Listing", "is_saved_dataset", "is_text", "list_source", "record_files"]

EMPTY = "empty (0 bytes)"
SNIFFED = 20
"""Number of files of unknown kind that are examined in a folder; all are, if one of these contains records."""
SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
_SPLIT = re.compile(rf"(?:^|[/._-])({'|'.join(SPLITS)})(?=[/._-]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class ListedFile:
    """A file of a source."""

    name: str
    """Its path below the root of the source, with slashes."""
    stored: StoredFile
    kind: Kind


@dataclass
class Listing:
    """The files of a source that exists on disk or at a URL."""

    source: str
    kind: Literal["records", "text"]
    root: str
    files: list[ListedFile] = field(default_factory=list)
    notes: ReadNotes = field(default_factory=ReadNotes)
    warnings: list[str] = field(default_factory=list)
    is_deep: bool = False
    """Whether files of subfolders are read too."""


def list_source(source: str, options: ReadOptions | None = None) -> Listing | None:
    """The files that `source` names, in the order in which they are read; None if nothing here has that name.

    Raises `CorpusError` for the folder of an annotation that is unfinished or damaged, for a folder that consists mostly
    of records in its subfolders, and for a glob that matches nothing but folders.
    """
    options = options or ReadOptions()
    if not is_url(source) and Path(source).is_dir():
        path = Path(source)
        if _is_unfinished({path.name for path in path.iterdir()}):
            raise _unfinished(source)
        if (shards := listed_shards(path)) is not None:
            files = [ListedFile(shard.name, shard, "parquet") for shard in shards]
            return Listing(source, "records", source, files)
    tree = find(source)
    if tree is None:
        return None
    if is_url(source) and is_folder(source):
        there = {name: file for name, file in tree.files if "/" not in name}
        if _is_unfinished(there.keys()):
            raise _unfinished(source)
        if (shards := listed_remote_shards(source, there)) is not None:
            return Listing(source, "records", tree.root, [ListedFile(shard.name, shard, "parquet") for shard in shards])
    elif not is_url(source):  # a glob: what it takes from a dataset is from a complete one
        for parent in {Path(file.location).parent for name, file in tree.files if name.endswith(".parquet")}:
            if len(tree.files) > 1:
                listed_shards(parent, alone=False)
        tree.files = with_known_content(tree.files)
    if not tree.files and tree.folders:
        raise CorpusError(
            f"{source}: matches only folders, such as {tree.folders[0]}. Give the files in them, e.g. "
            f"'{source.rstrip('/')}/*'."
        )
    if len(tree.files) == 1 and not tree.folders and not is_folder(source):
        return _one_file(source, tree, options)
    listing = _records(source, tree, options)
    if listing is None:
        _refuse_hidden_records(source, tree, options)
        listing = Listing(source, "text", tree.root, [ListedFile(n, f, "text") for n, f in tree.files], tree.notes)
        listing.is_deep = True
        if tree.records_in_text:
            examples = ", ".join(tree.records_in_text[:3])
            listing.warnings.append(
                f"{source}: is read as text, one document per file, though some are records: {examples}."
            )
    for folder in tree.folders:
        listing.notes.leave_out(f"{folder}/", "folders that the glob matches")
    return listing


def record_files(source: str) -> list[Path]:
    """The local files of records that `source` names, in the order in which they are read."""
    listing = None if is_url(source) else list_source(source)
    return [Path(file.stored.location) for file in listing.files] if listing and listing.kind == "records" else []


def is_text(source: str) -> bool:
    """Whether `source` names files that are one document each."""
    listing = None if is_saved_dataset(source) else list_source(source)
    return listing is not None and listing.kind == "text"


def is_saved_dataset(source: str) -> bool:
    """Whether `source` is a folder that `datasets.save_to_disk` wrote."""
    with reading(source):
        folder = Path(source)
        is_split = (folder / "dataset_info.json").is_file() and (folder / "state.json").is_file()
        return is_split or (folder / "dataset_dict.json").is_file()


def _is_unfinished(names: Collection[str]) -> bool:
    """Whether `phf annotate` has begun in a folder of such files and not written its manifest, which comes last."""
    shards = (name.startswith("shard-") and name.endswith(".parquet") for name in names)
    begun = JOB in names and (PIECES in names or any(shards))
    return begun and MANIFEST not in names


def _unfinished(source: str) -> CorpusError:
    return CorpusError(
        f"{source}: its annotation is unfinished. Run the same phf annotate again to finish it, or name what there is as "
        f"'{source.rstrip('/')}/*.parquet'."
    )


def _one_file(source: str, tree: Tree, options: ReadOptions) -> Listing:
    ((name, file),) = tree.files
    kind = kind_by_name(name)[0] or kind_by_content(file, options)[0]
    return Listing(
        source, "text" if kind == "text" else "records", tree.root, [ListedFile(name, file, kind)], tree.notes
    )


def _records(source: str, tree: Tree, options: ReadOptions) -> Listing | None:
    """The listing of a folder or glob of records; None if it is one of text."""
    in_folder = is_folder(source)
    here = [item for item in tree.files if not in_folder or is_direct(item[0])]
    certain = {name for name, _ in here if _is_certain(name, source, in_folder)}
    unsure = [(name, file) for name, file in here if name not in certain and not OWN_FILES.fullmatch(file.name)]
    step = max(1, len(unsure) // SNIFFED)
    kinds = {name: kind_by_content(file, options) for name, file in unsure[::step]}
    if certain or any(kind != "text" for kind, _ in kinds.values()):
        kinds |= {name: kind_by_content(file, options) for name, file in unsure if name not in kinds}
    recognised = {name for name, (kind, _) in kinds.items() if kind != "text"}
    if not certain:
        in_records = sum(file.num_bytes for name, file in here if name in recognised)
        if not recognised or in_records <= sum(file.num_bytes for _, file in tree.files) / 2:
            tree.records_in_text = sorted(recognised)
            return None
    listing = Listing(source, "records", tree.root, notes=tree.notes)
    for name, file in tree.files:
        if in_folder and not is_direct(name):
            listing.notes.leave_out(name, f"in subfolders (to read them too: '{source.rstrip('/')}/**/*')")
        elif name in certain:
            kind = kind_by_name(name)[0]
            assert kind is not None
            if not file.num_bytes and kind == "json" and compression_of(name, b"") is None:
                listing.notes.leave_out(name, EMPTY)  # it holds nothing; of other kinds, it is damaged
                continue
            listing.files.append(ListedFile(name, file, kind))
        elif name in recognised:
            listing.files.append(ListedFile(name, file, kinds[name][0]))
        elif OWN_FILES.fullmatch(file.name):
            listing.notes.leave_out(name, "written by Spark for itself")
        else:
            listing.notes.leave_out(name, EMPTY if not file.num_bytes else kinds[name][1])
    listing.is_deep = any("/" in file.name for file in listing.files)
    listing.warnings = [*_split_warnings(source, listing.files, in_folder), *_format_warnings(source, listing.files)]
    return listing


def _is_certain(name: str, source: str, in_folder: bool) -> bool:
    """Whether its name alone makes a file one of records; for ambiguous names, whether a glob asks for it."""
    kind, is_ambiguous = kind_by_name(name)
    if kind is None or not is_ambiguous:
        return kind is not None
    return not in_folder and kind_by_name(source.replace("*", "x"))[0] == kind


def _refuse_hidden_records(source: str, tree: Tree, options: ReadOptions) -> None:
    """Refuse to read as text a folder that consists mostly of records in its subfolders."""
    kinds = {name: kind_by_name(name) for name, _ in tree.files}
    certain = [(n, f) for n, f in tree.files if kinds[n][0] is not None and not kinds[n][1]]
    probable = [(n, f) for n, f in tree.files if kinds[n][0] is not None and not n.lower().endswith(".json")]
    num_bytes = sum(file.num_bytes for _, file in tree.files)
    below = [(name, file) for name, file in tree.files if "/" in name and kinds[name][0] in (None, "json")]
    sample = below[:: max(1, len(below) // SNIFFED)]
    looked_into = [item for item in sample if kind_by_content(item[1], options)[0] != "text"]
    is_records = bool(sample) and len(looked_into) > len(sample) / 2 and len(below) > len(tree.files) / 2
    for records, is_most in (
        (certain, _share(certain, num_bytes) > 0.5),
        (probable, _share(probable, num_bytes) > 0.5 and len(probable) > len(tree.files) / 2),
        (looked_into, is_records),
    ):
        if records and is_most:
            raise _records_below(source, tree, records)


def _share(files: Sequence[tuple[str, StoredFile]], num_bytes: int) -> float:
    return sum(file.num_bytes for _, file in files) / max(num_bytes, 1)


def _records_below(source: str, tree: Tree, records: Sequence[tuple[str, StoredFile]]) -> CorpusError:
    name, file = records[0]
    if all("/" not in name for name, _ in records):
        return CorpusError(
            f"{source}: its records have no column of text, such as those of {file.location}. Choose the column that holds "
            "the text with phf annotate --text-column."
        )
    folder = source.rstrip("/") if is_folder(source) else tree.root
    return CorpusError(
        f"{source}: most of it is records in its subfolders, such as {file.location}, but it would be read as text. Give a "
        f"subfolder, or all of them with a glob like '{folder}/**/*{Path(name).suffix}'."
    )


def _split_warnings(source: str, files: Sequence[ListedFile], in_folder: bool) -> list[str]:
    splits: Counter[str] = Counter()
    names: dict[str, str] = {}
    for file in files:
        if (match := _SPLIT.search(file.name)) is not None:
            split = SPLITS[match[1].lower()]
            splits[split] += 1
            folder, _, last = file.name.rpartition("/")
            inner = f"{folder}/" if folder and not _SPLIT.search(folder) else ""
            inner += f"{match[1]}*" if last.startswith(match[1]) else f"**/*{match[1]}*"
            names.setdefault(split, inner)
    if len(splits) < 2:
        return []
    root = source.rstrip("/") if in_folder else os.path.dirname(source.partition("*")[0])
    counts = ", ".join(f"{split} ({count})" for split, count in sorted(splits.items()))
    split = "train" if "train" in splits else min(splits)
    pattern = f"{root}/{names[split]}" if root else names[split]
    return [f"{source}: all of its splits are read: {counts} files. To read one, give its files, e.g. '{pattern}'."]


def _format_warnings(source: str, files: Sequence[ListedFile]) -> list[str]:
    kinds = Counter(file.kind for file in files)
    if len(kinds) < 2:
        return []
    counts = ", ".join(f"{kind} ({count})" for kind, count in sorted(kinds.items()))
    return [f"{source}: files of several formats are read: {counts}. Does it contain the same text twice?"]
