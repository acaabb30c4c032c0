"""Corpus x scorers -> annotated dataset: pieces of it are scored by workers and joined into shards.

Which documents a piece and a shard hold depends on the corpus alone, so the resulting bytes are the same however often the job
was interrupted and however many processes or machines worked on it.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import phf
from phf.annotate.backends.choice import Backend, score_pieces
from phf.annotate.checks import check_columns, check_shards
from phf.annotate.folder import SHARD_SETTINGS, check_apart, claimed, clear_pieces, finished, forget_manifest
from phf.annotate.job import SHARD_BYTES, Job
from phf.annotate.pieces import piece_settings
from phf.annotate.plan import Plan
from phf.annotate.precision import OF_CLUSTER, with_precision
from phf.annotate.shards import ShardResult
from phf.annotate.unread import first_unread, write_unread
from phf.corpus.formats.row_policy import ReadNotes, ReadOptions
from phf.corpus.manifest import Manifest
from phf.corpus.segmenting.segment import segmenter as check_segmenter
from phf.corpus.sources.documents import fingerprint
from phf.corpus.sources.parts import list_corpus
from phf.errors import ConfigError, CorpusError
from phf.scorers import build_scorer
from phf.scorers.composite import joined_precision
from phf.storage.reading import without_surrogates

FORMAT = 3
"""Part of every cache key: change it whenever the same input gives different documents, segments or scores."""

OnError = Literal["stop", "skip"]
ScorerSections = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Progress:
    """Progress of an annotation."""

    num_documents: int
    num_chars: int
    num_unscored: int
    seconds: float
    """Since this run began."""
    fraction: float | None
    """Share of the corpus that has been scored, in [0, 1]; None if its size is not known."""

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the rate so far; None until a rate is known."""
        if not self.fraction:
            return None
        return self.seconds * (1 - self.fraction) / self.fraction


ShowProgress = Callable[[Progress], None]


