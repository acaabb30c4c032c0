"""The manifest of an annotated dataset."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from phf.corpus.formats.stored import REMEDY
from phf.corpus.shards import MANIFEST, OWN_HASH, check_manifest, manifest_path, manifest_sha256
from phf.errors import CorpusError
from phf.storage.files import write_json_atomic
from phf.storage.reading import read_json, read_json_as, typed


@dataclass(frozen=True)
class Manifest:
    """What an annotated dataset is and where it came from; written last, so a folder that has one is complete."""

    phf_version: str
    scorer: dict[str, Any]
    """class_name, version, settings"""
    segmenter: str
    sources: list[str]
    fingerprint: str
    num_documents: int
    num_segments: int
    num_unscored: int
    unscored_reasons: dict[str, int] = field(default_factory=dict)
    scorers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """column of scores -> its scorer, as in `scorer`, which is that of the first column"""
    shards: list[dict[str, Any]] = field(default_factory=list)
    """name, sha256, num_documents, num_bytes of each"""
    reading: dict[str, Any] = field(default_factory=dict)
    """text_column and keep, where they were given"""
    left_out: dict[str, dict[str, Any]] = field(default_factory=dict)
    """reason -> files that are not of the corpus: count, and the first by name"""
    skipped: dict[str, Any] = field(default_factory=dict)
    """bad rows: count, and the first with their place and reason"""
    num_duplicate_ids: int = 0
    """Documents that have the id of an earlier one."""
    shard_bytes: int = 0
    """UTF-8 bytes of text at which a shard was finished; 0 in a dataset of an older version."""
    sha256: str = field(default="", compare=False)
    """Of everything above (`manifest_sha256`), when it was written; empty in a dataset of an older version."""

    def write(self, folder: Path) -> None:
        """Write it beside the shards, atomically."""
        values = json.loads(json.dumps(asdict(self)))
        write_json_atomic(folder / MANIFEST, values | {OWN_HASH: manifest_sha256(values)})


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of an annotated dataset's folder; None if it has none (unfinished, or not ours)."""
    path = manifest_path(folder)
    if path is None:
        return None
    from phf.storage.shapes import ManifestParts  # with pydantic, a tenth of what a worker needs to start

    values = read_json(path, CorpusError, REMEDY)
    if isinstance(values, dict):
        check_manifest(values, str(path))
    advice = "Is that the manifest of an annotated dataset? Annotate again."
    manifest = read_json_as(Manifest, path, CorpusError, advice)
    typed(ManifestParts, values, str(path), CorpusError, advice)
    return manifest
