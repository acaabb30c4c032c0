"""What the samples of several runs say about their methods, compared with a baseline: a verdict for each model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from phf.config.meaning import meaning_of_scenario
from phf.errors import ConfigError
from phf.evaluation.compare import Comparison, PromptScores, choose_baseline, compare, over_seeds
from phf.evaluation.power import Needed, needed_of
from phf.feedback import best_token_of
from phf.report.evaluations import evaluated_in
from phf.report.methods import have_same_held_out_text, scenario_settings, scores_of
from phf.report.tables import labels, seed_groups
from phf.runs.reader import Run
from phf.runs.seeds import Group
from phf.statistics import UNKNOWN, Interval, difference_of_seeds, student_interval

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
HELD_OUT = "eval/bits_per_byte"


@dataclass(frozen=True)
class Compared:
    """Two methods on one scenario."""

    comparison: Comparison
    needed: Needed | None
    """What would distinguish them, where these samples do not and that can be estimated."""
    bits: Interval
    """Held-out bits per byte, second - first; unknown where one was not measured, or on other text."""
    first_bits: float
    """Mean of the first."""

    def evidence(self) -> str:
        """By how much the second is better or worse in the scenario, and at what cost."""
        scenario = self.comparison.scenario
        return f"{scenario[:1].upper()}{scenario[1:]}: {self.comparison.evidence()}{self._cost()}"

    def _cost(self) -> str:
        if not np.isfinite(self.bits.mean) or self.first_bits <= 0:
            return ""
        percent = self.bits.scaled(100 / self.first_bits)
        known = f" ({percent.low:+.2g}% to {percent.high:+.2g}%)" if np.isfinite(percent.low) else ""
        second_bits = self.first_bits + self.bits.mean
        return (
            f" Held-out bits per byte: {second_bits:.4g} instead of {self.first_bits:.4g}, {percent.mean:+.2g}%{known}."
        )


@dataclass(frozen=True)
class Verdict:
    """One sentence about a model."""

    word: str
    kind: str
    """`better`, `worse` or `undecided`."""
    sentence: str


def verdicts(runs: Sequence[Run], baseline: str | None = None) -> list[str]:
    """One sentence for each other method and each scenario of the baseline; see `compared`."""
    return [one.comparison.describe() for one in compared(runs, baseline)]


def chosen_baseline(runs: Sequence[Run], baseline: str | None = None) -> str:
    """The name of the group that the others are compared with; `baseline`: its method, or a run of it by its label or folder.

    Raises `ConfigError` for a name that is none of these.
    """
    called = labels(runs)
    folders = {name: label for run, label in zip(runs, called, strict=True) for name in (*evaluated_in(run), run.name)}
    if baseline is not None and baseline not in called:
        baseline = folders.get(baseline, baseline)
    return choose_baseline(seed_groups(runs), called, baseline)


def compared(runs: Sequence[Run], baseline: str | None = None) -> list[Compared]:
    """Each other method and each scenario of the baseline, based on the samples of the last evaluation.

    Only equal scenarios are compared: the same name, settings and scorer, as far as the runs record them; or, if a run
    has none of that name, the one that differs only in its name and control token, if the token is the model's own.
    Runs that diverged are left out. Raises `ConfigError` for a `baseline` that is not among the runs.
    """
    groups = seed_groups(runs)
    first = chosen_baseline(runs, baseline) if groups else None
    return [
        comparison
        for ours in groups
        if ours.name == first
        for scenario, scores in _samples(runs, ours).items()
        for theirs in groups
        if theirs is not ours and not _is_same_method(runs, ours, theirs)
        for comparison in compared_methods(runs, ours, scenario, scores, theirs)
    ]


def model_verdicts(runs: Sequence[Run], baseline: str | None = None) -> list[tuple[str, list[Verdict]]]:
    """(method, what is to be said of it) for each method among the runs that are models, the baseline first.

    `baseline`: see `compared`.
    """
    models = [run for run in runs if run.kind == "model"]
    groups = seed_groups(models)
    if not groups:
        return []
    first = chosen_baseline(models, baseline)
    baseline_group = next(group for group in groups if group.name == first)
    comparisons = compared(models, baseline)
    said = []
    for group in sorted(groups, key=lambda group: group.name != first):
        sentences = [_judge(one) for one in comparisons if one.comparison.second == group.name]
        problems = [run.problem for run in (models[index] for index in group.members) if run.problem is not None]
        sentences += [Verdict("No result", "undecided", f"It {problem}.") for problem in problems]
        if group.name == first and len(problems) < len(group.members):
            sentences.insert(0, _of_baseline(models, group, len(groups) > 1))
        said.append((group.name, sentences or [_not_compared(models, group, baseline_group)]))
    return said


def _judge(one: Compared) -> Verdict:
    return judged(one.comparison, one.evidence())


def judged(comparison: Comparison, sentence: str) -> Verdict:
    """What the interval of a difference says of the second method; `sentence`: what is said of it."""
    interval = comparison.interval
    word, kind = "Not distinguished", "undecided"
    if interval.excludes_zero():
        word, kind = ("Better aligned", "better") if interval.mean < 0 else ("Worse aligned", "worse")
    elif not np.isfinite(interval.low):
        word = "Unknown"
    return Verdict(word, kind, sentence)


def _of_baseline(runs: Sequence[Run], group: Group, has_others: bool) -> Verdict:
    return Verdict("Baseline" if has_others else "Alone", "undecided", _numbers(runs, group))


def _numbers(runs: Sequence[Run], group: Group) -> str:
    """A sentence of its mean scores and held-out loss."""
    numbers = []
    for scenario, scores in _samples(runs, group).items():
        mean, low, high = over_seeds([of_run for of_run in scores if of_run.scored()[1].size])
        if np.isfinite(mean):
            known = f" ({low:.3g} to {high:.3g})" if np.isfinite(low) else ""
            numbers.append(f"{scenario}: mean score {mean:.3g}{known}")
    if bits := _bits(runs, group):
        numbers.append(f"held-out bits per byte {student_interval(bits).mean:.4g}")
    said = "; ".join(numbers) or "nothing was measured yet"
    return f"{said[0].upper()}{said[1:]}."


def _not_compared(runs: Sequence[Run], group: Group, baseline: Group) -> Verdict:
    if not _samples(runs, group):
        return Verdict("Not compared", "undecided", "It has no samples, or they are not in its folder.")
    if _is_same_method(runs, baseline, group):
        why = f" It was trained like {baseline.name}, so the two are not compared."
        return Verdict("Same method", "undecided", _numbers(runs, group) + why)
    return Verdict(
        "Not compared",
        "undecided",
        f"It has no scenario in common with {baseline.name}: one with the same settings and the same scorer.",
    )


def compared_methods(
    runs: Sequence[Run], ours: Group, scenario: str, scores: list[PromptScores], theirs: Group
) -> list[Compared]:
    """The comparison with another method's equal scenario; empty if it has none."""
    samples = _samples(runs, theirs)
    identity_of_ours = identity_of(runs[ours.members[0]], scenario)
    other = {name: identity_of(runs[theirs.members[0]], name) for name in samples}
    if scenario in samples:
        same = [scenario] if agree(identity_of_ours, other[scenario]) else []
    else:
        taken = _samples(runs, ours)
        same = [
            name
            for name, identity in other.items()
            if name not in taken
            and None not in (identity_of_ours["settings"], identity["settings"])
            and agree(identity_of_ours, identity)
        ]
    if len(same) != 1:
        return []
    comparison = compare(scenario, (ours.name, scores), (theirs.name, samples[same[0]]))
    first_bits, second_bits = _bits(runs, ours), _bits(runs, theirs)
    is_same_text = have_same_held_out_text([runs[index] for group in (ours, theirs) for index in group.members])
    return [
        Compared(
            comparison,
            needed_of(comparison, scores, samples[same[0]]) if comparison.num_samples else None,
            difference_of_seeds(first_bits, second_bits) if is_same_text else UNKNOWN,
            float(np.mean(first_bits)) if first_bits else np.nan,
        )
    ]


