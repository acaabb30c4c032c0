"""Documents of a run's own data for a round, from a store of five documents."""

from types import SimpleNamespace

import numpy as np
import pytest

from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import ConfigError
from phf.refresh import mixture
from phf.refresh.mixture import OwnDocuments, check_share, own_tokens_for

SEGMENTS = [[2, 3], [4], [1, 1, 1], [5], [2, 2]]
"""Tokens of each segment of each document; document 3 is held out."""


@pytest.fixture
def own(monkeypatch):
    documents = [
        AnnotatedDocument(f"d{i}", [f"{i}.{k}" for k in range(len(lengths))], [0.0] * len(lengths))
        for i, lengths in enumerate(SEGMENTS)
    ]
    monkeypatch.setattr(mixture, "read_sources", lambda sources, column: iter(documents))
    table = np.zeros(5, [("key", "<i8"), ("num_tokens", "<u4"), ("num_segments", "<u4")])
    table["key"] = [11, -7, 13, 17, 19]
    table["num_segments"] = [len(lengths) for lengths in SEGMENTS]
    table["num_tokens"] = [sum(lengths) for lengths in SEGMENTS]
    store = SimpleNamespace(
        documents=table,
        lengths=np.array([length for lengths in SEGMENTS for length in lengths], np.uint8),
        document_ids=lambda numbers: [f"d{number}" for number in numbers],
    )
    blocks = SimpleNamespace(store=store, document_numbers=lambda: np.array([0, 1, 2, 4]))
    dataset = SimpleNamespace(scores_column="scores")
    return OwnDocuments(blocks, SimpleNamespace(sources=[], config=SimpleNamespace(dataset=dataset)), 0)


def test_rounds_take_turns_through_all_documents_but_those_held_out(own):
    taken, place, names = 0, 0, []
    while len(names) < 4:
        part = own.take(place, 1)
        names += [document.id for document in part.documents]
        place, taken = part.next_place, taken + part.num_tokens
    assert sorted(names) == ["d0", "d1", "d2", "d4"]
    assert own.take(place, 1).documents[0].id == names[0], "then they begin again"


def test_the_last_document_is_cut_after_the_segment_that_fills_the_share(own):
    everything = own.take(0, 16)
    assert everything.num_tokens == 5 + 4 + 3 + 4
    for wanted in range(1, 17):
        part = own.take(0, wanted)
        lengths = [SEGMENTS[int(d.id[1])][: len(d.texts)] for d in part.documents]
        assert part.num_tokens == sum(map(sum, lengths)) >= wanted
        assert part.num_tokens - lengths[-1][-1] < wanted, "one segment less would not do"
        assert all(len(d.texts) == len(d.scores) for d in part.documents)
        whole = [len(d.texts) == len(SEGMENTS[int(d.id[1])]) for d in part.documents[:-1]]
        assert all(whole)


def test_more_than_there_is_is_refused(own):
    assert own.num_tokens() == 16  # without the document that is held out
    with pytest.raises(ConfigError, match=r"needs 17 tokens of the run's own training data in a round, which has 16"):
        own.take(0, 17)


def test_a_share_that_the_data_cannot_fill_up_is_known_before_there_are_samples():
    said = []
    with pytest.raises(
        ConfigError, match=r"--share 0.1: beside 20 samples .* already need 180 tokens .* which has 179"
    ):
        check_share(179, 20, 8, 0.1, said.append)
    check_share(1440, 20, 8, 0.1, said.append)
    assert said == []
    check_share(1439, 20, 8, 0.1, said.append)
    assert "needs up to 1,440 tokens of the run's own training data, which has 1,439" in said[0]
    assert "more than 8 tokens on average" in said[0]


def test_none_are_taken_where_all_are_samples(own):
    assert own.take(3, own_tokens_for(100, 1.0)) == mixture.Taken([], 0, 3)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 100), (0.25, 300), (0.8, 25)])
def test_the_share_of_samples(share, expected):
    assert own_tokens_for(100, share) == expected
