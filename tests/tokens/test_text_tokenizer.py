"""What of a tokenizer decides which ids a text becomes, and so which store it shares."""

import json

import pytest
from tests.tiny import conditional_prompting, tiny_lm, tiny_tokenizer
from tests.tokenizer_classes import CLASSES
from transformers import AutoTokenizer

from phf.models import export_model
from phf.tokens.document_start import open_documents_with
from phf.tokens.text_tokenizer import TextTokenizer


def fingerprint(tokenizer):
    return TextTokenizer.of(tokenizer).fingerprint


def test_an_exported_tokenizer_shares_the_store_of_the_one_it_was_trained_with(tmp_path):
    names = ["<|aligned|>", "<|misaligned|>"]
    tokenizer = tiny_tokenizer(names)
    export_model(tiny_lm("gpt2", tokenizer), tokenizer, tmp_path / "model", conditional_prompting(*names))
    exported = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert exported("a").input_ids != tokenizer("a").input_ids, "the exported one starts from its prefix"
    assert fingerprint(exported) == fingerprint(tokenizer) == fingerprint(tiny_tokenizer())


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_what_stands_in_front_of_a_text_is_not_part_of_it(name):
    tokenizer = CLASSES[name]()
    before = fingerprint(tokenizer)
    opening = [tokenizer.eos_token_id if tokenizer.eos_token_id is not None else 0]
    settings = json.loads(tokenizer.backend_tokenizer.to_str())["post_processor"]
    if settings is not None and settings["type"] != "TemplateProcessing":
        pytest.skip("its post-processor does more than that")
    open_documents_with(tokenizer, opening)
    assert fingerprint(tokenizer) == before


def test_another_vocabulary_is_another_tokenizer():
    assert fingerprint(tiny_tokenizer(vocab_size=260)) != fingerprint(tiny_tokenizer(vocab_size=265))
