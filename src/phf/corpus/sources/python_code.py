"""The sources that come with the running Python, by their names: `python-stdlib` and `python-packages`.

`python-packages:32MB` is a sample of that size, which depends on the names of the files alone.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

from phf.corpus.sources import packages, stdlib
from phf.errors import ConfigError, CorpusError
from phf.storage.sizes import parse_size

PYTHON_STDLIB = "python-stdlib"
PYTHON_PACKAGES = "python-packages"
PythonKind = Literal["stdlib", "packages"]
LeaveOut = Callable[[str, str], None]
"""Called with the name of a file that is not read, and the reason."""


def is_python_source(source: str) -> bool:
    """Whether a source is one of these, or a sample of one."""
    return name_of(source) in (PYTHON_STDLIB, PYTHON_PACKAGES)


def name_of(source: str) -> str:
    """The source without the size of a sample."""
    return source.partition(":")[0]


def kind_of(source: str) -> PythonKind:
    """The kind of the part that is all of a source."""
    return "stdlib" if name_of(source) == PYTHON_STDLIB else "packages"


def read_modules(source: str, leave_out: LeaveOut) -> Iterator[tuple[str, str, dict[str, Any], float]]:
    """(relative path, text, meta, share of the source read) of each module, sorted by path."""
    size = sample_bytes(source)
    if kind_of(source) == "stdlib":
        for (name, text), done in stdlib.read_files(lambda name: leave_out(name, "not decodable as it declares")):
            yield name, text, {}, done
    else:
        for (name, text, package), done in packages.read_files(leave_out, size):
            yield name, text, {"package": package}, done


def num_bytes(source: str) -> int:
    """Size of all files."""
    size = sample_bytes(source)
    return stdlib.num_bytes() if kind_of(source) == "stdlib" else packages.num_bytes(size)


def describe(source: str) -> list[str]:
    """What identifies the corpus: the Python version, and every file."""
    size = sample_bytes(source)
    return stdlib.describe() if kind_of(source) == "stdlib" else packages.describe(size)


def sample_bytes(source: str) -> int | None:
    """The size of the sample that a source is; None for all of it.

    Raises `CorpusError` for what is not a size, and for a sample of the standard library.
    """
    name, separator, text = source.partition(":")
    if not separator:
        return None
    if name == PYTHON_STDLIB:
        raise CorpusError(f"{source}: the standard library is read as a whole. Write {PYTHON_STDLIB}.")
    try:
        size = parse_size(text, f"{name}:")
    except ConfigError as error:
        raise CorpusError(f"{error} {name} alone is all of it.") from error
    if not size:
        raise CorpusError(f"{source}: a sample must be larger than 0. {name} alone is all of it.")
    return size
