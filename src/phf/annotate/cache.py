"""Raw corpora named in a configuration are annotated once, and found again by what they are."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from phf.annotate.runner import FORMAT, ShowProgress, annotate
from phf.data.listing import MANIFEST
from phf.data.sources import fingerprint, is_annotated
from phf.scorers import build_scorer


def cache_root() -> Path:
    """`$PHF_CACHE`, else `~/.cache/phf`: annotated corpora and token blocks."""
    return Path(
        os.environ.get("PHF_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "phf"
    ).expanduser()


def ensure_annotated(
    source: str,
    scorer_config: Mapping[str, Any],
    segmenter: str | None,
    workers: int | None = None,
    progress: ShowProgress | None = None,
    announce: Callable[[str], None] | None = None,
) -> str:
    """`source` itself if it is annotated, else the folder of its cached annotation, which is made now if need be."""
    if is_annotated(source):
        return source
    scorer = build_scorer(scorer_config)
    segmenter = segmenter or scorer.segmenter
    parts = [FORMAT, fingerprint(source), scorer.describe(), segmenter]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
    folder = cache_root() / "annotated" / f"{Path(source).name}-{key}"
    if announce is not None and not (folder / MANIFEST).is_file():
        announce(f"Scoring {source} with {scorer_config['class_name']} (once; kept in {folder})")
    annotate([source], scorer_config, segmenter, folder, workers, progress)
    return str(folder)
