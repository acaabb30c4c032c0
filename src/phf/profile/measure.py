"""One pass over an annotated dataset: distributions, shares on each side of a threshold, sources, duplicates, examples."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import phf
from phf.corpus.dataset import in_batches, read_annotated
from phf.corpus.distribution import CHARS, COUNT, TOKENS, Distribution, ScoreDistributions
from phf.corpus.duplicates import DuplicateCounter
from phf.corpus.manifest import read_manifest
from phf.corpus.sources.documents import AnnotatedDocument, fingerprint
from phf.corpus.sources.listing import JOB
from phf.errors import CorpusError
from phf.profile.examples import Example, ExampleSample
from phf.profile.groups import Group, GroupCounter
from phf.profile.histogram import Bin, histogram
from phf.profile.origins import origins
from phf.runs.writer import finite_or_none

if TYPE_CHECKING:
    from phf.tokens.tokenizer import PlainEncoder

QUANTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
LEVELS = ("document", "segment")

Progress = Callable[[int, int], None]
"""Called with (documents read so far, characters read so far)."""


@dataclass(frozen=True)
class Amount:
    """Part of a corpus: documents or segments, their characters, and their tokens if a tokenizer was given."""

    count: int
    characters: int
    tokens: int | None

    def plus(self, other: "Amount") -> "Amount":
        """Both together; tokens are known if both have them."""
        tokens = None if self.tokens is None or other.tokens is None else self.tokens + other.tokens
        return Amount(self.count + other.count, self.characters + other.characters, tokens)

    def minus(self, other: "Amount") -> "Amount":
        """What is left without a part of it; tokens are known if both have them."""
        tokens = None if self.tokens is None or other.tokens is None else self.tokens - other.tokens
        return Amount(self.count - other.count, self.characters - other.characters, tokens)


@dataclass(frozen=True)
class Percentile:
    """The threshold for a percentile, and what is at or below it."""

    percentile: float
    threshold: float
    at_or_below: Amount


@dataclass(frozen=True)
class Level:
    """The scores of all documents (`avg_score`) or of all segments. Scores are None if nothing was scored."""

    scored: Amount
    unscored: Amount
    at_or_below: Amount
    """Scored, and score <= the profile's threshold; exact unless `num_sampled`."""
    mean: float | None
    minimum: float | None
    maximum: float | None
    quantiles: dict[str, float]
    """"p5" -> the smallest score that at least 5 % of the scores do not exceed."""
    percentiles: list[Percentile]
    """The requested percentiles."""
    histogram: list[Bin]
    num_sampled: int | None
    """Number of scores that quantiles, bins and `at_or_below` are estimated from; None: they are exact."""


