"""What everybody who works on an annotation needs to know."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phf.corpus.formats.row_policy import ReadOptions
from phf.corpus.sources.tree import PIECES

SHARD_BYTES = 128_000_000
"""Of text in a shard, about; 3.3 billion tokens are then about a hundred files."""

UNREAD = "not-read.txt"
"""Beside a manifest that lists only the first of what was not read: a line for each file or row, "PLACE<tab>REASON"."""


@dataclass(frozen=True)
class Job:
    """One annotation."""

    scorers: dict[str, dict[str, Any]]
    """column of scores -> scorer section of a configuration"""
    segmenter: str
    output: Path
    time_limit: float | None = None
    """Seconds that a document, or a batch of short ones, may take before its worker is replaced; None: for ever."""
    options: ReadOptions | None = None
    """How the corpus is read; None: by the defaults."""
    is_strict: bool = True
    """Whether a row that cannot be read ends the job."""
    shard_bytes: int = SHARD_BYTES
    """UTF-8 bytes of text from which on a shard is finished."""
    fingerprint: str = ""
    """Of the sources."""

    @property
    def pieces(self) -> Path:
        """Folder of the pieces that are finished and not yet in a shard."""
        return self.output / PIECES
