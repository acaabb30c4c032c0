"""One worker process of the local backend: `python -m phf.annotate.backends.worker PARENT`, the process that started it.

It reads JSON messages from standard input, one a line, and answers on standard output:

    {"scorers": ..., "segmenter": ..., "output": ..., "path": ...}   first, once
    {"name": ..., "skipped": ..., "one_by_one": ...}                 for each shard, and in the next line
    [[id, text, meta], ...]                                          -> {"at": n} now and then, then {"result": ...}
                                                                        or {"error": [class, message]}

A process of its own rather than `multiprocessing`: it can be killed and replaced at any moment, and needs nothing of
the program that started it, which may be a notebook or a script without a main guard.
"""

import importlib
import json
import os
import sys
import threading
import time
import warnings
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO, TextIO

from phf.annotate.shard import ShardTask, score_shard
from phf.corpus.sources.documents import Document
from phf.errors import PhfError
from phf.scorers import Scorer, build_scorer

SECONDS_BETWEEN_ANSWERS = 0.1
"""Documents may be scored by the thousand in a second, and nobody wants to hear of each."""
SECONDS_BETWEEN_LOOKS = 2.0
"""For whether the parent is still there."""


def main() -> None:
    """Serve until standard input ends, as it does when the parent is gone, however it went."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what a scorer prints must not mix with the answers
    requests = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # nor may it, or a program it starts, read what is meant for us
    messages: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_watch_parent, args=(int(sys.argv[1]),), daemon=True).start()
    threading.Thread(target=_receive, args=(requests, messages), daemon=True).start()
    settings = messages.get()
    sys.path[:] = settings["path"]
    importlib.invalidate_caches()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the parent built the same scorers and has shown these
            scorers = {column: build_scorer(config) for column, config in settings["scorers"].items()}
        _serve(messages, answers, scorers, settings["segmenter"], Path(settings["output"]))
    except PhfError as error:
        _send(answers, error=[type(error).__name__, str(error)])


def _serve(
    messages: "SimpleQueue[Any]",
    answers: TextIO,
    scorers: dict[str, Scorer],
    segmenter: str,
    output: Path,
) -> None:
    while True:
        how, documents = messages.get(), messages.get()
        result = score_shard(
            ShardTask(how["name"], [Document(*fields) for fields in documents]),
            scorers,
            segmenter,
            output,
            skipped={int(number): reason for number, reason in how["skipped"].items()},
            one_by_one=how["one_by_one"],
            at=_Where(answers, says_each=how["one_by_one"]),
        )
        _send(answers, result=vars(result))


class _Where:
    """Tells the parent which document is being scored, so that it knows which one hangs or kills."""

    def __init__(self, answers: TextIO, says_each: bool) -> None:
        self.answers = answers
        self.says_each = says_each
        self._last = 0.0

    def __call__(self, number: int | None) -> None:
        now = time.monotonic()
        if self.says_each or number is None or now - self._last > SECONDS_BETWEEN_ANSWERS:
            self._last = now
            _send(self.answers, at=number)


def _receive(requests: BinaryIO, messages: "SimpleQueue[Any]") -> None:
    """Take in messages until the parent is gone, which may end in the middle of one, or in an error."""
    try:
        for line in requests:
            if not line.endswith(b"\n"):
                break
            messages.put(json.loads(line))
    finally:
        os._exit(0)  # even in the middle of a score: nobody is waiting for it any more


def _watch_parent(parent: int) -> None:
    """End when the parent is gone: a process that it started may hold the other end of our input open."""
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(0)


def _send(answers: TextIO, **message: Any) -> None:
    try:
        answers.write(json.dumps(message) + "\n")
        answers.flush()
    except BrokenPipeError:
        os._exit(0)  # the parent is gone


if __name__ == "__main__":
    main()
