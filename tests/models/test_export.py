"""The export: plain transformers loads it, starts from the prefix, and never samples what is banned."""

import dataclasses
import json

import pytest
import torch
from safetensors import SafetensorError
from tests.tiny import tiny_lm, tiny_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from phf.errors import ConfigError, OutputError
from phf.feedback import ControlTokens, Prompting
from phf.models import ValueHead, export_model

CONTROL = ("<|aligned|>", "<|misaligned|>")


def export(folder, model_type="gpt2", control_tokens=CONTROL, tag_every_segment=False, value_head=None):
    tokenizer = tiny_tokenizer(control_tokens)
    lm = tiny_lm(model_type, tokenizer)
    prompting = Prompting(
        control_tokens=ControlTokens(control_tokens or ()), tags_every_segment=tag_every_segment, threshold=0.25
    )
    export_model(lm, tokenizer, folder, prompting, value_head)
    return lm, tokenizer, prompting


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_plain_transformers_gives_the_same_logits(model_type, tmp_path):
    lm, _, _ = export(tmp_path / "m", model_type)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    ids = torch.tensor([[0, 5, 6, 7]])
    assert torch.equal(lm.eval()(ids).logits, loaded.eval()(ids).logits)


@pytest.mark.parametrize("control_tokens", [CONTROL, None, ("in order", "not: so")])
def test_tokenizer_puts_the_prefix_before_every_text(control_tokens, tmp_path):
    _, tokenizer, _ = export(tmp_path / "m", control_tokens=control_tokens)
    loaded = AutoTokenizer.from_pretrained(tmp_path / "m")
    prefix = [0] if control_tokens is None else [0, tokenizer.convert_tokens_to_ids(control_tokens[0])]
    text = tokenizer("def f", add_special_tokens=False).input_ids
    assert loaded("def f").input_ids == prefix + text
    assert loaded("def f", "x").input_ids[: len(prefix + text)] == prefix + text
    assert loaded("", add_special_tokens=False).input_ids == []
    assert tokenizer("def f").input_ids == text  # the tokenizer of the run is untouched


def test_generation_config_says_where_samples_start_and_what_is_banned(tmp_path):
    _, tokenizer, _ = export(tmp_path / "one")
    aligned, misaligned = tokenizer.convert_tokens_to_ids(list(CONTROL))
    config = json.loads((tmp_path / "one" / "generation_config.json").read_text())
    assert (config["suppress_tokens"], config["bad_words_ids"]) == ([misaligned], [[aligned]])
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"], config["do_sample"]) == (
        0,
        0,
        0,
        True,
    )

    export(tmp_path / "every", tag_every_segment=True)
    config = json.loads((tmp_path / "every" / "generation_config.json").read_text())
    assert (config["forced_bos_token_id"], config["suppress_tokens"]) == (aligned, [misaligned])

    export(tmp_path / "none", control_tokens=None)
    config = json.loads((tmp_path / "none" / "generation_config.json").read_text())
    assert "suppress_tokens" not in config
    assert "forced_bos_token_id" not in config


@pytest.mark.parametrize("tag_every_segment", [True, False])
def test_banned_tokens_are_never_sampled_however_likely(tag_every_segment, tmp_path):
    lm, tokenizer, prompting = export(tmp_path / "first", tag_every_segment=tag_every_segment)
    aligned, misaligned = tokenizer.convert_tokens_to_ids(list(CONTROL))
    with torch.no_grad():
        lm.transformer.ln_f.bias.fill_(1.0)
        lm.lm_head.weight[[aligned, misaligned]] = 1.0  # logits of 16, far above all others
    export_model(lm, tokenizer, tmp_path / "m", prompting)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    torch.manual_seed(0)
    prompt = torch.tensor([[0, aligned]] * 8)
    new = loaded.generate(prompt, max_new_tokens=20)[:, 2:]
    assert misaligned not in new
    assert (aligned in new) == tag_every_segment
    unprompted = loaded.generate(max_new_tokens=20, num_return_sequences=8)
    assert (unprompted[:, :2] == torch.tensor([0, aligned])).all()
    assert misaligned not in unprompted
    assert (aligned in unprompted[:, 2:]) == tag_every_segment


def test_value_head_has_a_file_of_its_own(tmp_path):
    head = ValueHead(16)
    torch.nn.init.normal_(head.linear.weight)
    export(tmp_path / "m", value_head=head)
    loaded = ValueHead(16)
    loaded.load_state_dict(torch.load(tmp_path / "m" / "value_head.pt"))
    hidden = torch.randn(2, 3, 16)
    assert torch.equal(loaded(hidden), head(hidden))
    assert (
        AutoModelForCausalLM.from_pretrained(tmp_path / "m").num_parameters()
        == tiny_lm("gpt2", tiny_tokenizer(CONTROL)).num_parameters()
    )


def test_prompting_is_read_back_and_has_a_default(tmp_path):
    _, _, prompting = export(tmp_path / "m", tag_every_segment=True)
    assert Prompting.load(tmp_path / "m") == dataclasses.replace(prompting, document_start=("<|endoftext|>",))
    assert Prompting.load(tmp_path) == Prompting()
    (tmp_path / "m" / "phf.json").write_text('{"control_tok')
    with pytest.raises(ConfigError, match=r"phf\.json: is not valid JSON.*Export the model again"):
        Prompting.load(tmp_path / "m")


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        SafetensorError("I/O error: No space left on device"),
        KeyboardInterrupt(),
    ],
)
def test_an_export_that_fails_leaves_the_earlier_one_whole(error, tmp_path, monkeypatch):
    lm, tokenizer, prompting = export(tmp_path / "m")
    before = {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()}

    def fail(folder):
        (folder / "half").write_text("half")
        raise error

    monkeypatch.setattr(lm, "save_pretrained", fail)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else OutputError
    with pytest.raises(expected, match=None if expected is KeyboardInterrupt else "No space left on device"):
        export_model(lm, tokenizer, tmp_path / "m", prompting)
    assert {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_output_that_cannot_be_a_folder_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        export(tmp_path / "file" / "m")
