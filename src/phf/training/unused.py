"""Whether every parameter gets a gradient in every step: if so, the processes of a run need not look for those that do not."""

from typing import Any

from torch import nn

from phf.errors import AGAIN, ConfigError
from phf.models import ObjectiveLM
from phf.sampling.division import Division
from phf.training.micro_batch import trial
from phf.training.plan import Plan

SIGN = "Expected to have finished reduction in the prior iteration"
"""Beginning of the message with which DDP ends where a parameter got no gradient."""


def settle_unused(plan: Plan, module: ObjectiveLM, division: Division) -> None:
    """Choose `ddp_find_unused_parameters` where the configuration does not; all processes must call this.

    Trainer would always set it for a module of our own, which costs a walk through the graph of each micro-batch.
    """
    arguments = plan.arguments
    is_sharded = (bool(arguments.fsdp) and arguments.device.type != "cpu") or arguments.deepspeed is not None
    if division.count == 1 or is_sharded or arguments.ddp_find_unused_parameters is not None:
        return
    has_unused = division.gather(lambda: may_leave_out(module.lm) or bool(unused(module, plan)))
    arguments.ddp_find_unused_parameters = any(has_unused)


def may_leave_out(lm: Any) -> bool:
    """Whether the model leaves out layers at random, or has experts that run only where a token is sent to them."""
    drops = any("layerdrop" in key and value for key, value in lm.config.to_dict().items())
    return drops or any(
        isinstance(child, nn.ModuleList) and name.rpartition(".")[2] == "experts" for name, child in lm.named_modules()
    )


def unused(module: ObjectiveLM, plan: Plan) -> list[str]:
    """Names of the parameters that are trained, but that the loss of one block does not depend on."""
    module.to(plan.arguments.device)
    with trial(module, plan.arguments, plan.config.dataset.attention == "document") as forward:
        loss = forward(1, plan.arithmetic.seq_length)
        reached, left = set(), [loss.grad_fn]
        seen = set(left)
        while left:
            node = left.pop()
            if hasattr(node, "variable"):
                reached.add(id(node.variable))
            for following, _ in getattr(node, "next_functions", ()):
                if following is not None and following not in seen:
                    seen.add(following)
                    left.append(following)
    trained = ((name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad)
    return [name for name, parameter in trained if id(parameter) not in reached]


def is_unused(error: BaseException) -> bool:
    """Whether this is DDP's error about a parameter without a gradient."""
    return isinstance(error, RuntimeError) and str(error).startswith(SIGN)


def unused_in_a_step(step: int) -> ConfigError:
    """The error that ends a run whose model left out a parameter in a step, but not when it was tried."""
    return ConfigError(
        f"At step {step:,} a parameter of the model got no gradient, as where layers or experts are left out in some steps. "
        f"Set training.ddp_find_unused_parameters: true. To continue from the last checkpoint, {AGAIN}."
    )
