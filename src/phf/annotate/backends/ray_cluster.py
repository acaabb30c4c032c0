"""The Ray backend: parts are read and shards are scored anywhere on a cluster that shares a file system.

Readers (one CPU each) and scorers (a CPU, or a GPU for a scorer with a device) are scaled apart. Both are functions of
their input alone, so when a node dies Ray runs what it had again elsewhere, and the same files come out.
"""

import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from phf.annotate.backends.local import Job, Supervisor
from phf.annotate.shard import ShardResult, shard_tasks
from phf.corpus.formats.row_policy import ReadNotes
from phf.corpus.sources.documents import DocumentReader
from phf.corpus.sources.parts import Part
from phf.errors import ConfigError, MissingExtraError, PhfError
from phf.workers.interruption import keeping_handlers

SHARDS_AHEAD = 2
"""Shards that a reader may be ahead of the scorers, and that wait at each scorer."""
RETRIES = -1
"""As often as nodes die; an error of ours is not retried."""


def score_on_ray(
    job: Job,
    parts: Sequence[Part],
    workers: int | None,
    wants_gpu: bool,
    address: str | None,
    part_done: Callable[[Part], None],
    noted: Callable[[ReadNotes], None],
) -> Iterator[ShardResult]:
    """Results as they finish; see `phf.annotate.runner.annotate`. `workers`: scoring actors; None: all the cluster fits."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError("--backend ray", "ray", "ray") from error

    started_here = not ray.is_initialized()
    if started_here:
        _check_address(address)
        try:
            with keeping_handlers():
                ray.init(address=address, log_to_driver=False, include_dashboard=False, configure_logging=False)
        except ConnectionError as error:
            raise _no_cluster(address, error) from error
    try:
        yield from _score(ray, job, parts, workers, wants_gpu, part_done, noted)
    finally:
        if started_here:
            ray.shutdown()


def _check_address(address: str | None) -> None:
    """Ask at once whether somebody listens there; Ray itself tries for minutes."""
    host, separator, port = (address or "").removeprefix("ray://").rpartition(":")
    if separator and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise _no_cluster(address, error) from error


def _no_cluster(address: str | None, error: Exception) -> ConfigError:
    return ConfigError(f"There is no Ray cluster at {address!r} (--ray-address): {error}.")


def _score(
    ray: Any,
    job: Job,
    parts: Sequence[Part],
    workers: int | None,
    wants_gpu: bool,
    part_done: Callable[[Part], None],
    noted: Callable[[ReadNotes], None],
) -> Iterator[ShardResult]:
    resources = ray.cluster_resources()
    num_cpus, num_gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    uses_gpu = wants_gpu and num_gpus > 0
    num_scorers = workers or (num_gpus if uses_gpu else max(1, num_cpus - 1))
    num_readers = max(1, min(len(parts), num_cpus - (0 if uses_gpu else num_scorers)))
    # a reader waits most of the time, and must find a place however many scorers there are
    read = ray.remote(_read).options(num_cpus=0, max_retries=RETRIES, _generator_backpressure_num_objects=SHARDS_AHEAD)
    scorer_class = ray.remote(_ScoringActor).options(
        num_cpus=0 if uses_gpu else min(1, num_cpus / num_scorers),
        num_gpus=1 if uses_gpu else 0,
        max_restarts=RETRIES,
        max_task_retries=RETRIES,
    )
    # beside the driver: if that node dies, the job ends anyway
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    notes = ray.remote(_Notes).options(num_cpus=0, scheduling_strategy=here).remote()
    scorers = [scorer_class.remote(job) for _ in range(num_scorers)]
    free = [scorer for scorer in scorers for _ in range(SHARDS_AHEAD)]
    unread = list(enumerate(parts))[::-1]
    streams: dict[Any, Part] = {}
    scoring: dict[Any, Any] = {}
    while unread or streams or scoring:
        while unread and len(streams) < num_readers:
            number, part = unread.pop()
            streams[read.remote(job, number, part, number + 1 == len(parts), notes)] = part
        # only as many shards are taken from the readers as there are places at the scorers
        waiting = [*scoring, *(streams if free else [])]
        ready, _ = ray.wait(waiting, num_returns=1, fetch_local=False)
        for item in ready:
            if item in streams:
                try:
                    task = next(item)
                except StopIteration:
                    part_done(streams.pop(item))
                    continue
                scorer = free.pop()
                scoring[scorer.score.remote(task)] = scorer
            else:
                free.append(scoring.pop(item))
                yield _result(ray, item)
    found = ray.get(notes.all.remote())
    assert len(found) == len(parts)
    for what in found:
        noted(what)


def _result(ray: Any, reference: Any) -> ShardResult:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, PhfError):
            raise error.cause from None
        raise


def _read(job: Job, number: int, part: Part, is_last_part: bool, notes: Any) -> Iterator[Any]:
    """The shards of one part; what was not read of it is told to `notes`."""
    import ray

    reader = DocumentReader(part, job.options, is_strict=job.is_strict)
    yield from shard_tasks(number, reader, is_last_part=is_last_part)
    ray.get(notes.put.remote(number, reader.notes))


class _Notes:
    """What was not read of each part, however often a reader had to begin again."""

    def __init__(self) -> None:
        self._notes: dict[int, ReadNotes] = {}

    def put(self, number: int, notes: ReadNotes) -> None:
        self._notes[number] = notes

    def all(self) -> list[ReadNotes]:
        return [self._notes[number] for number in sorted(self._notes)]


class _ScoringActor:
    """Scorers that stay loaded, in a process of their own: one that dies or hangs costs a document, not the actor."""

    def __init__(self, job: Job) -> None:
        self._supervisor = Supervisor(job)

    def score(self, task: Any) -> ShardResult:
        try:
            return self._supervisor.score(task)
        except PhfError:
            self._supervisor.stop()  # it may be in the middle of something
            raise
