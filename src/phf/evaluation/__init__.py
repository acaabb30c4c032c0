"""Measuring how aligned and how capable a model is."""

from phf.evaluation.bootstrap import bootstrap_interval
from phf.evaluation.evaluate import Evaluator
from phf.evaluation.generate import generate_samples
from phf.evaluation.heldout import held_out_loss
from phf.evaluation.scenarios import GenerationScenario

__all__ = ["Evaluator", "GenerationScenario", "bootstrap_interval", "generate_samples", "held_out_loss"]
