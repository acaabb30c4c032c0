"""Your own method: an objective that learns less from a segment the worse it is, compared with maximum likelihood.

python examples/own_method.py OUTPUT [KEY=VALUE ...]     a few minutes on two cores; overrides make it shorter
"""

import sys
from pathlib import Path

import torch

from phf.config import Config, load_config
from phf.feedback.objectives import Objective
from phf.report.page import write_report
from phf.training.run import train


class SoftMasking(Objective):
    """loss = exp(-strength * score) * nll; unscored segments are learned as they are."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def token_loss(
        self, nll: torch.Tensor, scores: torch.Tensor, values: torch.Tensor | None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of each token, and a number of each that is logged as `train/weight`."""
        weight = torch.exp(-self.strength * scores.nan_to_num(0.0))
        return weight * nll, {"weight": weight}


SOFT_MASKING = "objective={name: 'own_method:SoftMasking', strength: 20.0}"


def configuration(method: str, overrides: list[str]) -> Config:
    """The quickstart's task, with a shipped method or with the one above."""
    if method == "soft-masking":
        overrides = [SOFT_MASKING, *overrides]
    return load_config(task="pep8/quickstart", method="mle", overrides=overrides)[0]


def main(output: Path, overrides: list[str]) -> None:
    """Train with both, and put them on one page."""
    for method in ("mle", "soft-masking"):
        numbers = train(configuration(method, overrides), output / method, announce=print)
        print(f"{method}: mean score {numbers['generation/prompted/score']:.4f}, loss {numbers['eval/loss']:.3f}")
    write_report([output / "mle", output / "soft-masking"], output / "report.html")
    print(f"Report: {output / 'report.html'}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
