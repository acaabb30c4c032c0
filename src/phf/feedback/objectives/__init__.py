"""Objectives: how the scores of the text enter the loss.

An objective is a function `token_loss(nll, scores, values)` of each target token; `build_objective` makes one from the
`objective` section of a configuration file.
"""

from phf.feedback.objectives.awr import AWR
from phf.feedback.objectives.base import IGNORE_INDEX, LossOutput, Objective
from phf.feedback.objectives.build import build_objective
from phf.feedback.objectives.masking import Masking
from phf.feedback.objectives.mle import MLE
from phf.feedback.objectives.unlikelihood import Unlikelihood

__all__ = [
    "AWR",
    "IGNORE_INDEX",
    "MLE",
    "LossOutput",
    "Masking",
    "Objective",
    "Unlikelihood",
    "build_objective",
]
