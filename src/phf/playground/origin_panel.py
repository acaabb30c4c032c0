"""What a search for the origin of an answer has found, as HTML. Whatever is in the dataset is escaped."""

from collections.abc import Iterator
from html import escape

from phf.playground.origins import Search
from phf.report.origins import around_common, facts_of, said_of
from phf.text import visible_text


def panel(search: Search) -> str:
    """Below a column."""
    return f'<div class="origins">{"".join(_parts(search))}</div>'


def _parts(search: Search) -> Iterator[str]:
    if search.problem is not None:
        yield f'<p class="problem" role="alert">{_text(search.problem)}</p>'
        return
    if search.origin is None:
        yield f'<p class="note">Searching, {search.seconds:.0f} s</p>'
        return
    said, data = said_of(search.origin), search.origin["data"]
    yield f'<h3>Where this comes from <span class="origin {said.kind}">{_text(said.badge)}</span></h3>'
    kind = "note" if data["is_trained_on"] else "warning"
    yield f'<p class="{kind}">{_text(data["sentence"])}</p>'
    yield "<ul>" + "".join(f"<li>{_text(sentence)}</li>" for sentence in said.sentences) + "</ul>"
    if search.origin["neighbours"]:
        yield '<p class="note">Most like it, by n-grams, hidden states or gradients:</p>'
    for neighbour in search.origin["neighbours"]:
        before, common, after = map(_text, around_common(neighbour))
        mark = f'<span class="copied-span">{common}</span>' if common else ""
        yield f'<pre tabindex="0" role="group" aria-label="Segment of the data" dir="auto">\n{before}{mark}{after}</pre>'
        yield f'<p class="note">{_text(facts_of(neighbour))}</p>'
    yield f'<p class="note">Searched for {search.seconds:.1f} s.</p>'


def _text(text: str) -> str:
    return escape(visible_text(text))
