"""Exact search: what a plain loop over the tokens finds."""

import numpy as np
import pytest
from tests.audit.planted import store_for, write_corpus
from tests.tiny import tiny_tokenizer

from phf.audit import search
from phf.audit.places import Places
from phf.audit.search import SequenceSearch


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Documents of a few distinct letters, so that sequences repeat and overlap."""
    folder = tmp_path_factory.mktemp("search")
    generator = np.random.default_rng(0)
    documents = []
    for _ in range(40):
        texts = ["".join(generator.choice(["a", "b", " "], size=size)) for size in generator.integers(0, 9, size=5)]
        documents.append((texts, [0.0] * 5))
    return store_for(write_corpus(folder / "corpus", documents), tiny_tokenizer(), folder / "stores")


def plain_matches(store, sequence):
    """Positions of all occurrences within a document."""
    ids, positions_found, start = store.ids.tolist(), [], 0
    for size in store.documents["num_tokens"].tolist():
        own = ids[start : start + size]
        last = size - len(sequence)
        positions_found += [start + i for i in range(last + 1) if own[i : i + len(sequence)] == sequence.tolist()]
        start += size
    return positions_found


@pytest.mark.parametrize("chunk", [1, 7, 64, 2**20])
def test_every_occurrence_is_found_wherever_the_store_is_divided(store, chunk, monkeypatch):
    monkeypatch.setattr(search, "CHUNK", chunk)
    monkeypatch.setattr(search, "PAIRS", 3)
    ids = store.ids.astype(np.int64)
    lengths = [1, 2, 3, 4, 5, 7, 8, 9, 12, 15]
    sequences = [ids[start : start + length] for start in (0, 11, 50, len(ids) - 20) for length in lengths]
    sequences += [np.array([299] * 4), np.tile(ids[:3], 40)]
    positions_found = [[] for _ in sequences]
    for numbers, positions in SequenceSearch(sequences).matches(store, "searching"):
        for number, position in zip(numbers, positions, strict=True):
            positions_found[number].append(int(position))
    expected = [plain_matches(store, sequence) for sequence in sequences]
    assert [sorted(some) for some in positions_found] == expected
    assert sum(map(len, expected)) > 100
    assert SequenceSearch(sequences).counts(store, "counting").tolist() == [len(some) for some in expected]


def test_a_sequence_that_only_two_documents_together_have_does_not_occur(tmp_path):
    source = write_corpus(tmp_path / "corpus", [(["ab"], [0.0]), (["ba"], [0.0])])
    store = store_for(source, tiny_tokenizer(), tmp_path)
    a, b = store.ids[:2].tolist()
    assert store.ids.tolist() == [a, b, b, a]
    sequences = [np.array([b, b]), np.array([a, b]), np.array([b])]
    assert SequenceSearch(sequences).counts(store, "counting").tolist() == [0, 1, 2]


def test_nothing_is_found_of_nothing(store):
    assert list(SequenceSearch([]).matches(store, "searching")) == []


def test_hashes_that_collide_find_nothing_more(store, monkeypatch):
    """Tokens are compared: hashes decide only which ones."""
    monkeypatch.setattr(search, "splitmix64", lambda words: words & np.uint64(1))
    sequences = [store.ids[20:23].astype(np.int64), store.ids[3:8].astype(np.int64)]
    expected = [len(plain_matches(store, sequence)) for sequence in sequences]
    assert SequenceSearch(sequences).counts(store, "counting").tolist() == expected


@pytest.mark.parametrize("block", [1, 3, 4096])
def test_each_token_and_segment_has_its_place(store, block, monkeypatch):
    from phf.audit import places as module

    monkeypatch.setattr(module, "BLOCK", block)
    places = Places(store)
    ends = np.cumsum(store.lengths, dtype=np.int64)
    numbers = np.repeat(np.arange(len(ends)), store.lengths)
    of_tokens = places.of_tokens(np.arange(len(store.ids)))
    assert of_tokens.numbers.tolist() == numbers.tolist()
    assert of_tokens.ends.tolist() == ends[numbers].tolist()
    assert of_tokens.starts.tolist() == (ends - store.lengths)[numbers].tolist()
    of_segments = places.of_segments(np.arange(len(ends)))
    assert (of_segments.starts.tolist(), of_segments.ends.tolist()) == ((ends - store.lengths).tolist(), ends.tolist())
    assert [places.document_of(segment) for segment in range(200)] == [segment // 5 for segment in range(200)]
    assert places.segments_of(3) == range(15, 20)
    assert places.document_start(3) == store.documents["num_tokens"][:3].sum()
