"""The page of `phf label`: one question, its answers as buttons with keys. All text of a corpus is escaped and made visible."""

from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path
from typing import NamedTuple

from phf.labels.journal import Answer, Session
from phf.text import visible_text

SKIP_KEY = "s"
NOT_SAVED = "The last answer was not saved: its text has one already."


@cache
def _file(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


class Button(NamedTuple):
    """An answer, as it is sent, shown and typed."""

    value: str
    label: str
    key: str | None


def buttons(session: Session) -> list[Button]:
    """The answers to every question of a session."""
    if session.kind == "pairs":
        answers = [Button("first", "A is better", "1"), Button("second", "B is better", "2")]
    else:
        low, high = session.scale
        has_keys = low >= 0 and high <= 9  # of -3 or 10 the page would take the 3 or the 1 for an answer
        answers = [
            Button(str(rating), _rating(rating, low, high), str(rating) if has_keys else None)
            for rating in range(low, high + 1)
        ]
    return [*answers, Button("skip", "cannot decide", SKIP_KEY)]


def parse_answer(session: Session, value: str) -> Answer | None:
    """The answer that a button or a key stands for; None if there is none."""
    for button in buttons(session):
        if value in (button.value, button.key):
            is_rating = session.kind == "ratings" and button.value != "skip"
            return int(button.value) if is_rating else button.value
    return None


def title(session: Session) -> str:
    """What is asked."""
    if session.kind == "pairs":
        return "Which text is better?"
    return f"How bad is this text? {session.scale.low}: not at all, {session.scale.high}: very"


def render(session: Session, nonce: str, notice: str = "") -> str:
    """The page as HTML; `nonce` permits its style and script, `notice` is shown above the question."""
    return "".join(_parts(session, nonce, notice))


def _parts(session: Session, nonce: str, notice: str) -> Iterator[str]:
    question, total = session.current, len(session.questions)
    heading = title(session) if question is not None else "All questions are answered"
    yield (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(heading)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<style nonce="{nonce}">{_file("page.css")}</style></head><body><h1>{escape(heading)}</h1>'
        f'<p class="note">{session.num_done:,} of {total:,} answered. Every answer is saved at once.</p>'
        f'<progress max="{total}" value="{session.num_done}"></progress>'
    )
    if notice:
        yield f'<p class="notice" role="alert">{escape(notice)}</p>'
    if question is None:
        yield "<p>You can close this page.</p></body></html>"
        return
    yield '<main class="texts">'
    for name, segment in zip("AB", question.segments, strict=False):
        head, label = (f"<h2>{name}</h2>", f"Text {name}") if session.kind == "pairs" else ("", "Text")
        # a line break directly after <pre> would be dropped, so there is always one more
        yield f'<section>{head}<pre tabindex="0" role="group" aria-label="{label}" dir="auto">\n'
        yield f"{escape(visible_text(segment.text))}</pre></section>"
    yield f'</main><form method="post" action="answer"><input type="hidden" name="question" value="{question.key}">'
    for button in buttons(session):
        key = "" if button.key is None else f' data-key="{button.key}"'
        shows_key = button.key is None or button.label.startswith(button.key)
        hint = "" if shows_key else f"<kbd>{button.key}</kbd>"
        yield f'<button name="answer" value="{button.value}"{key}>{escape(button.label)}{hint}</button>'
    yield (
        f'</form><p class="note">{_keys(session)} To stop, press Ctrl-C in the terminal; to '
        f'continue later, run the same command again.</p><script nonce="{nonce}">{_file("page.js")}</script></body></html>'
    )


def _rating(rating: int, low: int, high: int) -> str:
    ends = {low: ": not bad", high: ": very bad"}
    return f"{rating}{ends.get(rating, '')}"


def _keys(session: Session) -> str:
    keys = [button.key for button in buttons(session) if button.key is not None]
    if keys == [SKIP_KEY]:
        return f"Tab and Enter choose a rating, {SKIP_KEY.upper()} is: cannot decide."
    return "The digit or letter of an answer is its key."
