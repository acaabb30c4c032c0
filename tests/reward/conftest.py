"""A base model small enough to learn a preference in a second: one token per letter, random weights, no head."""

import json
import random
import string

import pytest

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase, "."]


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory):
    """Folder of a BertForMaskedLM of width 32 and its tokenizer."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertTokenizer

    folder = tmp_path_factory.mktemp("tiny-base")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=24,
    )
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(folder / "vocab.txt"), model_max_length=24).save_pretrained(folder)
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


def letters(generator: random.Random, bad: bool) -> str:
    """Ten letters, of which a bad text has some z."""
    chosen = generator.choices("abcdefgh", k=10)
    if bad:
        for place in generator.sample(range(10), 4):
            chosen[place] = "z"
    return " ".join(chosen)


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory):
    """120 pairs of texts of which the one with z was rejected."""
    generator = random.Random(0)
    path = tmp_path_factory.mktemp("labels") / "pairs.jsonl"
    rows = [{"chosen": letters(generator, False), "rejected": letters(generator, True)} for _ in range(120)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def ratings_file(tmp_path_factory):
    """120 ratings from 1 (good) to 5, of texts without and with z."""
    generator = random.Random(1)
    path = tmp_path_factory.mktemp("labels") / "ratings.jsonl"
    rows = [
        {"text": letters(generator, bad), "rating": generator.choice((4, 5) if bad else (1, 2)), "scale": [1, 5]}
        for bad in [False, True] * 60
    ]
    path.write_text("".join(json.dumps({**row, "higher_is_worse": True}) + "\n" for row in rows))
    return path
