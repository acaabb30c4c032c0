"""Damage to any file of the cache: it is rebuilt, or refused, and never gives other data to train on."""

import hashlib
import os
import random
import shutil

import numpy as np
import pytest
from tests.faults.counts import num_cases
from tests.tiny import tiny_config, tiny_corpus

from phf.errors import PhfError
from phf.training.data import prepare_data, resolve_percentiles


def data_of(config):
    """Hash of all that a run reads, and what was announced."""
    said = []
    resolved, percentiles = resolve_percentiles(config, said.append)
    data = prepare_data(resolved, said.append)
    digest = hashlib.sha256(repr(sorted(percentiles.items())).encode())
    for blocks in (data.train, data.evaluation):
        for number in range(len(blocks)):
            for _, values in sorted(blocks[number].items()):
                digest.update(np.asarray(values).tobytes())
    return digest.hexdigest(), said


def flipped(content, draw):
    damaged = bytearray(content)
    damaged[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


CONTENTS = {
    "a flipped bit": flipped,
    "nothing": lambda content, draw: b"",
    "a half": lambda content, draw: content[: len(content) // 2],
    "zeros": lambda content, draw: bytes(len(content)),
    "that of another version": lambda content, draw: b'{"format": 99}',
}


def damage(path, how, draw):
    content = path.read_bytes()
    path.unlink()
    if how == "a folder":
        path.mkdir()
    elif how == "a link to nowhere":
        path.symlink_to("nowhere")
    elif how == "a FIFO":
        os.mkfifo(path)
    elif how != "gone":
        path.write_bytes(CONTENTS[how](content, draw) if content else b"x")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A configuration, the cache that its data has filled, and the hash of the data."""
    folder = tmp_path_factory.mktemp("cache")
    config = tiny_config(
        tiny_corpus(tmp_path_factory.mktemp("corpus")), "filtering", **{"dataset.filter_threshold": "p90"}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHF_CACHE", str(folder))
        return config, folder, data_of(config)[0]


def test_no_damage_to_the_cache_is_silent(cache, tmp_path, monkeypatch, counts):
    config, whole, expected = cache
    draw = random.Random(0)
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert {path.parts[0] for path in files} == {".entries", "annotated", "thresholds", "tokens"}
    kinds = ["gone", "a folder", "a link to nowhere", "a FIFO", *CONTENTS, *["a flipped bit"] * 10]
    cases = [(file, how) for file in files for how in kinds]
    cases = draw.sample(cases, min(len(cases), num_cases(len(cases), 4)))
    num_refused = 0
    for number, (file, how) in enumerate(cases):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        damage(folder / file, how, draw)
        monkeypatch.setenv("PHF_CACHE", str(folder))
        try:
            assert data_of(config)[0] == expected, (file, how)
        except PhfError as error:
            assert str(folder) in str(error), (file, how)  # noqa: PT017
            num_refused += 1
        shutil.rmtree(folder)
    counts["damage to a file of the cache, from which a run's data is then read"] = (
        len(cases),
        f"0 silent, 0 tracebacks; {num_refused} refused, the others rebuilt",
    )
