"""Scorers: text -> misalignment score."""

from phf.scorers.base import Scorer, build_scorer, checked_scores

__all__ = ["Scorer", "build_scorer", "checked_scores"]
