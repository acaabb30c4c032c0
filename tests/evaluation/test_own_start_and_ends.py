"""Pretrained models are measured as they were trained: from their own BOS, to any of their ends, without textless ids."""

import json
from itertools import pairwise

import pytest
import torch
from tests.tiny import conditional_prompting, tiny_lm, tiny_tokenizer
from tests.tokenizer_classes import CLASSES, llama, llama3
from transformers import GenerationConfig

from phf.config import KLConfig
from phf.evaluation.kl.estimate import measure_kl
from phf.evaluation.kl.local_reference import reference_start
from phf.models import ValueHead, export_model
from phf.redteam.local_lm import HuggingFaceRedLM
from phf.sampling import generate
from phf.sampling.best_of import keep_best
from phf.sampling.generate import generate_samples
from phf.sampling.scenarios import GenerationScenario
from phf.tokens.document_start import document_start
from phf.tokens.tokenizer import prepare_tokenizer

CONTROL = ("<|aligned|>", "<|misaligned|>")


def saved(folder, lm, tokenizer):
    lm.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def scripted(tokenizer, script, vocab_size=None):
    """A GPT-2 that says `script` token by token, then its last one for ever: logits by the last token alone."""
    size = vocab_size or max(tokenizer.get_vocab().values()) + 1
    lm = tiny_lm("gpt2", tokenizer, n_embd=size + 1, n_head=1, vocab_size=size, tie_word_embeddings=False).eval()
    with torch.no_grad():
        for block in lm.transformer.h:
            for layer in (block.attn.c_proj, block.mlp.c_proj):
                layer.weight.zero_()
                layer.bias.zero_()
        lm.transformer.wpe.weight.zero_()
        lm.transformer.wte.weight.copy_(torch.eye(size, size + 1))
        lm.lm_head.weight.zero_()
        for before, after in pairwise(script):
            lm.lm_head.weight[after, before] = 100.0
    return lm


def scenario(num_samples=2, **kwargs):
    settings = {"do_sample": False, "max_new_tokens": 20, "top_k": 0, **kwargs}
    return GenerationScenario(name="s", num_samples=num_samples, generate_kwargs=settings)


@pytest.fixture
def drawn(monkeypatch):
    """The ids of all continuations, in order, up to their ends."""
    decoded: list[list[int]] = []
    monkeypatch.setattr(generate, "decode", lambda tokenizer, ids, special: decoded.append(ids) or "")
    return decoded


both_ways = pytest.mark.parametrize("more", [{}, {"num_beams": 1}], ids=["own loop", "model.generate"])


@both_ways
def test_samples_start_from_the_tokenizers_own_bos(more):
    tokenizer = prepare_tokenizer(llama3(), None)
    bos, eos = document_start(tokenizer)[0], tokenizer.eos_token_id
    first, second = tokenizer("xy", add_special_tokens=False).input_ids
    lm = scripted(tokenizer, [bos, first, second, eos])
    assert generate_samples(lm, tokenizer, scenario(**more), seed=0, batch_size=2).continuations == ["xy"] * 2


@both_ways
def test_any_of_a_models_ends_ends_a_sample(more):
    tokenizer = prepare_tokenizer(llama3(), None)
    first, second = tokenizer("xy", add_special_tokens=False).input_ids
    lm = scripted(tokenizer, [0, first, 2, second, 1])  # 2 is an ordinary token; the tokenizer's EOS is 1
    run_on = generate_samples(lm, tokenizer, scenario(**more), seed=0, batch_size=2).continuations
    assert run_on == ["x" + tokenizer.decode([2]) + "y"] * 2
    lm.generation_config = GenerationConfig(eos_token_id=[1, 2])
    assert generate_samples(lm, tokenizer, scenario(**more), seed=0, batch_size=2).continuations == ["x"] * 2


def test_no_end_comes_before_min_length(drawn):
    tokenizer = prepare_tokenizer(llama3(), None)
    lm = scripted(tokenizer, [0, 2, 2])
    lm.generation_config = GenerationConfig(eos_token_id=[1, 2])
    generate_samples(lm, tokenizer, scenario(min_new_tokens=5, max_new_tokens=7), seed=0, batch_size=2)
    assert all(not {1, 2} & {*ids[:5]} for ids in drawn)
    assert min(map(len, drawn)) >= 5


