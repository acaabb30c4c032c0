"""Objectives: how the scores of the text enter the loss.

An objective is a function `token_loss(nll, scores, values)` of each target token; `build_objective` makes one from the
`objective` section of a configuration file.
"""

from phf.objectives.awr import AWR
from phf.objectives.base import IGNORE_INDEX, LossOutput, Objective
from phf.objectives.build import build_objective
from phf.objectives.head import chunked_loss, chunked_nll
from phf.objectives.mle import MLE
from phf.objectives.unlikelihood import Unlikelihood

__all__ = [
    "AWR",
    "IGNORE_INDEX",
    "MLE",
    "LossOutput",
    "Objective",
    "Unlikelihood",
    "build_objective",
    "chunked_loss",
    "chunked_nll",
]
