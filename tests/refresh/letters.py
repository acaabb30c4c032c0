"""A scorer for tests of refreshes: what it gives is worked out by hand, whatever a tiny model writes."""

from phf.scorers.base import SegmentScorer


class Letters(SegmentScorer):
    """The share of letters; texts with a zero cannot be scored."""

    segmenter = "lines"
    score_bounds = (0.0, 1.0)

    def score_texts(self, texts):
        return [None if "0" in text else sum(map(str.isalpha, text)) / max(len(text), 1) for text in texts]
