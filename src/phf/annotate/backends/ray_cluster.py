"""The Ray backend: parts are read and pieces are scored anywhere on a cluster that shares a file system.

Readers (for what the scorers cannot read themselves) and scorers (a CPU, or a GPU for a scorer with a device) are scaled
apart. Both are functions of their input alone, so when a node dies Ray repeats its work elsewhere, and the resulting
files are the same. Pieces are joined into shards where the job was started.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from phf.annotate.backends.local import Scored, Supervisor
from phf.annotate.corpus_piece import CorpusPiece, PieceResult
from phf.annotate.job import Job
from phf.annotate.plan import Plan
from phf.annotate.shards import ShardResult, steps_of
from phf.corpus.sources.documents import Document
from phf.corpus.sources.parts import Part
from phf.errors import PhfError
from phf.scorers import build_scorer
from phf.scorers.composite import joined_precision
from phf.workers.ray_cluster import RETRIES, ray_cluster, result_of

PIECES_AHEAD = 2
"""Pieces that a reader may be ahead of the scorers, and that wait at each scorer."""


def score_on_ray(plan: Plan, workers: int | None, wants_gpu: bool, address: str | None) -> Iterator[Scored]:
    """Results as they finish; see `phf.annotate.runner.annotate`. `workers`: scoring actors; None: as many as fit."""
    with ray_cluster(address, "--backend ray", "--ray-address") as ray:
        yield from _score(ray, plan, workers, wants_gpu)


def _score(ray: Any, plan: Plan, workers: int | None, wants_gpu: bool) -> Iterator[Scored]:
    resources = ray.cluster_resources()
    num_cpus, num_gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    uses_gpu = wants_gpu and num_gpus > 0
    num_scorers = workers or (num_gpus if uses_gpu else max(1, num_cpus - 1))
    num_readers = max(1, min(len(plan.parts), num_cpus - (0 if uses_gpu else num_scorers)))
    # a reader waits most of the time, and must get a slot however many scorers there are
    read = ray.remote(_steps).options(num_cpus=0, max_retries=RETRIES, _generator_backpressure_num_objects=PIECES_AHEAD)
    share = {"num_cpus": 0 if uses_gpu else min(1, num_cpus / num_scorers), "num_gpus": 1 if uses_gpu else 0}
    if any(plan.job.output.glob("shard-*.json")):  # finished ones are kept if the cluster scores in the same precision
        plan.precision = ray.get(ray.remote(_precision).options(**share, max_retries=RETRIES).remote(plan.job))
    scorer_class = ray.remote(_ScoringActor).options(**share, max_restarts=RETRIES, max_task_retries=RETRIES)
    scorers = [scorer_class.remote(plan.job) for _ in range(num_scorers)]
    free = [scorer for scorer in scorers for _ in range(PIECES_AHEAD)]
    unread = list(range(len(plan.parts)))[::-1]
    streams: dict[Any, int] = {}
    scoring: dict[Any, tuple[Any, CorpusPiece]] = {}
    while unread or streams or scoring:
        while unread and len(streams) < num_readers:
            number = unread.pop()
            # what is finished is looked up here, once: a reader that has to begin again must find the same
            steps = read.remote(plan.job, number, plan.parts[number], plan.finished(number), plan.is_last(number))
            streams[steps] = number
        # only as many pieces are taken from the readers as the scorers have room for
        waiting = [*scoring, *(streams if free else [])]
        ready, _ = ray.wait(waiting, num_returns=1, fetch_local=False)
        for item in ready:
            if item in scoring:
                scorer, piece = scoring.pop(item)
                free.append(scorer)
                yield piece, result_of(ray, item)
                continue
            try:
                step, has_documents = result_of(ray, next(item))
            except StopIteration:
                plan.end(streams.pop(item))
                continue
            documents = next(item) if has_documents else None  # they do not come by here
            plan.add(streams[item], step)
            if isinstance(step, CorpusPiece):
                scorer = free.pop()
                scoring[scorer.score.remote(step, documents)] = scorer, step


def _steps(job: Job, number: int, part: Part, finished: Sequence[ShardResult], is_last: bool) -> Iterator[Any]:
    """What is in a part, each with whether it is followed by documents that a scorer cannot read itself."""
    for step in steps_of(job, number, part, finished, is_last=is_last):
        if isinstance(step, CorpusPiece) and step.documents is not None:
            yield replace(step, documents=None), True
            yield step.documents
        else:
            yield step, False


def _precision(job: Job) -> str:
    return joined_precision(build_scorer(config) for config in job.scorers.values())


class _ScoringActor:
    """Scorers that stay loaded, in a separate process: one that dies or hangs costs a document, not the actor."""

    def __init__(self, job: Job) -> None:
        self._supervisor = Supervisor(job)

    def score(self, piece: CorpusPiece, documents: list[Document] | None) -> PieceResult:
        try:
            return self._supervisor.score(piece if documents is None else replace(piece, documents=documents))
        except PhfError:
            self._supervisor.stop()  # it may be busy
            raise
