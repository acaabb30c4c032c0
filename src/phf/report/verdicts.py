"""What the samples of several runs say about their methods: one sentence per scenario and method, compared with a baseline."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from phf.config.meaning import meaning_of_scenario
from phf.errors import ConfigError
from phf.evaluation.compare import Comparison, PromptScores, choose_baseline, compare
from phf.feedback import best_token_of
from phf.report.tables import labels, seed_groups
from phf.runs.reader import Run
from phf.runs.seeds import Group
from phf.storage.plain_yaml import parse_yaml

OWN_TO_A_METHOD = (
    "name",
    "prefix",
    "guidance_scale",
    "best_of",
    "num_samples",
    "num_hits_threshold",
    "scorers",
)
"""Settings of a scenario in which two methods may differ and still run the same scenario."""


def verdicts(runs: Sequence[Run], baseline: str | None = None) -> list[str]:
    """One sentence for each other method and each scenario of the baseline, based on the samples of the last evaluation.

    Only equal scenarios are compared: the same name, settings and scorer, as far as the runs record them; or, if a run
    has none of that name, the one that differs only in its name and control token, if the token is the model's own.
    Runs that diverged are left out. Raises `ConfigError` for a `baseline` that is not among the runs.
    """
    groups = seed_groups(runs)
    first = choose_baseline(groups, labels(runs), baseline) if groups else None
    return [
        comparison.describe()
        for ours in groups
        if ours.name == first
        for scenario, scores in _samples(runs, ours).items()
        for theirs in groups
        if theirs is not ours and not _is_same_method(runs, ours, theirs)
        for comparison in _compared(runs, ours, scenario, scores, theirs)
    ]


def _compared(
    runs: Sequence[Run], ours: Group, scenario: str, scores: list[PromptScores], theirs: Group
) -> list[Comparison]:
    """The comparison with another method's equal scenario; empty if it has none."""
    samples = _samples(runs, theirs)
    identity_of_ours = _identity(runs[ours.members[0]], scenario)
    other = {name: _identity(runs[theirs.members[0]], name) for name in samples}
    if scenario in samples:
        same = [scenario] if _agree(identity_of_ours, other[scenario]) else []
    else:
        taken = _samples(runs, ours)
        same = [
            name
            for name, identity in other.items()
            if name not in taken
            and None not in (identity_of_ours["settings"], identity["settings"])
            and _agree(identity_of_ours, identity)
        ]
    return [compare(scenario, (ours.name, scores), (theirs.name, samples[same[0]]))] if len(same) == 1 else []


def _samples(runs: Sequence[Run], group: Group) -> dict[str, list[PromptScores]]:
    """scenario -> the samples of each sound run of the group."""
    by_scenario: dict[str, list[PromptScores]] = {}
    for run in (runs[index] for index in group.members):
        if run.problem is not None or run.kind != "model":
            continue
        for scenario, samples in run.samples.items():
            scores = PromptScores([sample.prompt for sample in samples], [sample.score for sample in samples])
            by_scenario.setdefault(scenario, []).append(scores)
    return by_scenario


def _is_same_method(runs: Sequence[Run], ours: Group, theirs: Group) -> bool:
    """Whether both were trained in the same way, like a run and the evaluation of its model."""
    first, second = (runs[group.members[0]].training for group in (ours, theirs))
    return first is not None and second is not None and first.settings.split()[0] == second.settings.split()[0]


def _agree(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether everything that both record is the same."""
    return all(first[key] == second[key] for key in first if None not in (first[key], second[key]))


def _identity(run: Run, scenario: str) -> dict[str, Any]:
    """What makes a scenario the same in two runs: its settings, whether it starts like the model's own prompts, and the
    scorer; None for what the run does not record."""
    scorer = run.provenance.get("evaluation_scorer") or run.provenance.get("scorer")
    identity: dict[str, Any] = {"settings": None, "is_own": None, "scorer": scorer}
    try:
        config = parse_yaml(run.config, "config.yaml", ConfigError)
        best = best_token_of(config["dataset"])
        scenario_settings = next(dict(s) for s in config["generation"]["scenario_configs"] if s["name"] == scenario)
        settings = meaning_of_scenario(scenario_settings)
    except (ConfigError, KeyError, TypeError, AttributeError, StopIteration, ValueError):
        return identity  # not written by phf, or not there
    preferred = config["generation"].get("prefer")
    identity["is_own"] = settings.get("prefix") in (None, "", best) and preferred in (None, best)
    kept = {key: value for key, value in settings.items() if key not in OWN_TO_A_METHOD and value is not None}
    identity["settings"] = json.dumps(kept, sort_keys=True, default=str)
    return identity
