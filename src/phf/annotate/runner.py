"""Corpus x scorers -> annotated dataset: shards in, shards out, each written whole or not at all.

The shard is the unit of work and of resume. Which documents a shard holds depends on the corpus alone, so the result
is the same bytes however often the job was interrupted and however many processes or machines worked on it.
"""

import json
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import phf
from phf.annotate.backends.local import Job, score_here, score_in_processes
from phf.annotate.checks import check_columns, check_shards, count_duplicate_ids
from phf.annotate.corpus_reading import CorpusReading
from phf.annotate.on_disk import OnDisk
from phf.annotate.precision import OF_CLUSTER, check_precision, with_precision
from phf.annotate.shard import LAST_SHARDS, LEAST_SHARD_CHARS, SHARD_CHARS, SHARD_DOCUMENTS, ShardResult
from phf.config.differences import differences
from phf.corpus.dataset import Manifest, read_manifest
from phf.corpus.formats.row_policy import BadRowError, ReadNotes, ReadOptions
from phf.corpus.segmenting.segment import segmenter as check_segmenter
from phf.corpus.shards import whole_shard
from phf.corpus.sources.documents import fingerprint
from phf.corpus.sources.listing import JOB, MANIFEST, list_source
from phf.corpus.sources.parts import list_corpus
from phf.errors import ConfigError, CorpusError, OutputError
from phf.scorers import Scorer, build_scorer
from phf.scorers.composite import CompositeScorer
from phf.storage.files import is_unused, only_job, write_json_atomic
from phf.storage.reading import read_json_as, without_surrogates
from phf.text import visible_text

logger = logging.getLogger(__name__)

FORMAT = 3
"""Part of every cache key: raise it when the same input becomes other files."""
TOTALS = ("num_documents", "num_chars", "num_unscored")
"""Counts of shards that `Progress` sums up."""

