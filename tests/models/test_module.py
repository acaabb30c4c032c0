"""ObjectiveLM: chunked and dense agree on every kind of model; auto takes the dense path where the head is not plain."""

import pytest
import torch
from tests.tiny import TINY_MODELS, tiny_lm, tiny_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM

from phf.errors import ConfigError
from phf.models import ObjectiveLM, ValueHead
from phf.models.module import has_plain_linear_head
from phf.objectives import AWR, IGNORE_INDEX, MLE, Unlikelihood

WIDTH = 16
OBJECTIVES = {
    "MLE": MLE(),
    "Unlikelihood": Unlikelihood(score_threshold=0.0, alpha=0.5),
    "AWR": AWR(alpha=0.5, beta=1.0),
}


@pytest.fixture(scope="module")
def batch():
    """Two sequences of 12 tokens; some labels are no targets, some tokens are unscored."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(250, (2, 12), generator=generator)
    labels = ids.clone()
    labels[0, 9:] = IGNORE_INDEX
    scores = torch.rand(2, 12, generator=generator, dtype=torch.float64)
    scores[:, ::3] = 0.0
    scores[1, 4:6] = torch.nan
    return {"input_ids": ids, "labels": labels, "token_scores": scores}


def module(model_type, objective, head):
    """The same weights, in float64, whichever head."""
    torch.manual_seed(1)
    value_head = ValueHead(WIDTH) if objective.uses_values else None
    if value_head is not None:
        torch.nn.init.normal_(value_head.linear.weight)
    return ObjectiveLM(tiny_lm(model_type, tiny_tokenizer()), objective, value_head, head=head).double().eval()


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_chunked_equals_dense_in_loss_logs_and_gradients(model_type, name, batch):
    found = {}
    for head in ("chunked", "dense"):
        model = module(model_type, OBJECTIVES[name], head)
        output = model(**batch)
        output["loss"].backward()
        found[head] = (output, {key: p.grad for key, p in model.named_parameters() if p.grad is not None})
    (chunked, chunked_grads), (dense, dense_grads) = found["chunked"], found["dense"]
    torch.testing.assert_close(chunked["loss"], dense["loss"], rtol=1e-6, atol=1e-9)
    assert chunked["logs"].keys() == dense["logs"].keys()
    for key, value in dense["logs"].items():
        torch.testing.assert_close(chunked["logs"][key], value, rtol=1e-5, atol=1e-7)
    assert chunked_grads.keys() == dense_grads.keys()
    assert ("value_head.linear.weight" in dense_grads) == (name == "AWR")
    for key, grad in dense_grads.items():
        torch.testing.assert_close(chunked_grads[key], grad, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("model_type", "head"), [("gpt2", "chunked"), ("llama", "chunked"), ("gemma2", "dense")])
def test_auto_finds_out_whether_the_head_is_a_plain_matrix_product(model_type, head, batch):
    model = module(model_type, MLE(), "auto")
    assert model.head == head
    logits = model.lm(batch["input_ids"]).logits
    expected = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())
    torch.testing.assert_close(model(**batch)["loss"], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        ("gptj", {"n_embd": 16, "n_head": 2, "n_layer": 1, "rotary_dim": 4}),  # a bias
        ("granite", {**TINY_MODELS["llama"], "logits_scaling": 3.0}),
        ("cohere", {**TINY_MODELS["llama"], "logit_scale": 0.5}),
    ],
)
def test_heads_that_do_more_are_not_plain(model_type, settings):
    config = AutoConfig.for_model(model_type, vocab_size=300, **settings)
    config.pad_token_id = None
    assert not has_plain_linear_head(AutoModelForCausalLM.from_config(config))


def test_forcing_chunks_on_another_head_is_refused():
    with pytest.raises(ConfigError, match=r"model.head is 'chunked', but the head of Gemma2ForCausalLM is more"):
        module("gemma2", MLE(), "chunked")
    with pytest.raises(ConfigError, match="must be auto, chunked or dense"):
        module("gpt2", MLE(), "chunky")


def test_probing_the_head_leaves_the_modes_alone():
    lm = tiny_lm("gpt2", tiny_tokenizer()).train()
    lm.transformer.h[0].eval()
    before = {name: m.training for name, m in lm.named_modules()}
    assert has_plain_linear_head(lm)
    assert {name: m.training for name, m in lm.named_modules()} == before


@pytest.mark.parametrize("model_type", TINY_MODELS)
def test_token_nll_is_minus_log_softmax_and_nan_where_nothing_is_predicted(model_type, batch):
    model = module(model_type, MLE(), "auto")
    nll = model.token_nll(batch["input_ids"], batch["labels"])
    log_p = model.lm(batch["input_ids"]).logits.log_softmax(-1)
    expected = -log_p[:, :-1].gather(2, batch["input_ids"][:, 1:, None])[..., 0].float()
    is_target = batch["labels"] != IGNORE_INDEX
    is_target[:, 0] = False
    assert torch.equal(nll.isnan(), ~is_target)
    torch.testing.assert_close(nll[is_target], expected[is_target[:, 1:]], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(nll[is_target].mean().double(), model(**batch)["loss"], rtol=1e-5, atol=1e-6)


def test_the_step_count_divides_the_loss(batch):
    model = module("gpt2", MLE(), "auto")
    num_targets = 11 + 8
    mean = model(**batch)["loss"]
    summed = model(**batch, num_items_in_batch=torch.tensor(1))["loss"]
    torch.testing.assert_close(summed, mean * num_targets)


def test_value_head_answers_minus_one_half_until_trained_and_can_be_detached():
    hidden = torch.randn(2, 3, WIDTH, requires_grad=True)
    head = ValueHead(WIDTH)
    assert torch.equal(head(hidden), torch.full((2, 3), -0.5))
    torch.nn.init.normal_(head.linear.weight, std=1.0)
    values = head(hidden)
    assert ((values > -1) & (values < 0)).all()
    values.sum().backward()
    assert hidden.grad.abs().sum() > 0
    detached = ValueHead(WIDTH, is_detached=True)
    hidden.grad = None
    torch.nn.init.normal_(detached.linear.weight)
    detached(hidden).sum().backward()
    assert hidden.grad is None
    assert detached.linear.weight.grad.abs().sum() > 0


def test_value_head_reads_the_hidden_state_of_a_model_in_bfloat16():
    assert ValueHead(WIDTH)(torch.randn(1, 2, WIDTH, dtype=torch.bfloat16)).dtype == torch.float32


def test_an_objective_with_values_needs_a_value_head_and_others_drop_it():
    lm = tiny_lm("gpt2", tiny_tokenizer())
    with pytest.raises(ConfigError, match=r"AWR needs a value head: set model.model_kwargs.value_head_config"):
        ObjectiveLM(lm, AWR(alpha=0.5, beta=1.0))
    assert ObjectiveLM(lm, MLE(), ValueHead(WIDTH)).value_head is None


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_state_survives_saving_with_tied_weights_saved_once(model_type):
    first, second = (ObjectiveLM(tiny_lm(model_type, tiny_tokenizer(), seed), MLE()) for seed in (0, 1))
    state = first.state_dict()
    pointers = [tensor.data_ptr() for tensor in state.values()]
    assert len(set(pointers)) == len(pointers)
    second.load_state_dict(state, strict=False)
    second.tie_weights()
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(first.eval().token_nll(ids, ids)[:, 1:], second.eval().token_nll(ids, ids)[:, 1:])
