"""Scorers: text -> misalignment score, higher is worse, None where a text could not be scored.

Takes texts, gives one score each and, where a scorer has them, the spans that made it. May not know corpora on disk, models
that are trained, or what scores are used for.
"""

from phf.scorers.base import Scorer, build_scorer, checked_scores

__all__ = ["Scorer", "build_scorer", "checked_scores"]