Backend = Literal["local", "ray"]
OnError = Literal["stop", "skip"]
ScorerSections = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Progress:
    """How far an annotation is."""

    num_documents: int
    num_chars: int
    num_unscored: int
    seconds: float
    """Since this run began."""
    fraction: float | None
    """Share of the corpus that has been scored, in [0, 1]; None where its size is not known."""

    @property
    def seconds_left(self) -> float | None:
        """By the rate so far; None while there is nothing to go by."""
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
    options: ReadOptions | None = None,
    on_error: OnError = "stop",
    announce: Callable[[str], None] | None = None,
    prefix: str = "",
) -> Manifest:
    """Score every segment of `sources` and write the annotated dataset to the folder `output`.

    Args:
        sources: see `phf.corpus.sources.documents`.
        scorer_config: `class_name` and settings of a scorer, or of several: the first fills the column `scores`, each
            other one a column of its own (`PIIScorer`: `pii_scores`; a key `column` names it otherwise).
        segmenter: how documents are cut; None takes the first scorer's own.
        output: folder of the dataset. Finished shards of an interrupted job are kept.
        workers: processes (actors on Ray). 1 scores in this process, unless there is a `time_limit`; None: one a GPU
            for scorers that use one, one a core for others.
        progress: called whenever a shard is done.
        backend: processes of this machine, or a Ray cluster, which must share the file system of `output` and `sources`.
        ray_address: of an existing cluster; None starts a local one (or uses the one Ray's environment names).
        time_limit: seconds that a document may take before it is left unscored.
        options: column of the text, and columns kept in `meta`.
        on_error: whether a row that cannot be read ends the job, or is counted in the manifest and skipped.
        announce: called with what is worth knowing of the corpus before it is scored.
        prefix: put before the ids that are made for documents without one.

    Raises `OutputError` where `output` holds another job's work, is in use or cannot be written, `CorpusError` for a
    broken or empty corpus.
    """
    sections = [scorer_config] if isinstance(scorer_config, Mapping) else list(scorer_config)
    columns = score_columns(sections)
    scorers = {column: build_scorer(section, "scorer") for column, section in columns.items()}
    segmenter = segmenter or next(iter(scorers.values())).segmenter
    check_segmenter(segmenter)
    _check_apart(sources, output)
    options = options or ReadOptions()
    options.check()
    corpus = list_corpus(sources, options, prefix)
    described = {column: scorer.describe() for column, scorer in scorers.items()}
    settings = {
        "format": FORMAT,
        "scorers": with_precision(described, OF_CLUSTER) if backend == "ray" else described,
        "segmenter": segmenter,
        "sources": without_surrogates(list(sources)),
        "fingerprint": "+".join(fingerprint(source, options) for source in sources),
        "shard": [SHARD_DOCUMENTS, SHARD_CHARS, LAST_SHARDS, LEAST_SHARD_CHARS],
        **options.settings(),
        **({"prefix": prefix} if prefix else {}),
    }
    if (manifest := _finished(output, settings)) is not None:  # nothing is written: not even leave to write is needed
        return manifest
    check_columns(corpus, options)
    with _claimed(output, settings):
        if (manifest := _finished(output, settings)) is not None:
            return manifest
        (output / MANIFEST).unlink(missing_ok=True)  # somebody has deleted shards: they are made again
        if announce is not None:
            for line in [*corpus.warnings, *corpus.notes.describe_left_out()]:
                announce(line)
        job = Job(columns, segmenter, output, time_limit, options, is_strict=on_error == "stop")
        reading = CorpusReading(job, corpus)
        results: list[ShardResult] = []
        totals: Counter[str] = Counter(dict.fromkeys(TOTALS, 0))
        start = time.monotonic()
        try:
            # closed before the folder is given up: no worker writes to it after that
            scored = closing(_score(job, reading, scorers, workers, backend, ray_address))
            with OnDisk() as on_disk, scored as scored_shards:
                for result in scored_shards:
                    on_disk.add(output / result.name)
                    results.append(result)
                    check_precision(results[0].precision, result.precision)
                    totals.update({key: vars(result)[key] for key in TOTALS})
                    reading.scored(result.num_chars)
                    if progress is not None:
                        progress(Progress(**totals, seconds=time.monotonic() - start, fraction=reading.fraction))
        except BadRowError as error:
            found = str(error) if str(error).endswith((".", "?")) else f"{error}."
            raise CorpusError(f"{found} To leave out what cannot be read, and count it: --on-error skip.") from None
        if not results:
            raise CorpusError(f"{', '.join(sources)}: holds no documents; there is nothing to annotate.{reading.why()}")
        made = {result.name for result in results}
        for path in output.glob("shard-*.parquet"):
            if path.name not in made:  # the corpus was longer when this job began
                path.unlink()
                path.with_name(f"{path.name}.json").unlink(missing_ok=True)
        manifest = _manifest(settings, sorted(results, key=lambda result: result.name), on_disk.sizes, reading.notes)
        check_shards(output, on_disk.sizes)
        manifest = replace(manifest, reading=options.settings(), num_duplicate_ids=count_duplicate_ids(output, made))
        manifest.write(output)
        return manifest


