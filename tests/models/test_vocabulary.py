"""Which ids end a text, and which stand for none."""

from types import SimpleNamespace

import pytest
from tests.tiny import tiny_lm, tiny_tokenizer
from tests.tokenizer_classes import CLASSES

from phf.models import pretrained_lm
from phf.models.vocabulary import end_ids, ids_without_token, num_rows


def with_eos(tokenizer, *, generation=None, config=None):
    lm = tiny_lm("gpt2", tokenizer)
    lm.generation_config.eos_token_id, lm.config.eos_token_id = generation, config
    return lm


@pytest.mark.parametrize(
    ("generation", "config", "expected"),
    [
        (None, None, [1]),
        (1, 1, [1]),
        ([0, 1], 1, [1, 0]),
        (None, [0, 1], [1, 0]),
        (0, 1, [1, 0]),  # a single one counts if the tokenizer has it as a special token
        (2, 2, [1]),  # an ordinary token: nobody set it for this model
        ([1, 2], None, [1, 2]),  # a list was written on purpose
        ([1, 99999], 50256, [1]),  # ids that no token has
    ],
)
def test_the_tokenizers_eos_and_what_the_configurations_name_end_a_text(generation, config, expected):
    tokenizer = CLASSES["PreTrainedTokenizerFast, Llama 3"]()  # <|begin|> is 0, <|end|> 1
    assert end_ids(with_eos(tokenizer, generation=generation, config=config), tokenizer) == expected


def test_a_folder_whose_configuration_lists_several_ends_can_be_loaded(tmp_path):
    tokenizer = CLASSES["PreTrainedTokenizerFast, Llama 3"]()
    with_eos(tokenizer, generation=[0, 1], config=[0, 1]).save_pretrained(tmp_path)
    assert end_ids(pretrained_lm(str(tmp_path), "MODEL_DIR"), tokenizer) == [1, 0]


def test_a_tokenizer_without_eos_has_the_models_ends():
    tokenizer = CLASSES["PreTrainedTokenizerFast, Llama 3"]()
    tokenizer.eos_token = None
    assert end_ids(with_eos(tokenizer, generation=[0], config=None), tokenizer) == [0]


def test_padded_rows_and_holes_have_no_token():
    tokenizer = tiny_tokenizer(vocab_size=280)
    lm = tiny_lm("gpt2", tokenizer, vocab_size=len(tokenizer) + 3)
    assert num_rows(lm) == len(tokenizer) + 3
    assert ids_without_token(lm, tokenizer) == [len(tokenizer) + i for i in range(3)]
    with_hole = SimpleNamespace(get_vocab=lambda: {str(i): i for i in range(num_rows(lm)) if i != 7})
    assert ids_without_token(lm, with_hole) == [7]
