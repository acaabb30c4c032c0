"""Small JSON files in which no damage goes unnoticed."""

import json

import pytest

from phf.errors import CorpusError
from phf.storage.sealed import read_sealed, write_sealed

CONTENT = {"threshold": 0.0125, "name": "ü", "ids": [1, 2.0, None], "inner": {"b": True, "a": -1e-300}}


def test_what_is_written_is_read(tmp_path):
    write_sealed(tmp_path / "a.json", CONTENT)
    assert read_sealed(tmp_path / "a.json", CONTENT, CorpusError) == CONTENT
    written = json.loads((tmp_path / "a.json").read_text())
    assert len(written.pop("sha256")) == 64
    assert written == CONTENT


@pytest.mark.parametrize("needs_hash", [True, False])
def test_no_flipped_bit_gives_another_content(needs_hash, tmp_path):
    path = tmp_path / "a.json"
    write_sealed(path, CONTENT)
    whole = path.read_bytes()
    num_found = 0
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            assert read_sealed(path, CONTENT, CorpusError, needs_hash=needs_hash) == CONTENT
        except CorpusError as error:
            assert str(path) in str(error)  # noqa: PT017
            num_found += 1
    assert num_found > 7 * len(whole)  # what is left are spaces, and letters of escapes in the other case


def test_a_file_without_a_hash_is_for_those_who_accept_it(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(CONTENT))
    assert read_sealed(path, CONTENT, CorpusError, needs_hash=False) == CONTENT
    with pytest.raises(CorpusError, match="was changed since it was written"):
        read_sealed(path, CONTENT, CorpusError)
    with pytest.raises(CorpusError, match="has other keys than threshold"):
        read_sealed(path, ["threshold"], CorpusError, needs_hash=False)
