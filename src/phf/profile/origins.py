"""The origin of the files of a dataset: the sources that were annotated, as far as known."""

import re
from collections import Counter

from phf.corpus.formats.row_policy import ReadOptions
from phf.corpus.manifest import Manifest
from phf.corpus.sources.documents import fingerprint
from phf.corpus.sources.listing import is_saved_dataset, record_files
from phf.corpus.sources.parts import list_corpus

SHARD = re.compile(r"(shard-(\d+))-\d+\.parquet")
"""The first number is that of a part of the sources."""


def origins(source: str, manifest: Manifest | None) -> tuple[str, dict[str, str]]:
    """("source" or "file", name of what is read alone -> name of where it comes from), in the order of reading.

    Shards of `phf annotate` come from the sources that their manifest names, as long as these have not changed;
    otherwise the shards of one source are identified by the beginning of their names. Other files are their own origin.
    """
    files = [] if is_saved_dataset(source) else record_files(source)
    if not files:
        return "source", {source: source}
    matches = [SHARD.fullmatch(path.name) for path in files]
    if manifest is None or None in matches:
        is_once = Counter(path.name for path in files)
        return "file", {str(path): path.name if is_once[path.name] == 1 else str(path) for path in files}
    annotated = _parts_then(manifest)
    names = {
        str(path): annotated.get(int(match[2]), f"{match[1]}-*.parquet")
        for path, match in zip(files, matches, strict=True)
        if match is not None
    }
    return "source" if annotated else "file", names


def _parts_then(manifest: Manifest) -> dict[int, str]:
    """Number of a part -> its name; empty where the sources have changed or are out of reach."""
    options = ReadOptions.of(manifest.reading)
    if "+".join(fingerprint(source, options) for source in manifest.sources) != manifest.fingerprint:
        return {}
    parts = list_corpus(manifest.sources, options, group_bytes=manifest.shard_bytes or None).parts
    if not manifest.shard_bytes and any(part.kind == "records" and len(part.files) > 1 for part in parts):
        return {}  # of an older version, which put other files together
    return dict(enumerate(part.label for part in parts))
