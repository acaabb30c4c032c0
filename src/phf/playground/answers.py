"""The columns of a request, written a token at a time in turn, and scored while they are written."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from phf.corpus.segmenting.segment import segment
from phf.errors import PhfError
from phf.evaluation.generation.evaluator import score_samples, score_segments
from phf.playground.request import Column, Request
from phf.playground.site import Site
from phf.sampling.generate import Samples
from phf.sampling.stream import stream_sample
from phf.scorers.spans import Span

SHOW_EVERY = 0.1
"""Seconds between two states that are shown."""
SCORE_EVERY = 0.3
"""Fewest seconds between two scorings of an unfinished text; a slow scorer is given a quarter of the time."""


@dataclass(frozen=True)
class Segment:
    """A segment of the scored text."""

    text: str
    score: float | None = None
    is_scored: bool = False
    """False: not yet; true without a score: the scorer could not score it."""
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Answer:
    """The state of a column."""

    column: Column
    text: str = ""
    """The continuation so far."""
    segments: tuple[Segment, ...] = ()
    """Together the scored text: the continuation, after the prompt where that is scored too."""
    score: float | None = None
    """Of the whole text, once it is finished."""
    is_finished: bool = False
    is_cut: bool = False
    """Whether time was up before the model ended it."""
    problem: str | None = None


@dataclass
class _Writing:
    answer: Answer
    texts: Iterator[str]
    next_scoring: float = 0.0
    num_scored: int = 0
    scored: list[Segment] = field(default_factory=list)


def answers(
    site: Site, request: Request, *, max_seconds: float, now: Callable[[], float] = time.monotonic
) -> Iterator[list[Answer]]:
    """The state of all columns, again and again, the last time when all are finished or `max_seconds` have passed.

    A problem with one column ends that column alone. Nothing is drawn after the iterator is closed.
    """
    deadline, next_shown = now() + max_seconds, 0.0
    writing = [_Writing(Answer(column), _texts(request, column)) for column in request.columns]
    try:
        while live := [one for one in writing if not one.answer.is_finished]:
            for one in live:
                _advance(site, request, one, now)
                if now() >= deadline:
                    break
            if now() >= deadline:
                for one in writing:
                    if not one.answer.is_finished:
                        one.answer = _finished(site, request, replace(one.answer, is_cut=True))
            elif now() >= next_shown:
                yield [one.answer for one in writing]
                next_shown = now() + SHOW_EVERY
    finally:
        for one in writing:
            one.texts.close()  # type: ignore[attr-defined]
    yield [one.answer for one in writing]


def _texts(request: Request, column: Column) -> Iterator[str]:
    model, scenario = column.model, request.scenario(column)
    yield from stream_sample(
        model.lm,
        model.tokenizer,
        scenario,
        seed=request.seed,
        banned_token_ids=model.prompting.banned_ids(model.tokenizer, scenario.prefix),
        negative_prefix=model.prompting.away_from(scenario.prefix),
    )


def _advance(site: Site, request: Request, one: _Writing, now: Callable[[], float]) -> None:
    """Add a token to one column; score it if that is due."""
    try:
        text = next(one.texts, None)
        if text is None:
            one.answer = _finished(site, request, one.answer)
            return
        one.answer = replace(one.answer, text=text)
        if site.scorer is not None:
            _score_so_far(site, request, one, now)
    except PhfError as error:
        one.answer = replace(one.answer, is_finished=True, problem=str(error))


def _score_so_far(site: Site, request: Request, one: _Writing, now: Callable[[], float]) -> None:
    """Score the segments that are complete, if there are new ones and time for it."""
    assert site.scorer is not None
    pieces = segment(_scored_text(request, one.answer), site.scorer.segmenter)
    begun = now()
    if len(pieces) - 1 > one.num_scored and begun >= one.next_scoring:
        (scores,), (spans,) = score_segments(site.scorer, [pieces[:-1]]), site.scorer.documents_spans([pieces[:-1]])
        one.scored = _segments(pieces[:-1], scores, spans)
        one.num_scored = len(one.scored)
        one.next_scoring = now() + max(SCORE_EVERY, 3 * (now() - begun))
    open_ones = tuple(Segment(piece) for piece in pieces[one.num_scored :])
    one.answer = replace(one.answer, segments=(*one.scored, *open_ones))


def _segments(pieces: Sequence[str], scores: Sequence[float | None], spans: Sequence[Sequence[Span]]) -> list[Segment]:
    rows = zip(pieces, scores, spans, strict=True)
    return [Segment(piece, score, True, () if score is None else tuple(detected)) for piece, score, detected in rows]


def _finished(site: Site, request: Request, answer: Answer) -> Answer:
    """The answer with the scores that `phf evaluate` gives the same sample."""
    answer = replace(answer, is_finished=True)
    if site.scorer is None:
        text = _scored_text(request, answer)
        return replace(answer, segments=(Segment(text),) if text else ())
    samples = Samples([request.prompt], [answer.text], 0.0)
    try:
        scored = score_samples(samples, site.scorer, request.scenario(answer.column))
    except PhfError as error:
        return replace(answer, problem=str(error))
    assert scored.segment_spans is not None
    ((pieces, scores, spans),) = zip(scored.segments, scored.segment_scores, scored.segment_spans, strict=True)
    return replace(answer, segments=tuple(_segments(pieces, scores, spans)), score=scored.scores[0])


def _scored_text(request: Request, answer: Answer) -> str:
    return request.prompt + answer.text if request.scores_prompt else answer.text
