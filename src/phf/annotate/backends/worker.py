"""One worker process of the local backend: `python -m phf.annotate.backends.worker PARENT`; see `phf.workers.parent`.

Requests and answers:

    {"scorers": ..., "segmenter": ..., "output": ..., "path": ..., ...}   first, once: a `Job`
    {"piece": ..., "skipped": ..., "one_by_one": ...}                     for each piece, with its documents attached if it
                                                                          cannot read them itself
                       -> {"read": true}, {"at": n} periodically, then {"result": ...} or {"error": ...}
"""

import gc
import importlib
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path

from phf.annotate.corpus_piece import CorpusPiece
from phf.annotate.job import Job
from phf.annotate.scoring import read_and_score
from phf.corpus.formats.row_policy import ReadOptions
from phf.errors import PhfError
from phf.scorers import build_scorer
from phf.workers.parent import Parent

SECONDS_BETWEEN_ANSWERS = 0.1
"""Thousands of documents may be scored per second; not each of them is reported."""


def main() -> None:
    """Serve until the parent is gone."""
    parent = Parent()
    import pyarrow.parquet  # noqa: F401 - needed to write pieces; now the parent is still busy with other things

    settings, _ = parent.receive()
    sys.path[:] = settings["path"]
    importlib.invalidate_caches()
    options = None if settings["options"] is None else ReadOptions.of(settings["options"])
    job = Job(
        settings["scorers"],
        settings["segmenter"],
        Path(settings["output"]),
        options=options,
        is_strict=settings["is_strict"],
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the parent built the same scorers and has shown these
            scorers = {column: build_scorer(config) for column, config in job.scorers.items()}
        gc.freeze()  # models and libraries stay: garbage collections need not search them
        while True:
            how, documents = parent.receive()
            result = read_and_score(
                CorpusPiece.of_json(how["piece"], documents),
                job,
                scorers,
                skipped={int(number): reason for number, reason in how["skipped"].items()},
                one_by_one=how["one_by_one"],
                has_read=lambda: parent.send(read=True),
                at=_Where(parent, says_each=how["one_by_one"]),
            )
            parent.send(result=asdict(result))
    except PhfError as error:
        parent.send_error(error)


class _Where:
    """Reports to the parent which document is being scored, so that it knows which one hangs or kills."""

    def __init__(self, parent: Parent, says_each: bool) -> None:
        self.parent = parent
        self.says_each = says_each
        self._last = 0.0

    def __call__(self, number: int | None) -> None:
        now = time.monotonic()
        if self.says_each or number is None or now - self._last > SECONDS_BETWEEN_ANSWERS:
            self._last = now
            self.parent.send(at=number)


if __name__ == "__main__":
    main()
