"""ObjectiveLM: chunked and dense agree on every kind of model; auto takes the dense path where the head is not plain."""

import copy

import pytest
import torch
from tests.tiny import TINY_MODELS, tiny_lm, tiny_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM

from phf.errors import ConfigError
from phf.feedback.objectives import AWR, IGNORE_INDEX, MLE, Unlikelihood
from phf.models import ObjectiveLM, ValueHead, chunked_loss, targets
from phf.models.building.probe import has_plain_linear_head

WIDTH = 16
OBJECTIVES = {
    "MLE": MLE(),
    "Unlikelihood": Unlikelihood(score_threshold=0.0, alpha=0.5),
    "AWR": AWR(alpha=0.5, beta=1.0),
}


@pytest.fixture(scope="module")
def batch():
    """Two sequences of 12 tokens; some labels are not targets, some tokens are unscored."""
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
    of_heads = {}
    for head in ("chunked", "dense"):
        model = module(model_type, OBJECTIVES[name], head)
        output = model(**batch)
        output["loss"].backward()
        of_heads[head] = (output, {key: p.grad for key, p in model.named_parameters() if p.grad is not None})
    (chunked, chunked_grads), (dense, dense_grads) = of_heads["chunked"], of_heads["dense"]
    torch.testing.assert_close(chunked["loss"], dense["loss"], rtol=1e-6, atol=1e-9)
    assert chunked["logs"].keys() == dense["logs"].keys()
    for key, value in dense["logs"].items():
        torch.testing.assert_close(chunked["logs"][key], value, rtol=1e-5, atol=1e-7)
    assert chunked_grads.keys() == dense_grads.keys()
    assert ("value_head.linear.weight" in dense_grads) == (name == "AWR")
    for key, grad in dense_grads.items():
        torch.testing.assert_close(chunked_grads[key], grad, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["MLE", "Unlikelihood", "AWR"])
def test_tokens_that_stay_among_the_targets_change_neither_loss_nor_logs_nor_gradients(name, batch, monkeypatch):
    """As on a GPU, which does not wait for their number."""
    batch = {**batch, "token_scores": batch["token_scores"].clone()}
    batch["token_scores"][0, 9:] = torch.tensor([1.0, torch.nan, 0.0])  # of what is not a target
    of_ways = []
    for keeps in (False, True):
        monkeypatch.setattr(targets, "keeps_rows", lambda device, keeps=keeps: keeps)
        model = module("gpt2", OBJECTIVES[name], "chunked")
        output = model(**batch)
        output["loss"].backward()
        of_ways.append((output, {key: p.grad for key, p in model.named_parameters() if p.grad is not None}))
    (left_out, grads), (kept, kept_grads) = of_ways
    torch.testing.assert_close(kept["loss"], left_out["loss"], rtol=1e-12, atol=0)
    assert kept["totals"].keys() == left_out["totals"].keys()
    for key, total in left_out["totals"].items():
        assert kept["totals"][key].count == total.count
        torch.testing.assert_close(kept["totals"][key].value, total.value, rtol=1e-12, atol=0)
    assert kept_grads.keys() == grads.keys()
    for key, grad in grads.items():
        torch.testing.assert_close(kept_grads[key], grad, rtol=1e-9, atol=1e-14)


def test_tokens_that_stay_among_the_targets_leave_all_shapes_as_they_are(batch, monkeypatch):
    monkeypatch.setattr(targets, "keeps_rows", lambda device: True)
    model, rows = module("gpt2", MLE(), "chunked"), []
    monkeypatch.setattr(targets, "chunked_loss", lambda **given: rows.append(given["hidden"]) or chunked_loss(**given))
    model(**batch)
    assert rows[0].shape == (2 * 11, WIDTH)


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


EXPERTS = {
    **TINY_MODELS["llama"],
    "num_key_value_heads": 2,
    "moe_intermediate_size": 16,
    "num_experts_per_tok": 2,
    "output_router_logits": True,
    "router_aux_loss_coef": 0.5,
}
MODELS_WITH_LOSSES = {
    "mixtral": {**EXPERTS, "num_local_experts": 4},
    "qwen3_moe": {**EXPERTS, "num_experts": 4, "head_dim": 8},
    "olmoe": {**EXPERTS, "num_experts": 4},
    "bamba": {
        **TINY_MODELS["llama"],
        "num_key_value_heads": 2,
        "z_loss_coefficient": 0.1,
        "attn_layer_indices": [1],
        "mamba_n_heads": 4,
        "mamba_d_head": 8,
        "mamba_d_state": 8,
        "mamba_chunk_size": 8,
    },
}


