"""The other processes of a run: what they see of each other besides the results of work.

When one of them ends, those that wait for it report that instead of a traceback; when one is asked to stop, the others see
it while they work.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from torch.distributed import DistError
from torch.distributed.distributed_c10d import _get_default_store

from phf.errors import AGAIN, PeerError

SIGNS = ("closed by peer", "reset by peer", "gloo", "NCCL", "TCPStore", "Broken pipe", "Timed out waiting")
"""Messages of torch's RuntimeError when a process that it waits for has ended."""

SECONDS_BETWEEN_LOOKS = 1.0
"""Interval at which a process looks whether another one was asked to stop."""
KEY = "phf/stop"


class Notice:
    """What the processes of a job see of a signal that one of them was sent: of a process alone, nothing."""

    def read(self) -> int:
        """The number of the signal; 0 for none."""
        return 0

    def give(self, signum: int) -> None:
        """Called by a process that was sent a signal, or has read the notice."""

    def withdraw(self) -> None:
        """Forget the signal of earlier work of the same processes."""


class StoredNotice(Notice):
    """In the store in which the processes of torch find each other: read without waiting for anybody."""

    def __init__(self) -> None:
        self._looked_at = -SECONDS_BETWEEN_LOOKS

    def read(self) -> int:
        if time.monotonic() - self._looked_at < SECONDS_BETWEEN_LOOKS:
            return 0
        self._looked_at = time.monotonic()
        store = _get_default_store()
        return int(store.get(KEY)) if store.check([KEY]) else 0

    def give(self, signum: int) -> None:
        _get_default_store().set(KEY, str(signum))

    def withdraw(self) -> None:
        _get_default_store().delete_key(KEY)


@contextmanager
def lost_peers(num_processes: int) -> Iterator[None]:
    """Turns the error that is raised when another process has ended into a `PeerError`."""
    try:
        yield
    except RuntimeError as error:
        if num_processes < 2 or not is_lost_peer(error):
            raise
        first = next(iter(str(error).splitlines()), "")
        kept = f"What is finished is kept; to continue, {AGAIN}."
        if "timed out" in first.lower() or "timeout" in first.lower():
            raise PeerError(
                f"Another process of this job did not respond in time: {first} If it is still running, it took longer "
                f"than the others wait (training.ddp_timeout, in seconds). {kept}"
            ) from error
        raise PeerError(
            f"Another process of this job has ended, or cannot be reached: {first} Its own message, above or in its log, says "
            f"why. {kept}"
        ) from error


def is_lost_peer(error: Exception) -> bool:
    """Whether this is what torch raises when another process has ended."""
    is_torchs = isinstance(error, RuntimeError)
    return is_torchs and (isinstance(error, DistError) or any(sign in str(error) for sign in SIGNS))
