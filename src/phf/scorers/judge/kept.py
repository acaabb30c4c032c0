"""Answers of judges, kept by content: the same text is not rated twice by the same judge with the same rubric.

One SQLite file for each judge and rubric, in the cache. Processes may read and write it at the same time. Of a text only its
hash and its rating are kept, with a hash of both, because SQLite does not find damage to a number.
"""

import hashlib
import json
import sqlite3
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from phf.errors import OutputError
from phf.scorers.judge.answer import Judgement
from phf.storage.cache import entry_path, keep_entry, trim

KIND = "judgements"
FILE = "judgements.sqlite"
SECONDS_TO_WAIT = 60
"""For another process that writes."""
AT_ONCE = 500
"""Texts looked up with one query: SQLite takes a limited number of parameters."""
TABLE = """
CREATE TABLE IF NOT EXISTS hashed_judgements (text BLOB PRIMARY KEY, rating REAL NOT NULL, hash BLOB NOT NULL) WITHOUT ROWID
"""
EARLIER = "SELECT name FROM sqlite_master WHERE name = 'judgements'"
"""Whether there is the table of earlier versions, without hashes; it is read only."""


class KeptJudgements:
    """The judgements of one judge.

    Args:
        identity: everything that its ratings depend on, in JSON's types.
        source: what it is, for people who look at the cache.
    """

    def __init__(self, identity: Mapping[str, Any], source: str) -> None:
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
        self._folder = entry_path(KIND, key)
        self._source = source
        self._is_open = False

    def find(self, texts: Sequence[str]) -> dict[str, Judgement]:
        """Those of the texts that have a judgement. Raises `OutputError` where the cache cannot be read."""
        if not (self._folder / FILE).exists():
            return {}
        names = {hash_of(text): text for text in texts}
        judgements: dict[str, Judgement] = {}
        hashes = iter(names)
        with self._connection() as connection:
            while batch := list(islice(hashes, AT_ONCE)):
                for name, rating in _found(connection, batch):
                    judgements[names[name]] = Judgement(rating)
        return judgements

    def add(self, judgements: Mapping[str, Judgement]) -> None:
        """Keep the judgements of some texts that have a rating. Raises `OutputError` where the cache cannot be written."""
        ratings = {hash_of(text): judgement.rating for text, judgement in judgements.items()}
        rows = [(name, rating, _row_hash(name, rating)) for name, rating in ratings.items() if rating is not None]
        is_new = not (self._folder / FILE).exists()
        with self._connection() as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO hashed_judgements VALUES (?, ?, ?)", rows)
        if is_new:
            trim(self._folder.parents[1])

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """One for each use, since a process may fork in between."""
        path = self._folder / FILE
        if not self._is_open:
            keep_entry(self._folder, self._source)
            self._is_open = True
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(path, timeout=SECONDS_TO_WAIT)) as connection:
                connection.execute("PRAGMA synchronous=OFF")  # what a power failure destroys is asked again
                connection.execute(TABLE)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise OutputError(_problem(path, error)) from error


def hash_of(text: str) -> bytes:
    """16 bytes that stand for a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


def _found(connection: sqlite3.Connection, hashes: Sequence[bytes]) -> Iterator[tuple[bytes, float]]:
    """(hash of a text, rating) of those that are kept undamaged."""
    marks = ", ".join("?" * len(hashes))
    if connection.execute(EARLIER).fetchone():
        yield from connection.execute(f"SELECT text, rating FROM judgements WHERE text IN ({marks})", hashes)
    query = f"SELECT text, rating, hash FROM hashed_judgements WHERE text IN ({marks})"
    for name, rating, written in connection.execute(query, hashes):
        if isinstance(rating, float) and written == _row_hash(name, rating):
            yield name, rating


def _row_hash(name: bytes, rating: float) -> bytes:
    return hashlib.sha256(name + struct.pack("<d", rating)).digest()[:8]


def _problem(path: Path, error: Exception) -> str:
    return (
        f"The judgements in {path} cannot be read or written: {error}. Set PHF_CACHE to a folder on a local disk, remove the "
        "file if it is damaged, or set cache: false, which asks the judge again each time."
    )
