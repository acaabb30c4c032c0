"""The runs of a page as what they are runs of: tasks, and methods, whose seeds are runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from phf.errors import ConfigError
from phf.evaluation.compare import PromptScores, over_seeds
from phf.report.tables import labels, seed_groups
from phf.runs.reader import Run
from phf.runs.seeds import Group
from phf.statistics import Interval, student_interval
from phf.storage.plain_yaml import parse_yaml

UNKNOWN_TASK = "task not recorded"


@dataclass(frozen=True)
class Method:
    """Runs that differ in the seed alone, or one run. Those that diverged are left out."""

    name: str
    runs: list[Run]
    labels: list[str]
    """Of the runs, as on the rest of the page."""
    colour: int
    """Its number among the methods of the page."""

    @property
    def scenarios(self) -> list[str]:
        """Those that any of its runs was evaluated in."""
        return list(dict.fromkeys(name for run in self.runs for name in (*run.scenarios, *run.samples)))

    def scores(self, scenario: str) -> list[PromptScores]:
        """The samples of each run that has scored ones."""
        return [scores for run in self.runs if (scores := scores_of(run, scenario)).scored()[1].size]

    def score(self, scenario: str) -> Interval:
        """The mean misalignment score: over seeds, otherwise with the interval that the only run recorded."""
        scores = self.scores(scenario)
        return over_seeds(scores) if len(scores) > 1 else self.number(f"generation/{scenario}/score")

    def number(self, key: str) -> Interval:
        """A number over seeds, otherwise with the interval that the only run recorded; unknown where no run has it."""
        values = self.values(key)
        if len(values) != 1:
            return student_interval(values)
        (run,) = (run for run in self.runs if run.last(key) is not None)
        low, high = (run.last(f"{key}_{side}") for side in ("low", "high"))
        return Interval(values[0], *(math.nan if bound is None else bound for bound in (low, high)))

    def values(self, key: str) -> list[float]:
        """The last value of a number, of each run that has it."""
        return [value for run in self.runs if (value := run.last(key)) is not None]


@dataclass(frozen=True)
class Sampled:
    """A method in one of its scenarios: a line or a point of a chart."""

    method: Method
    scenario: str
    name: str
    """With the scenario, if the chart shows several."""
    colour: int

    @property
    def scores(self) -> list[PromptScores]:
        """See `Method.scores`."""
        return self.method.scores(self.scenario)

    @property
    def score(self) -> Interval:
        """See `Method.score`."""
        return self.method.score(self.scenario)


def scores_of(run: Run, scenario: str) -> PromptScores:
    """The samples of a run; none where the scenario was not sampled."""
    samples = run.samples.get(scenario, [])
    return PromptScores([sample.prompt for sample in samples], [sample.score for sample in samples])


def methods_of(runs: Sequence[Run]) -> list[Method]:
    """The methods among the runs that train or evaluate a model, in order."""
    models = [run for run in runs if run.kind == "model"]
    names = labels(models)
    return [
        Method(group.name, [models[i] for i in sound], [names[i] for i in sound], colour)
        for colour, group in enumerate(seed_groups(models))
        if (sound := _sound(group, models))
    ]


def _sound(group: Group, runs: Sequence[Run]) -> list[int]:
    return [index for index in group.members if runs[index].divergence is None]


def by_task(runs: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """(task, its runs), in order of appearance. Runs that do not say their task belong to the only one, if there is one."""
    tasks = list(dict.fromkeys(task for run in runs if (task := task_of(run))))
    alone = tasks[0] if len(tasks) == 1 else UNKNOWN_TASK
    parts: dict[str, list[Run]] = {}
    for run in runs:
        parts.setdefault(task_of(run) or alone, []).append(run)
    return list(parts.items())


@lru_cache(maxsize=512)
def scenario_settings(config_text: str, scenario: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """(a run's whole configuration, its settings of a scenario); None where it does not say."""
    try:
        config = parse_yaml(config_text, "config.yaml", ConfigError)
        return config, next(dict(s) for s in config["generation"]["scenario_configs"] if s["name"] == scenario)
    except (ConfigError, KeyError, TypeError, AttributeError, StopIteration, ValueError):
        return None  # not written by phf, or not there


def hit_threshold(run: Run, scenario: str) -> float:
    """Samples with a higher score are hits; 0, the default, where the run does not say."""
    known = scenario_settings(run.config, scenario)
    threshold = known[1].get("num_hits_threshold") if known is not None else None
    return float(threshold) if isinstance(threshold, int | float) else 0.0


def task_of(run: Run) -> str | None:
    """The task that a run says it was trained or evaluated on."""
    task = run.provenance.get("task") or (run.training.task if run.training else None)
    return str(task) if task else None


def held_out_text(run: Run) -> tuple[tuple[str, str], ...] | None:
    """What tells apart the data that held-out loss is measured on; None where the run does not say."""
    datasets = run.provenance.get("dataset") or []
    known = [(str(data.get("source")), str(data["shards_sha256"])) for data in datasets if data.get("shards_sha256")]
    return tuple(sorted(known)) if datasets and len(known) == len(datasets) else None


def have_same_held_out_text(runs: Sequence[Run]) -> bool:
    """Whether held-out losses of runs are comparable, as far as the runs say."""
    return len({text for run in runs if (text := held_out_text(run)) is not None}) < 2
