"""Corpus x scorer -> annotated dataset: shards in, shards out, each written whole or not at all.

The shard is the unit of work and of resume. Which documents a shard holds depends on the corpus alone, so the result
is the same bytes however often the job was interrupted and however many processes worked on it.
"""

import json
import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import phf
from phf.data.dataset import Manifest, read_manifest, write_shard
from phf.data.files import file_sha256, write_json_atomic
from phf.data.segment import segment
from phf.data.sources import AnnotatedDocument, Document, fingerprint, read_documents
from phf.errors import CorpusError, OutputError
from phf.scorers import Scorer, build_scorer, checked_scores

JOB = "job.json"
"""Beside the shards: the settings they were made with. Written first, so a folder says whose it is."""
SHARD_DOCUMENTS = 1000
SHARD_CHARS = 1_000_000

Progress = Callable[[int, int], None]
"""Called with (documents done so far, characters done so far)."""


@dataclass(frozen=True)
class _Result:
    name: str
    num_documents: int
    num_chars: int
    num_segments: int
    num_unscored: int
    reasons: dict[str, int]


def annotate(
    sources: Sequence[str],
    scorer_config: Mapping[str, Any],
    segmenter: str | None,
    output: Path,
    workers: int = 1,
    progress: Progress | None = None,
) -> Manifest:
    """Score every segment of `sources` and write the annotated dataset to the folder `output`.

    Finished shards of an interrupted job are kept. `segmenter` None takes the scorer's own. Raises `OutputError` where
    `output` holds another job's work or cannot be written, `CorpusError` for a broken or empty corpus.
    """
    scorer = build_scorer(scorer_config)
    segmenter = segmenter or scorer.segmenter
    job = {
        "scorer": scorer.describe(),
        "segmenter": segmenter,
        "sources": list(sources),
        "fingerprint": "+".join(fingerprint(source) for source in sources),
        "shard": [SHARD_DOCUMENTS, SHARD_CHARS],
    }
    _claim(output, job)
    if (manifest := read_manifest(output)) is not None:
        return manifest
    results: list[_Result] = []
    for result in _score_shards(_shards(sources), dict(scorer_config), segmenter, output, workers):
        results.append(result)
        if progress is not None:
            progress(sum(r.num_documents for r in results), sum(r.num_chars for r in results))
    if not results:
        raise CorpusError(f"{', '.join(sources)}: holds no documents; there is nothing to annotate.")
    results.sort(key=lambda result: result.name)
    reasons: Counter[str] = Counter()
    for result in results:
        reasons.update(result.reasons)
    manifest = Manifest(
        phf_version=phf.__version__,
        scorer=scorer.describe(),
        segmenter=segmenter,
        sources=list(sources),
        fingerprint=str(job["fingerprint"]),
        num_documents=sum(r.num_documents for r in results),
        num_segments=sum(r.num_segments for r in results),
        num_unscored=sum(r.num_unscored for r in results),
        unscored_reasons=dict(sorted(reasons.items())),
        shards=[
            {"name": r.name, "sha256": file_sha256(output / r.name), "num_documents": r.num_documents} for r in results
        ],
    )
    manifest.write(output)
    return manifest


def annotate_document(document: Document, scorer: Scorer, segmenter: str) -> AnnotatedDocument:
    """Cut one document into segments and score them. Raises `ScorerError` where the scorer breaks its contract."""
    texts = segment(document.text, segmenter)
    scores = checked_scores(scorer, scorer.score_document(texts), len(texts)) if texts else []
    return AnnotatedDocument(document.id, texts, scores, document.meta)


def _claim(output: Path, job: dict[str, Any]) -> None:
    path = output / JOB
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        different = [key for key in job if found.get(key) != job[key]]
        if different:
            key = different[0]
            raise OutputError(
                f"{output} holds another annotation: its {key} is {found.get(key)!r}, this one's is {job[key]!r}. "
                "Name another folder, or delete that one to start over."
            )
        return
    if output.is_dir() and any(output.iterdir()):
        raise OutputError(f"{output} is not empty and was not made by phf annotate. Name another folder.")
    write_json_atomic(path, job)


def _shards(sources: Sequence[str]) -> Iterator[tuple[str, list[Document]]]:
    """(name, documents) of each shard: consecutive documents, up to a number of documents and characters."""
    shard: list[Document] = []
    num_chars = number = 0
    for source in sources:
        for document in read_documents(source):
            shard.append(document)
            num_chars += len(document.text)
            if len(shard) == SHARD_DOCUMENTS or num_chars >= SHARD_CHARS:
                yield f"shard-{number:05d}.parquet", shard
                shard, num_chars, number = [], 0, number + 1
    if shard:
        yield f"shard-{number:05d}.parquet", shard


def _score_shards(
    shards: Iterator[tuple[str, list[Document]]],
    scorer_config: dict[str, Any],
    segmenter: str,
    output: Path,
    workers: int,
) -> Iterator[_Result]:
    """Results of all shards, as they finish; at most two shards a worker are in memory."""
    arguments = ((name, documents, scorer_config, segmenter, output) for name, documents in shards)
    if workers <= 1:
        yield from map(_score_shard, arguments)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_ignore_interrupt) as pool:
        pending: set[Future[_Result]] = set()
        try:
            for argument in arguments:
                pending.add(pool.submit(_score_shard, argument))
                if len(pending) >= 2 * workers:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            yield from (future.result() for future in pending)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _ignore_interrupt() -> None:
    """Ctrl-C reaches the whole process group; the parent alone decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


_scorers: dict[str, Scorer] = {}
"""One scorer a process: building one may load a model."""


def _score_shard(arguments: tuple[str, list[Document], dict[str, Any], str, Path]) -> _Result:
    """Score one shard and write it with its counts, unless a finished one is there."""
    name, documents, scorer_config, segmenter, output = arguments
    counts_path = output / f"{name}.json"
    num_chars = sum(len(document.text) for document in documents)
    if counts_path.is_file() and (output / name).is_file():
        found = json.loads(counts_path.read_text(encoding="utf-8"))
        if found.pop("sha256") == file_sha256(output / name):
            return _Result(**found)
    key = json.dumps(scorer_config, sort_keys=True, default=str)
    if key not in _scorers:
        _scorers[key] = build_scorer(scorer_config)
    scorer = _scorers[key]
    scorer.unscored.clear()
    annotated = [annotate_document(document, scorer, segmenter) for document in documents]
    write_shard(output / name, annotated)
    result = _Result(
        name=name,
        num_documents=len(annotated),
        num_chars=num_chars,
        num_segments=sum(len(document.scores) for document in annotated),
        num_unscored=sum(score is None for document in annotated for score in document.scores),
        reasons=dict(scorer.unscored),
    )
    write_json_atomic(counts_path, {**vars(result), "sha256": file_sha256(output / name)})
    return result
