"""The other processes of a run: when one of them ends, those that wait for it report that instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch.distributed import DistError

from phf.errors import PeerError

SIGNS = ("closed by peer", "reset by peer", "gloo", "NCCL", "TCPStore", "Broken pipe", "Timed out waiting")
"""Messages of torch's RuntimeError when a process that it waits for has ended."""


@contextmanager
def lost_peers(num_processes: int) -> Iterator[None]:
    """Turns the error that is raised when another process has ended into a `PeerError`."""
    try:
        yield
    except RuntimeError as error:
        if num_processes < 2 or not is_lost_peer(error):
            raise
        first = next(iter(str(error).splitlines()), "")
        kept = "What is finished is kept; run again to continue, phf train with --resume."
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
