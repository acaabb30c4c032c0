"""Document filters and conditionings of a user's own, right ones and wrong ones."""

import numpy as np


class ThreeWay:
    """good up to `low`, fair up to `high`, bad above."""

    def __init__(self, low: float, high: float) -> None:
        self.cuts = np.array([low, high], np.float32)

    def tags(self, scores):
        return np.searchsorted(self.cuts, scores)


def three_way(scores, low: float, high: float = 0.5):
    return np.searchsorted(np.array([low, high], np.float32), scores)


def at_least(avg_scores, low: float):
    return avg_scores >= low


def too_many(scores):
    return np.full(len(scores), 7)


def of_texts(texts):
    return texts


class Between:
    """Keeps what is neither too good nor too bad."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def keeps(self, avg_scores):
        return (avg_scores >= self.low) & (avg_scores <= self.high)


class Answers:
    """Gives whatever a subclass says, for the scores it is asked about."""

    def tags(self, scores):
        return self.answer(scores)

    def keeps(self, avg_scores):
        return self.answer(avg_scores)


class OutOfRange(Answers):
    answer = staticmethod(lambda scores: np.where(scores > 5, 3, 0))


class BelowNone(Answers):
    answer = staticmethod(lambda scores: np.full(len(scores), -2))


class TooShort(Answers):
    answer = staticmethod(lambda scores: np.zeros(max(len(scores) - 1, 0), int))


class TwoColumns(Answers):
    answer = staticmethod(lambda scores: np.zeros((len(scores), 2), int))


class NotANumber(Answers):
    answer = staticmethod(lambda scores: np.where(scores > 0.5, np.nan, 0.0))


class Floats(Answers):
    answer = staticmethod(lambda scores: np.zeros(len(scores)))


class Booleans(Answers):
    answer = staticmethod(lambda scores: scores > 0.5)


class AList(Answers):
    answer = staticmethod(lambda scores: [0] * len(scores))


class Nothing(Answers):
    answer = staticmethod(lambda scores: None)


class Ranks(Answers):
    answer = staticmethod(lambda scores: (scores > np.median(scores) if len(scores) else scores > 0).astype(int))


class NoTags:
    def tag(self, scores):
        return scores
