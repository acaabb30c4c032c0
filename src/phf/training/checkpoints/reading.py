"""Errors of libraries while a checkpoint is read: they are about the checkpoint, not about the disk it is written to."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from phf.errors import CheckpointError, PhfError
from phf.sampling.peers import is_lost_peer
from phf.storage.loading_errors import UNREADABLE_TENSORS, first_sentence


@contextmanager
def reading_checkpoint(checkpoint: str | None) -> Iterator[None]:
    """Turns what libraries raise for a file that they cannot read, or that does not fit, into `CheckpointError`."""
    try:
        yield
    except UNREADABLE_TENSORS as error:
        if isinstance(error, PhfError | torch.OutOfMemoryError) or is_lost_peer(error):
            raise
        raise CheckpointError(
            f"{checkpoint} cannot be read: {first_sentence(error)} Delete it to resume from the checkpoint before it."
        ) from error
