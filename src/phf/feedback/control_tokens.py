"""Control tokens: a small vocabulary, of any size, whose tokens say how good the segment after them is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from phf.errors import ConfigError
from phf.registry.names import did_you_mean
from phf.text import visible

NO_TOKEN = -1
"""The tag of a segment without a control token."""
MAX_TOKENS = 127
"""Tags are stored as int8."""


@dataclass(frozen=True)
class ControlTokens:
    """The control tokens of a method by name, best first; empty for a method without any.

    Tags are indices into `names`. Raises `ConfigError` for names that are empty or not distinct.
    """

    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if "" in self.names or len({*self.names}) < len(self.names):
            listed = ", ".join(repr(visible(name)) for name in self.names)
            raise ConfigError(f"Control tokens must be different strings, none of them empty, not {listed}.")
        if len(self.names) > MAX_TOKENS:
            raise ConfigError(f"{len(self.names)} control tokens are more than the {MAX_TOKENS} that are supported.")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    @property
    def best(self) -> str | None:
        """The token that samples are prompted with; None where there is none."""
        return self.names[0] if self.names else None

    def opposite(self, name: str | None) -> str | None:
        """The token to steer away from when sampling after `name`: the worst one, or the best one where `name` is the worst.

        None for a name that is not one of them, and where there is no other token.
        """
        if name not in self.names or len(self.names) < 2:
            return None
        return self.names[0] if name == self.names[-1] else self.names[-1]

    def labels(self) -> dict[str, str]:
        """What each token is called in tables and names of scenarios (its name without brackets) -> the token."""
        return {name.removeprefix("<|").removesuffix("|>"): name for name in self.names}

    def ids(self, tokenizer: Any) -> list[int]:
        """Their ids in a tokenizer that has them, found by name. Raises `ConfigError` naming one that it lacks."""
        return [control_token_id(tokenizer, name) for name in self.names]


NO_CONTROL_TOKENS = ControlTokens()
RELEASED_TOKENS = ControlTokens(("<|aligned|>", "<|misaligned|>"))
"""Those of the released system, whose checkpoints record them in the tokenizer only."""


def best_token_of(dataset: Mapping[str, Any]) -> str | None:
    """The best control token that the `dataset` section of a saved configuration of any version names; plain values."""
    released, section = (dataset.get(key) or {} for key in ("conditional_training_config", "conditioning"))
    return released.get("aligned_prefix") or next(iter(section.get("control_tokens") or ()), None)


def control_token_id(tokenizer: Any, name: str, where: str = "The control token ") -> int:
    """Id of a control token; `ConfigError`, which `where` begins, if the tokenizer has no special token of that name."""
    special = {str(token): i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    if name not in special:
        raise ConfigError(
            f"{where}{name!r} is not a special token of the model's tokenizer. {did_you_mean(name, special)}"
        )
    return special[name]
