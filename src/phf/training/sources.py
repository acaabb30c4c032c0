"""What a run was trained on: datasets by their manifests, and the scorers that made them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from phf.config import DatasetConfig
from phf.corpus.manifest import Manifest, read_manifest
from phf.corpus.sources.listing import MANIFEST
from phf.runs.data import CONTENT
from phf.scorers.base import scorer_mismatch
from phf.storage.files import file_sha256


def describe_sources(sources: Sequence[str], columns: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Each source, with what its manifest says about it, for provenance.json.

    Args:
        columns: of scores that are used, the main one first, whose scorer is `scorer`; those of several are `scorers`. Empty:
            `scorer` is that of the first column of the dataset.
    """
    return [_source(source, columns) for source in sources]


def segmenter_of(sources: Sequence[str]) -> str | None:
    """How the documents of annotated sources were cut, by their manifests; None if that is unknown or differs."""
    manifests = [read_manifest(Path(source)) if Path(source).is_dir() else None for source in sources]
    names = {None if manifest is None else manifest.segmenter for manifest in manifests}
    return names.pop() if len(names) == 1 else None


def scorer_warnings(dataset: DatasetConfig, evaluating: dict[str, Any]) -> list[str]:
    """One line for each source whose manifest names another scorer, version or settings than those that evaluate."""
    warnings = []
    for source in [*dataset.datasets, *dataset.eval_datasets]:
        manifest = read_manifest(Path(source)) if Path(source).is_dir() else None
        if manifest is None:
            continue  # raw, so scored by the scorer that evaluates; or from elsewhere, with an unknown scorer
        mismatch = scorer_mismatch(manifest.scorers.get(dataset.scores_column, manifest.scorer), evaluating)
        if mismatch is not None:
            warnings.append(f"{source}: {mismatch}")
    return warnings


def _source(source: str, columns: Sequence[str]) -> dict[str, Any]:
    folder = Path(source)
    manifest = read_manifest(folder) if folder.is_dir() else None
    if manifest is None:
        return {"source": source}
    scorers = {column: manifest.scorers[column] for column in columns if column in manifest.scorers}
    return {
        "source": ", ".join(manifest.sources),
        "manifest_sha256": file_sha256(folder / MANIFEST),
        CONTENT: _content(manifest),
        "scorer": next((scorers[column] for column in columns[:1] if column in scorers), manifest.scorer),
        **({"scorers": scorers} if len(scorers) > 1 else {}),
        "segmenter": manifest.segmenter,
        "num_documents": manifest.num_documents,
        "num_segments": manifest.num_segments,
        "num_unscored": manifest.num_unscored,
    }


def _content(manifest: Manifest) -> str | None:
    """Hash of texts, ids and scores; None where the manifest does not have those of the shards."""
    hashes = [str(shard["sha256"]) for shard in manifest.shards]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest() if hashes else None
