"""What opens a document: the tokenizer's own beginning, else EOS; packed behind EOS, so that ends are learnt."""

import numpy as np
import pytest
from tests.tokenizer_classes import CLASSES, gpt2, llama
from tests.tokens.packed import conditional, packed

from phf.corpus.sources.documents import AnnotatedDocument
from phf.tokens.document_start import document_start, open_documents_with, own_prefix
from phf.tokens.tokenizer import PlainEncoder, prepare_tokenizer


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GPT2Tokenizer", ["<|endoftext|>"]),
        ("GPTNeoXTokenizer, add_bos_token", ["<|endoftext|>"]),
        ("LlamaTokenizer", ["<s>"]),
        ("PreTrainedTokenizerFast, Llama 3", ["<|begin|>"]),
        ("PreTrainedTokenizerFast, BLOOM", ["</s>"]),  # has a BOS and does not add it
        ("T5Tokenizer", ["</s>"]),  # adds its EOS only after a text
        ("RobertaTokenizer", ["<s>"]),
        ("WhisperTokenizer", ["<|startoftranscript|>", "<|endoftext|>"]),
    ],
)
def test_documents_open_with_what_the_tokenizer_puts_there_or_else_eos(name, expected):
    tokenizer = CLASSES[name]()
    assert tokenizer.convert_ids_to_tokens(document_start(tokenizer)) == expected


@pytest.mark.parametrize("name", ["GPT2Tokenizer", "LlamaTokenizer", "RobertaTokenizer", "T5Tokenizer"])
def test_a_tokenizer_can_be_made_to_open_documents_in_another_way(name):
    tokenizer = CLASSES[name]()
    ids = tokenizer("the cat", add_special_tokens=False).input_ids
    start = [tokenizer.eos_token_id, *ids[:1]]
    open_documents_with(tokenizer, start)
    assert tokenizer("the cat").input_ids == start + ids
    assert tokenizer("").input_ids == start
    assert own_prefix(tokenizer) == start


@pytest.mark.parametrize("token", ["$A", "not: so", "<a:1>", "in order", "$"])
def test_tokens_that_mean_something_in_a_template_stand_for_themselves(token):
    tokenizer = gpt2()
    tokenizer.add_special_tokens({"extra_special_tokens": [token]})
    start = tokenizer.convert_tokens_to_ids([token])
    open_documents_with(tokenizer, start)
    assert tokenizer("a").input_ids == start + tokenizer("a", add_special_tokens=False).input_ids


DOCUMENTS = [AnnotatedDocument("a", ["the cat ", "sat"], [0.0, 1.0]), AnnotatedDocument("b", ["home"], [None])]


def test_every_token_behind_eos_and_bos_by_hand():
    tokenizer = prepare_tokenizer(llama(), ("<|aligned|>", "<|misaligned|>"))
    aligned, misaligned = tokenizer.convert_tokens_to_ids(["<|aligned|>", "<|misaligned|>"])
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    ids, scores, counts = packed(DOCUMENTS, tokenizer, method=conditional(0.5), document_start=(bos,))
    plain = PlainEncoder(tokenizer)
    (first, _), (sat, _), (home, _) = plain.encode(["the cat "]), plain.encode_inside(["sat"]), plain.encode(["home"])
    assert ids.tolist() == [eos, bos, aligned, *first, misaligned, *sat, eos, bos, *home]
    expected = [0.0] * (3 + len(first)) + [1.0] * (1 + len(sat)) + [np.nan] * (2 + len(home))
    np.testing.assert_array_equal(scores, np.array(expected, np.float32))
    assert counts.num_tokens == counts.num_text_tokens + counts.num_control_tokens + 2 * counts.num_documents


@pytest.mark.parametrize("start", [(), ("eos",), ("eos", "bos")])
def test_a_start_that_begins_with_eos_gets_no_other(start):
    tokenizer = prepare_tokenizer(llama(), None)
    start_ids = [{"eos": tokenizer.eos_token_id, "bos": tokenizer.bos_token_id}[token] for token in start]
    ids, _, _ = packed(DOCUMENTS, tokenizer, document_start=start_ids)
    assert (ids == tokenizer.eos_token_id).sum() == len(DOCUMENTS)
    assert (ids == tokenizer.bos_token_id).sum() == (len(DOCUMENTS) if start == ("eos", "bos") else 0)


def test_skipped_tokens_are_counted_as_they_are_packed():
    tokenizer = prepare_tokenizer(llama(), None)
    start = (tokenizer.bos_token_id,)
    whole, _, _ = packed(DOCUMENTS, tokenizer, document_start=start)
    second = int(np.flatnonzero(whole == tokenizer.eos_token_id)[1])
    for skip, left in ((second, 1), (second + 1, 0)):
        _, _, counts = packed(DOCUMENTS, tokenizer, document_start=start, skip_tokens=skip)
        assert counts.num_documents == left
