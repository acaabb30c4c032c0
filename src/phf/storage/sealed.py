"""Small JSON files that contain the hash of their content, so that damage to a digit of them is found.

Files in folders have a list of hashes instead: `phf.storage.file_list`.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from phf.storage.files import write_text_atomic
from phf.storage.reading import ErrorType, read_json_as

HASH = "sha256"


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with its hash; see `atomic_write`."""
    write_text_atomic(path, json.dumps({**content, HASH: _hash_of(content)}))


def read_sealed(path: Path, keys: Collection[str], error: ErrorType, *, needs_hash: bool = True) -> dict[str, Any]:
    """The object without its hash. Raises `error` where it has other keys, or not the content that it was written with.

    `needs_hash`: whether a file without a hash, as earlier versions wrote it, is an error.
    """
    content: dict[str, Any] = read_json_as(dict[str, Any], path, error, finite=True)
    written = content.pop(HASH, None)
    if content.keys() != set(keys):
        raise error(f"{path}: has other keys than {', '.join(keys)}")
    if written is None and not needs_hash:
        return content
    if written != _hash_of(content):
        raise error(f"{path}: was changed since it was written")
    return content


def _hash_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
