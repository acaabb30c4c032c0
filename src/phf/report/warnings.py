"""What a reader of the page has to know before believing it."""

import json
from collections.abc import Sequence
from typing import Any

from phf.report.methods import have_same_held_out_text
from phf.report.tables import labels
from phf.report.verdicts import Compared, agree, identity_of, scorer_of
from phf.runs.reader import Run
from phf.text import counted

MOST_NAMES = 6


def warnings_of(runs: Sequence[Run], compared: Sequence[Compared]) -> list[str]:
    """Sentences about the runs of one task and the comparisons between them."""
    models = [(run, label) for run, label in zip(runs, labels(runs), strict=True) if run.kind == "model"]
    return [
        *_different_scorers(models),
        *_other_scorer_than_in_training(models),
        *_different_precisions(models),
        *_different_scenarios(models),
        *_different_texts(models),
        *_unscored(models),
        *_too_few(compared),
    ]


def _different_scorers(models: Sequence[tuple[Run, str]]) -> list[str]:
    by_scorer: dict[str, list[str]] = {}
    for run, label in models:
        if (scorer := scorer_of(run)) is not None:
            by_scorer.setdefault(json.dumps(scorer, sort_keys=True, default=str), []).append(label)
    if len(by_scorer) < 2:
        return []
    scorers = [(json.loads(text), names) for text, names in by_scorer.items()]
    said = "; ".join(
        f"{_called(scorer, [other for other, _ in scorers])}: {_listed(names)}" for scorer, names in scorers
    )
    return [f"The samples were scored by different scorers, so these runs are not compared with one another. {said}."]


def _called(scorer: Any, others: Sequence[Any]) -> str:
    """Class and version, and settings where others of the same class and version have different ones."""
    if not isinstance(scorer, dict):
        return str(scorer)
    name = " ".join(str(scorer[key]) for key in ("class_name", "version") if scorer.get(key) is not None)
    named = [other for other in others if isinstance(other, dict)]
    twins = [other for other in named if all(other.get(key) == scorer.get(key) for key in ("class_name", "version"))]
    return f"{name} {json.dumps(scorer.get('settings'), default=str)}" if len(twins) > 1 else name


def _other_scorer_than_in_training(models: Sequence[tuple[Run, str]]) -> list[str]:
    """Runs whose samples were scored by another version of the scorer than their training data."""
    names: dict[tuple[str, str], list[str]] = {}
    for run, label in models:
        scorer = scorer_of(run)
        for data in run.provenance.get("dataset") or []:
            trained = data.get("scorer")
            if not isinstance(trained, dict) or not isinstance(scorer, dict):
                continue
            is_same_class = trained.get("class_name") == scorer.get("class_name")
            if is_same_class and trained.get("version") != scorer.get("version"):
                versions = (
                    f"{trained.get('class_name')} {trained.get('version')}",
                    f"{scorer.get('class_name')} {scorer.get('version')}",
                )
                names.setdefault(versions, []).append(label)
    return [
        f"The training data was scored by {trained}, the samples by {evaluated}: {_listed(list(dict.fromkeys(of_runs)))}."
        for (trained, evaluated), of_runs in names.items()
    ]


def _different_precisions(models: Sequence[tuple[Run, str]]) -> list[str]:
    by_precision: dict[str, list[str]] = {}
    for run, label in models:
        if run.precision is not None:
            by_precision.setdefault(run.precision, []).append(label)
    if len(by_precision) < 2:
        return []
    said = "; ".join(f"{precision}: {_listed(names)}" for precision, names in by_precision.items())
    return [
        f"The models were trained in different precisions, which may be part of the differences between them. {said}."
    ]


def _different_scenarios(models: Sequence[tuple[Run, str]]) -> list[str]:
    said = []
    for scenario in dict.fromkeys(name for run, _ in models for name in run.samples):
        having = [(run, label) for run, label in models if scenario in run.samples]
        first, first_label = having[0]
        settings = identity_of(first, scenario) | {"scorer": None}
        differing = [label for run, label in having[1:] if not agree(settings, identity_of(run, scenario))]
        if differing:
            said.append(
                f"Scenario '{scenario}' does not have the same settings in {_listed(differing)} as in {first_label}: they are "
                "not compared on it."
            )
    return said


def _different_texts(models: Sequence[tuple[Run, str]]) -> list[str]:
    if have_same_held_out_text([run for run, _ in models]):
        return []
    return ["The data differs between runs, so their held-out losses are of different texts and are not compared."]


def _unscored(models: Sequence[tuple[Run, str]]) -> list[str]:
    said = []
    for run, label in models:
        for scenario in run.scenarios:
            unscored, count = (run.last(f"generation/{scenario}/{key}") for key in ("num_unscored", "num_samples"))
            if unscored and count:
                said.append(
                    f"{label}, {scenario}: {unscored:,.0f} of {counted(round(count), 'sample')} "
                    f"({unscored / count:.1%}) without a score, left out of every mean."
                )
    return said


def _too_few(compared: Sequence[Compared]) -> list[str]:
    return [
        f"{one.comparison.second} and {one.comparison.first}, {one.comparison.scenario}: too few samples or seeds for the "
        f"difference shown ({one.comparison.difference:+.3g}). {one.needed.describe()}"
        for one in compared
        if one.needed is not None
    ]


def _listed(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{', '.join(names[:MOST_NAMES])}{more}"
