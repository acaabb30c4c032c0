"""Keys of the `training` section whose value is a mapping of arguments, which transformers passes on without a look."""

import json
from typing import Any

from phf.errors import ConfigError

KEYWORDS = ("lr_scheduler_kwargs", "activation_checkpointing_kwargs", "gradient_checkpointing_kwargs")
OF_CHECKPOINTING: dict[str, tuple[Any, ...]] = {
    "use_reentrant": (True, False),
    "preserve_rng_state": (True, False),
    "early_stop": (True, False),
    "debug": (True, False),
    "determinism_check": ("default", "none"),
}
"""Arguments of `torch.utils.checkpoint.checkpoint` that are not functions -> their values."""


def check_keywords(key: str, value: Any) -> None:
    """Raises `ConfigError` if the value is neither a mapping nor one as JSON, or has what checkpointing does not take."""
    where = f"training.{key}"
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ConfigError(f"{where} is {value!r}: it must be a mapping of arguments, {{name: value}}.") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is {value!r}: it must be a mapping of arguments, {{name: value}}.")
    if not key.endswith("checkpointing_kwargs"):
        return
    for name, given in value.items():
        if name not in OF_CHECKPOINTING:
            raise ConfigError(f"{where} has no argument {name!r}. Known: {', '.join(OF_CHECKPOINTING)}.")
        if not any(given is choice or given == choice != 1 for choice in OF_CHECKPOINTING[name]):
            choices = " or ".join(str(choice).lower() for choice in OF_CHECKPOINTING[name])
            raise ConfigError(f"{where}.{name} is {given!r}: it must be {choices}.")


def check_optim_args(value: str) -> None:
    """Raises `ConfigError` if the text is not a list of arguments as transformers splits it."""
    for part in value.split(",") if value else ():
        name, separator, given = part.partition("=")
        if not separator or not name.strip() or not given.strip() or "=" in given:
            raise ConfigError(
                f"training.optim_args is {value!r}: it must be NAME=VALUE, or several with commas between them."
            )
