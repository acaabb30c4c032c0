"""Text survives its tokenizer: no dummy space inside a document, and what is changed is counted and refused."""

import numpy as np
import pytest
from tests.tokenizer_classes import CLASSES, llama, old_llama, t5
from tests.tokens.packed import packed
from tokenizers import AddedToken, normalizers, pre_tokenizers

from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import ConfigError
from phf.tokens.encoding import SegmentEncoder, WholeDocumentEncoder
from phf.tokens.spelling import first_difference, is_same_text, keeps_every_text
from phf.tokens.tokenizer import PlainEncoder, prepare_tokenizer

WITH_DUMMY = ("LlamaTokenizer", "LlamaTokenizer, legacy", "PreTrainedTokenizerFast, old Llama file")


def pack(tokenizer, documents, **settings):
    return packed(documents, tokenizer, **settings)[2]


def documents(*texts: list[str]) -> list[AnnotatedDocument]:
    return [AnnotatedDocument(f"d{i}", segments, [0.0] * len(segments)) for i, segments in enumerate(texts)]


@pytest.mark.parametrize("name", WITH_DUMMY)
def test_only_the_beginning_of_a_document_has_the_dummy_space(name):
    tokenizer = prepare_tokenizer(CLASSES[name](), None)
    segments = ["", "the cat ", "sat", "\n", "x"]
    ids, lengths = SegmentEncoder(PlainEncoder(tokenizer)).encode([segments, segments])
    tokens = np.split(np.array(tokenizer.convert_ids_to_tokens(ids.tolist())), np.cumsum(lengths)[:-1])
    joined = ["".join(part) for part in tokens]
    assert joined == ["", "▁the▁cat▁", "sat", "\n", "x"] * 2


@pytest.mark.parametrize("name", WITH_DUMMY)
def test_a_document_is_encoded_as_the_tokenizer_itself_does(name):
    tokenizer = prepare_tokenizer(CLASSES[name](), None)
    text = "the cat sat\n  on the mat"
    own = tokenizer(text, add_special_tokens=False).input_ids
    for encoder in (SegmentEncoder, WholeDocumentEncoder):
        ids, _ = encoder(PlainEncoder(tokenizer)).encode([[text]])
        assert ids.tolist() == own


@pytest.mark.parametrize("name", WITH_DUMMY)
def test_a_space_that_begins_a_document_is_kept_beside_the_dummy(name):
    tokenizer = prepare_tokenizer(CLASSES[name](), None)
    (ids,) = (SegmentEncoder(PlainEncoder(tokenizer)).encode([[" a"]])[0].tolist(),)
    assert tokenizer.decode(ids) == " a"


@pytest.mark.parametrize("make", [llama, old_llama])
def test_tokens_of_a_whole_document_belong_to_the_segments_of_their_characters(make):
    tokenizer = prepare_tokenizer(make(), None)
    segments = ["the cat", " sat", " home"]
    ids, lengths = WholeDocumentEncoder(PlainEncoder(tokenizer)).encode([segments])
    parts = np.split(ids, np.cumsum(lengths)[:-1])
    assert ["".join(tokenizer.convert_ids_to_tokens(part.tolist())) for part in parts] == ["▁the▁cat", "▁sat", "▁home"]


def test_a_tokenizer_that_drops_spaces_keeps_its_signs_for_them():
    tokenizer = prepare_tokenizer(t5(), None)
    plain = PlainEncoder(tokenizer)
    assert not plain.has_dummy_space
    segments = ["the cat sat. ", "the old sea."]
    ids, _ = SegmentEncoder(plain).encode([segments])
    assert tokenizer.decode(ids.tolist()) == "".join(segments)


def test_too_many_changed_documents_are_refused_with_an_example():
    tokenizer = prepare_tokenizer(CLASSES["PreTrainedTokenizerFast, BERT"](), None)
    with pytest.raises(ConfigError, match=r"2 of 2 documents.*document 'd0', 'The cat' becomes 'the cat'"):
        pack(tokenizer, documents(["The cat"], ["A cat"]))


def test_changed_documents_are_counted_up_to_the_allowed_share():
    tokenizer = prepare_tokenizer(llama(), None)
    texts = [["the cat"]] * 3 + [["a ▁ b"]]  # the sign for a space is decoded as one
    with pytest.raises(ConfigError, match=r"1 of 4 documents.*dataset\.max_altered_documents"):
        pack(tokenizer, documents(*texts))
    assert pack(tokenizer, documents(*texts), max_altered_documents=0.25).num_documents_altered == 1
    assert pack(tokenizer, documents(*[["the cat"]] * 120, ["▁"])).num_documents_altered == 1


def test_where_only_separate_segments_are_changed_the_advice_is_to_encode_whole_documents():
    with pytest.raises(ConfigError, match=r"Set dataset\.tokenization: document, which keeps it"):
        pack(prepare_tokenizer(t5(), None), documents(["the ca", "t ran home"]))
    assert pack(prepare_tokenizer(t5(), None), documents(["the ca", "t ran home"]), tokenization="document")


@pytest.mark.parametrize(
    ("change", "keeps"),
    [
        (lambda backend: None, True),
        (lambda backend: setattr(backend, "normalizer", normalizers.NFC()), True),
        (lambda backend: setattr(backend, "normalizer", normalizers.NFKC()), False),
        (lambda backend: setattr(backend, "normalizer", normalizers.Lowercase()), False),
        (lambda backend: setattr(backend, "pre_tokenizer", pre_tokenizers.Whitespace()), False),
        (lambda backend: setattr(backend, "pre_tokenizer", drops_digits()), False),
        (lambda backend: setattr(backend, "decoder", None), False),
        (lambda backend: backend.add_tokens([AddedToken("import os", lstrip=True)]), False),
        (lambda backend: backend.add_tokens([AddedToken("é")]), False),
        (lambda backend: backend.add_tokens([AddedToken("import os")]), True),
    ],
)
def test_what_keeps_every_text_is_seen_from_the_parts(change, keeps):
    backend = CLASSES["GPT2Tokenizer"]().backend_tokenizer
    change(backend)
    assert keeps_every_text(backend) == keeps


def drops_digits():
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split("1", "removed"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )


def test_normal_forms_are_the_same_text_and_nothing_else_is():
    assert is_same_text("e\u0301", "\u00e9", False)
    assert not is_same_text("\ufb01", "fi", False)  # NFKC is more than a normal form
    assert is_same_text("a", " a", True)
    assert not is_same_text("a", " a", False)
    assert not is_same_text("a", "  a", True)


def test_the_first_difference_is_shown_with_what_stands_around_it():
    assert first_difference("a" * 50 + "B" + "c" * 50, "a" * 50 + "b" + "c" * 50) == (
        "a" * 10 + "B" + "c" * 19,
        "a" * 10 + "b" + "c" * 19,
    )
    assert first_difference("abc", "ab") == ("abc", "ab")