def from_config(model_type, **settings):
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, vocab_size=300, **settings)
    config.pad_token_id = None
    return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("head", ["auto", "dense"])
@pytest.mark.parametrize("model_type", MODELS_WITH_LOSSES)
def test_losses_of_the_model_are_added_with_either_head_as_transformers_adds_them(model_type, head, batch):
    lm = from_config(model_type, **MODELS_WITH_LOSSES[model_type])
    model = ObjectiveLM(lm, MLE(), head=head).eval()
    assert model.head == ("chunked" if head == "auto" and model_type != "bamba" else "dense")
    output = model(batch["input_ids"], batch["labels"])
    gradients = torch.autograd.grad(output["loss"], list(lm.parameters()), allow_unused=True)
    theirs = lm(input_ids=batch["input_ids"], labels=batch["labels"]).loss
    expected = torch.autograd.grad(theirs, list(lm.parameters()), allow_unused=True)
    torch.testing.assert_close(output["loss"], theirs, rtol=1e-6, atol=0)
    assert output["logs"]["auxiliary_loss"] > 0.1
    torch.testing.assert_close(output["logs"]["lm_loss"] + output["logs"]["auxiliary_loss"], theirs.double())
    for mine, reference in zip(gradients, expected, strict=True):
        if reference is not None:
            torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-6)


def test_the_models_loss_is_its_mean_over_the_step_not_its_sum(batch):
    model = ObjectiveLM(from_config("mixtral", **MODELS_WITH_LOSSES["mixtral"]), MLE()).eval()
    num_targets = 8 + 11
    halves = [{key: tensor[i : i + 1] for key, tensor in batch.items()} for i in range(2)]
    parts = [model(**half, num_items_in_batch=torch.tensor(num_targets)) for half in halves]
    alone = [model(**half) for half in halves]
    expected = sum(count * output["loss"] for count, output in zip((8, 11), alone, strict=True)) / num_targets
    torch.testing.assert_close(sum(part["loss"] for part in parts), expected)


def test_a_model_that_does_not_ask_for_its_routers_has_no_loss_of_its_own(batch):
    for settings in ({"output_router_logits": False}, {"router_aux_loss_coef": 0.0}):
        lm = from_config("mixtral", **{**MODELS_WITH_LOSSES["mixtral"], **settings})
        assert ObjectiveLM(lm, MLE()).model_loss is None


def test_a_loss_on_further_tokens_is_refused_unless_the_module_only_evaluates(monkeypatch):
    lm = from_config("llama", **TINY_MODELS["llama"])
    loss_function = lm.loss_function

    def further_tokens(logits, labels, vocab_size, **settings):
        ahead = torch.nn.functional.cross_entropy(logits[:, :-2].flatten(0, 1), labels[:, 2:].flatten())
        return loss_function(logits, labels, vocab_size, **settings) + 0.3 * ahead.nan_to_num()

    monkeypatch.setattr(type(lm), "loss_function", property(lambda lm: further_tokens))
    with pytest.raises(ConfigError, match=r"LlamaForCausalLM as configured adds a loss of its own.*multi-token"):
        ObjectiveLM(lm, MLE())
    assert ObjectiveLM(lm, MLE(), trains=False).model_loss is None


OPT = {
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "ffn_dim": 32,
    "word_embed_proj_dim": 8,
    "max_position_embeddings": 64,
}


@pytest.mark.parametrize("name", ["MLE", "AWR"])
@pytest.mark.parametrize("model_type", ["opt", "bart"])
def test_dense_head_works_where_the_model_calls_its_decoder_and_not_its_trunk(model_type, name, batch):
    settings = OPT if model_type == "opt" else {"d_model": 16, "decoder_layers": 2, "decoder_attention_heads": 2}
    lm = from_config(model_type, **settings).eval()
    width = lm.get_output_embeddings().weight.size(1)
    losses = {}
    for head in ("auto", "dense"):
        value_head = ValueHead(width) if OBJECTIVES[name].uses_values else None
        model = ObjectiveLM(lm, OBJECTIVES[name], value_head, head=head).eval()
        losses[head] = model(**batch)["loss"]
    torch.testing.assert_close(losses["auto"], losses["dense"], rtol=1e-5, atol=1e-6)


