"""`dataset.attention: document`: losses of a block are those of its documents, each run alone, or the model is refused."""

import itertools

import numpy as np
import pytest
import torch
from tests.tiny import TINY_MODELS
from transformers import AutoConfig, AutoModelForCausalLM, modeling_flash_attention_utils
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from phf.config import ModelConfig
from phf.errors import ConfigError
from phf.feedback.objectives import AWR, IGNORE_INDEX, MLE
from phf.models import ObjectiveLM, ValueHead
from phf.models.building.build import check_architecture
from phf.models.building.documents import check_document_attention, strengthen
from phf.tokens.layout import document_positions

LLAMA = {**TINY_MODELS["llama"], "num_key_value_heads": 1}
MODELS = {
    "gpt2": ("gpt2", TINY_MODELS["gpt2"]),
    "llama": ("llama", LLAMA),
    "gpt_neox": ("gpt_neox", {**TINY_MODELS["llama"], "max_position_embeddings": 64}),
    "mistral, window of 4": ("mistral", {**LLAMA, "sliding_window": 4}),
    "gemma2, windows and soft-capped": ("gemma2", {**TINY_MODELS["gemma2"], "sliding_window": 4}),
    "mixtral, a router, float32": ("mixtral", {**LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "gemma3, a dense head": ("gemma3_text", {**TINY_MODELS["gemma2"], "sliding_window": 4}),
}
STARTS = ((5, 6, 14), (-3, 9), (0, 1, 23))
"""Where documents begin in the rows of a batch; the first one of the second row continues from the block before."""
SEQ_LENGTH = 24


class Recorded(MLE):
    """Keeps the negative log-likelihoods that it is given."""

    def __init__(self):
        self.nll = []

    def token_loss(self, nll, scores, values):
        self.nll.append(nll.detach().clone())
        return super().token_loss(nll, scores, values)


def build(name, implementation="sdpa", dtype=torch.float64):
    torch.manual_seed(0)
    model_type, settings = MODELS[name]
    config = AutoConfig.for_model(model_type, **settings, vocab_size=120, attn_implementation=implementation)
    lm = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=implementation).eval()
    with torch.no_grad():
        for parameter in lm.parameters():
            parameter.mul_(3)  # attention with an effect
    return lm.to(torch.float32 if name.endswith("float32") else dtype)


def batch():
    ids = torch.randint(0, 120, (len(STARTS), SEQ_LENGTH), generator=torch.Generator().manual_seed(1))
    positions = torch.stack([torch.from_numpy(document_positions(np.array(row), SEQ_LENGTH)) for row in STARTS])
    return ids, positions


def losses(lm, ids, positions, **settings):
    """[rows, tokens - 1] of each target, as in training."""
    objective = Recorded()
    module = ObjectiveLM(lm, objective, **settings)
    module.model_loss = None
    module(input_ids=ids, labels=ids, position_ids=positions)["loss"].backward()
    return torch.cat(objective.nll).view(len(ids), -1)


def losses_apart(lm, ids):
    """The same of each document alone, with what ends it: the first token of the next."""
    rows = []
    for row, starts in zip(ids, STARTS, strict=True):
        bounds = [0, *(start for start in starts if start > 0), SEQ_LENGTH]
        parts = [row[start : end + 1] for start, end in itertools.pairwise(bounds)]
        parts = [part for part in parts if len(part) > 1]
        alone = [losses(lm, part.unsqueeze(0), None, head="dense")[0] for part in parts]
        rows.append(torch.cat(alone))
    return torch.stack(rows)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("name", MODELS)
def test_losses_are_those_of_the_documents_alone(name, implementation):
    if name.startswith("gemma2") and implementation == "sdpa":
        pytest.skip("soft-capped attention is not among what SDPA computes")
    lm = build(name, implementation)
    ids, positions = batch()
    together, apart = losses(lm, ids, positions), losses_apart(lm, ids)
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-5)
    packed = losses(lm, ids, None)
    assert (packed - apart).abs().max() > 1e-2, "the mask has no effect, so this test could not fail"
    is_first = torch.arange(SEQ_LENGTH - 1).lt(5)  # the first document of the first row sees what it saw before
    torch.testing.assert_close(packed[0, is_first], apart[0, is_first], rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_the_documents_alone():
    lm = build("gpt2")
    ids, positions = batch()
    num_targets = ids[:, 1:].numel()
    grads = []
    for is_apart in (False, True):
        lm.zero_grad()
        module = ObjectiveLM(lm, MLE())
        inputs = [(ids, positions)]
        if is_apart:
            bounds = [
                (row, [0, *(start for start in starts if start > 0), SEQ_LENGTH]) for row, starts in enumerate(STARTS)
            ]
            inputs = [
                (ids[row : row + 1, start : end + 1], None)
                for row, of_row in bounds
                for start, end in itertools.pairwise(of_row)
                if start < SEQ_LENGTH - 1
            ]
        for part, positions_of_part in inputs:
            module(part, part, num_items_in_batch=num_targets, position_ids=positions_of_part)["loss"].backward()
        grads.append({key: parameter.grad.clone() for key, parameter in lm.named_parameters()})
    for key, grad in grads[0].items():
        torch.testing.assert_close(grad, grads[1][key], rtol=1e-6, atol=1e-8, msg=key)


@pytest.mark.parametrize("head", ["chunked", "dense"])
def test_values_see_no_other_document_either(head):
    lm = build("llama")
    ids, positions = batch()
    seen = []
    value_head = ValueHead(16).double()
    torch.nn.init.normal_(value_head.linear.weight)
    value_head.register_forward_hook(lambda module, given, values: seen.append(values.detach()))
    module = ObjectiveLM(lm, AWR(alpha=0.5, beta=1.0), value_head, head=head)
    other = ids.clone()
    other[0, :5] = (ids[0, :5] + 1) % 120  # the first document
    for changed in (ids, other):
        module(changed, changed, torch.zeros(ids.shape, dtype=torch.float64), position_ids=positions)
    before, after = seen[-2:]
    assert not torch.equal(before[0, :5], after[0, :5])
    torch.testing.assert_close(before[0, 5:], after[0, 5:])


@pytest.mark.parametrize("name", ["gpt2", "mistral, window of 4"])
def test_the_mask_is_made_inside_a_compiled_trunk(name):
    trunk = build(name).base_model
    ids, positions = batch()
    torch._dynamo.reset()
    compiled = torch.compile(trunk, backend="eager", fullgraph=True)
    # one document a row: nothing in the data decides how the mask is made
    for position_ids in (positions, torch.arange(SEQ_LENGTH).expand(3, -1)):
        inputs = {"input_ids": ids, "position_ids": position_ids, "use_cache": False}
        torch.testing.assert_close(compiled(**inputs).last_hidden_state, trunk(**inputs).last_hidden_state)


CANNOT = {
    "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 2},
    "mpt": {"d_model": 16, "n_layers": 2, "n_heads": 2, "max_seq_len": 64},
    "mamba": {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
    "opt": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 32,
        "word_embed_proj_dim": 16,
    },
}


@pytest.mark.parametrize("model_type", CANNOT)
def test_an_architecture_that_mixes_documents_is_refused_before_the_data_is_read(model_type):
    section = ModelConfig(model_type=model_type, config_kwargs=CANNOT[model_type])
    check_architecture(section, 32)
    with pytest.raises(ConfigError, match=r"attention is document, but \w+ForCausalLM .*Set dataset.attention: packed"):
        check_architecture(section, 32, "document")


def test_a_module_refuses_with_its_first_batch():
    torch.manual_seed(0)
    lm = AutoModelForCausalLM.from_config(AutoConfig.for_model("bloom", vocab_size=120, **CANNOT["bloom"]))
    module = ObjectiveLM(lm, MLE()).train()
    ids, positions = batch()
    with pytest.raises(ConfigError, match="BloomForCausalLM"):
        module(input_ids=ids, labels=ids, position_ids=positions)
    assert module.training
    assert all(part.training for part in lm.modules())


def test_positions_that_reach_the_embedding_but_not_the_mask_are_found(monkeypatch):
    lm = build("gpt2", dtype=torch.float32)
    check_document_attention(lm, 64)
    sdpa_mask = ALL_MASK_ATTENTION_FUNCTIONS["sdpa"]
    monkeypatch.setitem(
        ALL_MASK_ATTENTION_FUNCTIONS._global_mapping,
        "sdpa",
        lambda *args, mask_function=None, allow_is_causal_skip=True, **settings: sdpa_mask(*args, **settings),
    )
    with pytest.raises(ConfigError, match="GPT2LMHeadModel lets a token see documents other than its own"):
        check_document_attention(lm, 64)


def test_positions_that_do_not_restart_are_found():
    lm = build("gpt2", dtype=torch.float32)
    positions_of = lm.transformer.wpe.forward
    lm.transformer.wpe.forward = lambda ids: positions_of(torch.arange(ids.size(1)).expand_as(ids))
    with pytest.raises(ConfigError, match="computes document 2 of a block differently from the same document alone"):
        check_document_attention(lm, 64)


def test_rotary_embeddings_that_depend_on_the_longest_document_are_found():
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    torch.manual_seed(0)
    config = AutoConfig.for_model("llama", **LLAMA, vocab_size=120, max_position_embeddings=32, rope_parameters=rope)
    lm = AutoModelForCausalLM.from_config(config)
    strengthen(lm)
    check_document_attention(lm, 32)
    with pytest.raises(ConfigError, match="computes short documents differently in a block that has a long one"):
        check_document_attention(lm, 128)


@pytest.mark.parametrize("seq_length", [2, 5, 17])
def test_short_blocks_are_tried_in_their_own_length(seq_length):
    check_document_attention(build("gpt2", dtype=torch.float32), seq_length)


def packed_kernel(q, k, v, **settings):
    """What flash attention's kernel without documents computes: [rows, tokens, heads, width]."""
    ends = torch.arange(len(q) + 1) * q.size(1)
    return reference_kernel(*(part.flatten(0, 1) for part in (q, k, v)), ends, ends, **settings).view(q.shape)


def reference_kernel(q, k, v, cu_seqlens_q, cu_seqlens_k, causal, softmax_scale, window_size=(-1, -1), **_):
    """What flash attention's kernel for documents of any length computes: [tokens, heads, width]."""
    assert torch.equal(cu_seqlens_q, cu_seqlens_k)
    assert causal
    outputs = []
    for start, end in zip(cu_seqlens_q[:-1].tolist(), cu_seqlens_q[1:].tolist(), strict=True):
        distance = torch.arange(end - start)[:, None] - torch.arange(end - start)
        mask = (distance >= 0) & ((distance <= window_size[0]) | (window_size[0] < 0))
        one = (part[start:end].transpose(0, 1) for part in (q, k, v))
        attended = torch.nn.functional.scaled_dot_product_attention(
            *one, attn_mask=mask, scale=softmax_scale, enable_gqa=True
        )
        outputs.append(attended.transpose(0, 1))
    return torch.cat(outputs)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox", "mistral, window of 4"])
def test_flash_attention_is_given_the_bounds_of_the_documents(name, monkeypatch):
    """The kernels need a GPU; everything around them does not."""

    def arguments(max_seqlen_q=None, max_seqlen_k=None, sliding_window=None, is_causal=True, softmax_scale=None, **_):
        window = {} if sliding_window is None else {"window_size": (sliding_window - 1, 0)}
        return {"causal": is_causal, "softmax_scale": softmax_scale, **window}

    ids, positions = batch()
    lm = build(name)
    expected = losses(lm, ids, positions)
    monkeypatch.setattr(
        modeling_flash_attention_utils,
        "lazy_import_flash_attention",
        lambda *_: ((packed_kernel, reference_kernel, None, None, None), (arguments, None)),
    )
    flash = build(name)
    flash.config._attn_implementation = "flash_attention_2"
    torch.testing.assert_close(losses(flash, ids, positions), expected)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox", "mistral, window of 4"])
@pytest.mark.parametrize("implementation", ["sdpa", "flash_attention_2", "flash_attention_3"])
def test_losses_are_those_of_the_documents_alone_on_a_gpu(name, implementation):
    dtype, tolerance = torch.float32, 1e-4
    if implementation != "sdpa":
        from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available

        is_there = is_flash_attn_2_available() if implementation.endswith("2") else is_flash_attn_3_available()
        if not is_there:
            pytest.skip(f"{implementation} is not installed")
        dtype, tolerance = torch.bfloat16, 5e-2
    lm = build(name, implementation, dtype).cuda()
    ids, positions = (part.cuda() for part in batch())
    together, packed = losses(lm, ids, positions), losses(lm, ids, None)
    torch.testing.assert_close(together, losses_apart(lm, ids), rtol=tolerance, atol=tolerance)
    assert (packed - together).abs().max() > 4 * tolerance


def test_ignored_labels_and_packed_batches_are_as_before():
    lm = build("gpt2")
    ids, positions = batch()
    labels = ids.clone()
    labels[:, 12:] = IGNORE_INDEX
    module = ObjectiveLM(lm, MLE())
    part = module(input_ids=ids[:, :12], labels=ids[:, :12], position_ids=positions[:, :12])["loss"]
    torch.testing.assert_close(module(input_ids=ids, labels=labels, position_ids=positions)["loss"], part)
