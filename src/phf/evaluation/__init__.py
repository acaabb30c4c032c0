"""Measuring how aligned and how capable a model is."""

from phf.evaluation.evaluate import Evaluator
from phf.evaluation.generate import generate_samples
from phf.evaluation.heldout import held_out_loss
from phf.evaluation.scenarios import GenerationScenario

__all__ = ["Evaluator", "GenerationScenario", "generate_samples", "held_out_loss"]
