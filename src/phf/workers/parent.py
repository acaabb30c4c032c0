"""A child process's view of the process that started it: requests on standard input, answers on standard output.

A message is a JSON object on its own line. One with a key `attached` is followed by that many bytes, which belong to
it, so that text is not encoded as JSON twice. Errors that a user can fix are sent as `{"error": [[class names], text]}`.

What libraries print goes to standard error, and standard input is empty for them and for programs that they start. The
child ends when its parent does, at any time: when its input ends, or when it has another parent. Signals that a scheduler
sends to all processes of a job are for the parent, which decides what becomes of the child.
"""

import json
import os
import signal
import sys
import threading
import time
from queue import SimpleQueue
from typing import Any, BinaryIO

from phf.errors import PhfError
from phf.workers.interruption import ASKING

ATTACHED = "attached"
SECONDS_BETWEEN_LOOKS = 2.0
"""How often the child checks that its parent is still there."""


class Parent:
    """The other end of a `phf.workers.child.Child`; made once, at the start of a child process."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)  # what is printed must not mix with the answers
        requests = os.fdopen(os.dup(0), "rb")
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # nor may other code read what is meant for us
        self._sending = threading.Lock()
        self._requests: SimpleQueue[tuple[dict[str, Any], bytes]] = SimpleQueue()
        for signum in ASKING:
            signal.signal(signum, signal.SIG_IGN)
        threading.Thread(target=_watch, args=(int(sys.argv[1]),), daemon=True).start()
        threading.Thread(target=_receive, args=(requests, self._requests), daemon=True).start()

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """The next request, and what is attached to it."""
        return self._requests.get()

    def send(self, **message: Any) -> None:
        """Answer; exit if the parent is gone."""
        rest = memoryview(json.dumps(message, default=str).encode() + b"\n")
        try:
            with self._sending:  # another thread may say what is being done
                while rest:
                    rest = rest[self._answers.write(rest) :]
        except BrokenPipeError:
            os._exit(0)

    def send_error(self, error: PhfError) -> None:
        """Answer that this went wrong; the parent raises an error of the same class."""
        self.send(error=[class_names(error), str(error)])


def class_names(error: PhfError) -> list[str]:
    """Its class and the classes above it up to `PhfError`: what `phf.workers.child.carried_error` makes it from."""
    return [cls.__name__ for cls in type(error).__mro__ if issubclass(cls, PhfError)]


def _receive(requests: BinaryIO, into: "SimpleQueue[tuple[dict[str, Any], bytes]]") -> None:
    """Take in requests until the parent is gone, which may be in the middle of one, or in an error."""
    try:
        for line in requests:
            if not line.endswith(b"\n"):
                break
            message = json.loads(line)
            attached = requests.read(message.pop(ATTACHED, 0))
            into.put((message, attached))
    finally:
        os._exit(0)  # even in the middle of work: nothing is waiting for it any more


def _watch(parent: int) -> None:
    """End when the parent is gone: a process that it started may hold the other end of our input open."""
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(0)
