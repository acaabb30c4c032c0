"""The columns as HTML. Whatever a model wrote is escaped, and what cannot be seen is made visible."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from types import MappingProxyType

from phf.playground.answers import Answer, Segment
from phf.playground.copies import as_command, as_python, as_score_command
from phf.playground.origin_panel import panel
from phf.playground.origins import Search
from phf.playground.request import Column, Request
from phf.playground.site import Site
from phf.text import counted, visible_text


def cards(
    site: Site,
    request: Request,
    answers: Sequence[Answer],
    key: int | None = None,
    searches: Mapping[int, Search] = MappingProxyType({}),
) -> str:
    """The columns side by side; those that are finished can be copied.

    `key`: what the answers are kept under, so that it can be asked where they come from; `searches`: those that were
    asked for, by column.
    """
    shown = (
        _card(
            site, request, answer, _origin(answer, f"{key}:{number}" if key is not None else "", searches.get(number))
        )
        for number, answer in enumerate(answers)
    )
    return f'<div class="columns">{"".join(shown)}</div>'


def problem(message: str) -> str:
    """A message instead of the columns."""
    return f'<p class="problem" role="alert">{_text(message)}</p>'


def status(answers: Sequence[Answer]) -> str:
    """One line for screen readers and everybody else: how far the columns are."""
    num_finished = sum(answer.is_finished for answer in answers)
    if num_finished < len(answers):
        return f"Writing {counted(len(answers), 'column')}, {num_finished} finished"
    return "Finished" if not any(answer.problem for answer in answers) else "Finished, with a problem"


def _card(site: Site, request: Request, answer: Answer, origin: str) -> str:
    return "".join(_parts(site, request, answer, origin))


def _origin(answer: Answer, key: str, search: Search | None) -> str:
    """The button that asks where an answer comes from, or what was found."""
    if search is not None:
        return panel(search)
    if not key or answer.column.model.data is None or not answer.text:
        return ""
    return f'<p><button type="button" class="trace" data-key="{key}">Where does this come from?</button></p>'


def _parts(site: Site, request: Request, answer: Answer, origin: str) -> Iterator[str]:
    column = answer.column
    yield (
        f'<section class="card" aria-label="{_text(column.title)}"><header><h2>{_text(column.model.name)}</h2>'
        f'<span class="way">{_text(_way(request, column))}</span>{_score(site, answer)}</header>'
    )
    if answer.problem is not None:
        yield problem(answer.problem)
    prompt = "" if request.scores_prompt and site.scorer is not None else request.prompt
    body = f'<span class="prompt">{_text(prompt)}</span>' if prompt else ""
    segments = answer.segments or (Segment(answer.text),)
    yield f'<pre tabindex="0" dir="auto">\n{body}{"".join(_segment(site, one) for one in segments)}</pre>'
    if not answer.is_finished:
        yield "</section>"
        return
    if answer.is_cut:
        yield '<p class="note">Time was up before the text was finished.</p>'
    yield origin
    if site.scorer is not None and answer.segments:
        yield _table(site, answer)
    if not answer.is_cut and (command := as_command(site, request, column)):  # of a cut text it would draw the rest too
        yield _copy("phf evaluate", "draws the same sample and scores it", command)
    if answer.segments and (command := as_score_command(site, "".join(one.text for one in answer.segments))):
        yield _copy("phf score", "scores the same text, segment by segment", command)
    how = "the same text" if request.temperature == 0 else "another text from the same distribution"
    yield _copy("Python", f"{how}, with nothing but transformers", as_python(request, column), "code lines")
    yield "</section>"


def _way(request: Request, column: Column) -> str:
    way = column.way
    return f"{way.label}, scale {request.guidance_scale:g}" if way.is_guided else way.label


def _score(site: Site, answer: Answer) -> str:
    if site.scorer is None or not answer.is_finished or answer.problem is not None:
        return "" if answer.is_finished else '<span class="score">writing…</span>'
    if answer.score is None:
        return '<span class="score">unscored</span>'
    kind = "bad" if answer.score > site.threshold else "good"
    return f'<span class="score {kind}">score {answer.score:.4g}</span>'


def _segment(site: Site, segment: Segment) -> str:
    text = _marked(segment)
    if not segment.is_scored:
        return text
    if segment.score is None:
        return f'<span class="unscored" title="unscored">{text}</span>'
    kind = "bad" if segment.score > site.threshold else "good"
    return f'<span class="{kind}" title="score {segment.score:.4g}">{text}</span>'


def _marked(segment: Segment) -> str:
    """The text with what the scorer found in it underlined; of what overlaps, the first."""
    parts, end = [], 0
    for span in sorted(segment.spans):
        if span.start >= end and span.end > span.start:
            parts.append(_text(segment.text[end : span.start]))
            parts.append(f'<u title="{_text(span.label)}">{_text(segment.text[span.start : span.end])}</u>')
            end = span.end
    return "".join(parts) + _text(segment.text[end:])


def _table(site: Site, answer: Answer) -> str:
    rows = "".join(map(_row, answer.segments))
    head = '<tr><th scope="col">score</th><th scope="col">segment</th><th scope="col">found</th></tr>'
    return (
        f'<details><summary>Scores by segment <span class="note">(misaligned above {site.threshold:g})</span></summary>'
        f'<div class="scroll" tabindex="0"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div></details>'
    )


def _row(segment: Segment) -> str:
    score = "unscored" if segment.score is None else f"{segment.score:.4g}"
    labels = ", ".join(dict.fromkeys(_text(span.label) for span in segment.spans))
    return f"<tr><td>{score}</td><td>{_text(segment.text.strip()) or '(white space)'}</td><td>{labels}</td></tr>"


def _copy(name: str, what: str, text: str, kind: str = "code") -> str:
    return (
        f'<details><summary>Copy as {_text(name)} <span class="note">({_text(what)})</span></summary>'
        f'<button type="button" class="copy">Copy</button><pre tabindex="0" class="{kind}">\n{escape(text)}</pre></details>'
    )


def _text(text: str) -> str:
    return escape(visible_text(text))
