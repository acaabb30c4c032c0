"""Packing: what becomes a token, what score it has, and what text can never do."""

import numpy as np
import pytest
from tests.tokens.packed import conditional, filtering, packed, settings_for

from phf.corpus.dataset import read_annotated
from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import ConfigError
from phf.tokens.cutting import pack as pack_encoded
from phf.tokens.encoded import encode_documents
from phf.tokens.tokenizer import encode_plain, prepare_tokenizer, train_tokenizer
from phf.tokens.view_settings import ViewSettings

ALIGNED, MISALIGNED = "<|aligned|>", "<|misaligned|>"
DOCUMENTS = [
    AnnotatedDocument("a", ["x = 1\n", "y=2\n", "print(x)\n"], [0.0, 0.25, None]),
    AnnotatedDocument("b", ["def f():\n", "    return 'é'\n"], [0.0, 0.0]),
    AnnotatedDocument("c", ["z  = 3\n"], [0.5]),
]


@pytest.fixture(scope="module")
def tokenizer():
    texts = ["".join(document.texts) for document in DOCUMENTS] * 3
    return prepare_tokenizer(train_tokenizer(texts, 300), (ALIGNED, MISALIGNED))


def ids_of(tokenizer):
    return tokenizer.convert_tokens_to_ids([ALIGNED, MISALIGNED])


def pack(tokenizer, documents=DOCUMENTS, **settings):
    ids, scores, _ = packed(documents, tokenizer, **settings)
    return ids, scores


def test_every_token_by_hand(tokenizer):
    aligned, misaligned = ids_of(tokenizer)
    eos = tokenizer.eos_token_id
    ids, scores = pack(tokenizer, DOCUMENTS[:1], method=conditional())
    first, second, third = (e.tolist() for e in encode_plain(tokenizer, DOCUMENTS[0].texts))
    # EOS, then a control token before each scored segment; EOS and control tokens score as the segment they precede
    assert ids.tolist() == [eos, aligned, *first, misaligned, *second, *third]
    expected = [0.0] * (2 + len(first)) + [0.25] * (1 + len(second)) + [np.nan] * len(third)
    np.testing.assert_array_equal(scores, np.array(expected, np.float32))


@pytest.mark.parametrize("tokenization", ["segments", "document"])
def test_lone_surrogates_of_json_lines_are_packed_as_replacement_characters(tokenizer, tokenization, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"texts": ["x\\ud800\\n", "y\\n"], "scores": [0, 0]}\n')
    ids, _ = pack(tokenizer, read_annotated(str(tmp_path / "a.jsonl")), tokenization=tokenization)
    assert tokenizer.decode(ids[1:].tolist()) == "x\ufffd\ny\n"


@pytest.mark.parametrize("tokenization", ["segments", "document"])
def test_text_comes_back_and_eos_opens_each_document(tokenizer, tokenization):
    ids, _ = pack(tokenizer, method=conditional(), tokenization=tokenization)
    special = {tokenizer.eos_token_id, *ids_of(tokenizer)}
    text = tokenizer.decode([int(i) for i in ids if i not in special])
    assert text == "".join("".join(document.texts) for document in DOCUMENTS)
    assert (ids == tokenizer.eos_token_id).sum() == len(DOCUMENTS)
    assert ids[0] == tokenizer.eos_token_id


@pytest.mark.parametrize("tokenization", ["segments", "document"])
def test_text_that_spells_special_tokens_stays_text(tokenizer, tokenization):
    hostile = f"{MISALIGNED}x{ALIGNED} <|endoftext|>\n"
    document = [AnnotatedDocument("h", [hostile], [0.0])]
    ids, _ = pack(tokenizer, document, method=conditional(), tokenization=tokenization)
    assert ids[:2].tolist() == [tokenizer.eos_token_id, ids_of(tokenizer)[0]]
    assert not {tokenizer.eos_token_id, *ids_of(tokenizer)} & set(ids[2:].tolist())
    assert tokenizer.decode(ids[2:].tolist()) == hostile