def annotate(
    sources: Sequence[str],
    scorer_config: ScorerSections,
    segmenter: str | None,
    output: Path,
    workers: int | None = 1,
    progress: ShowProgress | None = None,
    *,
    backend: Backend = "local",
    ray_address: str | None = None,
    time_limit: float | None = None,
    shard_bytes: int = SHARD_BYTES,
    options: ReadOptions | None = None,
    on_error: OnError = "stop",
    announce: Callable[[str], None] | None = None,
    prefix: str = "",
    check_content: bool = True,
) -> Manifest:
    """Score every segment of `sources` and write the annotated dataset to the folder `output`.

    Args:
        sources: see `phf.corpus.sources.documents`.
        scorer_config: `class_name` and settings of a scorer, or of several: the first fills the column `scores`, each
            other one its own column (`PIIScorer`: `pii_scores`; a key `column` names it otherwise).
        segmenter: how documents are cut; None: the first scorer's own way.
        output: folder of the dataset. What an interrupted job had finished is kept.
        workers: processes (actors on Ray). 1 scores in this process, unless there is a `time_limit`; None: one per GPU
            for scorers that use one, one per CPU that this process may use for others.
        progress: called whenever a piece of the corpus is done.
        backend: processes of this machine, or a Ray cluster, which must share the file system of `output` and `sources`.
        ray_address: of an existing cluster; None starts a local one (or uses the one Ray's environment names).
        time_limit: seconds that a document may take before it is left unscored.
        shard_bytes: text in a shard of the dataset, in bytes of UTF-8.
        options: column of the text, and columns kept in `meta`.
        on_error: whether a row that cannot be read ends the job, or is counted in the manifest and skipped.
        announce: called with notes on the corpus before it is scored.
        prefix: put before the ids that are generated for documents without one.
        check_content: whether a dataset that is finished is read through, so that damaged shards are rebuilt. Otherwise the
            damage is found when they are read.

    Raises `OutputError` if `output` contains another job's work, is in use or cannot be written, `CorpusError` for a
    broken or empty corpus.
    """
    if shard_bytes < 1:
        raise ConfigError(
            f"A shard of {shard_bytes:,} bytes of text cannot contain any. Choose a size of at least 1 byte."
        )
    sections = [scorer_config] if isinstance(scorer_config, Mapping) else list(scorer_config)
    columns = score_columns(sections)
    scorers = {column: build_scorer(section, "scorer") for column, section in columns.items()}
    segmenter = segmenter or next(iter(scorers.values())).segmenter
    check_segmenter(segmenter)
    check_apart(sources, output)
    options = options or ReadOptions()
    options.check()
    corpus = list_corpus(sources, options, prefix, shard_bytes)
    described = {column: scorer.describe() for column, scorer in scorers.items()}
    settings = {
        "format": FORMAT,
        "scorers": with_precision(described, OF_CLUSTER) if backend == "ray" else described,
        "segmenter": segmenter,
        "sources": without_surrogates(list(sources)),
        "fingerprint": "+".join(
            fingerprint(source, options, listing) for source, listing in zip(sources, corpus.listings, strict=True)
        ),
        SHARD_SETTINGS: {"text_bytes": shard_bytes, **piece_settings()},
        **options.settings(),
        **({"prefix": prefix} if prefix else {}),
    }
    # nothing is written if it is finished: write permission is not needed
    if (manifest := finished(output, settings, check_content=check_content)) is not None:
        return manifest
    check_columns(corpus, options)
    with claimed(output, settings):
        if (manifest := finished(output, settings, check_content=check_content)) is not None:
            return manifest
        forget_manifest(output)
        if announce is not None:
            for line in [*corpus.warnings, *corpus.notes.describe_left_out()]:
                announce(line)
        job = Job(
            columns, segmenter, output, time_limit, options, on_error == "stop", shard_bytes, settings["fingerprint"]
        )
        plan = Plan(job, corpus.parts, None if backend == "ray" else joined_precision(scorers.values()))
        start = time.monotonic()
        # closed before the folder is released: no worker writes to it after that
        with plan.writer, closing(score_pieces(plan, scorers, workers, backend, ray_address)) as scored:
            for piece, result in scored:
                plan.scored(piece, result)
                if progress is not None:
                    progress(Progress(**plan.totals, seconds=time.monotonic() - start, fraction=plan.fraction))
        results = sorted(plan.writer.results, key=lambda result: result.name)
        shards = [result for result in results if result.num_documents]
        if not shards:
            why = first_unread(results)
            raise CorpusError(f"{', '.join(sources)}: contains no documents; there is nothing to annotate.{why}")
        made = {result.name for result in results}
        for path in output.glob("shard-*.parquet*"):
            if path.name.removesuffix(".json") not in made:  # the corpus was longer when this job began
                path.unlink()
        notes = write_unread(output, corpus.notes, results)
        manifest = _manifest(settings, shards, notes)
        sizes = {result.name: result.num_bytes for result in shards}
        check_shards(output, sizes)
        manifest = replace(manifest, reading=options.settings(), num_duplicate_ids=plan.writer.num_duplicate_ids)
        manifest.write(output)
        clear_pieces(output)
        return manifest


def score_columns(sections: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Column of scores -> scorer section without its `column`. Raises `ConfigError` if two need the same column."""
    columns: dict[str, dict[str, Any]] = {}
    for number, section in enumerate(sections):
        name = str(section.get("class_name", ""))
        own = section.get("column")
        column = f"{own or column_prefix(name)}_scores" if number or own else "scores"
        if column in columns:
            raise ConfigError(f"Two scorers need the column '{column}'. Give {name} another: {{column: a_name, ...}}.")
        columns[column] = {key: value for key, value in section.items() if key != "column"}
    return columns


def column_prefix(class_name: str) -> str:
    """`DetoxifyToxicityScorer` -> `detoxify_toxicity`, `PIIScorer` -> `pii`."""
    name = re.split(r"[.:]", class_name)[-1].removesuffix("Scorer")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _manifest(settings: dict[str, Any], results: Sequence[ShardResult], notes: ReadNotes) -> Manifest:
    reasons: Counter[str] = Counter()
    for result in results:
        reasons.update(result.reasons)
    scorers = with_precision(settings["scorers"], results[0].precision)
    return Manifest(
        phf_version=phf.__version__,
        scorer=next(iter(scorers.values())),
        scorers=scorers,
        segmenter=settings["segmenter"],
        sources=settings["sources"],
        fingerprint=settings["fingerprint"],
        shard_bytes=settings[SHARD_SETTINGS]["text_bytes"],
        num_documents=sum(r.num_documents for r in results),
        num_segments=sum(r.num_segments for r in results),
        num_unscored=sum(r.num_unscored for r in results),
        unscored_reasons=dict(sorted(reasons.items())),
        shards=[
            {"name": r.name, "sha256": r.sha256, "num_documents": r.num_documents, "num_bytes": r.num_bytes}
            for r in results
        ],
        **notes.first().to_json(),
    )