@dataclass(frozen=True)
class Profile:
    """The output of `phf profile` and the content of `profile.json`."""

    phf_version: str
    source: str
    fingerprint: str
    scores_column: str
    scorer: dict[str, Any] | None
    """From the manifest; None without one."""
    is_unfinished: bool
    """Whether `phf annotate` was interrupted in this folder, or is still running in it."""
    tokenizer: str | None
    threshold: float
    levels: dict[str, Level]
    """"document" and "segment"."""
    num_empty_documents: int
    num_partly_unscored_documents: int
    """Documents with an unscored segment: those that `dataset.unscored: drop` leaves out."""
    unscored_reasons: dict[str, int]
    """Over all columns of scores together."""
    num_scorers: int
    """Columns of scores that the manifest names; 1 without one."""
    num_duplicate_documents: int
    """Documents with the same text as an earlier one, except empty ones."""
    is_duplicate_count_exact: bool
    grouped_by: str
    groups: list[Group]
    examples: list[Example]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def profile_dataset(
    source: str,
    *,
    scores_column: str = "scores",
    threshold: float = 0.0,
    percentiles: Sequence[float] = (),
    levels: Sequence[str] = LEVELS,
    by: str | None = None,
    tokenizer: str | None = None,
    progress: Progress | None = None,
) -> Profile:
    """Read an annotated dataset once, in bounded memory.

    Args:
        threshold: shares are counted on each side of it; a score <= threshold is on the lower side.
        percentiles: in [0, 100]; the corresponding thresholds are computed at each of `levels`.
        by: key of `meta` to group by; None: the only key of the first `meta`, otherwise the source that was annotated, or the
            file.
        tokenizer: folder or Hub name, to count tokens; None: characters stand for them.

    Raises `CorpusError` for a dataset that is not annotated, or without documents, or without the key `by`, `ConfigError` for
    a tokenizer that cannot be used.
    """
    encoder = None if tokenizer is None else _encoder(tokenizer)
    folder = Path(source)
    manifest = read_manifest(folder) if folder.is_dir() else None
    origins_are, pieces = origins(source, manifest)
    scores, groups, duplicates, examples = (
        ScoreDistributions(),
        GroupCounter(threshold, by, origins_are),
        DuplicateCounter(),
        ExampleSample(),
    )
    counts: Counter[str] = Counter()
    for piece, origin in pieces.items():
        for batch in in_batches(read_annotated(piece, scores_column)):
            num_tokens = None if encoder is None else _num_tokens(batch, encoder)
            scores.add(batch, num_tokens)
            groups.add(batch, origin, num_tokens)
            examples.add(batch)
            for document in batch:
                if any(document.texts):
                    duplicates.add("".join(document.texts))
                else:
                    counts["empty"] += 1
                counts["partly unscored"] += None in document.scores
                counts["documents"] += 1
                counts["characters"] += sum(map(len, document.texts))
            if progress is not None:
                progress(counts["documents"], counts["characters"])
    if not counts["documents"]:
        raise CorpusError(f"{source}: contains no documents, so there is nothing to profile.")
    measured = {
        name: _level(scores, name, threshold, percentiles if name in levels else (), tokenizer is not None)
        for name in LEVELS
    }
    return Profile(
        phf_version=phf.__version__,
        source=source,
        fingerprint=fingerprint(source),
        scores_column=scores_column,
        scorer=None if manifest is None else manifest.scorers.get(scores_column, manifest.scorer),
        is_unfinished=manifest is None and (folder / JOB).is_file(),
        tokenizer=tokenizer,
        threshold=threshold,
        levels=measured,
        num_empty_documents=counts["empty"],
        num_partly_unscored_documents=counts["partly unscored"],
        unscored_reasons={} if manifest is None else manifest.unscored_reasons,
        num_scorers=1 if manifest is None else max(1, len(manifest.scorers)),
        num_duplicate_documents=duplicates.num_duplicates,
        is_duplicate_count_exact=duplicates.is_exact,
        grouped_by=groups.by,
        groups=groups.result(),
        examples=examples.nearest(measured["segment"].quantiles),
    )


def _level(
    scores: ScoreDistributions, name: str, threshold: float, percentiles: Sequence[float], has_tokens: bool
) -> Level:
    distribution = scores.levels[name]

    def amount(values: np.ndarray) -> Amount:
        return Amount(int(values[COUNT]), int(values[CHARS]), int(values[TOKENS]) if has_tokens else None)

    is_scored = bool(distribution.totals[COUNT])
    return Level(
        scored=amount(distribution.totals),
        unscored=amount(scores.unscored[name]),
        at_or_below=amount(distribution.at_or_below(threshold)),
        mean=finite_or_none(distribution.mean),
        minimum=finite_or_none(distribution.minimum),
        maximum=finite_or_none(distribution.maximum),
        quantiles={f"p{q}": distribution.quantile(q) for q in QUANTILES} if is_scored else {},
        percentiles=[_percentile(distribution, p, amount) for p in percentiles] if is_scored else [],
        histogram=histogram(distribution),
        num_sampled=distribution.num_sampled,
    )


def _percentile(distribution: Distribution, percentile: float, amount: Callable[[np.ndarray], Amount]) -> Percentile:
    threshold = distribution.quantile(percentile)
    return Percentile(percentile, threshold, amount(distribution.at_or_below(threshold)))


def _encoder(tokenizer: str) -> "PlainEncoder":
    from phf.storage.saved_tokenizer import read_tokenizer
    from phf.tokens.tokenizer import PlainEncoder

    return PlainEncoder(read_tokenizer(tokenizer, "--tokenizer"))


def _num_tokens(batch: Sequence[AnnotatedDocument], encoder: "PlainEncoder") -> np.ndarray:
    return encoder.encode([text for document in batch for text in document.texts])[1]
