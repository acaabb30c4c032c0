"""`python-stdlib`: the running interpreter's standard library, a corpus of real Python that is always at hand."""

import platform
import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path

SKIPPED_FOLDERS = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
"""Tests hold text that is wrong on purpose; packages are not the standard library."""


def read_files() -> Iterator[tuple[str, str]]:
    """(relative path, text) of each module, sorted by path, decoded as Python decodes it, newlines as "\\n".

    The few modules that do not decode by their own declaration are left out.
    """
    root = _root()
    for path in _paths(root):
        try:
            with tokenize.open(path) as file:
                yield path.relative_to(root).as_posix(), file.read()
        except (SyntaxError, UnicodeDecodeError):
            continue


def describe() -> list[str]:
    """What decides the corpus: the Python version, and name and size of every file."""
    root = _root()
    files = [f"{path.relative_to(root).as_posix()}:{path.stat().st_size}" for path in _paths(root)]
    return [platform.python_version(), *files]


def _root() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _paths(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*.py") if not SKIPPED_FOLDERS.intersection(p.relative_to(root).parts))
