"""From what a judge says to a rating, or to the reason why there is none. Nothing is guessed."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from phf.scorers.judge.prompt import ANSWER_KEY
from phf.scorers.judge.rubric import Rubric

NOT_A_RATING = "the judge's answer is not a rating"
OFF_SCALE = "the judge's rating is not on the scale"
NO_ANSWER = "the judge did not answer"
NO_PROBABILITIES = "the judge's log-probabilities are not those of one distribution"
MOST_MASS = 1.01
"""Of all ratings together: 1, and what servers round."""
CUT = "the judge's answer was cut off (max_tokens)"
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
END_OF_THOUGHTS = "</think>"
_THINKING = re.compile(rf"\A.*{END_OF_THOUGHTS}", re.DOTALL)
"""The beginning of a judge's own thoughts may be part of its chat template, and so missing."""
_CONTINUED = re.compile(r"\s*(-?\d{1,9}(?:\.\d{1,9})?)\s*\}")
SPACES = "\u0120\u2581 \n"
"""How tokenizers spell a space before a word, and white space itself."""


class Judgement(NamedTuple):
    """An answer, as far as it can be used."""

    rating: float | None
    reason: str = ""
    """Why there is no rating."""
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    """Of the request and of the answer; None: unknown."""
    said: str = ""
    """The beginning of an answer that is not a rating, safe for a terminal."""
    has_reply: bool = True
    """False: the judge was not asked, or gave no answer at all."""


def rating_in(
    reply: str, rubric: Rubric, *, is_continued: bool = False, is_cut: bool = False, begins_in_thoughts: bool = False
) -> Judgement:
    """The rating that a whole reply consists of: a JSON object, perhaps in a code block or after a judge's own thoughts.

    Prose around it is not an answer, even if it contains one: it may be a quotation of the text that is judged.

    Args:
        is_continued: the reply continues the beginning of an answer, up to the number.
        is_cut: the reply ended because it was too long.
        begins_in_thoughts: the prompt ended inside of the judge's thoughts, so all before `</think>` is none of the answer.
    """
    if begins_in_thoughts and END_OF_THOUGHTS not in reply:
        return Judgement(None, CUT if is_cut else NO_ANSWER)
    reply = _THINKING.sub("", reply).strip()
    if not reply:
        return Judgement(None, CUT if is_cut else NO_ANSWER)
    if is_continued:
        number = _CONTINUED.match(reply)
        return _on_scale(float(number[1]), rubric) if number else Judgement(None, NOT_A_RATING)
    fenced = _FENCE.fullmatch(reply)
    if reply.count(f'"{ANSWER_KEY}"') != 1:  # spelled out, as no text is that the judge may be repeating
        return Judgement(None, CUT if is_cut else NOT_A_RATING)
    try:
        answer = json.loads(fenced[1] if fenced else reply, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError):
        return Judgement(None, CUT if is_cut else NOT_A_RATING)
    rating = answer.get(ANSWER_KEY) if isinstance(answer, dict) else None
    if isinstance(rating, bool) or not isinstance(rating, int | float):
        return Judgement(None, NOT_A_RATING)
    return _on_scale(rating, rubric)


def expected_rating(logprobs: Iterable[tuple[str, float]], rubric: Rubric, least: float) -> Judgement:
    """The mean rating by the probabilities of the first token of an answer.

    Args:
        logprobs: (token, log-probability in nats); spellings with a space before the number count too.
        least: probability that the ratings must have together; with less, the judge was going to say something else.
    """
    mass = dict.fromkeys(rubric.ratings, 0.0)
    names = {str(rating): rating for rating in rubric.ratings}
    for token, logprob in logprobs:
        rating = names.get(token.strip(SPACES))
        if rating is not None:
            mass[rating] += math.exp(min(logprob, 0.0))
    total = math.fsum(mass.values())
    if not total or total < least:
        return Judgement(None, NOT_A_RATING)
    if total > MOST_MASS:  # such as 0 for each token, of a server that does not compute them
        return Judgement(None, NO_PROBABILITIES)
    return Judgement(math.fsum(rating * share for rating, share in mass.items()) / total)


def _on_scale(rating: float, rubric: Rubric) -> Judgement:
    if not rubric.scale.low <= rating <= rubric.scale.high:
        return Judgement(None, OFF_SCALE)
    return Judgement(float(rating))


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key occurs twice")
    return values