def score_columns(sections: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Column of scores -> scorer section without its `column`. Raises `ConfigError` where two want the same column."""
    columns: dict[str, dict[str, Any]] = {}
    for number, section in enumerate(sections):
        name = str(section.get("class_name", ""))
        own = section.get("column")
        column = f"{own or column_prefix(name)}_scores" if number or own else "scores"
        if column in columns:
            raise ConfigError(f"Two scorers want the column '{column}'. Give {name} another: {{column: a_name, ...}}.")
        columns[column] = {key: value for key, value in section.items() if key != "column"}
    return columns


def column_prefix(class_name: str) -> str:
    """`DetoxifyToxicityScorer` -> `detoxify_toxicity`, `PIIScorer` -> `pii`."""
    name = re.split(r"[.:]", class_name)[-1].removesuffix("Scorer")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _score(
    job: Job,
    reading: CorpusReading,
    scorers: Mapping[str, Scorer],
    workers: int | None,
    backend: Backend,
    ray_address: str | None,
) -> Generator[ShardResult, None, None]:
    # a scorer with a device has a model, which uses all cores by itself
    with_device = [part for part in _parts(scorers.values()) if getattr(part, "device", None) is not None]
    if backend == "ray":
        from phf.annotate.backends.ray_cluster import score_on_ray

        # the nodes may have GPUs where this machine has none: only a scorer that asks for another device wants none
        wants_gpu = any(str(scorer.settings.get("device") or "cuda").startswith("cuda") for scorer in with_device)
        yield from score_on_ray(
            job, reading.parts, workers, wants_gpu, ray_address, reading.part_done, reading.notes.update
        )
        return
    num_gpus = _gpus_to_share({str(getattr(scorer, "device", None)) for scorer in with_device})
    workers = workers or num_gpus or (1 if with_device else os.cpu_count() or 1)
    if workers == 1 and job.time_limit is None:
        yield from score_here(job, reading.tasks())
    else:
        yield from score_in_processes(job, reading.tasks(), workers, num_gpus)


def _parts(scorers: Iterable[Scorer]) -> Iterator[Scorer]:
    """The scorers, with the parts of composite ones, each of which may have a device of its own, in their place."""
    for scorer in scorers:
        if isinstance(scorer, CompositeScorer):
            yield from _parts(scorer.parts)
        else:
            yield scorer


def _gpus_to_share(devices: set[str]) -> int:
    """GPUs that workers divide among them: all of this machine; none where no scorer wants one, or one names its own."""
    if "cuda" not in devices or any(device.startswith("cuda:") for device in devices):
        return 0
    import torch

    return torch.cuda.device_count()


def _check_apart(sources: Sequence[str], output: Path) -> None:
    """A folder of text must not grow by what is made of it: it would be read, and the job be another one next time."""
    for folder in map(Path, sources):
        if not folder.is_dir() or not output.resolve().is_relative_to(folder.resolve()):
            continue
        is_hidden = any(name[0] == "." for name in output.resolve().relative_to(folder.resolve()).parts)
        if not is_hidden and (listing := list_source(str(folder))) is not None and listing.is_deep:
            raise OutputError(
                f"{output} is inside the corpus {folder}, as part of which it would be read. Choose another folder."
            )


@contextmanager
def _claimed(output: Path, settings: dict[str, Any]) -> Iterator[None]:
    """The folder belongs to one job, and to one process of it at a time."""
    path = output / JOB
    job = {**settings, "directory": without_surrogates(os.getcwd())}
    if not path.is_file() and not is_unused(output):
        raise OutputError(f"{output} is not empty and was not made by phf annotate. Choose another folder.")
    with only_job(output):
        if not any(output.glob("shard-*.parquet")):  # a job that has finished nothing loses nothing
            write_json_atomic(path, job)
        found = _read_job(path)
        changed = _differences(found, settings)
        # a relative name means another corpus in another directory
        is_same_place = found.get("directory") == job["directory"] or all(map(os.path.isabs, settings["sources"]))
        if changed == ["fingerprint"] and is_same_place and not (output / MANIFEST).is_file():
            logger.warning(
                "%s changed since this annotation began: only shards of the same documents are kept.",
                visible_text(", ".join(settings["sources"])),
            )
            write_json_atomic(path, job)
            changed = []
        if changed:
            now = json.loads(json.dumps(settings))
            what = differences({key: found.get(key) for key in changed}, {key: now[key] for key in changed})
            raise OutputError(
                f"{output} holds another annotation. They differ in: {what} (that annotation's -> this one's). "
                "Choose another folder, or delete that one to start over."
            )
        _delete_partial(output)  # of a job that was killed
        try:
            yield
        finally:
            _delete_partial(output)  # of workers that died


def _delete_partial(output: Path) -> None:
    for partial in output.glob(".*.partial"):
        partial.unlink(missing_ok=True)


def _finished(output: Path, settings: dict[str, Any]) -> Manifest | None:
    """The manifest, where this very job is done and nobody has deleted shards since."""
    if not (output / JOB).is_file() or (manifest := read_manifest(output)) is None:
        return None
    is_whole = all(whole_shard(output, shard) for shard in manifest.shards)
    return manifest if is_whole and not _differences(_read_job(output / JOB), settings) else None


def _differences(found: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    """Keys of the settings that are others in the job that was found."""
    return [key for key, value in json.loads(json.dumps(settings)).items() if found.get(key) != value]


def _read_job(path: Path) -> dict[str, Any]:
    return read_json_as(dict[str, Any], path, OutputError, "Choose another folder, or delete that one.")


def _manifest(
    settings: dict[str, Any], results: Sequence[ShardResult], sizes: Mapping[str, int], notes: ReadNotes
) -> Manifest:
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
        num_documents=sum(r.num_documents for r in results),
        num_segments=sum(r.num_segments for r in results),
        num_unscored=sum(r.num_unscored for r in results),
        unscored_reasons=dict(sorted(reasons.items())),
        shards=[
            {"name": r.name, "sha256": r.sha256, "num_documents": r.num_documents, "num_bytes": sizes[r.name]}
            for r in results
        ],
        **notes.to_json(),
    )
