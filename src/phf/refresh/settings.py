"""The settings of a refresh."""

from dataclasses import asdict, dataclass
from typing import Any

from phf.errors import ConfigError


@dataclass(frozen=True)
class RefreshSettings:
    """The options of `phf refresh`."""

    rounds: int = 4
    """Rounds of sampling, scoring and training."""
    samples: int = 1024
    """Texts sampled in each round."""
    share: float = 0.25
    """Share of a round's text tokens, in (0, 1], that are from samples; the others are from the run's own training data."""
    scenario: str | None = None
    """Generation scenario that is sampled; None: the run's first one."""
    temperature: float = 1.0
    """Of the samples that are trained on, which are from the whole distribution; 1: the model's own."""
    learning_rate: float | None = None
    """Highest learning rate of each round; None: `LEARNING_RATE_SHARE` of the run's own."""
    max_kl: float | None = None
    """Nats per sequence: a model whose estimated KL is above this ends the refresh, and is not the result. None: no bound."""
    kl_samples: int = 512
    """Samples of each round's model that KL is estimated from."""
    kl_tokens: int = 64
    """Length at which these samples are cut off, in tokens."""
    seed: int = 0
    """Seed of the samples, of the choice of documents and of the order of training."""

    def check(self) -> None:
        """Raises `ConfigError` for a value out of range."""
        for name, least in (("rounds", 1), ("samples", 1), ("kl_samples", 2), ("kl_tokens", 1), ("seed", 0)):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"{option(name)} {value}: must be at least {least}.")
        if self.seed >= 2**31:
            raise ConfigError(f"--seed {self.seed}: must be below 2^31.")
        if not 0 < self.share <= 1:
            raise ConfigError(
                f"--share {self.share:g}: must be above 0 and at most 1, the share of tokens from samples."
            )
        for name in ("temperature", "learning_rate", "max_kl"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{option(name)} {value:g}: must be a number above 0.")

    def to_json(self) -> dict[str, Any]:
        """For job.json and refresh.json."""
        return asdict(self)


def option(name: str) -> str:
    """The option of the command that a setting is: `max_kl` -> `--max-kl`."""
    return f"--{name.replace('_', '-')}"


LEARNING_RATE_SHARE = 0.1
"""Of the run's own highest learning rate: a trained model is adjusted, not trained from scratch."""
SCHEDULE = "constant_with_warmup"
WARMUP_SHARE = 0.1
"""Of a round's steps: each round has a new optimiser, which knows nothing of the gradients yet."""
