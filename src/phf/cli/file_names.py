"""Names of files that are not UTF-8: Linux has them, but tables, weights and JSON cannot hold them."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from phf.errors import ConfigError

RENAME = "Rename it, or give another one."


def refuse_undecodable(command: str, arguments: Sequence[str]) -> None:
    """Raises `ConfigError` for an argument that is not UTF-8, a folder that the command would work in, or that of the cache;
    and for a folder that is no longer there.

    Files of a corpus may have any name: existing ones that `phf annotate` is given, as well as those in folders.
    """
    for number, argument in enumerate(arguments):
        is_read = command == "annotate" and arguments[number - 1] not in ("--output", "-o") and Path(argument).exists()
        if _is_undecodable(argument) and not is_read:
            raise ConfigError(f"phf {command} {argument}: is not UTF-8. {_advice()}")
    for what, folder in (("The folder of the command", _here()), ("PHF_CACHE", os.environ.get("PHF_CACHE", ""))):
        if _is_undecodable(folder):
            raise ConfigError(f"{what}, {folder}, is not UTF-8. {_advice()}")


def _advice() -> str:
    encoding = sys.getfilesystemencoding()
    return RENAME if encoding == "utf-8" else f"Python expects {encoding} here: unset PYTHONUTF8, or set it to 1."


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # libraries cannot even be loaded
        raise ConfigError(
            "The folder that the command was started in was removed. Change to another one with cd, and run again."
        ) from None


def _is_undecodable(name: str) -> bool:
    """Whether Python has replaced bytes of it by lone surrogates."""
    return any("\udc80" <= character <= "\udcff" for character in name)