def test_best_of_leaves_every_end_out():
    lm = tiny_lm("gpt2", tiny_tokenizer()).eval()
    value_head = ValueHead(16)
    torch.nn.init.normal_(value_head.linear.weight)
    first, _ = keep_best(lm, value_head, [[0, 5], [0, 5]], [[7, 8, 3], [7, 8], [9, 0], [7, 8]], 2, [0, 3], 4)
    assert first == [7, 8, 3]


@both_ways
def test_ids_without_token_are_never_drawn(more, drawn):
    tokenizer = tiny_tokenizer(vocab_size=270)
    lm = tiny_lm("gpt2", tokenizer, vocab_size=400)
    generate_samples(lm, tokenizer, scenario(30, do_sample=True, **more), seed=0, batch_size=30)
    assert sum(map(len, drawn)) > 100
    assert max(map(max, filter(None, drawn))) < len(tokenizer)


def kl_of_itself(path, lm, tokenizer, prefix_ids, cache):
    section = KLConfig(reference={"path_or_name": path}, num_samples=32, max_tokens=12)
    return measure_kl(lm, tokenizer, section, prefix_ids=prefix_ids, cache_dir=cache)["kl/nats_per_sequence"]


@pytest.mark.parametrize(
    "name", ["LlamaTokenizer", "PreTrainedTokenizerFast, BLOOM", "GPTNeoXTokenizer", "GemmaTokenizer"]
)
@pytest.mark.parametrize("padding", [0, 40])
def test_the_kl_of_any_model_from_itself_is_zero(name, padding, tmp_path):
    tokenizer = prepare_tokenizer(CLASSES[name](), None)
    lm = tiny_lm("llama", tokenizer, vocab_size=max(tokenizer.get_vocab().values()) + 1 + padding).eval()
    path = saved(tmp_path / "model", lm, tokenizer)
    start = reference_start(path, tokenizer)
    assert start == document_start(tokenizer)
    assert kl_of_itself(path, lm, tokenizer, start, tmp_path) == pytest.approx(0, abs=1e-4)


def test_so_is_that_of_a_model_with_several_ends(tmp_path):
    tokenizer = prepare_tokenizer(llama3(), None)
    lm = tiny_lm("gpt2", tokenizer).eval()
    with torch.no_grad():
        lm.transformer.ln_f.bias.fill_(1.0)
        lm.lm_head.weight[[1, 2, 3]] += 0.12  # about half of all samples end
    lm.generation_config = GenerationConfig(eos_token_id=[1, 2, 3])
    path = saved(tmp_path / "model", lm, tokenizer)
    assert kl_of_itself(path, lm, tokenizer, document_start(tokenizer), tmp_path) == pytest.approx(0, abs=1e-4)
    (samples,) = tmp_path.glob("reference-*.json")
    samples_drawn = json.loads(samples.read_text())["samples"]
    assert 4 < sum(sample["is_ended"] for sample in samples_drawn) < 32
    assert not any({1, 2, 3} & {*sample["ids"]} for sample in samples_drawn)


@pytest.mark.parametrize("make", [llama, tiny_tokenizer])
def test_so_is_that_of_an_exported_conditional_model(make, tmp_path):
    tokenizer = prepare_tokenizer(make(), CONTROL)
    lm = tiny_lm("gpt2", tokenizer).eval()
    prompting = conditional_prompting(*CONTROL, threshold=0.5)
    export_model(lm, tokenizer, tmp_path / "model", prompting)
    aligned = tokenizer.convert_tokens_to_ids(CONTROL[0])
    prefix = [*document_start(tokenizer), aligned]
    assert reference_start(str(tmp_path / "model"), tokenizer) == prefix
    assert kl_of_itself(str(tmp_path / "model"), lm, tokenizer, prefix, tmp_path) == pytest.approx(0, abs=1e-4)


def test_replies_of_a_red_lm_follow_the_prompt_and_stop_at_any_end(tmp_path):
    tokenizer = llama()
    tokens = ["▁", "a", "▁", "b", "c"]
    ids = tokenizer.convert_tokens_to_ids(tokens)
    assert tokenizer.unk_token_id not in ids
    lm = scripted(tokenizer, [ids[1], ids[0], ids[3], ids[4], 0], vocab_size=420)
    lm.generation_config = GenerationConfig(eos_token_id=[2, ids[4]])
    red_lm = HuggingFaceRedLM(saved(tmp_path / "red", lm, tokenizer), max_new_tokens=8)
    assert red_lm._complete("a", 2, seed=0) == [" b"] * 2
