"""One worker process of the local backend: `python -m phf.annotate.worker`.

It reads JSON messages from standard input, one a line, and answers on standard output:

    {"scorers": ..., "segmenter": ..., "output": ..., "path": ...}   first, once
    {"task": {name, documents}, "skipped": ..., "one_by_one": ...}   -> {"at": n} for each batch, then {"result": ...}
                                                                        or {"error": [class, message]}

A process of its own rather than `multiprocessing`: it can be killed and replaced at any moment, and needs nothing of
the program that started it, which may be a notebook or a script without a main guard.
"""

import importlib
import json
import os
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

from phf.annotate.shard import ShardTask, score_shard
from phf.data.sources import Document
from phf.errors import PhfError
from phf.scorers import Scorer, build_scorer


def main() -> None:
    """Serve until standard input ends, as it does when the parent is gone, however it went."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what a scorer prints must not mix with the answers
    messages: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_receive, args=(messages,), daemon=True).start()
    settings = messages.get()
    sys.path[:] = settings["path"]
    importlib.invalidate_caches()
    try:
        scorers = {column: build_scorer(config) for column, config in settings["scorers"].items()}
        _serve(messages, answers, scorers, settings["segmenter"], Path(settings["output"]))
    except PhfError as error:
        _send(answers, error=[type(error).__name__, str(error)])


def _serve(
    messages: "SimpleQueue[dict[str, Any]]",
    answers: TextIO,
    scorers: dict[str, Scorer],
    segmenter: str,
    output: Path,
) -> None:
    while True:
        message = messages.get()
        result = score_shard(
            ShardTask(message["name"], [Document(*fields) for fields in message["documents"]]),
            scorers,
            segmenter,
            output,
            skipped={int(number): reason for number, reason in message["skipped"].items()},
            one_by_one=message["one_by_one"],
            at=lambda number: _send(answers, at=number),
        )
        _send(answers, result=vars(result))


def _receive(messages: "SimpleQueue[dict[str, Any]]") -> None:
    for line in sys.stdin:
        messages.put(json.loads(line))
    os._exit(0)  # even in the middle of a score: nobody is waiting for it any more


def _send(answers: TextIO, **message: Any) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
