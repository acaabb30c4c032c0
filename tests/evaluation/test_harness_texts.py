"""The harness is given what follows a context in the text of both, up to any end, alone or in a batch."""

import pytest
from lm_eval.api.instance import Instance
from tests.evaluation.test_own_start_and_ends import scripted
from tests.sampling.test_padding import RECURRENT_GEMMA, model_of
from tests.tokenizer_classes import llama
from transformers import GenerationConfig

from phf.evaluation.downstream.harness import HarnessLM
from phf.evaluation.glue.finetuning import encode_examples
from phf.evaluation.glue.tasks import TASKS
from phf.tokens.tokenizer import encode_plain, prepare_tokenizer


def ask(lm, tokenizer, contexts, batch_size, **settings):
    harness = HarnessLM(lm, tokenizer, batch_size)
    requests = [
        Instance("generate_until", {}, (context, {"until": ["\n"], "max_gen_toks": 8, **settings}), i)
        for i, context in enumerate(contexts)
    ]
    for i, request in enumerate(requests):
        request.doc_id = i
    return harness.generate_until(requests, disable_tqdm=True)


def test_the_first_space_stays_and_every_end_ends(capsys):
    tokenizer = prepare_tokenizer(llama(), None)
    a, b, c = (tokenizer.convert_tokens_to_ids(token) for token in "abc")
    space = tokenizer.convert_tokens_to_ids("▁")
    assert encode_plain(tokenizer, ["a"])[0].tolist() == [space, a]
    lm = scripted(tokenizer, [a, space, b, c, 0], vocab_size=420)
    lm.generation_config = GenerationConfig(eos_token_id=[2, c])
    assert ask(lm, tokenizer, ["a", "a"], 2) == [" b"] * 2


@pytest.mark.slow
def test_contexts_of_models_that_read_padding_are_continued_as_by_themselves():
    lm, tokenizer = model_of("recurrent_gemma", RECURRENT_GEMMA)
    contexts = ["def f(x):", "d", "x = 1", "y"]
    one, many = (ask(lm, tokenizer, contexts, size, until=[]) for size in (1, 4))
    assert one == many
    assert any(one)


def test_the_second_text_of_a_pair_begins_on_its_line():
    tokenizer = prepare_tokenizer(llama(), None)
    example = {"sentence1": "the cat", "sentence2": "the sea", "label": 0}
    (encoded,) = encode_examples(tokenizer, TASKS["mrpc"], [example], 64)
    assert tokenizer.decode(encoded["input_ids"], skip_special_tokens=True) == "the cat\nthe sea"
