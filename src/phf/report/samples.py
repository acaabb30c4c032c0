"""The samples on the page: a few of each run as plain HTML, and the sample browser, which replaces them where scripts run."""

import random
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from phf.errors import ConfigError
from phf.report.origins import Origins, said_of
from phf.report.sample_chunks import SampleSet, pack
from phf.report.tables import labels
from phf.runs.reader import Run, Sample
from phf.text import visible_text

STYLES = ("samples.css",)
SCRIPTS = ("sample_text.js", "sample_origins.js", "sample_browser.js")
"""Files of this folder that `samples.html.j2` needs in its page."""

MOST_STATIC, LEAST_STATIC, ALL_STATIC = 8, 3, 200
"""Samples in plain HTML: of each run and scenario, and about how many together."""
SHOWN_CHARS = 1200
SAMPLES_MB = 4.5
"""Megabytes of samples in the page unless asked otherwise: with tables and charts, it stays below about 6."""
SCORERS_OF_CODE = ("PEP8Scorer", "RuffScorer")


def check_samples_mb(samples_mb: float | None) -> None:
    """Raises `ConfigError` for what cannot limit anything."""
    if samples_mb is not None and not samples_mb >= 0:  # which NaN is not either
        raise ConfigError(f"--samples-mb is {samples_mb}. It must be 0 or a larger number of megabytes.")


def samples_section(
    runs: Sequence[Run], max_mb: float | None = None, origins: Sequence[Origins] | None = None
) -> dict[str, Any]:
    """What `samples.html.j2` shows of runs. Those that diverged have no result, and no samples.

    `max_mb`: megabytes of samples in the browser; of more, a part is in the page, which says how many. None: `SAMPLES_MB`;
    `origins`: of each run, where samples come from.
    """
    named = [
        (run, label, scenario, samples, {number: one for (name, number), one in traced.items() if name == scenario})
        for run, label, traced in zip(runs, labels(runs), origins or [{} for _ in runs], strict=True)
        if run.divergence is None
        for scenario, samples in run.samples.items()
        if samples
    ]
    most = max(LEAST_STATIC, min(MOST_STATIC, ALL_STATIC // max(len(named), 1)))
    sets = [
        SampleSet(
            visible_text(label), visible_text(scenario), samples, run.threshold, _scorer(run), _writes_code(run), traced
        )
        for run, label, scenario, samples, traced in named
    ]
    packed = pack(sets, 1e6 * (SAMPLES_MB if max_mb is None else max_mb))
    return {
        "galleries": [_gallery(*one, most) for one in named if any(sample.score is not None for sample in one[3])],
        "packed": packed,
        "num_models": len({one.model for one in sets}),
        "num_traced": sum(len(one.origins) for one in sets),
    }


def _scorer(run: Run) -> str:
    """The class of the scorer of samples; "" where the run does not record it."""
    scorer = run.provenance.get("evaluation_scorer") or run.provenance.get("scorer")
    return visible_text(str(scorer.get("class_name") if isinstance(scorer, dict) else scorer or ""))


def _writes_code(run: Run) -> bool:
    return _scorer(run) in SCORERS_OF_CODE or str(run.provenance.get("task")).startswith("pep8")


def _gallery(
    run: Run,
    label: str,
    scenario: str,
    samples: Sequence[Sample],
    origins: Mapping[int, Mapping[str, Any]],
    most: int,
) -> dict[str, Any]:
    """The worst, the median, the best and some random samples, without repetitions, offending segments marked."""
    scored = [(number, sample, sample.score) for number, sample in enumerate(samples) if sample.score is not None]
    scored.sort(key=lambda row: -row[2])
    kinds = {0: "worst", len(scored) - 1: "best"}
    kinds.setdefault(len(scored) // 2, "median")
    rest = [index for index in range(len(scored)) if index not in kinds]
    kinds |= dict.fromkeys(random.Random(0).sample(rest, min(most - len(kinds), len(rest))), "random")
    shown = [
        {
            "kind": kind,
            "score": score,
            "origin": said_of(origins[number]) if number in origins else None,
            **_marked(sample, run.threshold),
        }
        for index, kind in kinds.items()
        for number, sample, score in [scored[index]]
    ]
    return {"name": f"{label}, {scenario}", "count": len(samples), "threshold": run.threshold, "samples": shown}


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
