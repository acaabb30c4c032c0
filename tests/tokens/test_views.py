"""Views of a store hold, token for token, what the packer before it made of the documents themselves."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from tests.tiny import tiny_tokenizer
from tests.tokenizer_classes import CLASSES
from tests.tokens import reference_packing as reference
from tests.tokens.packed import CONTROL, conditional, corpus_for, filtering, settings_for

from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import CorpusError
from phf.feedback.document_filter import AvgScoreAtMost
from phf.feedback.method import Method
from phf.tokens import view_index
from phf.tokens.building import build_store
from phf.tokens.encoded import document_key
from phf.tokens.pieces import read_sources
from phf.tokens.selection import in_part
from phf.tokens.tokenizer import prepare_tokenizer
from phf.tokens.view_settings import ViewSettings
from phf.tokens.views import Blocks


def annotated(number=80, seed=0):
    """Documents of all sizes: empty ones, empty segments, unscored segments and documents, long ones."""
    rng = np.random.default_rng(seed)
    documents = []
    for i in range(number):
        texts = [
            "".join(rng.choice(["x = 1\n", "def f(y):\n", "    return é\n", " ", ""], rng.integers(0, 4)))
            for _ in range(rng.choice([0, 1, 3, 40]))
        ]
        scores = [None if rng.random() < 0.1 or i % 11 == 0 else float(rng.choice([0, 0.1, 0.25, 1])) for _ in texts]
        documents.append(AnnotatedDocument(f"é{i % 70}" if i > 75 else f"d{i}", texts, scores))
    return documents


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    documents = annotated()
    write_shard(folder / "data" / "shard-00000.parquet", documents[:30])
    write_shard(folder / "data" / "shard-00001.parquet", documents[30:])
    return folder


CASES = {
    "mle": {},
    "conditional": {"method": conditional(0.1)},
    "conditional, dropped": {"method": conditional(0.1, 0.4), "seed": 5},
    "filtering": {"method": filtering(0.3)},
    "filtering and conditional": {
        "method": conditional(0.0, 0.2, document_filter=AvgScoreAtMost(0.3)),
        "eval_fraction": 0.3,
    },
    "held out": {"method": conditional(0.0), "eval_fraction": 0.5, "split": "eval"},
    "unscored dropped": {"unscored": "drop"},
    "skipped": {"skip_tokens": 500, "method": conditional(0.1), "eval_fraction": 0.2},
    "all at once": {
        "method": conditional(0.1, 0.3, document_filter=AvgScoreAtMost(0.5)),
        "eval_fraction": 0.25,
        "unscored": "drop",
        "skip_tokens": 100,
        "seed": 1,
    },
}


def reference_stream(folder, tokenizer, tokenization, seq_length, method=None, document_start=None, **settings):
    """-> blocks (ids, scores, documents) of the packer before, and its counts."""
    method = method or Method()
    conditioning = None
    if len(method.control_tokens):
        aligned, misaligned = method.control_tokens.ids(tokenizer)
        conditioning = reference.Conditioning(
            threshold=method.conditioning.alignment_threshold,
            aligned_id=aligned,
            misaligned_id=misaligned,
            drop_token_fraction=method.drop_token_fraction,
        )
    threshold = None if method.document_filter is None else float(method.document_filter.threshold)
    config = reference.PackingConfig(
        seq_length=seq_length,
        tokenization=tokenization,
        conditioning=conditioning,
        filter_threshold=threshold,
        document_start=document_start,
        **settings,
    )
    counts = reference.PackingCounts()
    documents = read_sources([str(folder / "data")], "scores")
    chunks = reference.pack_documents(documents, tokenizer, config, counts=counts)
    return map(np.concatenate, zip(*reference.cut_into_blocks(chunks, seq_length), strict=True)), counts


@pytest.mark.parametrize("tokenization", ["segments", "document"])
@pytest.mark.parametrize("kind", ["bytes", "llama"])
@pytest.mark.parametrize("case", CASES)
def test_blocks_are_those_of_the_packer_before(case, kind, tokenization, folder, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(view_index, "RUN_SEGMENTS", 8)
    monkeypatch.setattr(view_index, "CHUNK_SEGMENTS", 100)
    tokenizer = tiny_tokenizer(CONTROL) if kind == "bytes" else prepare_tokenizer(CLASSES["LlamaTokenizer"](), CONTROL)
    start = () if kind == "bytes" else (tokenizer.bos_token_id,)
    store = build_store(corpus_for(tokenizer, folder / "data", tokenization), folder / "stores", processes=1)
    for seq_length in (7, 64):
        settings = settings_for(tokenizer, seq_length=seq_length, document_start=start, **CASES[case])
        settings = replace(settings, max_altered_documents=1.0)
        blocks = Blocks(store.folder, settings)
        (ids, scores, documents), counts = reference_stream(
            folder, tokenizer, tokenization, seq_length, document_start=start, **CASES[case]
        )
        assert len(blocks) == len(ids)
        for i in range(len(blocks)):
            item = blocks[i]
            np.testing.assert_array_equal(item["input_ids"], ids[i])
            np.testing.assert_array_equal(item["token_scores"], scores[i])
            np.testing.assert_array_equal(item["documents"], documents[i])
        assert (item["input_ids"].dtype, item["token_scores"].dtype) == (np.int64, np.float32)
        for name in ("num_documents", "num_documents_empty", "num_documents_filtered", "num_documents_skipped"):
            assert getattr(blocks.counts, name) == getattr(counts, name), name
        for name in ("num_segments", "num_unscored_segments", "num_tokens", "num_text_tokens", "num_control_tokens"):
            assert getattr(blocks.counts, name) == getattr(counts, name), name
        assert blocks.counts.num_bytes == counts.num_bytes
        if blocks.counts.num_tagged_segments:
            assert blocks.counts.num_tagged_segments == [counts.num_aligned_segments, counts.num_misaligned_segments]


@pytest.fixture(scope="module")
def blocks(folder):
    tokenizer = tiny_tokenizer(CONTROL)
    store = build_store(corpus_for(tokenizer, folder / "data"), folder / "stores", processes=1)
    return Blocks(store.folder, settings_for(tokenizer, method=conditional(0.1, 0.5), seq_length=16, eval_fraction=0.2))


def test_a_view_travels_as_a_path_and_settings_and_gives_the_same_blocks(blocks):
    sent = pickle.dumps(blocks)
    assert len(sent) < 2000
    copy = pickle.loads(sent)  # noqa: S301
    for i in (0, len(blocks) - 1, 3):
        for key, value in blocks[i].items():
            np.testing.assert_array_equal(copy[i][key], value)


def test_parts_have_no_document_in_common_and_together_all_documents(blocks):
    def documents(seed, *part):
        view = Blocks(blocks.store.folder, replace(blocks.settings, part=part, seed=seed))
        counts, of_all = view.counts, blocks.counts.num_documents + blocks.counts.num_documents_empty
        assert counts.num_documents_of_other_parts + counts.num_documents + counts.num_documents_empty == of_all
        return list(view.packed_documents())

    parts = [documents(3, start, end) for start, end in [(0.0, 0.25), (0.25, 0.5), (0.5, 1.0)]]
    assert all(parts)
    assert sorted(document for part in parts for document in part) == sorted(blocks.packed_documents())
    assert documents(3, 0.0, 0.5) == [one for one in blocks.packed_documents() if one in parts[0] + parts[1]]
    assert documents(4, 0.0, 0.5) != documents(3, 0.0, 0.5)


def test_a_part_has_about_its_share_of_the_documents_whatever_their_order():
    keys = np.array([document_key(str(number)) for number in range(4000)])
    settings = ViewSettings(opening=(0,), part=(0.5, 0.9), seed=1)
    chosen = in_part(keys, settings)
    assert abs(chosen.mean() - 0.4) < 3 * (0.4 * 0.6 / 4000) ** 0.5
    assert abs(chosen[:1000].mean() - 0.4) < 3 * (0.4 * 0.6 / 1000) ** 0.5
    shuffled = np.random.default_rng(0).permutation(4000)
    np.testing.assert_array_equal(in_part(keys[shuffled], settings), chosen[shuffled])


def test_nothing_is_missing_from_the_held_out_split_of_a_part(blocks):
    held_out = replace(blocks.settings, split="eval")
    part = Blocks(blocks.store.folder, replace(held_out, part=(0.0, 0.1)))
    assert list(part.packed_documents()) == list(Blocks(blocks.store.folder, held_out).packed_documents())


def test_a_sample_has_whole_documents_up_to_its_tokens_the_same_for_every_method(blocks):
    def sampled(max_tokens, **changes):
        return Blocks(blocks.store.folder, replace(blocks.settings, max_tokens=max_tokens, **changes))

    whole = dict(blocks.packed_documents())
    before: set[int] = set()
    for max_tokens in (300, 600, 10**9):
        view = sampled(max_tokens)
        chosen = {key for key, _ in view.packed_documents()}
        plain = sampled(max_tokens, method=Method(), control_ids=())
        assert {key for key, _ in plain.packed_documents()} == chosen
        assert before <= chosen <= set(whole)
        assert plain.counts.num_tokens <= max_tokens
        before = chosen
    assert before == set(whole)


def test_a_sample_fills_a_block_where_all_documents_do(blocks):
    view = Blocks(blocks.store.folder, replace(blocks.settings, max_tokens=1, method=Method(), control_ids=()))
    assert len(view) >= 1
    assert view.counts.num_documents < blocks.counts.num_documents


def test_views_write_nothing(blocks):
    before = {path.name: path.stat().st_mtime_ns for path in blocks.store.folder.iterdir()}
    for change in ({"seed": 9}, {"eval_fraction": 0.5}, {"seq_length": 5}, {"skip_tokens": 10}):
        assert len(Blocks(blocks.store.folder, replace(blocks.settings, **change)))
    assert {path.name: path.stat().st_mtime_ns for path in blocks.store.folder.iterdir()} == before


def test_each_token_knows_its_segment_and_its_document(blocks):
    for i in range(len(blocks)):
        tokens, (ids, scores) = blocks.tokens(i), blocks.block(i)
        np.testing.assert_array_equal(tokens.ids, ids)
        np.testing.assert_array_equal(tokens.scores, scores)
        np.testing.assert_array_equal(blocks.store.scores("scores")[tokens.segments], scores)
        keys = blocks.store.documents["key"][tokens.documents]
        assert [keys[0], keys[-1]] == blocks[i]["documents"].tolist()
        opens = np.flatnonzero(ids == blocks.settings.opening[0])
        assert set(np.flatnonzero(np.diff(tokens.documents)) + 1) == set(opens) - {0}


def test_all_scores_in_blocks_are_shown_in_batches(blocks):
    shown = np.concatenate(list(blocks.score_batches(num_runs=3)))
    trained = np.concatenate([blocks.block(i)[1] for i in range(len(blocks))])
    assert set(shown[~np.isnan(shown)].tolist()) == set(trained[~np.isnan(trained)].tolist())


def test_indices_beyond_the_end_are_refused_and_negative_ones_count_from_it(blocks):
    np.testing.assert_array_equal(blocks[-1]["input_ids"], blocks[len(blocks) - 1]["input_ids"])
    with pytest.raises(IndexError):
        blocks[len(blocks)]


def test_a_method_with_more_control_tokens_is_a_view_of_the_same_store(folder):
    names = ("<|a|>", "<|b|>", "<|c|>")
    tokenizer = tiny_tokenizer(names)
    store = build_store(corpus_for(tokenizer, folder / "data"), folder / "stores", processes=1)
    plain = build_store(corpus_for(tiny_tokenizer(), folder / "data"), folder / "stores", processes=1)
    assert store.folder == plain.folder  # no text becomes a control token
    view = Blocks(store.folder, settings_for(tokenizer, method=conditional([0.0, 0.2], names=names), seq_length=16))
    scores = store.scores("scores")[store.lengths > 0]
    expected = [(scores <= 0).sum(), ((scores > 0) & (scores <= 0.2)).sum(), (scores > np.float32(0.2)).sum()]
    assert view.counts.num_tagged_segments == expected
    ids = np.concatenate([view.block(i)[0] for i in range(len(view))])
    assert [(ids == i).sum() for i in view.settings.control_ids] == pytest.approx(expected, abs=2)


def test_documents_that_do_not_fill_a_block_say_so(blocks):
    with pytest.raises(CorpusError, match="does not fill one block of 100000"):
        len(Blocks(blocks.store.folder, replace(blocks.settings, seq_length=100_000)))


def test_a_column_of_scores_that_is_missing_is_named_with_those_there_are(blocks):
    with pytest.raises(CorpusError, match=r"has no scores 'pii_scores'. Columns of scores there: scores"):
        len(Blocks(blocks.store.folder, replace(blocks.settings, scores_column="pii_scores")))


def test_scores_that_are_not_float32_are_averaged_before_they_are_rounded(tmp_path):
    scores = [0.1, 0.1, 0.2, 0.7]
    threshold = float(np.float32(sum(scores) / 4))
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"texts": ["a b c d "] * 4, "scores": scores}))
    store = build_store(corpus_for(tiny_tokenizer(), path), tmp_path / "stores", processes=1)
    assert store.avg_scores("scores").tolist() == [threshold]
    view = Blocks(store.folder, settings_for(tiny_tokenizer(), method=filtering(threshold), seq_length=4))
    assert view.counts.num_documents == 1
