"""The sources that come with the running Python, by their names: `python-stdlib` and `python-packages`."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

from phf.corpus.sources import packages, stdlib

PYTHON_STDLIB = "python-stdlib"
PYTHON_PACKAGES = "python-packages"
PYTHON_SOURCES = (PYTHON_STDLIB, PYTHON_PACKAGES)
PythonKind = Literal["stdlib", "packages"]
LeaveOut = Callable[[str, str], None]
"""Called with the name of a file that is not read, and the reason."""


def kind_of(source: str) -> PythonKind:
    """The kind of the part that is all of a source."""
    return "stdlib" if source == PYTHON_STDLIB else "packages"


def read_modules(source: str, leave_out: LeaveOut) -> Iterator[tuple[str, str, dict[str, Any], float]]:
    """(relative path, text, meta, share of the source read) of each module, sorted by path."""
    if source == PYTHON_STDLIB:
        for (name, text), done in stdlib.read_files(lambda name: leave_out(name, "not decodable as it declares")):
            yield name, text, {}, done
    else:
        for (name, text, package), done in packages.read_files(leave_out):
            yield name, text, {"package": package}, done


def num_bytes(source: str) -> int:
    """Size of all files."""
    return stdlib.num_bytes() if source == PYTHON_STDLIB else packages.num_bytes()


def describe(source: str) -> list[str]:
    """What identifies the corpus: the Python version, and every file."""
    return stdlib.describe() if source == PYTHON_STDLIB else packages.describe()
