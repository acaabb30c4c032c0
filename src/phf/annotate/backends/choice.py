"""Which processes score a job: this one, workers of this machine, or actors of a Ray cluster."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Literal

from phf.annotate.backends.local import Scored, score_here, score_in_processes
from phf.annotate.plan import Plan
from phf.scorers import Scorer
from phf.scorers.composite import CompositeScorer
from phf.workers.cpus import available_cpus

Backend = Literal["local", "ray"]


def score_pieces(
    plan: Plan, scorers: Mapping[str, Scorer], workers: int | None, backend: Backend, ray_address: str | None
) -> Generator[Scored, None, None]:
    """The pieces of a plan with their results, as they finish; see `phf.annotate.runner.annotate`."""
    # a scorer with a device has a model, which uses all cores by itself
    with_device = [part for part in _parts(scorers.values()) if getattr(part, "device", None) is not None]
    if backend == "ray":
        from phf.annotate.backends.ray_cluster import score_on_ray

        # the nodes may have GPUs even if this machine has none: a scorer does without only if it sets another device
        wants_gpu = any(str(scorer.settings.get("device") or "cuda").startswith("cuda") for scorer in with_device)
        yield from score_on_ray(plan, workers, wants_gpu, ray_address)
        return
    num_gpus = _gpus_to_share({str(getattr(scorer, "device", None)) for scorer in with_device})
    workers = workers or num_gpus or (1 if with_device else available_cpus())
    if workers == 1 and plan.job.time_limit is None:
        yield from score_here(plan.job, plan.pieces())
    else:
        yield from score_in_processes(plan.job, plan.pieces(), workers, num_gpus)


def _parts(scorers: Iterable[Scorer]) -> Iterator[Scorer]:
    """The scorers, with composite ones replaced by their parts, each of which may have its own device."""
    for scorer in scorers:
        if isinstance(scorer, CompositeScorer):
            yield from _parts(scorer.parts)
        else:
            yield scorer


def _gpus_to_share(devices: set[str]) -> int:
    """GPUs that the workers share: all of this machine; none if no scorer uses one, or if one sets its own."""
    if "cuda" not in devices or any(device.startswith("cuda:") for device in devices):
        return 0
    import torch

    return torch.cuda.device_count()
