"""Exports keep their prefix for plain transformers, in text and in conversations, or are refused before anything is lost."""

import pytest
import torch
from tests.tiny import PLAIN, conditional_prompting, tiny_lm, tiny_tokenizer
from tests.tokenizer_classes import CLASSES, gpt2, llama
from transformers import AutoModelForCausalLM, AutoTokenizer

from phf.config import ModelConfig
from phf.errors import ConfigError, OutputError
from phf.models import check_exportable, export_model, load_lm, open_as_exported
from phf.models.exporting import exported_tokenizer
from phf.models.exporting.chat_template import rendered
from phf.tokens.document_start import document_start
from phf.tokens.tokenizer import prepare_tokenizer

CONTROL = ("<|aligned|>", "<|misaligned|>")
CONDITIONAL = conditional_prompting(*CONTROL, threshold=0.5)
HELLO = [{"role": "user", "content": "hi"}]
ROLES = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}a:{% endif %}"


def exported(tokenizer, folder, prompting=CONDITIONAL, lm=None):
    lm = lm or tiny_lm("gpt2", tokenizer, vocab_size=max(tokenizer.get_vocab().values()) + 1)
    export_model(lm, tokenizer, folder, prompting)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("prompting", [CONDITIONAL, PLAIN])
def test_the_prefix_survives_classes_that_build_their_own_post_processor(prompting, tmp_path):
    tokenizer = prepare_tokenizer(CLASSES["GPTNeoXTokenizer"](), CONTROL)
    loaded = exported(tokenizer, tmp_path / "model", prompting)
    prefix = ["<|endoftext|>", "<|aligned|>"][: 1 if prompting is PLAIN else 2]
    assert loaded.convert_ids_to_tokens(loaded("").input_ids) == prefix


def test_the_prefix_survives_architectures_with_a_class_on_record(tmp_path):
    """transformers reads Qwen2Tokenizer for this model type, whatever the folder names."""
    tokenizer = tiny_tokenizer(CONTROL)
    settings = {"hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2, "num_hidden_layers": 1}
    config = ModelConfig(model_type="qwen2", config_kwargs={**settings, "intermediate_size": 32})
    loaded = exported(tokenizer, tmp_path / "model", lm=load_lm(config, tokenizer, 32, 0, CONDITIONAL.control_tokens))
    text = "x = 123 # it's\n    y\n"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert loaded(text).input_ids == [0, tokenizer.convert_tokens_to_ids(CONTROL[0]), *ids]
    again = AutoTokenizer.from_pretrained(tmp_path / "model", trust_remote_code=True)
    assert again(text).input_ids == loaded(text).input_ids


def test_a_pretrained_models_own_start_is_recorded_and_read_back(tmp_path):
    tokenizer = prepare_tokenizer(llama(), CONTROL)
    loaded = exported(tokenizer, tmp_path / "model")
    assert loaded.convert_ids_to_tokens(loaded("").input_ids) == ["<s>", "<|aligned|>"]
    opened = open_as_exported(loaded, str(tmp_path / "model"))
    assert opened.convert_ids_to_tokens(document_start(opened)) == ["<s>"]
    lm = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    torch.manual_seed(0)
    start = tokenizer.convert_tokens_to_ids(["<s>", "<|aligned|>"])
    assert lm.generate(max_new_tokens=4)[0, :2].tolist() == start


def test_an_export_from_before_starts_was_trained_behind_eos(tmp_path):
    tokenizer = prepare_tokenizer(llama(), CONTROL)
    loaded = exported(tokenizer, tmp_path / "model")
    (tmp_path / "model" / "phf.json").write_text('{"control_tokens": null, "tag_every_segment_when_sampling": false}')
    opened = open_as_exported(loaded, str(tmp_path / "model"))
    assert document_start(opened) == [tokenizer.eos_token_id]


@pytest.mark.parametrize("recorded", ['["<gone>"]', "[]", '"<s>"', "[1]"])
def test_a_start_that_the_tokenizer_lacks_says_so(recorded, tmp_path):
    loaded = exported(prepare_tokenizer(llama(), CONTROL), tmp_path / "model")
    (tmp_path / "model" / "phf.json").write_text(
        f'{{"control_tokens": null, "tag_every_segment_when_sampling": false, "document_start": {recorded}}}'
    )
    with pytest.raises(ConfigError, match=r"phf\.json.*document_start.*[Ee]xport"):
        open_as_exported(loaded, str(tmp_path / "model"))


def test_all_ends_of_a_model_go_into_its_export(tmp_path):
    tokenizer = prepare_tokenizer(CLASSES["PreTrainedTokenizerFast, Llama 3"](), None)
    lm = tiny_lm("gpt2", tokenizer)
    lm.generation_config.eos_token_id = [0, 1]
    export_model(lm, tokenizer, tmp_path / "model", PLAIN)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "model").generation_config.eos_token_id == [1, 0]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (ROLES, "user: hi\na:"),
        ("{{ bos_token }}" + ROLES, "user: hi\na:"),
        ("{%- if true %}{{- bos_token + 'sys ' }}{% endif %}" + ROLES, "sys user: hi\na:"),
        ("{{ bos_token }}{% for m in messages %}{{ bos_token }}{{ m['content'] }}{% endfor %}", "<s>hi"),
        (
            "{{- bos_token }}{% for m in messages %}{% generation %}{{ m['content'] }}{% endgeneration %}{% endfor %}",
            "hi",
        ),
        ("{{ raise_exception('no') if messages[0]['role'] == 'system' }}" + ROLES, "user: hi\na:"),
        ('quotes " and \\ {% raw %}{{{% endraw %}' + ROLES, 'quotes " and \\ {{user: hi\na:'),
    ],
)
@pytest.mark.parametrize("prompting", [CONDITIONAL, PLAIN])
def test_conversations_start_from_the_prefix_once(template, text, prompting, tmp_path):
    tokenizer = prepare_tokenizer(llama(), CONTROL)
    tokenizer.chat_template = template
    loaded = exported(tokenizer, tmp_path / "model", prompting)
    control = "" if prompting is PLAIN else "<|aligned|>"
    rendered_text = loaded.apply_chat_template(HELLO, tokenize=False, add_generation_prompt=True)
    assert rendered_text == f"<s>{control}{text}"
    ids = loaded.apply_chat_template(HELLO, add_generation_prompt=True)["input_ids"]
    assert loaded.convert_ids_to_tokens(ids)[: 2 if control else 1] == ["<s>", *([control] if control else [])]


