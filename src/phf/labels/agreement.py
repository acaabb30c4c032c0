"""How much annotators agree: Krippendorff's alpha, by NLTK."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from phf.errors import CorpusError, MissingExtraError
from phf.labels.journal import Entry
from phf.labels.questions import question_key
from phf.labels.scale import Scale
from phf.storage.reading import short


class Agreement(NamedTuple):
    """Of all annotators of a file."""

    kind: str
    """`ratings` (interval alpha) or `pairs` (nominal alpha)."""
    annotators: list[str]
    num_common: int
    """Questions that at least two annotators answered."""
    alpha: float | None
    """1: perfect agreement, 0: as by chance, below 0: less; None where it is not defined."""
    reason: str = ""
    """Why alpha is not defined."""


def agreement(entries: Sequence[Entry]) -> list[Agreement]:
    """One agreement per kind of labels; the last answer of an annotator to a question counts, and skipped ones do not.

    Raises `MissingExtraError` without NLTK, `CorpusError` for a line of another form.
    """
    answers: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for entry in entries:
        if entry.values.get("skipped") is True:
            continue
        texts, annotator = entry.texts, entry.values.get("annotator")
        if not isinstance(annotator, str):
            raise CorpusError(f"{entry.where}: 'annotator' is missing. phf label writes it into every line.")
        if len(texts) == 1:
            scale = Scale.of(entry.values.get("scale"), f"{entry.where}: 'scale'")
            share = scale.share(entry.values.get("rating"), f"{entry.where}: 'rating'")
            is_worse = entry.values.get("higher_is_worse", True)
            if not isinstance(is_worse, bool):
                raise CorpusError(
                    f"{entry.where}: 'higher_is_worse' is {short(repr(is_worse))}; true or false was expected."
                )
            answers["ratings"][annotator, question_key(texts)] = share if is_worse else 1 - share
        else:
            answers["pairs"][annotator, question_key(texts)] = float(texts[0] == min(texts))
    return [_of_kind(kind, of_kind) for kind, of_kind in answers.items()]


def alike(annotators: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ only in case or white space, and so may be one person, whose agreement with
    themselves would count as that of two people."""
    first: dict[str, str] = {}
    pairs = []
    for name in sorted(set(annotators)):
        other = first.setdefault(" ".join(unicodedata.normalize("NFKC", name).casefold().split()), name)
        if other != name:
            pairs.append((other, name))
    return pairs


def _of_kind(kind: str, answers: dict[tuple[str, str], float]) -> Agreement:
    annotators = sorted({annotator for annotator, _ in answers})
    answered: dict[str, int] = defaultdict(int)
    for _, key in answers:
        answered[key] += 1
    common = {key for key, count in answered.items() if count > 1}
    shared = [(annotator, key, answer) for (annotator, key), answer in answers.items() if key in common]
    if len(annotators) < 2:
        return Agreement(kind, annotators, 0, None, "there is only one annotator")
    if not common:
        return Agreement(kind, annotators, 0, None, "no question was answered by two annotators")
    if len({answer for _, _, answer in shared}) < 2:
        return Agreement(kind, annotators, len(common), None, "all common answers are the same")
    try:
        from nltk.metrics.agreement import AnnotationTask
        from nltk.metrics.distance import binary_distance, interval_distance
    except ImportError as error:
        raise MissingExtraError("Krippendorff's alpha", "nltk", "label") from error
    distance = interval_distance if kind == "ratings" else binary_distance
    return Agreement(kind, annotators, len(common), float(AnnotationTask(shared, distance=distance).alpha()))
