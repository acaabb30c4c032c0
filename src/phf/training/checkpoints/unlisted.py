"""Checkpoints without a list of their files: all that can be verified is that each file is intact in its own format."""

import zipfile
import zlib
from pathlib import Path

from safetensors import SafetensorError, safe_open

from phf.errors import PhfError
from phf.storage.reading import read_json

TORCH_FILES = (".pt", ".pth", ".bin")
"""Written by `torch.save`: zip archives, with a checksum of each part."""


def unreadable_files(folder: Path) -> list[str]:
    """Files that are missing, truncated or do not match the checksums of their format: a phrase for each.

    The format of weights (safetensors) has no checksums: only their sizes are known to be right.
    """
    problems = []
    for path in sorted(folder.iterdir()):
        problem = None
        if path.suffix in TORCH_FILES:
            problem = _archive_problem(path)
        elif path.suffix == ".safetensors":
            problem = _weights_problem(path)
        elif path.suffix == ".json":
            problem = _json_problem(path)
        if problem:
            problems.append(f"{path.name} {problem}")
    if not any(folder.glob("rng_state*.pth")):
        problems.append("rng_state.pth, the random state, is missing")
    return problems


def _archive_problem(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
        return f"is truncated or damaged ({error})"
    return None if bad is None else f"is damaged ({bad} does not match its checksum)"


def _weights_problem(path: Path) -> str | None:
    try:
        with safe_open(path, framework="pt"):
            return None
    except (SafetensorError, OSError) as error:
        return f"is truncated or damaged ({error})"


def _json_problem(path: Path) -> str | None:
    try:
        read_json(path, PhfError)
    except PhfError as error:
        return str(error).removeprefix(f"{path}").lstrip(": ").rstrip(".")
    return None
