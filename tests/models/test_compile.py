"""Compiling the layers before the head changes neither numbers nor names, and only training is compiled."""

import copy

import pytest
import torch
from tests.models.test_module import OBJECTIVES, WIDTH, batch  # noqa: F401 (a fixture)
from tests.tiny import tiny_lm, tiny_tokenizer
from transformers import masking_utils

from phf.feedback.objectives import IGNORE_INDEX
from phf.models import ObjectiveLM, ValueHead, chunked_loss
from phf.models.building.documents import ANSWERS, ORIGINALS, one_document_per_row
from phf.models.log_odds import turn_into_difference

pytestmark = pytest.mark.slow  # the compiler is imported


class Recorder:
    """A backend that runs what was traced as it is, and keeps it."""

    def __init__(self):
        self.graphs = []

    def __call__(self, graph, inputs):
        self.graphs.append(graph)
        return graph.forward

    def calls_of(self, function):
        return [node for graph in self.graphs for node in graph.graph.nodes if node.target is function]


def module(name, head="auto", model_type="gpt2", **settings):
    value_head = ValueHead(WIDTH) if OBJECTIVES[name].uses_values else None
    settings = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0, "n_layer": 1, **settings}
    lm = tiny_lm(model_type, tiny_tokenizer(), **settings)
    return ObjectiveLM(lm, OBJECTIVES[name], value_head, head=head).train()


@pytest.mark.parametrize(("name", "head"), [("AWR", "chunked"), ("MLE", "dense")])
def test_loss_and_gradients_are_those_of_the_module_that_is_not_compiled(name, head, batch):  # noqa: F811
    torch._dynamo.reset()
    model, backend = module(name, head), Recorder()
    names = list(model.state_dict())
    expected = model(**batch)["loss"]
    expected_grads = torch.autograd.grad(expected, list(model.parameters()), allow_unused=True)
    model.compile_trunk(backend=backend)
    compiled = model(**batch)["loss"]
    assert backend.graphs
    torch.testing.assert_close(compiled, expected)
    for mine, reference in zip(
        torch.autograd.grad(compiled, list(model.parameters()), allow_unused=True), expected_grads, strict=True
    ):
        torch.testing.assert_close(mine, reference)
    assert list(model.state_dict()) == names
    assert list(copy.deepcopy(model).state_dict()) == names


def test_only_training_is_compiled_and_a_smaller_last_batch_works_too(batch):  # noqa: F811
    torch._dynamo.reset()
    model, backend = module("MLE"), Recorder()
    model.compile_trunk(backend=backend)
    whole, half = model(**batch)["loss"], model(**{key: tensor[:1] for key, tensor in batch.items()})["loss"]
    num_traced = len(backend.graphs)
    model.eval()
    torch.testing.assert_close(model(**batch)["loss"], whole)
    torch.testing.assert_close(model(**{key: tensor[:1] for key, tensor in batch.items()})["loss"], half)
    model.token_nll(batch["input_ids"][:, :7], batch["labels"][:, :7])
    assert len(backend.graphs) == num_traced


def test_what_is_compiled_attends_causally_without_a_mask():
    """transformers cannot look whether positions restart while it is traced, and would compute a mask to be sure."""
    torch._dynamo.reset()
    model, backend = module("MLE"), Recorder()
    model.compile_trunk(backend=backend)
    model(torch.randint(250, (2, 12)))
    (attention,) = backend.calls_of(torch.nn.functional.scaled_dot_product_attention)
    assert attention.kwargs["is_causal"] is True
    assert attention.kwargs.get("attn_mask") is None
    assert masking_utils.find_packed_sequence_indices.__name__ == "find_packed_sequence_indices"


def test_what_transformers_finds_out_is_restored_whatever_was_left_there():
    for name in ORIGINALS:
        setattr(masking_utils, name, ANSWERS[name])  # as by a signal in the middle, or another thread
    with one_document_per_row(True):
        assert masking_utils.find_packed_sequence_indices is ANSWERS["find_packed_sequence_indices"]
    assert {name: getattr(masking_utils, name) for name in ORIGINALS} == ORIGINALS
    assert masking_utils.find_packed_sequence_indices.__name__ == "find_packed_sequence_indices"


