"""What a red LM is: examples of prompts in, new prompts out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phf.config.schema import RedTeamTemplate
from phf.errors import ConfigError
from phf.redteam.pool import PoolEntry
from phf.registry.names import RED_LMS


@dataclass(frozen=True)
class Proposal:
    """The result of one request to a red LM."""

    prompts: list[str]
    """New prompts, unchecked: the search leaves out (and counts) empty ones, repetitions and overlong ones."""
    unreadable: list[str] = field(default_factory=list)
    """Replies in which no prompt was found."""


class RedLM:
    """Base of the shipped red LMs. A user's own only needs `propose`."""

    def check(self, prompts: Sequence[str]) -> None:
        """Raises an error where it could not propose anything with these as examples; called before anything is sampled."""

    template: RedTeamTemplate
    """The prompt template for a language model; set by `build_red_lm`."""

    def propose(self, examples: Sequence[PoolEntry], pool: Sequence[PoolEntry], count: int, seed: int) -> Proposal:
        """About `count` new prompts like the `examples`, which were drawn from the `pool`; they depend only on `seed`."""
        raise NotImplementedError(f"{type(self).__name__} must define propose")  # for authors of red LMs


def build_red_lm(config: Mapping[str, Any], template: RedTeamTemplate) -> RedLM:
    """Build `{"class_name": "MutationRedLM", **settings}`. Raises `ConfigError` naming the key below `redteam.red_lm`."""
    built = RED_LMS.build(config, where="redteam.red_lm")
    if not callable(getattr(built, "propose", None)):
        raise ConfigError(
            f"redteam.red_lm.class_name '{config['class_name']}' makes a {type(built).__name__}, which has no method "
            "propose(examples, pool, count, seed) and so is not a red LM."
        )
    built.template = template
    return built
