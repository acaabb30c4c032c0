"""The settings of a reward model."""

from dataclasses import dataclass

from phf.errors import ConfigError

REWARD_FILE = "reward.json"
"""What a reward model is, and how good, in its folder."""


@dataclass(frozen=True)
class RewardSettings:
    """How a reward model is trained and measured; the defaults of `phf reward`."""

    epochs: int = 3
    learning_rate: float = 2e-5
    """Highest one: it rises for 6% of the steps, then falls linearly to 0."""
    batch_size: int = 16
    """Labels per step: of pairs, twice as many texts."""
    max_length: int | None = None
    """Tokens of a text that are read in training, its last ones; None: 512, or as many as the base takes."""
    eval_fraction: float = 0.2
    """Share of the labels that is held out."""
    curve: tuple[float, ...] = (0.25, 0.5)
    """Shares of the training labels with which further models are trained, for the learning curve."""
    seed: int = 0
    """Of the division into training and held-out labels, the new head, and the order."""

    def check(self) -> None:
        """Raise `ConfigError` for settings that cannot be used."""
        if not 0 < self.eval_fraction < 1:
            raise ConfigError(f"--eval-fraction {self.eval_fraction:g}: it must be between 0 and 1.")
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f"--learning-rate {self.learning_rate:g}: it must be between 0 and 1.")
        for share in self.curve:
            if not 0 < share < 1:
                raise ConfigError(f"--curve {share:g}: each share must be between 0 and 1; all labels are always used.")


def parse_shares(text: str, where: str) -> tuple[float, ...]:
    """`0.25,0.5`, or `none`. Raises `ConfigError`, which names `where`."""
    if text.strip().lower() == "none":
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{where} {text}: write shares like 0.25,0.5, or none.") from None
