"""The shards of an annotated dataset, checked against its manifest: a folder that has lost one is not the dataset."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from phf.data.formats import kind_by_name
from phf.data.stored import StoredFile
from phf.errors import CorpusError
from phf.reading import read_json

MANIFEST = "manifest.json"
"""In a folder that `phf annotate` has finished. Written last."""
REMEDY = f"Copy the dataset again, or delete {MANIFEST} and run the same phf annotate again."


def listed_shards(folder: Path) -> list[StoredFile] | None:
    """The shards that the manifest of `folder` lists, in order; None for a folder without a manifest of ours.

    Raises `CorpusError` where a shard is missing or not as large as it was, and where there are others.
    """
    if not (folder / MANIFEST).is_file() or (shards := _shards_of(folder / MANIFEST)) is None:
        return None
    files = [_checked(folder, shard) for shard in shards]
    known = {shard["name"] for shard in shards}
    others = sorted(path.name for path in folder.iterdir() if path.name not in known and _is_shard(path))
    if others:
        raise CorpusError(
            f"{folder}: holds {_count(len(others), 'file')} of records that {MANIFEST} does not list, such as {others[0]}. "
            "Move them to a folder of their own."
        )
    return files


def whole_shard(folder: Path, shard: Mapping[str, Any]) -> bool:
    """Whether a shard is there, with the size that it was written with."""
    path = folder / shard["name"]
    return path.is_file() and path.stat().st_size == shard.get("num_bytes", path.stat().st_size)


def _shards_of(path: Path) -> list[dict[str, Any]] | None:
    found = read_json(path, CorpusError, REMEDY)
    if not isinstance(found, dict) or not {"phf_version", "shards"} <= found.keys():
        return None  # somebody else's file of that name
    shards = found["shards"]
    if not isinstance(shards, list) or not all(_is_described(shard) for shard in shards):
        raise CorpusError(f"{path}: its 'shards' are not a list of names with their counts. {REMEDY}")
    return shards


def _is_described(shard: Any) -> bool:
    if (
        not isinstance(shard, dict)
        or not isinstance(shard.get("name"), str)
        or Path(shard["name"]).name != shard["name"]
    ):
        return False
    return all(isinstance(shard.get(key, 0), int) for key in ("num_documents", "num_bytes"))


def _checked(folder: Path, shard: Mapping[str, Any]) -> StoredFile:
    path = folder / shard["name"]
    if not path.is_file():
        raise CorpusError(f"{path} is missing, which {MANIFEST} lists. {REMEDY}")
    file = replace(StoredFile.local(path), num_rows=shard.get("num_documents"))
    if file.num_bytes != shard.get("num_bytes", file.num_bytes):
        raise CorpusError(f"{path} has {file.num_bytes:,} bytes, but {shard['num_bytes']:,} by {MANIFEST}. {REMEDY}")
    if file.num_rows is not None:
        file.check_rows(_num_rows(path, file.num_bytes, file.stamp))
    return file


@lru_cache(2**17)
def _num_rows(path: Path, num_bytes: int, stamp: str) -> int:
    """By the footer of the file, which is read once as long as the file stays as it is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise CorpusError(f"{path}: is not a readable Parquet file: {reason}. {REMEDY}") from error


def _is_shard(path: Path) -> bool:
    """Whether a file beside the shards would be read as records, were there no manifest."""
    kind, is_ambiguous = kind_by_name(path.name)
    return kind is not None and not is_ambiguous and path.name[0] != "." and path.is_file()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
