"""Scorers: text -> misalignment score, higher is worse, None if a text could not be scored.

Takes texts; returns one score each and, if the scorer has them, the spans that caused it. Must not know about corpora on disk,
models that are trained, or what scores are used for.
"""

from phf.scorers.base import Scorer, build_scorer, checked_scores

__all__ = ["Scorer", "build_scorer", "checked_scores"]
