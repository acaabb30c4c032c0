"""The contents of the page's tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from phf.runs.reader import Run
from phf.runs.seeds import Group, group_by_seed
from phf.statistics import student_interval


def table_rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row for each run and scenario: the numbers of the last evaluation, None where not measured."""
    rows = []
    for run, label in zip(runs, labels(runs), strict=True):
        if run.kind != "model":
            continue
        for scenario in run.scenarios or [""]:
            key = f"generation/{scenario}"
            rows.append(
                {
                    "run": run.name,
                    "method": run.method,
                    "is_diverged": run.divergence is not None,
                    "scenario": scenario,
                    "name": f"{label}, {scenario}" if scenario else label,
                    "score": run.last(f"{key}/score"),
                    "low": run.last(f"{key}/score_low"),
                    "high": run.last(f"{key}/score_high"),
                    "score_max": _interval(run, f"{key}/score_max@25"),
                    "num_hits": _interval(run, f"{key}/num_hits"),
                    "num_samples": run.last(f"{key}/num_samples"),
                    "num_unscored": run.last(f"{key}/num_unscored"),
                    "samples_per_second": run.last(f"{key}/samples_per_second"),
                    "bits_per_byte": run.last("eval/bits_per_byte"),
                    "tag_gain": _interval(run, "eval/tag_gain"),
                    "loss": run.last("eval/loss"),
                    "loss_aligned": run.last("eval/loss_aligned"),
                    "loss_misaligned": run.last("eval/loss_misaligned"),
                }
            )
    return rows


def other_scorers(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row for each scorer that a scenario names in addition to the task's own."""
    rows = []
    for run, label in zip(runs, labels(runs), strict=True):
        for scenario in run.scenarios:
            start = f"generation/{scenario}/"
            for key in run.last_values(start):
                scorer, _, number = key.removeprefix(start).rpartition("/")
                if number != "score":
                    continue
                numbers = {name: run.last(f"{start}{scorer}/{name}") for name in ("score", "score_low", "score_high")}
                counts = {name: run.last(f"{start}{scorer}/{name}") for name in ("num_samples", "num_unscored")}
                if scorer:
                    used = run.training_scorers
                    role = "" if used is None else "used in training" if scorer in used else "held out"
                    rows.append({"name": f"{label}, {scenario}", "scorer": scorer, "role": role, **numbers, **counts})
    return rows


MEASURES = ("kl/", "downstream/", "glue/")
"""Groups of numbers that belong to a model, not to a scenario."""


def measures(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row for each such number that any run has: its key, and (value, low, high) of each run, None where unknown."""
    runs = [run for run in runs if run.kind == "model"]
    keys = [key for group in MEASURES for run in runs for key in run.last_values(group)]
    bounds = ("_low", "_high", "_stderr")
    return [
        {"key": key, "values": [_interval(run, key) for run in runs]}
        for key in dict.fromkeys(keys)
        if not key.endswith(bounds)
    ]


def labels(runs: Sequence[Run]) -> list[str]:
    """The label of each run on the page: its method, its own name if methods repeat, numbered if names do."""
    methods, names = [run.method for run in runs], [run.name for run in runs]
    distinct = [method if methods.count(method) == 1 else name for method, name in zip(methods, names, strict=True)]
    distinct = [label if distinct.count(label) == 1 else name for label, name in zip(distinct, names, strict=True)]
    return [label if distinct.count(label) == 1 else f"{label} ({index + 1})" for index, label in enumerate(distinct)]


def over_seeds(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row for each scenario and method with several seeds: their mean score and its spread."""
    rows = []
    for group in seed_groups(runs):
        members = [runs[index] for index in group.members]
        for scenario in dict.fromkeys(scenario for run in members for scenario in run.scenarios):
            means = [run.last(f"generation/{scenario}/score") for run in members]
            scores = [score for score in means if score is not None]
            if len(members) < 2 or len(scores) < 2:
                continue
            mean, low, high = student_interval(scores)
            spread = {"least": min(scores), "largest": max(scores), "deviation": float(np.std(scores, ddof=1))}
            measured = [run.last("eval/bits_per_byte") for run in members]
            bits = [value for value in measured if value is not None]
            rows.append(
                {
                    "name": f"{group.name}, {scenario}",
                    "num_seeds": len(scores),
                    "score": mean,
                    "low": low,
                    "high": high,
                    **spread,
                    "bits_per_byte": sum(bits) / len(bits) if bits else None,
                }
            )
    return rows


def seed_groups(runs: Sequence[Run]) -> list[Group]:
    """Runs that differ in the seed alone, under the name of their method; any other run under its label."""
    return group_by_seed(labels(runs), [run.training for run in runs], [run.method for run in runs])


def redteam_rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row for each search and each replay of a red team: its numbers, as (text, value, low, high)."""
    columns = {
        "search": {
            "best prompt, sampled again": "redteam/rescored_best",
            "best initial prompt, sampled again": "redteam/rescored_initial_best",
            "gain of the search": "redteam/rescored_gain",
        },
        "replay": {"now - then": "replay/overall", "then": "replay/then", "now": "replay/now"},
    }
    return [
        {
            "name": label,
            "kind": run.kind,
            "values": [(text, *_interval(run, key)) for text, key in columns[run.kind].items()],
            "num_prompts": sum(line.get("redteam/num_prompts") or 0 for line in run.metrics)
            if run.kind == "search"
            else run.last("replay/num_prompts"),
        }
        for run, label in zip(runs, labels(runs), strict=True)
        if run.kind in columns
    ]


def _interval(run: Run, key: str) -> tuple[float | None, float | None, float | None]:
    return run.last(key), run.last(f"{key}_low"), run.last(f"{key}_high")