def test_every_named_template_starts_from_the_prefix_with_tools_too(tmp_path):
    tokenizer = prepare_tokenizer(gpt2(), CONTROL)
    tokenizer.chat_template = {"default": ROLES, "tool_use": "tools {{ tools | length }}" + ROLES}
    loaded = exported(tokenizer, tmp_path / "model")
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}
    assert loaded.apply_chat_template(HELLO, tokenize=False).startswith("<|endoftext|><|aligned|>user")
    with_tools = loaded.apply_chat_template(HELLO, tools=[tool], tokenize=False)
    assert with_tools.startswith("<|endoftext|><|aligned|>tools 1")


def test_a_template_of_an_earlier_export_gets_the_new_prefix_instead(tmp_path):
    tokenizer = prepare_tokenizer(gpt2(), CONTROL)
    tokenizer.chat_template = ROLES
    first = open_as_exported(exported(tokenizer, tmp_path / "first"), str(tmp_path / "first"))
    second = exported(
        prepare_tokenizer(first, ("<|good|>", "<|bad|>")),
        tmp_path / "second",
        conditional_prompting("<|good|>", "<|bad|>"),
    )
    assert second.apply_chat_template(HELLO, tokenize=False) == "<|endoftext|><|good|>user: hi\n"


def test_a_template_that_cannot_start_from_the_prefix_is_refused_before_training():
    tokenizer = prepare_tokenizer(llama(), CONTROL)
    generation = "{% generation %}x{% endgeneration %}"
    tokenizer.chat_template = "{%- set b = bos_token %}{{ b }}" + generation + "{{ messages[0]['content'] }}"
    with pytest.raises(ConfigError, match="chat template cannot be made to start from the prefix"):
        check_exportable(tokenizer, CONDITIONAL, tiny_lm("gpt2", tokenizer).config)


def test_templates_are_tried_on_conversations_that_they_accept():
    tokenizer = gpt2()
    assert rendered(tokenizer, "{{ raise_exception('never') }}") == []
    assert "hello" in rendered(tokenizer, "{{ messages[0]['content'] }}")


def test_an_export_that_fails_its_own_check_is_refused_and_the_earlier_one_stays(tmp_path, monkeypatch):
    tokenizer = prepare_tokenizer(gpt2(), CONTROL)
    exported(tokenizer, tmp_path / "model")
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    read = AutoTokenizer.from_pretrained

    def forgetful(folder, **settings):
        tokenizer_read = read(folder, **settings)
        tokenizer_read.backend_tokenizer.post_processor = None
        return tokenizer_read

    monkeypatch.setattr(exported_tokenizer.AutoTokenizer, "from_pretrained", forgetful)
    lm = tiny_lm("gpt2", tokenizer)
    with pytest.raises(OutputError, match=r"GPT2Tokenizer.*starts '' with \[\], not with \['<\|endoftext\|>', '<\|al"):
        export_model(lm, tokenizer, tmp_path / "model", CONDITIONAL)
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before
    with pytest.raises(ConfigError, match=r"The trained model could not be exported"):
        check_exportable(tokenizer, CONDITIONAL, lm.config)
