"""Compiling the layers before the head changes neither numbers nor names, and only training is compiled."""

import copy

import pytest
import torch
from tests.models.test_module import OBJECTIVES, WIDTH, batch  # noqa: F401 (a fixture)
from tests.tiny import tiny_lm, tiny_tokenizer
from transformers import masking_utils

from phf.feedback.objectives import IGNORE_INDEX
from phf.models import ObjectiveLM, ValueHead

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
