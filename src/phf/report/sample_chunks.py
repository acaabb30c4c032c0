"""All samples of a report, compressed in chunks that the page unpacks one by one."""

import base64
import json
import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, count, takewhile
from typing import Any, NamedTuple

import numpy as np

from phf.report.origins import around_common, facts_of, said_of
from phf.runs.reader import Sample
from phf.storage.hashing import hash64

WORST = 30
"""Samples of a set that come first, by score; then all follow in an order that is random, but the same for equal prompts."""
MAX_CHARS = 4000
"""Of a sample's text, and of its prompt; what is left out beyond them is counted."""
LARGEST_CHUNK, SMALLEST_CHUNK, ROUND = 100, 10, 5000
"""Samples in a chunk; and about how many, of all sets together, are added at a time."""


class SampleSet(NamedTuple):
    """The samples of one model in one scenario."""

    model: str
    scenario: str
    samples: Sequence[Sample]
    threshold: float
    scorer: str
    """Scores of sets with the same scorer have the same scale."""
    is_code: bool
    origins: Mapping[int, Mapping[str, Any]] = {}
    """Position -> entry of `phf.report.origins.Origins`, of the samples for which that was looked for."""


@dataclass(frozen=True)
class Packed:
    """What `sample_browser.js` reads: JSON, compressed by zlib, in base64."""

    index: str
    """sets: model, scenario, threshold, scorer, isCode, total (number of samples), and of those that are in the chunks, in
    their order: chunks (their numbers), scores, prompts (numbers) and occurrences (how often the prompt came before, so that
    two models can be compared on the same), and, where it was looked for, origins: position -> kind of
    `phf.report.origins.Said`; chunkSize: samples in each chunk of a set but the last; prompts: [number of the first prompt
    in a chunk, that chunk], ascending; scales: scorer -> scores with no colour and full colour."""
    chunks: list[str]
    """Each: samples, of one set, as [segments, their scores, detections as [segment, start, end, label], number of
    characters left out, whether the prompt was scored too and is in the segments, and, where it was looked for, its
    origin]; prompts that no chunk before has, as [text, characters left out]. Offsets are in UTF-16 code units."""
    num_samples: int
    num_included: int


