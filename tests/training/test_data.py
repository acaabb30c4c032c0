"""The text that a tokenizer is trained on: all of a corpus, or a sample of a large one; and control tokens that are in none."""

import pytest
from tests.tiny import tiny_config

from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.tokens.tokenizer import train_tokenizer
from phf.training.data import prepare_data, tokenizer_texts

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


@pytest.mark.parametrize(
    ("changes", "unlearned"),
    [
        ({"threshold": 0.5}, []),
        ({"threshold": 2}, ["<|misaligned|>, so the model cannot learn it. "]),
        ({"threshold": -1}, ["<|aligned|>, so the model cannot learn it, although texts start from it. "]),
        ({"threshold": 2, "drop_token_fraction": 1.0}, []),
    ],
)
def test_a_control_token_that_no_segment_has_is_reported(changes, unlearned, tmp_path):
    write_shard(
        tmp_path / "shard.parquet", [AnnotatedDocument(one.id, one.texts, [0.0, 1.0]) for one in DOCUMENTS[:60]]
    )
    said = []
    overrides = {f"dataset.conditional_training_config.{key}": value for key, value in changes.items()}
    prepare_data(tiny_config(str(tmp_path), "conditional", **overrides), said.append)
    warnings = [line.partition("has the control token ")[2] for line in said if "has the control token" in line]
    assert [line[: len(start)] for line, start in zip(warnings, unlearned, strict=True)] == unlearned


def test_a_control_token_of_any_phase_is_learned(tmp_path):
    write_shard(
        tmp_path / "shard.parquet", [AnnotatedDocument(one.id, one.texts, [0.0, 1.0]) for one in DOCUMENTS[:60]]
    )
    said, limits = [], [{"conditional_training_config": {"threshold": limit}} for limit in (2, -1)]
    phases = [{"method": "conditional", "dataset": limit} for limit in limits]
    prepare_data(tiny_config(str(tmp_path), None, schedule=[{**phases[0], "until": 0.5}, phases[1]]), said.append)
    assert not [line for line in said if "has the control token" in line]
