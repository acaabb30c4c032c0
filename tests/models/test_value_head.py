"""The value head comes back from its file, and from nothing else."""

import pickle

import pytest
import torch
from tests.tiny import PLAIN, tiny_lm, tiny_tokenizer

from phf.errors import ConfigError
from phf.models import ValueHead, export_model, load_value_head
from phf.models.value_head import VALUE_HEAD_FILE, stored_value_head


class Intruder:
    def __reduce__(self):
        return pytest.fail, ("the file was run",)


@pytest.fixture(scope="module")
def lm():
    return tiny_lm("gpt2", tiny_tokenizer())


def test_an_exported_head_answers_as_before(lm, tmp_path):
    head = ValueHead(16)
    torch.nn.init.normal_(head.linear.weight)
    export_model(lm, tiny_tokenizer(), tmp_path / "model", PLAIN, head)
    hidden = torch.randn(2, 3, 16)
    assert torch.equal(load_value_head(tmp_path / "model", lm)(hidden), head(hidden))


def test_a_model_without_one_says_so(lm, tmp_path):
    with pytest.raises(ConfigError, match=r"has no value_head\.pt: only models trained with AWR"):
        load_value_head(tmp_path, lm)


def test_a_file_that_is_not_a_head_of_this_model_is_reported_and_not_run(lm, tmp_path):
    path = tmp_path / VALUE_HEAD_FILE

    def expect_refusal():
        with pytest.raises(
            ConfigError, match=r"value_head\.pt is not a value head of this model: .+ Export the model again"
        ):
            load_value_head(tmp_path, lm)

    for content in (b"", b"PK\x03\x04 cut off", b"text", pickle.dumps(Intruder(), protocol=2)):
        path.write_bytes(content)
        expect_refusal()
    for wrong in (ValueHead(17).state_dict(), {"weight": torch.zeros(1)}, [1, 2], {"linear.weight": Intruder()}):
        torch.save(wrong, path)
        expect_refusal()


@pytest.mark.parametrize("content", [b"junk", b"\x80\x02q", b"", b"\x80\x02}j", b"PK\x03\x04junk"])
def test_a_value_head_of_any_damage_is_one_error(content, tmp_path):
    (tmp_path / VALUE_HEAD_FILE).write_bytes(content)
    with pytest.raises(ConfigError, match=r"value_head\.pt is not a value head of this model"):
        stored_value_head(str(tmp_path), 8)
