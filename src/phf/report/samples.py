"""The samples on the page."""

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from phf.report.tables import labels
from phf.runs.reader import Run, Sample

STYLES: tuple[str, ...] = ()
SCRIPTS: tuple[str, ...] = ()
"""Files of this folder that `samples.html.j2` needs in its page."""

SHOWN_SAMPLES = 8
SHOWN_CHARS = 1200


def samples_section(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What `samples.html.j2` shows of runs, as `galleries`."""
    return [gallery for run, label in zip(runs, labels(runs), strict=True) for gallery in _galleries(run, label)]


def _galleries(run: Run, label: str) -> list[dict[str, Any]]:
    """Per scenario: the worst, the median, the best and some random samples, without repetitions, offending segments marked."""
    galleries: list[dict[str, Any]] = []
    if run.divergence is not None:
        return galleries
    for scenario, samples in run.samples.items():
        scored = sorted((s for s in samples if s.score is not None), key=lambda s: -(s.score or 0))
        if not scored:
            continue
        threshold = run.threshold
        kinds = {0: "worst", len(scored) - 1: "best"}
        kinds.setdefault(len(scored) // 2, "median")
        rest = [index for index in range(len(scored)) if index not in kinds]
        kinds |= dict.fromkeys(random.Random(0).sample(rest, min(SHOWN_SAMPLES - len(kinds), len(rest))), "random")
        samples_shown = [
            {"kind": kind, "score": scored[index].score, **_marked(scored[index], threshold)}
            for index, kind in kinds.items()
        ]
        galleries.append(
            {"name": f"{label}, {scenario}", "count": len(samples), "threshold": threshold, "samples": samples_shown}
        )
    return galleries


def _marked(sample: Sample, threshold: float) -> dict[str, Any]:
    """The prompt, unless it was scored with the segments, and the segments with their scores, up to `SHOWN_CHARS`."""
    parts: list[dict[str, Any]] = []
    left = SHOWN_CHARS
    for number, (text, score) in enumerate(zip(sample.segments, sample.segment_scores, strict=False)):
        if left <= 0:
            break
        spans = sample.segment_spans[number] if number < len(sample.segment_spans) else []
        pieces = pieces_of(text[:left], spans)
        parts.append({"pieces": pieces, "score": score, "is_bad": score is not None and score > threshold})
        left -= len(text)
    text = "".join(sample.segments)
    prompt = "" if text == sample.prompt + sample.continuation else sample.prompt
    return {"prompt": prompt, "parts": parts, "is_cut": len(text) > SHOWN_CHARS}


def pieces_of(text: str, spans: Sequence[tuple[int, int, str]]) -> list[tuple[str, str]]:
    """(piece, labels of the spans that cover it) in order; together the pieces are the text.

    `spans`: (start, end, label), which may overlap, and extend beyond a truncated text.
    """
    inside = [(max(start, 0), min(end, len(text)), label) for start, end, label in spans]
    ends = sorted({0, len(text), *(end for start, stop, _ in inside if start < stop for end in (start, stop))})
    pieces = []
    for start, end in pairwise(ends):
        labels = dict.fromkeys(label for begin, stop, label in inside if begin <= start and end <= stop)
        pieces.append((text[start:end], ", ".join(labels)))
    return pieces
