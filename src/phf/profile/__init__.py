"""What the scores of an annotated dataset look like, what a corpus will cost to annotate, and percentiles as thresholds."""

from phf.profile.estimate import Estimate, estimate_corpus
from phf.profile.measure import Profile, profile_dataset
from phf.profile.thresholds import Resolved, cached_thresholds, percentile_thresholds, resolve_thresholds

__all__ = [
    "Estimate",
    "Profile",
    "Resolved",
    "cached_thresholds",
    "estimate_corpus",
    "percentile_thresholds",
    "profile_dataset",
    "resolve_thresholds",
]
