"""How a program stops when asked to: gracefully the first time, then at once; or later, when its state has been saved."""

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

if sys.platform != "win32":
    import termios

ASKING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name))
"""What schedulers send, long enough before they end a program that it can save its state; SIGHUP when a terminal closes."""
STOP = (signal.SIGINT, *ASKING)
STOPPED = 75
"""Exit status of a program that has saved its state because it was asked to stop: EX_TEMPFAIL, "try again later"."""
GRACE_SECONDS = 20.0
"""Seconds to finish the current work. A call into a library, or to another process, may never return."""
SAME_SECONDS = 1.0
"""Signals that come together are one: a terminal and a launcher may both send theirs."""
SIGPIPE = getattr(signal, "SIGPIPE", signal.SIGTERM)
"""As which counts that nobody reads the output any more."""
SHOW_CURSOR = b"\x1b[?25h"


class Terminated(KeyboardInterrupt):
    """A signal of `ASKING`, or a closed output, raised where Ctrl-C raises `KeyboardInterrupt`: what cleans up does so then."""

    def __init__(self, signum: int = signal.SIGTERM) -> None:
        super().__init__()
        self.signum = signum


class WorkInterrupted(KeyboardInterrupt):
    """Work that is left where it is, to be done again later: the program was asked to save its state and stop."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum


class StoppedError(KeyboardInterrupt):
    """The end of a program that has saved its state because it was asked to stop; its message says where."""


def exit_status(error: KeyboardInterrupt) -> int:
    """`STOPPED`, or as in shells: 128 plus the number of the signal."""
    if isinstance(error, StoppedError):
        return STOPPED
    return 128 + (error.signum if isinstance(error, Terminated) else signal.SIGINT)


class Requests:
    """What signals have asked of the program while they are remembered instead of raised.

    Attributes:
        first: number of the first signal; 0 if there was none.
        interrupts: whether the first signal is raised as `WorkInterrupted`, besides being remembered.
    """

    def __init__(self) -> None:
        self.first = 0
        self.interrupts = False
        self._is_remembering = True
        self._time = 0.0
        self._process = os.getpid()

    def release(self) -> None:
        """From now on the first signal is raised."""
        self._is_remembering = False

    @property
    def is_remembering(self) -> bool:
        """Whether a signal leads to nothing by itself."""
        return self._is_remembering

    def receive(self, signum: int, _frame: Any) -> None:
        """The handler of a signal."""
        if os.getpid() != self._process:  # a fork, such as a data-loading worker: its parent decides what becomes of it
            return
        _leave_closed_terminal()
        now = time.monotonic()
        if not self.first:
            self.first, self._time = signum, now
            if not self._is_remembering:
                raise Terminated(signum)
            if self.interrupts:
                raise WorkInterrupted(signum)
        elif signum == self.first == signal.SIGTERM and now - self._time > SAME_SECONDS:
            raise Terminated(signum)  # unless `ending_on_signals` is faster, and ends the process


_requests: Requests | None = None
"""Those of the block that is running."""


@contextmanager
def remembering_signals() -> Iterator[Requests]:
    """In this block SIGTERM, SIGUSR1 and SIGHUP are remembered, for a program that saves its state and then stops by itself.

    There is no time limit meanwhile; a second SIGTERM ends the process at once, as always, and so does Ctrl-C. Only in
    the main thread, and not where a signal has the handler of another program.
    """
    global _requests
    requests = Requests()
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    handlers = {}
    for signum in ASKING:
        handler = signal.getsignal(signum)
        if handler is signal.SIG_DFL or isinstance(handler, _RaiseOnce):
            handlers[signum] = handler
            signal.signal(signum, requests.receive)
    _requests = requests
    try:
        yield requests
    finally:
        requests.release()
        _requests = None
        for signum, handler in handlers.items():
            if requests.first and isinstance(handler, _RaiseOnce):  # the program ends now: nothing is raised any more
                handler.raised = True
            signal.signal(signum, handler)
        if requests.first and any(isinstance(handler, _RaiseOnce) for handler in handlers.values()):
            _end_after_grace(requests.first)


@contextmanager
def interruptible(asked_elsewhere: Callable[[], int]) -> Iterator[None]:
    """Where signals are remembered, one raises `WorkInterrupted` in this block, or at its beginning if it came before.

    For work that changes nothing until it is finished, such as an evaluation: a program that waited for its end might be
    killed before it has saved its state. `asked_elsewhere`: number of a signal that another process of the job was sent; 0
    for none.
    """
    requests = _requests
    if requests is None or not requests.is_remembering:
        yield
        return
    if signum := requests.first or asked_elsewhere():
        raise WorkInterrupted(signum)
    requests.interrupts = True
    try:
        yield
    finally:
        requests.interrupts = False


def output_closed(descriptor: int) -> None:
    """Called when a program that reads this output has ended: from now on it goes nowhere, and the program is asked to stop as
    if it had got SIGPIPE, unless it is stopping already. Other threads than the main one only go on."""
    if threading.current_thread() is not threading.main_thread():
        return
    _to_nowhere(descriptor)
    if _requests is not None:
        _requests.receive(SIGPIPE, None)
    elif _handler is None:
        raise Terminated(SIGPIPE)
    else:
        _handler(SIGPIPE, None)


class _RaiseOnce:
    """Handler that raises the first signal; others come while things are put in order."""

    raised = False

    def __call__(self, signum: int, _frame: Any) -> None:
        _leave_closed_terminal()
        if not self.raised:
            self.raised = True
            raise KeyboardInterrupt if signum == signal.SIGINT else Terminated(signum)


_handler: _RaiseOnce | None = None
"""That of the block of `ending_on_signals` that is running."""


@contextmanager
def ending_on_signals(before_it: Callable[[int, Any], None] | None = None) -> Iterator[None]:
    """In this block SIGTERM, SIGUSR1 and SIGHUP raise `Terminated`, once; a second signal, or the end of `GRACE_SECONDS`, ends
    the process.

    The second works even while the main thread is inside a library and hears nothing. For the main thread of a program;
    where SIGTERM has another handler already than `before_it`, that one stays.
    """
    is_ours = threading.current_thread() is threading.main_thread() and hasattr(signal, "set_wakeup_fd")
    if not is_ours or signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, before_it):
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    global _handler
    _handler = raise_once = _RaiseOnce()
    ours = (signal.SIG_DFL, signal.default_int_handler, before_it)  # not where the caller has it ignored
    handlers = {signum: handler for signum in STOP if (handler := signal.getsignal(signum)) in ours}
    for signum in handlers:
        signal.signal(signum, raise_once)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()
    try:
        yield
    finally:
        _handler = None
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
        signum = received[0]
        is_remembered = _requests is not None and _requests.is_remembering and signum in ASKING
        if signum not in STOP or (is_remembered and signum != signal.SIGTERM):
            continue
        if first is None:
            first = time.monotonic()
            if not is_remembered:
                _end_after_grace(signum)
        elif time.monotonic() - first > SAME_SECONDS:
            _end(signum)
    os.close(reader)


def _end_after_grace(signum: int) -> None:
    timer = threading.Timer(GRACE_SECONDS, _end, args=(signum,))
    timer.daemon = True  # it outlives the block: the end of the program may hang too
    timer.start()


def _end(signum: int) -> None:
    cursor = SHOW_CURSOR if sys.stderr.isatty() else b""
    name = signal.Signals(signum).name
    with suppress(OSError):  # of a closed terminal
        os.write(2, cursor + f"\nEnded by {name} at once. Finished work is kept; run again to continue.\n".encode())
    os._exit(128 + signum)


def _leave_closed_terminal() -> None:
    """Print to nowhere from now on if the terminal has been closed: an error while printing must not keep a program from
    saving its state."""
    if sys.platform == "win32":
        return
    for descriptor in (1, 2):
        try:
            termios.tcgetattr(descriptor)
        except termios.error as error:
            if error.args[0] == errno.EIO:
                _to_nowhere(descriptor)


def _to_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
