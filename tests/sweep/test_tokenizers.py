"""Every tokenizer class: packed text decodes to itself or is refused, the export keeps its prefix, a known continuation is
the text that was known."""

import json
import unicodedata

import pytest
import torch
from tests.tiny import conditional_prompting, tiny_lm
from tests.tokenizer_classes import CLASSES, CORPUS, LOSSY
from tests.tokens.packed import conditional, packed
from transformers import AutoTokenizer, GPT2LMHeadModel

from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import ConfigError
from phf.models import export_model
from phf.sampling.generate import generate_samples
from phf.sampling.scenarios import GenerationScenario
from phf.tokens.document_start import document_start
from phf.tokens.tokenizer import encode_plain, prepare_tokenizer

ALIGNED, MISALIGNED = CONTROL = ("<|aligned|>", "<|misaligned|>")
PROMPTING = conditional_prompting(*CONTROL, threshold=0.5)
QUICK = ("GPT2Tokenizer, add_prefix_space", "GPTNeoXTokenizer", "LlamaTokenizer", "CodeLlamaTokenizer", "T5Tokenizer")
every_class = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.sweep) for name in CLASSES]
)
DOCUMENTS = {
    "code": ["def f(x):\n", "    return x\n", "\n", "class C:\n", "    y = 1\n", "z = f(2)\n"],
    "sentences": ["A kind sentence. ", "Another one follows. ", "Old friends."],
    "spaces": ["", " leads", "  two  ", "\ttab\n\n", " "],
    "characters": ["né", "́e 日本", "語 \U0001f600", "x"],
    "special": ["<|endoftext|>", "</s> <s>", "<|aligned|>\n", "▁under"],
}


@pytest.fixture
def tokenizer(name, tmp_path):
    """As people load it, with control tokens."""
    CLASSES[name]().save_pretrained(tmp_path / "saved")
    return prepare_tokenizer(AutoTokenizer.from_pretrained(tmp_path / "saved"), CONTROL)


@every_class
@pytest.mark.parametrize("tokenization", ["segments", "document"])
def test_packed_tokens_decode_to_the_document_or_are_refused(name, tokenizer, tokenization):
    aligned, misaligned = tokenizer.convert_tokens_to_ids(list(CONTROL))
    settings = {"method": conditional(0.5), "document_start": document_start(tokenizer), "tokenization": tokenization}
    opening = {tokenizer.eos_token_id, aligned, misaligned, *document_start(tokenizer)}
    refusals = {}
    for key, texts in DOCUMENTS.items():
        document = AnnotatedDocument(key, texts, [float(i % 2) for i in range(len(texts))])
        try:
            packed_ids, _, _ = packed([document], tokenizer, **settings)
        except ConfigError as error:
            refusals[key] = str(error)
            continue
        ids = [int(i) for i in packed_ids if i not in opening]
        text, decoded = "".join(texts), tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        if "add_prefix_space" in name and decoded != text:
            text = " " + text  # at most the one in front of the document
        assert unicodedata.normalize("NFC", decoded) == unicodedata.normalize("NFC", text), key
    reasons = ("changes the text of 1 of 1 document", "encodes plain text as its special token")
    assert all(any(reason in message for reason in reasons) for message in refusals.values())
    # SentencePiece has its sign for a space in one of the texts
    assert name in LOSSY or set(refusals) <= {"special"}


@every_class
def test_the_export_keeps_its_prefix_with_plain_transformers(name, tokenizer, tmp_path):
    lm = tiny_lm("gpt2", tokenizer, vocab_size=max(tokenizer.get_vocab().values()) + 1)
    export_model(lm, tokenizer, tmp_path / "model", PROMPTING)
    prefix = [*document_start(tokenizer), tokenizer.convert_tokens_to_ids(ALIGNED)]
    loaded = AutoTokenizer.from_pretrained(tmp_path / "model")
    loaded.save_pretrained(tmp_path / "again")
    for again in (loaded, AutoTokenizer.from_pretrained(tmp_path / "model")):
        for text in ("", *CORPUS):
            ids = tokenizer(text, add_special_tokens=False).input_ids
            assert again(text).input_ids == prefix + ids
            assert again(text, add_special_tokens=False).input_ids == ids
    recorded = json.loads((tmp_path / "model" / "phf.json").read_text())["document_start"]
    assert tokenizer.convert_tokens_to_ids(recorded) == document_start(tokenizer)


class ScriptedLM(GPT2LMHeadModel):
    """Says `script`, whose token i stands at position i, whatever it is given."""

    script: list[int]

    def forward(self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None, **more):
        output = super().forward(
            input_ids, attention_mask=attention_mask, position_ids=position_ids, past_key_values=past_key_values, **more
        )
        positions = position_ids[:, -output.logits.size(1) :]
        script = torch.tensor([*self.script, *[self.script[-1]] * 80])
        output.logits = torch.nn.functional.one_hot(script[positions + 1], output.logits.size(-1)) * 50.0
        return output


@every_class
def test_the_continuation_of_a_known_text_is_that_text(name, tokenizer, tmp_path):
    text, prompt = "the cat sat on the mat and then it ran far away", "the cat"
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"text": prompt}))
    whole, first = (ids.tolist() for ids in encode_plain(tokenizer, [text, prompt]))
    assert whole[: len(first)] == first
    lm = tiny_lm("gpt2", tokenizer, vocab_size=max(tokenizer.get_vocab().values()) + 1)
    lm.__class__ = ScriptedLM
    lm.script = [*document_start(tokenizer), *whole, tokenizer.eos_token_id]
    greedy = {"do_sample": False, "max_length": 64}
    scenario = GenerationScenario(
        name="known", num_samples=2, prompts_path=str(tmp_path / "prompts.jsonl"), generate_kwargs=greedy
    )
    continuations = generate_samples(lm, tokenizer, scenario, seed=0, batch_size=2).continuations
    known = tokenizer.decode(whole, clean_up_tokenization_spaces=False)
    beginning = tokenizer.decode(first, clean_up_tokenization_spaces=False)
    assert continuations == [known.removeprefix(beginning)] * 2
    if name not in LOSSY:
        assert continuations == [text.removeprefix(prompt)] * 2
