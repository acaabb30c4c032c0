"""Parameters without a gradient: DDP looks for them in each step only where there may be some."""

import dataclasses

import pytest
import torch
from tests.ranks import run_ranks
from tests.sampling.test_division import in_processes
from tests.tiny import losses, tiny_config, tiny_corpus, tiny_lm, tiny_tokenizer
from torch import nn

from phf.config import dump_config
from phf.feedback import method_of
from phf.models import ObjectiveLM, ValueHead
from phf.training.plan import plan_run
from phf.training.run import train
from phf.training.unused import may_leave_out, settle_unused, unused

METHODS = ["mle", "filtering", "conditional", "ul", "awr", "rwr"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


def module_of(config, lm=None):
    lm = lm if lm is not None else tiny_lm("gpt2", tiny_tokenizer())
    objective = method_of(config).objective
    return ObjectiveLM(lm, objective, ValueHead(lm.config.n_embd) if objective.uses_values else None)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("head", ["chunked", "dense"])
def test_every_objective_gives_each_parameter_a_gradient(corpus, tmp_path, method, head):
    config = tiny_config(corpus, method, **{"model.head": head})
    module, state = module_of(config), torch.get_rng_state()
    assert unused(module, plan_run(config, tmp_path)) == []
    assert torch.equal(torch.get_rng_state(), state)


def test_activation_checkpointing_hides_no_parameter(corpus, tmp_path):
    config = tiny_config(corpus, **{"training.activation_checkpointing": True})
    assert unused(module_of(config), plan_run(config, tmp_path)) == []


def with_idle_layer():
    lm = tiny_lm("gpt2", tiny_tokenizer())
    lm.transformer.idle = nn.Linear(2, 2)
    lm.transformer.idle.bias.requires_grad_(False)
    return lm


def test_what_the_loss_does_not_depend_on_is_found_unless_it_is_frozen(corpus, tmp_path):
    config = tiny_config(corpus)
    module = module_of(config, with_idle_layer())
    plan = plan_run(config, tmp_path)
    assert unused(module, plan) == ["lm.transformer.idle.weight"]

    def settled(lm, given=None):
        arguments = dataclasses.replace(plan.arguments, ddp_find_unused_parameters=given)
        own = dataclasses.replace(plan, arguments=arguments)
        in_processes(2, lambda division: settle_unused(own, module_of(config, lm), division))
        return arguments.ddp_find_unused_parameters

    assert settled(with_idle_layer()) is True
    assert settled(with_idle_layer(), False) is False
    assert settled(tiny_lm("gpt2", tiny_tokenizer())) is False


def test_layers_and_experts_that_may_be_left_out_are_known_without_trying():
    lm = tiny_lm("gpt2", tiny_tokenizer())
    assert not may_leave_out(lm)
    lm.config.layerdrop = 0.1
    assert may_leave_out(lm)
    lm.config.layerdrop = 0.0
    lm.transformer.h[0].experts = nn.ModuleList([nn.Linear(2, 2)])
    assert may_leave_out(lm)


IDLE = """
from phf.training import run
from torch import nn
load = run.load_lm
def with_idle_layer(*arguments):
    lm = load(*arguments)
    lm.transformer.idle = nn.Linear(2, 2)
    return lm
run.load_lm = with_idle_layer
from phf.cli.app import main
main()
"""


@pytest.mark.slow
def test_a_model_with_a_layer_that_is_not_used_is_trained_by_two_processes_and_a_wrong_choice_is_named(
    corpus, tmp_path
):
    quiet = {"generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}
    config = tiny_config(corpus, **quiet)
    train(config, tmp_path / "one")
    (tmp_path / "config.yaml").write_text(dump_config(config))
    (tmp_path / "idle.py").write_text(IDLE)
    command = [str(tmp_path / "idle.py"), "train", "--config", str(tmp_path / "config.yaml")]
    command += ["--output-dir", str(tmp_path), "--run-name"]
    run_ranks([*command, "two"], tmp_path)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-6)
    chosen = ["--override", "training.ddp_find_unused_parameters=false"]
    ranks = run_ranks([*command, "wrong", *chosen], tmp_path, may_fail=True)
    assert [rank.status for rank in ranks] == [2, 2]
    said = "".join(rank.stderr for rank in ranks)
    assert "At step 2 a parameter of the model got no gradient" in said
    assert "Set training.ddp_find_unused_parameters: true" in said
