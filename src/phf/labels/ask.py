"""A dataset and an annotator -> the session: what is asked, and what was answered already."""

from collections.abc import Sequence

from phf.errors import CorpusError
from phf.labels.journal import Journal, KnownPlaces, Session
from phf.labels.questions import Choice, Kind, choose, questions, sample, segments_of
from phf.labels.scale import Scale


def prepare_session(
    journal: Journal,
    dataset: str,
    annotator: str,
    kind: Kind,
    how: Choice,
    columns: Sequence[str],
    count: int,
    scale: Scale,
    segment: str | None,
    seed: int,
) -> Session:
    """Choose `count` questions from a dataset; the same dataset and settings give the same ones to every annotator.

    `columns`: of scores to choose by, as many as `how` needs. Raises `CorpusError` for a dataset without usable segments or
    scores, and for labels in the file of segments that the dataset does not contain, `OutputError` for a file that cannot be
    written.
    """
    places = KnownPlaces(journal.entries(), dataset)
    journal.check_writable()
    if places.is_empty or not columns:
        pool = sample(places.watch(segments_of(dataset, columns, segment)), seed)
    else:  # labelled segments need not have scores
        for _ in places.watch(segments_of(dataset, (), segment)):
            pass
        pool = sample(segments_of(dataset, columns, segment), seed)
    wanted = choose(pool, how, count * (2 if kind == "pairs" else 1), seed)
    asked = questions(wanted, kind)
    if not asked:
        needed = "two segments" if kind == "pairs" else "a segment"
        raise CorpusError(
            f"{dataset}: does not contain {needed} with text{' and a score' if columns else ''} to ask about."
        )
    return Session(journal, asked, annotator, kind, scale, dataset)