def test_a_wrapper_that_goes_round_the_trunks_hooks_is_trained_through(monkeypatch):
    lm = from_config("llama", **TINY_MODELS["llama"])
    ids = torch.arange(12)[None]
    model = ObjectiveLM(lm, AWR(alpha=0.5, beta=1.0), ValueHead(WIDTH), head="dense").eval()
    expected = model(ids, ids)["loss"]

    class Trunk(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, **arguments):
            return self.inner.forward(**arguments)

    monkeypatch.setattr(type(lm), "base_model", property(lambda lm: Trunk(lm.model)))  # never called by lm.forward
    torch.testing.assert_close(model(ids, ids)["loss"], expected)


def test_a_value_head_without_an_output_layer_to_read_from_is_refused(monkeypatch):
    lm = from_config("gemma2", **TINY_MODELS["gemma2"])
    monkeypatch.setattr(lm, "get_output_embeddings", lambda: torch.nn.Linear(16, 300))
    with pytest.raises(ConfigError, match=r"Gemma2ForCausalLM has no output layer that sees every position once"):
        ObjectiveLM(lm, AWR(alpha=0.5, beta=1.0), ValueHead(WIDTH), head="dense")


def test_looking_for_losses_leaves_modes_and_random_state_alone():
    lm = from_config("mixtral", **MODELS_WITH_LOSSES["mixtral"]).eval()
    before = torch.random.get_rng_state()
    ObjectiveLM(lm, MLE())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not any(module.training for module in lm.modules())


@pytest.mark.parametrize("head", ["auto", "dense"])
@pytest.mark.parametrize("model_type", ["gpt2", "mixtral"])
def test_recomputing_activations_changes_neither_loss_nor_gradient(model_type, head, batch):
    settings = MODELS_WITH_LOSSES["mixtral"] if model_type == "mixtral" else TINY_MODELS["gpt2"]
    model = ObjectiveLM(from_config(model_type, **settings), MLE(), head=head)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    of_models = []
    for recomputes in (False, True):
        if recomputes:
            model.activation_checkpointing_enable()
        assert model.is_gradient_checkpointing == recomputes
        loss = model.train()(**batch)["loss"]
        of_models.append((loss, torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)))
    torch.testing.assert_close(of_models[1][0], of_models[0][0])
    for again, once in zip(of_models[1][1], of_models[0][1], strict=True):
        if once is not None:
            torch.testing.assert_close(again, once)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["chunked", "dense"])
def test_compiling_changes_nothing(head, batch):
    lm = tiny_lm("gpt2", tiny_tokenizer(), n_layer=1)
    model = ObjectiveLM(lm, OBJECTIVES["AWR"], ValueHead(WIDTH), head=head).eval()
    expected = model(**batch)["loss"]
    compiled = torch.compile(model, backend="eager")(**batch)["loss"]
    torch.testing.assert_close(compiled, expected)
    for mine, reference in zip(
        *(torch.autograd.grad(loss, list(model.parameters())) for loss in (compiled, expected)), strict=True
    ):
        torch.testing.assert_close(mine, reference)


def test_the_activation_of_gpt2_runs_in_one_kernel_with_the_same_results(batch):
    lm = tiny_lm("gpt2", tiny_tokenizer(), attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)
    assert lm.config.activation_function == "gelu_new"
    names = list(lm.state_dict())
    evaluated = ObjectiveLM(copy.deepcopy(lm), MLE(), trains=False).train()
    trained = ObjectiveLM(lm, MLE()).train()
    kinds = [{type(module).__name__ for module in of.modules()} for of in (evaluated, trained)]
    assert ["NewGELUActivation" in of for of in kinds] == [True, False]
    losses = [model(**batch)["loss"] for model in (evaluated, trained)]
    torch.testing.assert_close(*losses, rtol=1e-6, atol=0)
    grads = [
        torch.autograd.grad(loss, list(of.parameters())) for loss, of in zip(losses, (evaluated, trained), strict=True)
    ]
    for mine, reference in zip(*grads, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-7)
    assert list(lm.state_dict()) == names
    assert lm.config.activation_function == "gelu_new"
