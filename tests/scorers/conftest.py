"""A classifier small enough for tests: random weights, one token a lower-case letter, 16 tokens at once."""

import string

import pytest

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase, "."]


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """Folder of a BertForSequenceClassification with the outputs kind, toxic and rude, and its tokenizer."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    folder = tmp_path_factory.mktemp("tiny-bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        initializer_range=1.0,  # far from the default, so that texts differ in score
        id2label={0: "kind", 1: "toxic", 2: "rude"},
    )
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(folder / "vocab.txt"), model_max_length=16).save_pretrained(folder)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder
