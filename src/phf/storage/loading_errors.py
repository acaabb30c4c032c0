"""What transformers and torch raise for files that are damaged, or cannot be reached, and what their messages say."""

import pickle
import struct

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

UNREADABLE = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ImportError,
    EOFError,
    ArithmeticError,
    SafetensorError,
    StrictDataclassError,
    pickle.UnpicklingError,
    struct.error,
)
"""Raised by transformers for files that are damaged, or of another kind than their names say."""
UNREADABLE_TENSORS = (*UNREADABLE, AssertionError)
"""Raised by `torch.load` for such files, whose reader asserts what it expects, and by `load_state_dict` for other tensors."""
NETWORK_ERRORS = (
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "ConnectError",
    "ConnectTimeout",
    "ReadTimeout",
    "URLError",
)
"""Names of the errors of huggingface_hub, datasets and their HTTP libraries without a network."""


def is_unreachable(error: BaseException | None) -> bool:
    """Whether an error comes from a Hub that cannot be reached, rather than from what is or is not there."""
    while error is not None:
        if isinstance(error, ConnectionError) or type(error).__name__ in NETWORK_ERRORS:
            return True
        error = error.__cause__ or error.__context__
    return False


def first_sentence(error: Exception) -> str:
    """The informative part of an error of transformers, as one sentence."""
    if isinstance(error, pickle.UnpicklingError):  # torch's own message says how to load it anyway
        return "its weights are damaged or contain more than tensors, and data that could run code is not read."
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    if isinstance(error, StrictDataclassError) and len(lines) > 1:  # its first line only names the field
        first = lines[1].removeprefix("TypeError: ").removeprefix("ValueError: ")
    if first.endswith(":") and len(lines) > 1:
        first = f"{first} {lines[1]}"
    if isinstance(error, KeyError):
        first = f"it does not know {first}"
    return first if first.endswith((".", "!", "?")) else f"{first}."
