"""What the scores of an annotated dataset look like, and what annotating a corpus will cost.

Takes an annotated dataset or a corpus, returns numbers, charts and examples. Must not know what the scores are used for.
"""

from phf.profile.estimate import Estimate, estimate_corpus
from phf.profile.measure import Profile, profile_dataset

__all__ = [
    "Estimate",
    "Profile",
    "estimate_corpus",
    "profile_dataset",
]
