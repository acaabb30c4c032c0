"""Which spans are audited, and what samples repeat of them."""

import numpy as np
import pytest
from tests.audit.planted import NumberScorer, store_for, write_corpus
from tests.tiny import tiny_tokenizer

from phf.audit.places import Places
from phf.audit.settings import AuditSettings, Room
from phf.audit.spans import CorpusTexts, choose_spans
from phf.audit.verbatim import find_copies
from phf.tokens.tokenizer import PlainEncoder, encode_plain

ROOM = Room(prefix=50, span=50, sample=64)
DOCUMENTS = [
    (["Hello. ", "Call 555123 or 777888. ", "Bye."], [0.0, 0.5, 0.0]),
    (["Call 555123 or 777888. ", "Again: ", "Call 555123 or 777888. ", "End."], [0.5, None, 0.5, 0.0]),
    (["Ünï ", "çôdé 424242 é. "], [0.0, 0.3]),
    (["Only here.", ""], [0.0, 0.9]),
]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module", params=["segments", "document"])
def store(request, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spans")
    return store_for(write_corpus(folder / "corpus", DOCUMENTS), tokenizer, folder / "stores", request.param)


def chosen(store, tokenizer, scorer=None, threshold=0.0, room=ROOM, **settings):
    places = Places(store)
    texts = CorpusTexts(store, PlainEncoder(tokenizer), places)
    settings = AuditSettings(**{"min_tokens": 5, **settings})
    result = choose_spans(store, places, texts, settings, room, threshold, scorer)
    return result, [texts.between(s.start, s.start + len(s.ids), s.document) for s in result.spans]


def test_distinct_misaligned_segments_that_something_precedes_are_chosen(store, tokenizer):
    result, texts = chosen(store, tokenizer)
    assert [text.strip() for text in texts] == ["Call 555123 or 777888.", "çôdé 424242 é."]
    assert result.num_misaligned == 4, "the empty segment has no tokens"
    assert result.num_without_prefix == 1
    assert [(span.document, span.segment) for span in result.spans] == [(0, 1), (2, 8)]
    assert [round(span.score, 6) for span in result.spans] == [0.5, 0.3]


def test_a_score_at_the_threshold_is_aligned(store, tokenizer):
    assert chosen(store, tokenizer, threshold=0.4)[0].num_misaligned == 3
    assert chosen(store, tokenizer, threshold=0.5)[0].num_misaligned == 0


def test_what_the_scorer_detects_is_chosen_inside_of_segments(store, tokenizer):
    result, texts = chosen(store, tokenizer, NumberScorer(), min_tokens=50)
    assert [text.strip() for text in texts] == ["555123", "777888", "424242"]
    assert {span.label for span in result.spans} == {"number"}


def test_long_spans_are_cut_and_short_ones_left_out(store, tokenizer):
    result, _ = chosen(store, tokenizer, room=Room(50, 6, 64))
    assert {len(span.ids) for span in result.spans} == {6}
    assert chosen(store, tokenizer, min_tokens=60)[0].spans == []


def test_as_many_as_asked_for_are_drawn_and_the_seed_decides_which(store, tokenizer, monkeypatch):
    from phf.audit import draw

    drawn = {seed: chosen(store, tokenizer, NumberScorer(), max_spans=1, seed=seed)[1] for seed in range(40)}
    assert len({tuple(texts) for texts in drawn.values()}) > 1
    monkeypatch.setattr(draw, "CHUNK", 2)
    for seed, texts in drawn.items():
        assert chosen(store, tokenizer, NumberScorer(), max_spans=1, seed=seed)[1] == texts, "whatever fits at a time"


def test_tokens_of_a_document_together_are_its_text(store, tokenizer):
    texts = CorpusTexts(store, PlainEncoder(tokenizer), Places(store))
    for number, (segments, _) in enumerate(DOCUMENTS):
        assert "".join(texts.segments(number)) == "".join(segments)


def copies_of(samples, store, tokenizer, min_tokens=6):
    ids = [sample.astype(np.int64) for sample in encode_plain(tokenizer, samples)]
    places = Places(store)
    copies = find_copies(ids, store, places, "scores", 0.0, min_tokens)
    return [(copy.sample, tokenizer.decode(copy.ids.tolist())) for copy in copies], copies


def test_the_longest_copies_within_one_misaligned_segment_are_found(store, tokenizer):
    samples = ["xx Call 555123 or 777999", "Hello. Bye. Only here.", "Again: Call", "", "all 555123 or 555123 or 777"]
    texts, copies = copies_of(samples, store, tokenizer)
    assert [(sample, text.strip()) for sample, text in texts] == [
        (0, "Call 555123 or 777"),
        (4, "all 555123 or"),
        (4, "555123 or 777"),
    ]
    for copy in copies:
        assert store.ids[copy.position : copy.position + len(copy.ids)].tolist() == copy.ids.tolist()


def test_a_copy_does_not_extend_into_an_aligned_segment(store, tokenizer):
    texts, _ = copies_of(["or 777888. Bye."], store, tokenizer)
    assert [text.strip() for _, text in texts] == ["or 777888."]


def test_fewer_tokens_in_a_row_are_not_a_copy(store, tokenizer):
    assert copies_of(["55512 and 77788"], store, tokenizer, 7)[0] == []
    assert copies_of(["55512 and 77788"], store, tokenizer, 6)[0] == [(0, " 77788")]