@pytest.mark.parametrize("head", ["chunked", "dense"])
def test_recomputed_activations_are_compiled_too(head, batch):  # noqa: F811
    torch._dynamo.reset()
    model = module("MLE", head)
    expected = torch.autograd.grad(model(**batch)["loss"], list(model.parameters()))
    model.gradient_checkpointing_enable()
    model.compile_trunk(backend="aot_eager")
    for mine, reference in zip(
        torch.autograd.grad(model(**batch)["loss"], list(model.parameters())), expected, strict=True
    ):
        torch.testing.assert_close(mine, reference)


def test_labels_may_be_left_out_where_every_token_is_a_target(batch):  # noqa: F811
    for head in ("chunked", "dense"):
        model = module("AWR", head)
        inputs = {"input_ids": batch["input_ids"], "token_scores": batch["token_scores"]}
        labels = batch["input_ids"].clone()
        labels[:, 0] = IGNORE_INDEX
        for given in ({}, {"num_items_in_batch": 7}):
            without, with_labels = model(**inputs, **given), model(**inputs, labels=labels, **given)
            assert torch.equal(without["loss"], with_labels["loss"])
            assert without["logs"].keys() == with_labels["logs"].keys()
            for key, value in without["logs"].items():
                torch.testing.assert_close(value, with_labels["logs"][key], rtol=0, atol=0, equal_nan=True)


def test_the_compiler_of_this_machine_gives_the_same_loss_and_gradients(batch):  # noqa: F811
    torch._dynamo.reset()
    model = module("AWR")
    expected = model(**batch)["loss"]
    expected_grads = torch.autograd.grad(expected, list(model.parameters()))
    model.compile_trunk()
    compiled = model(**batch)["loss"]
    torch.testing.assert_close(compiled, expected, rtol=1e-5, atol=1e-6)
    for mine, reference in zip(torch.autograd.grad(compiled, list(model.parameters())), expected_grads, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("vocab_size", [64, 250])
def test_the_softmax_of_the_head_that_is_compiled_is_the_one_that_is_not(dtype, vocab_size):
    torch._dynamo.reset()
    compiled = torch.compile(turn_into_difference)
    torch.manual_seed(0)
    weight = torch.randn(vocab_size, 16)
    for num_tokens in (40, 23):  # chunks of 16, and a rest
        hidden, targets = torch.randn(num_tokens, 16), torch.randint(vocab_size, (num_tokens,))
        results = []
        for function in (None, compiled):
            leaves = [hidden.clone().requires_grad_(), weight.clone().requires_grad_()]
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                output = chunked_loss(
                    hidden=leaves[0],
                    weight=leaves[1],
                    targets=targets,
                    scores=torch.linspace(0, 1, num_tokens),
                    values=None,
                    objective=OBJECTIVES["Unlikelihood"],
                    num_items=num_tokens,
                    chunk_tokens=16,
                    compiled=function,
                )
            results.append((output.loss, *torch.autograd.grad(output.loss, leaves)))
        for mine, reference in zip(*results, strict=True):
            torch.testing.assert_close(mine, reference, rtol=1e-5, atol=1e-6)


def test_a_target_of_which_the_compiled_head_is_certain_or_that_overflows_has_the_loss_it_has_elsewhere():
    torch._dynamo.reset()
    compiled = torch.compile(turn_into_difference)
    logits = torch.tensor([[200.0, 0.0, -200.0, 9e9], [-200.0, 0.0, 200.0, 9e9], [torch.inf, 0.0, 0.0, 9e9]])
    log_odds = compiled(logits, torch.zeros(3, 1, dtype=torch.int64), 3)
    torch.testing.assert_close(log_odds, torch.tensor([200.0, -400.0, torch.nan]), equal_nan=True)
    torch.testing.assert_close(logits[:2], torch.tensor([[-1.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 1.0, 0.0]]))
