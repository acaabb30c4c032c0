"""Control tokens of several preferences in front of segments: ids worked out by hand, the same however the data is read."""

from dataclasses import replace

import numpy as np
import pytest
from tests.tiny import tiny_tokenizer
from tests.tokens.packed import CONTROL, conditional, corpus_for, settings_for

from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import CorpusError
from phf.feedback.control_tokens import control_tokens_of_levels
from phf.feedback.method import Method
from phf.feedback.preference import ScorePreferences
from phf.tokens import view_index
from phf.tokens.building import build_store_with
from phf.tokens.streaming import StreamingBlocks
from phf.tokens.views import Blocks

LEVELS = {"pep8": CONTROL, "pii": ("<|p1|>", "<|p2|>", "<|p3|>")}
SCORES, PII = [0.0, 1.0, None, 0.0], [0.5, None, None, 0.1]


def preferences(pep8_drop=0.0, pii_drop=0.0, names=("pep8", "pii")):
    section = {"class_name": "ScoreThresholds", "scores_column": "scores", "thresholds": [0.1]}
    of_pii = {"class_name": "ScoreQuantiles", "scores_column": "pii_scores", "edges": [0.2, 0.4, 0.9]}
    items = {
        "pep8": {**section, "name": "pep8", "control_tokens": list(LEVELS["pep8"]), "drop_token_fraction": pep8_drop},
        "pii": {**of_pii, "name": "pii", "control_tokens": list(LEVELS["pii"]), "drop_token_fraction": pii_drop},
    }
    tokens = control_tokens_of_levels({name: LEVELS[name] for name in names})
    return Method(conditioning=ScorePreferences([items[name] for name in names]), control_tokens=tokens)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    texts = ["a = 1\n", "b =  2\n", "c = 3\n", "d = 4\n"]
    documents = [AnnotatedDocument(f"d{i}", texts, SCORES) for i in range(40)]
    write_shard(folder / "shard.parquet", documents, {"pii_scores": [PII] * 40})
    return folder


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer([*LEVELS["pep8"], *LEVELS["pii"]])


@pytest.fixture(scope="module")
def store(source, tokenizer, tmp_path_factory):
    corpus = corpus_for(tokenizer, source)
    return build_store_with(corpus, tmp_path_factory.mktemp("stores"), ["pii_scores"], processes=1)


def view(store, tokenizer, method, **settings):
    return Blocks(store.folder, settings_for(tokenizer, method=method, **{"seq_length": 16, **settings}))


def stream_of(blocks):
    return np.concatenate([blocks[i]["input_ids"] for i in range(len(blocks))])


def test_tokens_stand_in_the_order_of_the_preferences_where_their_scores_are(store, tokenizer):
    good, bad, best, fair, worst = tokenizer.convert_tokens_to_ids([*LEVELS["pep8"], *LEVELS["pii"]])
    text = [
        tokenizer(line, add_special_tokens=False).input_ids for line in ("a = 1\n", "b =  2\n", "c = 3\n", "d = 4\n")
    ]
    document = [0, good, worst, *text[0], bad, *text[1], *text[2], good, best, *text[3]]
    blocks = view(store, tokenizer, preferences(), seq_length=len(document))
    assert blocks[0]["input_ids"].tolist() == blocks[39]["input_ids"].tolist() == document
    assert fair not in stream_of(blocks)
    scores = [0.0] * (3 + len(text[0])) + [1.0] * (1 + len(text[1]))  # those of scores_column
    np.testing.assert_array_equal(blocks[0]["token_scores"][: len(scores)], np.float32(scores))
    assert blocks.counts.num_tagged_segments == [80, 40, 40, 0, 40]
    assert blocks.counts.num_control_tokens == 200
    swapped = view(store, tokenizer, preferences(names=("pii", "pep8")), seq_length=len(document))
    assert swapped[0]["input_ids"].tolist()[:3] == [0, worst, good]


def test_one_preference_is_conditional_training(store, tokenizer):
    alone = view(store, tokenizer, preferences(names=("pep8",)))
    plain = view(store, tokenizer, conditional(0.1))
    assert np.array_equal(stream_of(alone), stream_of(plain))


def test_tokens_of_each_preference_are_dropped_apart(store, tokenizer):
    both, first, second = (preferences(*drops) for drops in ((0.5, 0.5), (0.5, 0.0), (0.0, 0.5)))
    ids = {name: tokenizer.convert_tokens_to_ids(list(LEVELS[name])) for name in LEVELS}

    def counted(method, name):
        return int(np.isin(stream_of(view(store, tokenizer, method, seq_length=1)), ids[name]).sum())

    assert 30 < counted(both, "pep8") < 90  # of 120
    assert 20 < counted(both, "pii") < 60  # of 80
    assert (counted(first, "pii"), counted(second, "pep8")) == (80, 120)
    assert counted(first, "pep8") == counted(both, "pep8")  # whatever the other one does
    blocks = view(store, tokenizer, both, seq_length=1)
    control = np.isin(stream_of(blocks), ids["pep8"] + ids["pii"])
    pairs = int((control[1:] & control[:-1]).sum())
    assert 0 < pairs < 40  # of 80: some have both, some one, some none
    whole = view(store, tokenizer, both.without_dropout())
    assert np.array_equal(stream_of(whole), stream_of(view(store, tokenizer, preferences())))
    assert not both.without_dropout().drops_control_tokens


def test_a_stream_a_store_and_small_chunks_have_the_same_blocks(source, store, tokenizer, monkeypatch):
    settings = settings_for(tokenizer, method=preferences(0.3, 0.4), seq_length=16, seed=3)
    stored = Blocks(store.folder, settings)
    expected = sorted(stored[i]["input_ids"].tolist() for i in range(len(stored)))
    for piece_chars in (50, 10**6):
        corpus = replace(corpus_for(tokenizer, source, piece_chars=piece_chars), more_columns=settings.more_columns)
        items = list(StreamingBlocks(corpus, settings, processes=0).epoch(0))
        assert sorted(item["input_ids"].tolist() for item in items) == expected
    monkeypatch.setattr(view_index, "RUN_SEGMENTS", 3)
    monkeypatch.setattr(view_index, "CHUNK_SEGMENTS", 10)
    small = Blocks(store.folder, settings)
    assert sorted(small[i]["input_ids"].tolist() for i in range(len(small))) == expected


def test_a_column_that_is_missing_is_named(source, tokenizer, tmp_path):
    with pytest.raises(CorpusError, match=r"has no 'toxicity_scores'\. Columns of scores there: pii_scores, scores"):
        build_store_with(corpus_for(tokenizer, source), tmp_path, ["toxicity_scores"], processes=1)