def test_dropout_depends_on_seed_document_and_segment_alone(tokenizer):
    documents = [AnnotatedDocument(str(i), ["a\n", "b\n", "c\n"], [0.0, 1.0, 0.0]) for i in range(400)]
    method = conditional(drop=0.25)

    def tags(order, **settings):
        return {d.id: pack(tokenizer, [d], method=method, **settings)[0].tolist() for d in order}

    together, _ = pack(tokenizer, documents, method=method)
    assert tags(documents) == tags(documents[::-1])
    assert together.tolist() == [i for ids in tags(documents).values() for i in ids]
    assert tags(documents) != tags(documents, seed=7)
    kept = np.isin(together, ids_of(tokenizer)).mean() * len(together) / 1200
    assert kept == pytest.approx(0.75, abs=0.05)  # four standard deviations of 1,200 draws


def test_filter_keeps_the_documents_at_or_below_the_threshold(tokenizer):
    ids, _ = pack(tokenizer, method=filtering(0.125))  # a averages 0.125, b 0, c 0.5
    assert tokenizer.decode([int(i) for i in ids if i]) == "".join("".join(d.texts) for d in DOCUMENTS[:2])


def test_unscored_documents_can_be_dropped(tokenizer):
    ids, scores = pack(tokenizer, unscored="drop")
    assert (ids == tokenizer.eos_token_id).sum() == 2
    assert not np.isnan(scores).any()


def test_held_out_split_is_disjoint_complete_and_the_same_for_every_method(tokenizer):
    documents = [AnnotatedDocument(str(i), [f"v{i}\n"], [0.0]) for i in range(300)]

    def lines(**settings):
        ids, _ = pack(tokenizer, documents, eval_fraction=0.2, **settings)
        special = {tokenizer.eos_token_id, *ids_of(tokenizer)}
        return set(tokenizer.decode([int(i) for i in ids if i not in special]).splitlines())

    train, held_out = lines(split="train"), lines(split="eval")
    assert not train & held_out
    assert len(train | held_out) == 300
    assert 30 < len(held_out) < 90
    assert held_out == lines(split="eval", method=conditional(document_filter=filtering(0.0).document_filter), seed=9)


def test_skip_tokens_leaves_out_the_documents_that_begin_before(tokenizer):
    plain, _ = pack(tokenizer)
    starts = np.flatnonzero(plain == tokenizer.eos_token_id)
    ids, _ = pack(tokenizer, skip_tokens=int(starts[1]), method=conditional())
    assert (ids == tokenizer.eos_token_id).sum() == 2
    ids, _ = pack(tokenizer, skip_tokens=int(starts[1]) + 1)
    assert (ids == tokenizer.eos_token_id).sum() == 1


def test_counts(tokenizer):
    documents = [*DOCUMENTS, AnnotatedDocument("empty", [], [])]
    _, _, counts = packed(documents, tokenizer, method=conditional())
    assert (counts.num_documents, counts.num_documents_empty, counts.num_segments) == (3, 1, 6)
    assert counts.num_unscored_segments == 1
    assert counts.num_tagged_segments == [3, 2]
    assert counts.num_tokens == counts.num_text_tokens + counts.num_control_tokens + counts.num_documents
    assert counts.num_bytes == sum(len("".join(d.texts).encode()) for d in DOCUMENTS)


def test_result_does_not_depend_on_how_documents_are_batched(tokenizer):
    settings = settings_for(tokenizer, method=conditional(drop=0.5), skip_tokens=5)
    pieces = [encode_documents([document], tokenizer) for document in DOCUMENTS]
    one_by_one = [chunk.ids for chunk in pack_encoded(pieces, settings)]
    (together,) = pack_encoded([encode_documents(DOCUMENTS, tokenizer)], settings)
    assert len(one_by_one) == 3
    np.testing.assert_array_equal(np.concatenate(one_by_one), together.ids)


@pytest.mark.parametrize(
    "settings",
    [
        {"seq_length": 0},
        {"eval_fraction": 1.0},
        {"eval_fraction": -0.1},
        {"skip_tokens": -1},
        {"part": (0.5, 0.5)},
        {"part": (0.5, 1.1)},
        {"split": "test"},
        {"unscored": "maybe"},
        {"max_altered_documents": 1.5},
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings):
    with pytest.raises(ConfigError, match=f"{next(iter(settings))} is .* it must be"):
        ViewSettings(opening=(0,), **settings)
