"""`python-stdlib`: the running interpreter's standard library, a corpus of real Python that is always available."""

import os
import platform
import re
import sysconfig
import tokenize
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from phf.storage.hashing import hash64

_FUNCTION = re.compile(r"def \w+\([^()\n]*\):\n")
_CLASS = re.compile(r"class \w+(?:\([^()\n]*\))?:\n")
SKIPPED_FOLDERS = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
"""Tests contain text that is wrong on purpose; packages are not part of the standard library."""


def read_files(leave_out: Callable[[str], None] | None = None) -> Iterator[tuple[tuple[str, str], float]]:
    """((relative path, text), share of the files read) of each module, sorted by path.

    Text is decoded as Python decodes it, newlines as "\\n"; the few modules that do not decode by their own declaration
    are left out, and `leave_out` is called with their paths.
    """
    yield from _read(_root(), leave_out)


def _read(root: Path, leave_out: Callable[[str], None] | None = None) -> Iterator[tuple[tuple[str, str], float]]:
    paths = _paths(root)
    for number, path in enumerate(paths, start=1):
        try:
            with tokenize.open(path) as file:
                yield (path.relative_to(root).as_posix(), file.read()), number / len(paths)
        except (SyntaxError, UnicodeDecodeError):
            if leave_out is not None:
                leave_out(path.relative_to(root).as_posix())


def function_headers() -> list[str]:
    """First lines of functions ("def f(x):\\n"), each once, in an order that mixes the modules.

    A method comes with the line of its class, ("class A(B):\\n\\n    def f(self):\\n"): its indentation determines
    that of the next line.
    """
    return list(_sorted_headers(_root()))


@cache  # each scenario asks several times, and reading the files takes half a second
def _sorted_headers(root: Path) -> tuple[str, ...]:
    headers = {header for (_, text), _ in _read(root) for header in _headers(text)}
    return tuple(sorted(headers, key=lambda header: hash64("header", header)))


def _headers(text: str) -> Iterator[str]:
    """Headers on one line of top-level functions and of the methods of top-level classes."""
    in_class = ""
    for line in text.splitlines(keepends=True):
        if line[0].isalpha():
            in_class = line if _CLASS.fullmatch(line) else ""
            if _FUNCTION.fullmatch(line):
                yield line
        elif in_class and line.startswith("    def ") and _FUNCTION.fullmatch(line[4:]):
            yield f"{in_class}\n{line}"


def num_bytes() -> int:
    """Size of all files."""
    return sum(path.stat().st_size for path in _paths(_root()))


def describe() -> list[str]:
    """What identifies the corpus: the Python version, and the name and size of every file."""
    root = _root()
    files = [f"{path.relative_to(root).as_posix()}:{path.stat().st_size}" for path in _paths(root)]
    return [platform.python_version(), *files]


def _root() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _paths(root: Path) -> list[Path]:
    paths: list[Path] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS]  # site-packages may be large
        paths += [Path(folder, name) for name in files if name.endswith(".py")]
    return sorted(paths)
