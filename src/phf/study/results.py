"""What the jobs of a study have left: the numbers of each run, and why those of others are missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from phf.runs.reader import Run
from phf.study.agreement import runs_of_other_data
from phf.study.attacks import Attack, read_attack
from phf.study.folder import StudyFolder
from phf.study.jobs import Job, is_finished, jobs_of
from phf.study.plan import EVALUATE, REDTEAM, TRAIN, StudyRun

UNFINISHED = "it has not finished"


@dataclass(frozen=True)
class Results:
    """By name of the run."""

    runs: dict[str, Run] = field(default_factory=dict)
    """Each with the numbers of its evaluation, if the study has one."""
    provenance: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of the training of each run that has finished."""
    attacks: dict[str, Attack] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Name of each job without a result -> the reason; what follows a job that has none is not listed."""
    num_whole: int = 0
    """Runs that nothing is missing of."""


def results_of(runs: Sequence[StudyRun], folder: StudyFolder, failures: Mapping[str, str]) -> Results:
    """The results in the folder; `failures`: why jobs without one have none.

    A run whose evaluation is missing has no result, since what its training ended with is not comparable; nor has a run that
    was trained on other data than the others.
    """
    results = Results()
    whole = set()
    for run in runs:
        problems = _collect(run, folder, results)
        results.missing.update({name: failures.get(name, problem) for name, problem in problems.items()})
        if not problems:
            whole.add(run.name)
    for name, problem in runs_of_other_data(runs, results.provenance, folder).items():
        results.missing[name] = problem
        results.runs.pop(name, None)
        results.attacks.pop(name, None)
        whole.discard(name)
    return replace(results, num_whole=len(whole))


def _collect(run: StudyRun, folder: StudyFolder, results: Results) -> dict[str, str]:
    """Add the results of a run; returns what is missing."""
    problems: dict[str, str] = {}
    for job in jobs_of([run]):
        if job.command == TRAIN:
            trained = folder.finished_run(run.name)
            if not isinstance(trained, Run):
                return {job.name: trained}
            results.runs[run.name] = trained
            results.provenance[run.name] = trained.provenance
            continue
        problem = _measured(job, folder, results) if is_finished(job, folder) else UNFINISHED
        if problem is not None:
            problems[job.name] = problem
            if job.command == EVALUATE:
                del results.runs[run.name]
    return problems


def _measured(job: Job, folder: StudyFolder, results: Results) -> str | None:
    """Add what was measured on the model of a run; returns why it cannot be used."""
    output = folder.output(job.run.name, job.command)
    if job.command == REDTEAM:
        attack = read_attack(output)
        if isinstance(attack, str):
            return attack
        results.attacks[job.run.name] = attack
        return None
    evaluated = folder.readable_run(output)
    if isinstance(evaluated, str):
        return evaluated
    results.runs[job.run.name] = with_evaluation(results.runs[job.run.name], evaluated)
    return None


def with_evaluation(run: Run, evaluated: Run) -> Run:
    """The run with the numbers and samples of its evaluation, which take precedence over its own."""
    return replace(run, metrics=[*run.metrics, *evaluated.metrics], samples={**run.samples, **evaluated.samples})
