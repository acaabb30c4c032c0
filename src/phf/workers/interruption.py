"""How a program stops when asked to: gracefully the first time, then at once."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STOP = (signal.SIGINT, signal.SIGTERM)
GRACE_SECONDS = 20.0
"""Seconds to finish the current work. A call into a library, or to another process, may never return."""
SAME_SECONDS = 1.0
"""Signals that come together are one: a terminal and a launcher may both send theirs."""
SHOW_CURSOR = b"\x1b[?25h"


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where Ctrl-C raises `KeyboardInterrupt`: what cleans up then does so now."""


def exit_status(error: KeyboardInterrupt) -> int:
    """As in shells: 128 plus the number of the signal."""
    return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """In this block SIGTERM raises `Terminated`, once; a second signal, or the end of `GRACE_SECONDS`, ends the process.

    The second works even while the main thread is inside a library and hears nothing. For the main thread of a program;
    where SIGTERM has another handler already, that one stays.
    """
    is_ours = threading.current_thread() is threading.main_thread() and hasattr(signal, "set_wakeup_fd")
    if not is_ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    raised = False

    def raise_once(signum: int, frame: Any) -> None:
        nonlocal raised
        if not raised:  # not again, while things are put in order
            raised = True
            raise KeyboardInterrupt if signum == signal.SIGINT else Terminated

    ours = (signal.SIG_DFL, signal.default_int_handler)  # not where the caller has it ignored
    handlers = {signum: handler for signum in STOP if (handler := signal.getsignal(signum)) in ours}
    for signum in handlers:
        signal.signal(signum, raise_once)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
        os.close(writer)  # which ends the thread, unless it is counting seconds


@contextmanager
def keeping_handlers() -> Iterator[None]:
    """A library that takes SIGTERM for itself in this block has it for the block alone."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _watch(reader: int) -> None:
    first = None
    while received := os.read(reader, 1):
        if received[0] not in STOP:
            continue
        if first is None:
            first = time.monotonic()
            timer = threading.Timer(GRACE_SECONDS, _end, args=(received[0],))
            timer.daemon = True  # it outlives the block: the end of the program may hang too
            timer.start()
        elif time.monotonic() - first > SAME_SECONDS:
            _end(received[0])
    os.close(reader)


def _end(signum: int) -> None:
    cursor = SHOW_CURSOR if sys.stderr.isatty() else b""
    name = signal.Signals(signum).name
    os.write(2, cursor + f"\nEnded by {name} at once. Finished work is kept; run again to continue.\n".encode())
    os._exit(128 + signum)
