"""The text that a tokenizer is trained on: all of a corpus, or a sample of a large one."""

import pytest

from phf.corpus.sources.documents import AnnotatedDocument
from phf.tokens.tokenizer import train_tokenizer
from phf.training.data import tokenizer_texts

DOCUMENTS = [
    AnnotatedDocument(f"file{number}.py", [f"value_{number} = {number}\n", f"name_{number % 7}()\n"], [0.0, None])
    for number in range(300)
]
TEXTS = ["".join(document.texts) for document in DOCUMENTS]


@pytest.mark.parametrize("max_chars", [None, sum(map(len, TEXTS)), 10**9])
def test_a_corpus_that_is_small_enough_is_taken_whole_in_its_order(max_chars):
    assert list(tokenizer_texts(DOCUMENTS, max_chars)) == TEXTS


def test_of_a_larger_one_whole_documents_from_all_parts_of_it_are_taken():
    sample = list(tokenizer_texts(iter(DOCUMENTS), 2000))
    assert 2000 <= sum(map(len, sample)) < 2000 + max(map(len, TEXTS))
    numbers = [TEXTS.index(text) for text in sample]
    assert numbers == sorted(numbers)
    assert all(any(start <= number < start + 100 for number in numbers) for start in (0, 100, 200))
    again = list(tokenizer_texts(reversed(DOCUMENTS), 2000))
    assert sorted(again) == sorted(sample)
    assert (
        train_tokenizer(sample, 300).backend_tokenizer.to_str()
        == train_tokenizer(sample, 300).backend_tokenizer.to_str()
    )


def test_a_document_that_is_too_long_is_cut():
    documents = [AnnotatedDocument("a", ["x" * 70, "y" * 70], [0.0, 0.0]), *DOCUMENTS[:1]]
    assert list(tokenizer_texts(documents[:1], 100)) == ["x" * 70 + "y" * 30]
    assert sum(map(len, tokenizer_texts(documents, 10))) <= 20
