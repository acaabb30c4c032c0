"""The settings of an annotation, for all processes that work on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phf.corpus.formats.row_policy import ReadOptions
from phf.corpus.sources.tree import PIECES

SHARD_BYTES = 128_000_000
"""Approximate bytes of text in a shard; 3.3 billion tokens then make about a hundred files."""

UNREAD = "not-read.txt"
"""Next to a manifest that lists only the first items that were not read: a line per file or row, "PLACE<tab>REASON"."""


@dataclass(frozen=True)
class Job:
    """One annotation."""

    scorers: dict[str, dict[str, Any]]
    """column of scores -> scorer section of a configuration"""
    segmenter: str
    output: Path
    time_limit: float | None = None
    """Seconds that a document, or a batch of short ones, may take before its worker is replaced; None: no limit."""
    options: ReadOptions | None = None
    """How the corpus is read; None: by the defaults."""
    is_strict: bool = True
    """Whether a row that cannot be read ends the job."""
    shard_bytes: int = SHARD_BYTES
    """UTF-8 bytes of text at which a shard is complete."""
    fingerprint: str = ""
    """Fingerprint of the sources."""

    @property
    def pieces(self) -> Path:
        """Folder of the pieces that are finished and not yet in a shard."""
        return self.output / PIECES
