"""Raw corpora named in a configuration are annotated once, and identified by their content."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from phf.annotate.runner import FORMAT, ShowProgress, annotate
from phf.corpus.sources.documents import fingerprint, is_annotated
from phf.corpus.sources.listing import MANIFEST
from phf.corpus.sources.parts import common_prefixes, list_corpus, names_clash
from phf.scorers import build_scorer
from phf.storage.cache import entry_path, keep_entry, only_maker, trim

MAX_BYTES = 200
"""Characters of a source's name in that of its folder: file systems allow 255, and files next to it need some too."""


def ensure_annotated(
    source: str,
    scorer_config: Mapping[str, Any],
    segmenter: str | None,
    workers: int | None = None,
    progress: ShowProgress | None = None,
    announce: Callable[[str], None] | None = None,
    prefix: str = "",
) -> str:
    """`source` itself if it is annotated, otherwise the folder of its cached annotation, which is made now if needed.

    `prefix`: put before generated ids, if other sources of the same job have the same ones.
    """
    if is_annotated(source):
        return source
    scorer = build_scorer(scorer_config)
    segmenter = segmenter or scorer.segmenter
    parts = [FORMAT, fingerprint(source), scorer.describe(), segmenter, *([prefix] if prefix else [])]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
    folder = keep_entry(
        entry_path("annotated", f"{_file_name(source)}-{key}"), f"{source}, {scorer_config['class_name']}, {segmenter}"
    )
    is_finished = (folder / MANIFEST).is_file()
    with nullcontext() if is_finished else only_maker(folder, announce or (lambda message: None)):
        is_new = not (folder / MANIFEST).is_file()  # nor has the process that was waited for made it
        if announce is not None and is_new:
            announce(f"Scoring {source} with {scorer_config['class_name']} (once; kept in {folder})")
        annotate(
            [source],
            scorer_config,
            segmenter,
            folder,
            workers,
            progress,
            announce=announce,
            prefix=prefix,
            check_content=False,
        )
    if is_new:
        trim(folder.parents[1])
    return str(folder)


def distinct_prefixes(sources: Sequence[str]) -> dict[str, str]:
    """Raw source -> what makes the ids of its documents differ from those of the others; "" if they differ anyway."""
    raw = [source for source in dict.fromkeys(sources) if not is_annotated(source)]
    if len(raw) < 2 or not names_clash([list_corpus([source]) for source in raw]):
        return dict.fromkeys(raw, "")
    return dict(zip(raw, common_prefixes(raw), strict=True))


def _file_name(source: str) -> str:
    """The last part of a source's name, limited to what the name of a folder may contain."""
    name = re.sub(r"[^\w.=*-]+", "_", Path(source).name).lstrip(".") or "corpus"
    return name.encode()[:MAX_BYTES].decode(errors="ignore")
