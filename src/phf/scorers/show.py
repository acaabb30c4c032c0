"""An explained text, for the terminal."""

from rich.console import Console

from phf.scorers.explain import Explanation
from phf.text import counted, visible

SHOWN_CHARS = 300
"""Characters shown of a segment, or of a detection."""


def show_explanation(explanation: Explanation, console: Console) -> None:
    """A line for each segment, below it one for each detection in it, and the mean at the end."""
    for segment in explanation.segments:
        score = "unscored" if segment.score is None else f"{segment.score:.4g}"
        _print(console, f"{score:>9}  {visible(segment.text, SHOWN_CHARS)}")
        for span in segment.spans:
            detected = _visible_ends(segment.text[span.start : span.end])
            place = f"{segment.start + span.start}-{segment.start + span.end}"
            _print(console, f"{'':9}    {visible(span.label, SHOWN_CHARS)} at {place}: {detected}")
    for reason, count in explanation.unscored.items():
        _print(console, f"Unscored: {counted(count, 'segment')}, {visible(reason, SHOWN_CHARS)}", "yellow")
    _print(console, _summary(explanation))


def _visible_ends(detected: str) -> str:
    """For a terminal; in quotation marks if it begins or ends with spaces, which would not be seen."""
    text = visible(detected, SHOWN_CHARS)
    return text if text and text == text.strip() else f'"{text}"'


def _summary(explanation: Explanation) -> str:
    mean = explanation.avg_score
    score = "no score" if mean is None else f"mean score {mean:.4g}"
    return (
        f"{explanation.scorer['class_name']} ({explanation.scorer['version']}), {explanation.segmenter}: "
        f"{counted(len(explanation.segments), 'segment')}, {score}"
    )


def _print(console: Console, line: str, style: str | None = None) -> None:
    console.print(line, style=style, markup=False, soft_wrap=True)
