"""What models, tokenizers and checkpoints are saved with: libraries in Rust and C++, whose errors are not those of Python."""

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""How Rust ends the message of an error of the operating system."""
OF_TORCH = ("PytorchStreamWriter", "inline_container", "iostream error")
"""What the RuntimeError names with which torch.save ends where it cannot write. It does not say why."""
TRIED_BYTES = 2**20


@contextmanager
def os_errors(folder: Path) -> Iterator[None]:
    """Raises `OSError`, as Python would, where safetensors, tokenizers or torch report an error of the operating system.

    `folder`: where the block writes.
    """
    try:
        yield
    except Exception as error:
        number = _number(error, folder)
        if number is None:
            raise
        raise OSError(number, os.strerror(number)) from error


def _number(error: Exception, folder: Path) -> int | None:
    """The number of the operating system's error that another one is about; None if it is about something else."""
    if type(error) is RuntimeError and any(sign in str(error) for sign in OF_TORCH):
        return _tried(folder)
    match = OS_ERROR.search(str(error))
    if match is None or type(error) not in (Exception, SafetensorError):  # tokenizers has no class of its own
        return None
    return int(match[1])


def _tried(folder: Path) -> int:
    """The number of the error with which a file in `folder` cannot be written now."""
    path = folder / f".{secrets.token_hex(4)}.partial"
    try:
        with path.open("wb") as file:
            file.write(bytes(TRIED_BYTES))
    except OSError as error:
        return error.errno or errno.EIO
    finally:
        path.unlink(missing_ok=True)
    return errno.EIO
