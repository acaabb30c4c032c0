"""Where control tokens stand: ids worked out by hand for each placement, the same however the data is read."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from tests.tiny import tiny_tokenizer
from tests.tokens.packed import conditional, corpus_for, packed, settings_for
from tests.tokens.test_preferences import LEVELS, preferences

from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.tokens import view_index
from phf.tokens.building import build_store_with
from phf.tokens.layout import hidden_of
from phf.tokens.streaming import StreamingBlocks
from phf.tokens.views import Blocks

PLACEMENTS = ("before_segment", "on_change", "before_document", "after_segment")
TOKENIZER = tiny_tokenizer([*LEVELS["pep8"], *LEVELS["pii"]])
GOOD, BAD, BEST, FAIR, WORST = TOKENIZER.convert_tokens_to_ids([*LEVELS["pep8"], *LEVELS["pii"]])
A, B, C, D = (
    [*TOKENIZER(text, add_special_tokens=False).input_ids] for text in ("a = 1\n", "b =  2\n", "c", "d = 4\n")
)


def ids_of(documents, method, **settings):
    return packed(documents, TOKENIZER, method=method, **settings)[0].tolist()


@pytest.mark.parametrize(
    ("placement", "first", "second"),
    [
        ("before_segment", [GOOD, *A, GOOD, *B, *C, GOOD, *A, BAD, *D], [BAD, *A, BAD, *B]),
        # the segment without a score changes nothing; a document begins without a level
        ("on_change", [GOOD, *A, *B, *C, *A, BAD, *D], [BAD, *A, *B]),
        # (0.1 + 0 + 0 + 0.3) / 4 = 0.1, which is not above the threshold; (0.3 + 0.2) / 2 is
        ("before_document", [GOOD, *A, *B, *C, *A, *D], [BAD, *A, *B]),
        ("after_segment", [*A, GOOD, *B, GOOD, *C, *A, GOOD, *D, BAD], [*A, BAD, *B, BAD]),
    ],
)
def test_each_placement_puts_control_tokens_where_it_says(placement, first, second):
    documents = [
        AnnotatedDocument(
            "1", ["a = 1\n", "b =  2\n", "c", "", "a = 1\n", "d = 4\n"], [0.1, 0.0, None, None, 0.0, 0.3]
        ),
        AnnotatedDocument("2", ["", "a = 1\n", "b =  2\n"], [None, 0.3, 0.2]),
        AnnotatedDocument("3", ["c"], [None]),
    ]
    method = conditional(0.1, placement=placement)
    ids, scores, counts = packed(documents, TOKENIZER, method=method)
    assert ids.tolist() == [0, *first, 0, *second, 0, *C]
    assert counts.num_tokens == len(ids)
    assert counts.num_control_tokens == sum(token in (GOOD, BAD) for token in ids.tolist())
    where = ids.tolist().index(BAD)  # of the last segment of the first document, or of the second one
    assert scores[where] == np.float32(0.3)
    if placement == "after_segment":
        assert scores[[0, 1, 1 + len(A)]].tolist() == [np.float32(0.1)] * 3  # EOS and tag are of the first segment


@pytest.mark.parametrize(
    ("placement", "ids", "hidden"),
    [
        ("before_segment", [BAD, *B, BAD, *D, GOOD, *A], [1] * (1 + len(B)) + [2] * (1 + len(D)) + [0] * (1 + len(A))),
        ("on_change", [BAD, *B, *D, GOOD, *A], [0, *[1] * len(B), *[2] * len(D), 0, *[0] * len(A)]),
        ("before_document", [BAD, *B, *D, *A], [0, *[1] * len(B), *[2] * len(D), *[0] * len(A)]),
        ("after_segment", [*B, BAD, *D, BAD, *A, GOOD], [1] * (1 + len(B)) + [2] * (1 + len(D)) + [0] * (1 + len(A))),
    ],
)
def test_a_token_that_speaks_for_later_segments_is_not_hidden_from_them(placement, ids, hidden):
    """The first two segments are hidden; what the third one, or the second, is about must be seen."""
    document = AnnotatedDocument("1", ["b =  2\n", "d = 4\n", "a = 1\n"], [0.5, 0.5, 0.0])
    method = replace(conditional(0.1, placement=placement), hidden_threshold=0.1)
    settings = settings_for(TOKENIZER, method=method)
    all_ids, scores, _ = packed([document], TOKENIZER, method=method)
    assert all_ids.tolist() == [0, *ids]
    width = {"before_segment": 1, "on_change": 0, "before_document": 0, "after_segment": 1}[placement]
    second = 2 + len(B)  # behind EOS, and behind the control token of the first segment or in front of it
    starts = np.zeros(len(all_ids), bool)
    starts[[0, second, second + len(D) + width]] = True
    segments = hidden_of(all_ids, scores, starts, settings)
    numbers = {number: place for place, number in enumerate(dict.fromkeys(segments[segments > 0].tolist()), start=1)}
    assert [numbers.get(number, 0) for number in segments.tolist()] == [0, *hidden]


def test_of_several_preferences_each_changes_by_itself_and_is_averaged_by_itself(tmp_path):
    texts, scores, pii = ["a = 1\n", "b =  2\n", "a = 1\n"], [0.0, 0.0, 1.0], [0.1, 0.9, 0.9]
    write_shard(tmp_path / "a.parquet", [AnnotatedDocument("1", texts, scores)], {"pii_scores": [pii]})
    corpus = corpus_for(TOKENIZER, tmp_path / "a.parquet")
    store = build_store_with(corpus, tmp_path / "stores", ["pii_scores"], processes=1)
    expected = {
        "before_segment": [0, GOOD, BEST, *A, GOOD, WORST, *B, BAD, WORST, *A],
        "on_change": [0, GOOD, BEST, *A, WORST, *B, BAD, *A],
        "before_document": [0, BAD, WORST, *A, *B, *A],  # 0.33 > 0.1, and 0.63 > 0.4
        "after_segment": [0, *A, GOOD, BEST, *B, GOOD, WORST, *A, BAD, WORST],
    }
    for placement, ids in expected.items():
        method = replace(preferences(), placement=placement)
        settings = settings_for(TOKENIZER, method=method, seq_length=len(ids))
        assert Blocks(store.folder, settings)[0]["input_ids"].tolist() == ids
        stream = StreamingBlocks(replace(corpus, more_columns=settings.more_columns), settings, processes=0)
        assert next(iter(stream))["input_ids"].tolist() == ids


def test_on_change_is_before_segment_without_the_tokens_that_repeat_the_one_before():
    rng = np.random.default_rng(0)
    documents = [
        AnnotatedDocument(f"d{i}", ["a = 1\n"] * n, [*rng.choice([0.0, 1.0, None], n).tolist()])
        for i, n in enumerate([1, 30, 0, 50, 20])
    ]
    method = conditional(0.1, 0.3)  # dropped tokens are the same ones
    kept, level = [], None
    for token in ids_of(documents, method):
        level = None if token == 0 else level
        if token not in (GOOD, BAD) or token != level:
            kept.append(token)
        level = token if token in (GOOD, BAD) else level
    assert ids_of(documents, replace(method, placement="on_change")) == kept


def test_a_share_of_documents_lacks_the_one_token_that_it_would_have():
    documents = [AnnotatedDocument(f"d{i}", ["a = 1\n"] * 3, [0.0] * 3) for i in range(400)]
    method = conditional(0.1, 0.25, placement="before_document")
    ids, _, counts = packed(documents, TOKENIZER, method=method)
    assert counts.num_tagged_segments == [400, 0]  # one for each document
    assert 270 < counts.num_control_tokens == (ids == GOOD).sum() < 330
    assert set(ids[1:][ids[1:] == GOOD]) == {GOOD}
    assert all(ids[place - 1] == 0 for place in np.flatnonzero(ids == GOOD))
    again = packed(documents[::-1], TOKENIZER, method=method)[0]
    assert (again == GOOD).sum() == counts.num_control_tokens  # decided by the document, not by its place


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Documents of many sizes: empty ones, empty segments, unscored segments, long runs of one level."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(1)
    documents, pii = [], []
    for i in range(50):
        number = int(rng.choice([0, 1, 3, 40]))
        texts = [*rng.choice(["a = 1\n", "b =  2\n", "c", ""], number).tolist()]
        stays = rng.random() < 0.5
        scores = [[0.0, 1.0][i % 2] if stays else rng.choice([0.0, 0.5, 1.0, None]) for _ in texts]
        documents.append(AnnotatedDocument(f"d{i}", texts, scores))
        pii.append([*rng.choice([0.1, 0.3, 0.9, None], number).tolist()])
    write_shard(folder / "shard.parquet", documents, {"pii_scores": pii})
    return folder


@pytest.fixture(scope="module")
def store(source, tmp_path_factory):
    corpus = corpus_for(TOKENIZER, source)
    return build_store_with(corpus, tmp_path_factory.mktemp("stores"), ["pii_scores"], processes=1)


def all_items(blocks):
    return [(item["input_ids"].tolist(), np.nan_to_num(item["token_scores"], nan=-1).tolist()) for item in blocks]


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_stream_a_store_and_a_store_found_by_small_runs_have_the_same_blocks(placement, source, store, monkeypatch):
    method = replace(preferences(0.3, 0.2), placement=placement)
    settings = settings_for(TOKENIZER, method=method, seq_length=16, seed=3, eval_fraction=0.2)
    one_by_one = Blocks(store.folder, replace(settings, seq_length=1))
    stream = [item["input_ids"][0] for item in one_by_one]
    blocks = Blocks(store.folder, settings)
    expected = all_items(blocks)
    assert np.concatenate([ids for ids, _ in expected]).tolist() == stream[: 16 * len(blocks)]
    for piece_chars in (50, 10**6):
        corpus = replace(corpus_for(TOKENIZER, source, piece_chars=piece_chars), more_columns=settings.more_columns)
        streamed = all_items(StreamingBlocks(corpus, settings, processes=0).epoch(0))
        assert sorted(streamed) == sorted(expected)
    monkeypatch.setattr(view_index, "RUN_SEGMENTS", 3)
    monkeypatch.setattr(view_index, "CHUNK_SEGMENTS", 10)
    assert all_items(Blocks(store.folder, settings)) == expected
    sent = pickle.loads(pickle.dumps(Blocks(store.folder, settings)))  # noqa: S301
    assert all_items(sent[i] for i in reversed(range(len(sent)))) == expected[::-1]  # in any order, in a worker
    starts = np.concatenate([blocks.segment_starts(i) for i in range(len(blocks))])
    is_start = np.flatnonzero(starts)
    if placement == "after_segment":
        control = [GOOD, BAD, BEST, FAIR, WORST]
        assert not np.isin(np.array(stream)[is_start], control).any()  # segments begin with text or EOS
    assert len(is_start) > 100


def test_each_placement_has_an_index_of_its_own_for_a_stream(source):
    keys = set()
    for placement in PLACEMENTS:
        for threshold in (0.1, 0.6):
            section = {"class_name": "ScoreThresholds", "thresholds": [threshold]}
            method = conditional(threshold, placement=placement, conditioning_config=section)
            settings = settings_for(TOKENIZER, method=method, seq_length=16)
            keys.add(StreamingBlocks(corpus_for(TOKENIZER, source), settings)._open_index()._key)
    assert len(keys) == 7  # before each segment, blocks begin at the same places whatever the threshold