def pack(sets: Sequence[SampleSet], max_bytes: float) -> Packed:
    """As many samples as fit, evenly from all sets: the `WORST` of each, then random ones, with the same prompts for all.

    `max_bytes`: of the chunks; the index comes on top, with about 3 bytes per sample.
    """
    orders = [_order(each.samples) for each in sets]
    size = min(LARGEST_CHUNK, max(SMALLEST_CHUNK, ROUND // max(len(sets), 1)))
    chunks: list[str] = []
    numbers: dict[str, int] = {}  # of prompts
    first_prompts: list[tuple[int, int]] = []
    included: list[list[int]] = [[] for _ in sets]  # chunks
    num_bytes = 0
    rounds = range(0, max(map(len, orders), default=0), size)
    for start, (one, order, its_chunks) in (
        (s, each) for s in rounds for each in zip(sets, orders, included, strict=True)
    ):
        positions = [position for position, _ in order[start : start + size]]
        samples = [one.samples[position] for position in positions]
        if not samples:
            continue
        prompts = [prompt for prompt in dict.fromkeys(sample.prompt for sample in samples) if prompt not in numbers]
        rows = [_row(one.samples[position], one.threshold, one.origins.get(position)) for position in positions]
        chunk = _compressed({"samples": rows, "prompts": [_shortened(prompt) for prompt in prompts]})
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            break
        if prompts:
            first_prompts.append((len(numbers), len(chunks)))
            numbers.update(zip(prompts, count(len(numbers))))
        its_chunks.append(len(chunks))
        chunks.append(chunk)
    described = [
        _described(one, order[: len(its_chunks) * size], its_chunks, numbers)
        for one, order, its_chunks in zip(sets, orders, included, strict=True)
    ]
    index = {"sets": described, "chunkSize": size, "prompts": first_prompts, "scales": _scales(sets)}
    num_included = sum(len(each["scores"]) for each in described)
    return Packed(_compressed(index), chunks, sum(len(each.samples) for each in sets), num_included)


def _order(samples: Sequence[Sample]) -> list[tuple[int, int]]:
    """(position, occurrence of its prompt before) of each sample."""
    seen: Counter[str] = Counter()
    keyed = []
    for position, sample in enumerate(samples):
        occurrence = seen[sample.prompt]
        seen[sample.prompt] += 1
        keyed.append((hash64("sample browser", sample.prompt, occurrence), position, occurrence))
    worst = sorted(keyed, key=lambda entry: -_rank(samples[entry[1]].score))[:WORST]
    first = {position for _, position, _ in worst}
    rest = sorted(entry for entry in keyed if entry[1] not in first)
    return [(position, occurrence) for _, position, occurrence in chain(worst, rest)]


def _rank(score: float | None) -> float:
    return -math.inf if score is None else score


def _row(sample: Sample, threshold: float, origin: Mapping[str, Any] | None) -> list[Any]:
    """See `Packed.chunks`."""
    texts, scores = list(sample.segments), [_short(score, threshold) for score in sample.segment_scores]
    if not texts:  # nothing was scored: it is shown as it is
        texts, scores = [sample.continuation], [None]
    starts = [0, *accumulate(map(len, texts))]
    num_texts = sum(1 for _ in takewhile(lambda start: start < MAX_CHARS, starts[:-1]))
    left_out = max(starts[-1] - MAX_CHARS, 0)
    spans = [
        [number, _units(texts[number], start), _units(texts[number], end), label]
        for number, of_segment in enumerate(sample.segment_spans[:num_texts])
        for start, end, label in of_segment
    ]
    is_prompt_scored = bool(sample.prompt) and "".join(texts) == sample.prompt + sample.continuation
    shown = [text[: MAX_CHARS - start] for text, start in zip(texts[:num_texts], starts, strict=False)]
    row = [shown, scores[:num_texts], spans, left_out, int(is_prompt_scored)]
    return row if origin is None else [*row, _origin("".join(texts), origin)]


def _origin(text: str, origin: Mapping[str, Any]) -> dict[str, Any]:
    """What `sample_origins.js` shows; copied: offsets of the longest span in the text, or null."""
    said, longest = said_of(origin), origin["longest"]
    has_place = longest is not None and longest["start"] is not None
    return {
        "kind": said.kind,
        "badge": said.badge,
        "data": origin["data"]["sentence"],
        "sentences": said.sentences,
        "copied": [_units(text, longest["start"]), _units(text, longest["end"])] if has_place else None,
        "segments": [[*around_common(one), facts_of(one)] for one in origin["neighbours"]],
    }


def _shortened(text: str) -> tuple[str, int]:
    return text[:MAX_CHARS], max(len(text) - MAX_CHARS, 0)


def _units(text: str, offset: int) -> int:
    """An offset in characters as one in UTF-16 code units, which is what JavaScript counts."""
    return offset if text.isascii() else offset + sum(character > "\uffff" for character in text[:offset])


def _short(score: float | None, threshold: float) -> float | int | None:
    """Four significant digits, as on the page; all of them where rounding would take it across the threshold."""
    if score is None:
        return None
    rounded = float(f"{score:.4g}")
    kept = rounded if (rounded > threshold) == (score > threshold) else float(score)
    return int(kept) if kept.is_integer() and abs(kept) < 1e15 else kept


def _described(
    one: SampleSet, order: Sequence[tuple[int, int]], its_chunks: list[int], numbers: dict[str, int]
) -> dict[str, Any]:
    """See `Packed.index`."""
    origins = {
        str(number): said_of(one.origins[position]).kind
        for number, (position, _) in enumerate(order)
        if position in one.origins
    }
    return {
        "model": one.model,
        "scenario": one.scenario,
        "threshold": one.threshold,
        "scorer": one.scorer,
        "isCode": one.is_code,
        "total": len(one.samples),
        "chunks": its_chunks,
        "scores": [_short(one.samples[position].score, one.threshold) for position, _ in order],
        "prompts": [numbers[one.samples[position].prompt] for position, _ in order],
        "occurrences": [occurrence for _, occurrence in order],
        **({"origins": origins} if origins else {}),
    }


def _scales(sets: Sequence[SampleSet]) -> dict[str, tuple[float, float]]:
    """scorer -> (the lowest score of a segment, or 0 if that is lower; the 95th percentile of those above)."""
    scales = {}
    for scorer in dict.fromkeys(each.scorer for each in sets):
        of_scorer = [sample.segment_scores for each in sets if each.scorer == scorer for sample in each.samples]
        scores = np.array([score for score in chain.from_iterable(of_scorer) if score is not None] or [0.0])
        low = min(float(scores.min()), 0.0)
        above = scores[scores > low]
        high = float(np.quantile(above, 0.95)) if above.size else low + 1
        scales[scorer] = (low, float(f"{high:.2g}") if high > low else low + 1)
    return scales


def _compressed(value: Any) -> str:
    # a lone surrogate becomes its escape in JSON
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    return base64.b64encode(zlib.compress(text, 9)).decode()
