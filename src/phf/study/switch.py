"""MLE first, then a method: the run before the switch, and the one that continues its model with the method.

Both are ordinary runs. The first one trains with MLE on a share of the tokens, and its schedule of the learning rate ends
there. The second starts from the model that the first has exported, with a new optimiser and a schedule of its own over the
tokens that are left: it warms up again, to the same learning rate. The documents are divided between them at random, in the
same shares (`dataset.part`), so no document is read both before and after the switch, and the data of both is alike in
whichever order the corpus is stored.
"""

from pathlib import Path
from typing import Any

from phf.config import Config, parse_config
from phf.config.differences import differences
from phf.errors import ConfigError
from phf.models.building.architecture import HUB_ARGUMENTS, WEIGHT_ARGUMENTS

OF_ORIGIN = (*HUB_ARGUMENTS, *WEIGHT_ARGUMENTS)
"""Arguments of `from_pretrained` that say where the model before the switch comes from."""
VALUE_HEAD = "value_head_config"


def percent(point: float) -> str:
    """A switch point in the names of arms and runs: 0.5 -> "50"."""
    return f"{100 * point:g}"


def until_switch(config: Config, point: float) -> Config:
    """The run of `config`, an MLE run, up to the switch: whole steps, at most the share `point` of its tokens.

    Raises `ConfigError` where the size of a step or the number of tokens is not set.
    """
    training = config.training
    if training.num_tokens is None or training.effective_batch_size is None:
        key = "num_tokens" if training.num_tokens is None else "effective_batch_size"
        raise ConfigError(
            f"switch_points: training.{key} is not set, so the step of a switch is not known. Set it in overrides."
        )
    of_step = training.effective_batch_size * config.dataset.seq_length
    before = int(training.tokens_already_seen)
    steps = int((training.num_tokens - before) // of_step * point + 1e-9)
    if steps == 0:
        raise ConfigError(
            f"switch_points: {point:g} of {training.num_tokens - before:,.0f} tokens is less than a step of {of_step:,}. "
            "Choose a later point, or raise num_tokens."
        )
    return _with(config, point, is_after=False, training={"num_tokens": float(before + steps * of_step)})


def after_switch(config: Config, until: Config, model: Path, point: float) -> Config:
    """The run of `config` after the switch: on the tokens that the run `until` leaves, from `model`, its export.

    Raises `ConfigError` where the two would not have the same model and tokenizer.
    """
    differing = differences(
        *({"model": _built(one), "tokenizer": one.tokenizer.model_dump()} for one in (until, config))
    )
    if differing:
        raise ConfigError(
            f"switch_points: before the switch is the study's MLE run, after it {config.method} with another model: "
            f"{differing} (before -> after). Only the overrides of the whole study may change the model."
        )
    kwargs = {key: value for key, value in config.model.model_kwargs.items() if key not in OF_ORIGIN}
    return _with(
        config,
        point,
        is_after=True,
        training={"tokens_already_seen": until.training.num_tokens},
        model={
            "path_or_name": str(model),
            "from_scratch": False,
            "model_type": None,
            "config_kwargs": {},
            "model_kwargs": kwargs,
        },
        tokenizer={"path_or_name": None, "train_from_corpus": None},
    )


def _built(config: Config) -> dict[str, Any]:
    """What decides which weights a model has, without a value head."""
    model = config.model.model_dump(exclude={"head", "compile"})
    return {**model, "model_kwargs": {key: value for key, value in model["model_kwargs"].items() if key != VALUE_HEAD}}


def _with(config: Config, point: float, *, is_after: bool, **sections: dict[str, Any]) -> Config:
    start, end = config.dataset.part
    switch = start + point * (end - start)
    sections["dataset"] = {"part": [switch, end] if is_after else [start, switch]}
    values = config.model_dump()
    return parse_config(values | {name: values[name] | changes for name, changes in sections.items()})
