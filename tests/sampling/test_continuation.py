"""A continuation is what follows the prompt when both are decoded together."""

import pytest
from tests.tiny import tiny_tokenizer
from tests.tokenizer_classes import CLASSES

from phf.sampling.continuation import BehindPrompt, decode, until_end
from phf.tokens.tokenizer import PlainEncoder, encode_plain, prepare_tokenizer


@pytest.mark.parametrize("name", ["LlamaTokenizer", "GemmaTokenizer", "GPT2Tokenizer", "T5Tokenizer", "XGLMTokenizer"])
@pytest.mark.parametrize(("prompt", "rest"), [("the cat", " sat on"), ("the", " cat"), ("", "the cat")])
def test_prompt_and_continuation_together_are_the_text(name, prompt, rest):
    tokenizer = prepare_tokenizer(CLASSES[name](), None)
    first, whole = (ids.tolist() for ids in encode_plain(tokenizer, [prompt, prompt + rest]))
    assert whole[: len(first)] == first
    assert decode(BehindPrompt(tokenizer, first), whole[len(first) :], set()) == rest


def test_a_character_that_the_prompts_last_token_begins_belongs_to_the_continuation():
    tokenizer = tiny_tokenizer()
    ids = encode_plain(tokenizer, ["aé\u65e5b"])[0].tolist()  # a byte for each token
    assert BehindPrompt(tokenizer, ids[:1]).decode(ids[1:]) == "é\u65e5b"
    assert BehindPrompt(tokenizer, ids[:2]).decode(ids[2:]) == "é\u65e5b"
    assert BehindPrompt(tokenizer, ids[:3]).decode(ids[3:]) == "\u65e5b"
    assert BehindPrompt(tokenizer, ids[:3]).decode(ids[3:5]) == "\ufffd"


def test_a_prompt_that_ends_with_a_replacement_character_keeps_it():
    tokenizer = tiny_tokenizer()
    prompt, rest = (ids.tolist() for ids in encode_plain(tokenizer, ["x\ufffd", " = 1"]))
    assert BehindPrompt(tokenizer, prompt).decode(rest) == " = 1"


def test_decoders_that_glue_words_by_what_stands_before():
    tokenizer = prepare_tokenizer(CLASSES["PreTrainedTokenizerFast, BERT"](), None)
    the_cats = tokenizer.convert_tokens_to_ids(["the", "cat", "##s"])
    assert BehindPrompt(tokenizer, the_cats[:2]).decode(the_cats[2:]) == "s"
    assert BehindPrompt(tokenizer, the_cats[:1]).decode(the_cats[1:]) == " cats"


def test_special_tokens_and_what_follows_the_end_are_not_text():
    tokenizer = prepare_tokenizer(CLASSES["LlamaTokenizer"](), ("<|aligned|>", "<|misaligned|>"))
    plain = PlainEncoder(tokenizer)
    prompt, rest = plain.encode(["the cat"])[0].tolist(), plain.encode_inside([" sat"])[0].tolist()
    aligned, eos = tokenizer.convert_tokens_to_ids("<|aligned|>"), tokenizer.eos_token_id
    special = {aligned, eos}
    assert decode(BehindPrompt(tokenizer, prompt), [aligned, *rest, eos, *rest], special) == " sat"
    assert decode(BehindPrompt(tokenizer, prompt), [eos, *rest], special) == ""


def test_a_text_goes_to_the_first_of_its_ends():
    assert until_end([5, 6, 1, 7, 0], [0, 1]) == [5, 6]
    assert until_end([5, 6], [0, 1]) == [5, 6]
    assert until_end([0, 5], [0, 1]) == []