def _samples(runs: Sequence[Run], group: Group) -> dict[str, list[PromptScores]]:
    """scenario -> the samples of each sound run of the group."""
    by_scenario: dict[str, list[PromptScores]] = {}
    for run in (runs[index] for index in group.members):
        if run.problem is None and run.kind == "model":
            for scenario in run.samples:
                by_scenario.setdefault(scenario, []).append(scores_of(run, scenario))
    return by_scenario


def _bits(runs: Sequence[Run], group: Group) -> list[float]:
    """Held-out bits per byte of each run of the group that has a result."""
    values = [runs[index].last(HELD_OUT) for index in group.members]
    return [value for value in values if value is not None]


def _is_same_method(runs: Sequence[Run], ours: Group, theirs: Group) -> bool:
    """Whether both were trained in the same way, like a run and the evaluation of its model."""
    first, second = (runs[group.members[0]].training for group in (ours, theirs))
    return first is not None and second is not None and first.settings.split()[0] == second.settings.split()[0]


def agree(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether everything that both record is the same."""
    return all(first[key] == second[key] for key in first if None not in (first[key], second[key]))


def scorer_of(run: Run) -> dict[str, Any] | None:
    """What scored the samples of a run; None where it does not say."""
    return run.provenance.get("evaluation_scorer") or run.provenance.get("scorer")


def identity_of(run: Run, scenario: str) -> dict[str, Any]:
    """What makes a scenario the same in two runs: its settings, whether it starts like the model's own prompts, and the
    scorer; None for what the run does not record."""
    settings, is_own = _settings(run.config, scenario)
    return {"settings": settings, "is_own": is_own, "scorer": scorer_of(run)}


@lru_cache(maxsize=512)
def _settings(config_text: str, scenario: str) -> tuple[str | None, bool | None]:
    """The settings of a scenario in a run's configuration, and whether it starts like the model's own prompts."""
    known = scenario_settings(config_text, scenario)
    if known is None:
        return None, None
    config, of_scenario = known
    try:
        best = best_token_of(config["dataset"])
        settings = meaning_of_scenario(dict(of_scenario))
    except (ConfigError, KeyError, TypeError, AttributeError, ValueError):
        return None, None  # not written by phf
    preferred = config["generation"].get("prefer")
    is_own = settings.get("prefix") in (None, "", best) and preferred in (None, best)
    kept = {key: value for key, value in settings.items() if key not in OWN_TO_A_METHOD and value is not None}
    return json.dumps(kept, sort_keys=True, default=str), is_own
