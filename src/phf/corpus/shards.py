"""The shards of an annotated dataset, checked against its manifest: a folder that has lost one is not the dataset."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from phf.corpus.formats.kinds import kind_by_name
from phf.corpus.formats.stored import LFS_POINTER_BYTES, REMEDY, StoredFile, reaching, refuse_pointer
from phf.errors import CorpusError
from phf.storage.content import content_sha256
from phf.storage.reading import parse_json, read_json

MANIFEST = "manifest.json"
"""In a folder that `phf annotate` has finished. Written last."""
OWN_HASH = "sha256"
"""Key of a manifest under which it has the hash of everything else in it; those of earlier versions have none."""


def manifest_path(folder: Path) -> Path | None:
    """The manifest in `folder`; None if there is none. Raises `CorpusError` for a folder, FIFO or broken link in its place."""
    path = folder / MANIFEST
    if path.is_file():
        return path
    if os.path.lexists(path):
        raise CorpusError(f"{path} is not a regular file. {REMEDY}")
    return None


def listed_shards(folder: Path, *, alone: bool = True) -> list[StoredFile] | None:
    """The shards that the manifest of `folder` lists, in order; None for a folder without a manifest of ours.

    Raises `CorpusError` where a shard is missing or not as large as it was, and, if they are to be `alone`, where there are
    other files of records.
    """
    path = manifest_path(folder)
    if path is None or (shards := _shards_of(read_json(path, CorpusError, REMEDY), str(path))) is None:
        return None
    there = {name: StoredFile.local(folder / name) for name in _names(shards) if (folder / name).is_file()}
    files = [_checked(str(folder), shard, there) for shard in shards]
    for file in files:
        if file.num_rows is not None:
            file.check_rows(_num_rows(file.location, file.num_bytes, file.stamp))
    if alone:
        _refuse_others(str(folder), [path.name for path in folder.iterdir() if path.is_file()], shards)
    return files


def listed_remote_shards(folder: str, there: Mapping[str, StoredFile]) -> list[StoredFile] | None:
    """The same of a folder at a URL, whose files are `there` by name; numbers of rows are checked when they are read."""
    if MANIFEST not in there:
        return None
    where = f"{folder.rstrip('/')}/{MANIFEST}"
    with there[MANIFEST].open() as file, reaching(where):
        content = file.read()
    if (shards := _shards_of(parse_json(content, where, CorpusError, REMEDY), where)) is None:
        return None
    files = [_checked(folder, shard, there) for shard in shards]
    _refuse_others(folder, [name for name in there if "/" not in name], shards)
    return files


def with_known_content(files: Sequence[tuple[str, StoredFile]]) -> list[tuple[str, StoredFile]]:
    """The named files, those that a manifest next to them lists with the hash that it has of them."""
    in_folders = {Path(file.location).parent for _, file in files if file.name.endswith(".parquet")}
    hashes = {folder: _hashes(folder) for folder in in_folders}
    known = [hashes.get(Path(file.location).parent, {}).get(file.name) for _, file in files]
    return [
        (name, file if sha256 is None else replace(file, sha256=sha256))
        for (name, file), sha256 in zip(files, known, strict=True)
    ]


def _hashes(folder: Path) -> dict[str, str]:
    """Name -> hash of each shard that the manifest of `folder` lists. One that cannot be read says nothing: files are asked
    for, not the dataset."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        shards = _shards_of(read_json(path, CorpusError, REMEDY), str(path))
    except CorpusError:
        return {}
    return {shard["name"]: shard["sha256"] for shard in shards or () if "sha256" in shard}


def whole_shard(folder: Path, shard: Mapping[str, Any], *, check_content: bool = False) -> bool:
    """Whether a shard exists, with its original size and, if that is to be checked, its original content."""
    path = folder / shard["name"]
    if not path.is_file() or path.stat().st_size != shard.get("num_bytes", path.stat().st_size):
        return False
    return not check_content or content_sha256(path) == shard.get("sha256", content_sha256(path))


def manifest_sha256(manifest: Mapping[str, Any]) -> str:
    """Hash of everything in a manifest apart from this hash."""
    values = {key: value for key, value in manifest.items() if key != OWN_HASH}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def check_manifest(manifest: Mapping[str, Any], where: str) -> None:
    """Raises `CorpusError` for a manifest that is not as it was written."""
    if manifest.get(OWN_HASH, "") not in ("", manifest_sha256(manifest)):
        raise CorpusError(f"{where} is damaged: a value in it is not what was written. {REMEDY}")


def _shards_of(manifest: Any, where: str) -> list[dict[str, Any]] | None:
    if not isinstance(manifest, dict) or not {"phf_version", "shards"} <= manifest.keys():
        return None  # another program's file of that name
    check_manifest(manifest, where)
    shards = manifest["shards"]
    if not isinstance(shards, list) or not all(_is_described(shard) for shard in shards):
        raise CorpusError(f"{where}: its 'shards' are not a list of names with their counts. {REMEDY}")
    return shards


def _names(shards: Sequence[Mapping[str, Any]]) -> list[str]:
    return [shard["name"] for shard in shards]


def _is_described(shard: Any) -> bool:
    if (
        not isinstance(shard, dict)
        or not isinstance(shard.get("name"), str)
        or Path(shard["name"]).name != shard["name"]
    ):
        return False
    counts = (shard.get(key, 0) for key in ("num_documents", "num_bytes"))
    return all(isinstance(count, int) for count in counts) and isinstance(shard.get("sha256", ""), str)


def _checked(folder: str, shard: Mapping[str, Any], there: Mapping[str, StoredFile]) -> StoredFile:
    name = f"{folder.rstrip('/')}/{shard['name']}"
    if shard["name"] not in there:
        raise CorpusError(f"{name} is missing, which {MANIFEST} lists. {REMEDY}")
    file = replace(there[shard["name"]], num_rows=shard.get("num_documents"))
    if file.num_bytes < LFS_POINTER_BYTES:
        with file.open() as opened:
            refuse_pointer(name, opened.read(LFS_POINTER_BYTES))
    if file.num_bytes != shard.get("num_bytes", file.num_bytes):
        raise CorpusError(
            f"{name} has {file.num_bytes:,} bytes, but {shard['num_bytes']:,} according to {MANIFEST}. {REMEDY}"
        )
    return replace(file, sha256=shard.get("sha256"))


def _refuse_others(folder: str, names: Sequence[str], shards: Sequence[Mapping[str, Any]]) -> None:
    known = set(_names(shards))
    others = sorted(name for name in names if _is_shard(name) and name not in known)
    if others:
        raise CorpusError(
            f"{folder}: holds {len(others):,} {'file' if len(others) == 1 else 'files'} of records that {MANIFEST} does not "
            f"list, such as {others[0]}. Move files that do not belong to the dataset to another folder."
        )


@lru_cache(2**17)
def _num_rows(path: str, num_bytes: int, stamp: str) -> int:
    """Rows according to the footer of the file, which is read only once unless the file changes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: names in a damaged footer are not UTF-8
        reason = str(error).partition("\n")[0]
        raise CorpusError(f"{path}: is not a readable Parquet file: {reason}. {REMEDY}") from error


def _is_shard(name: str) -> bool:
    """Whether a file next to the shards would be read as records if there were no manifest."""
    kind, is_ambiguous = kind_by_name(name)
    return kind is not None and not is_ambiguous and name[0] != "."
