"""What models and tokenizers are saved with: libraries in Rust, whose errors are not those of Python."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""How Rust ends the message of an error of the operating system."""


@contextmanager
def os_errors() -> Iterator[None]:
    """Raises `OSError`, as Python would, where safetensors or tokenizers report an error of the operating system."""
    try:
        yield
    except Exception as error:
        match = OS_ERROR.search(str(error))
        if match is None or type(error) not in (Exception, SafetensorError):  # tokenizers has no class of its own
            raise
        number = int(match[1])
        raise OSError(number, os.strerror(number)) from error
