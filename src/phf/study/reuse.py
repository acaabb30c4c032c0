"""Runs that another study has trained in the same way: they are used where they are, and not trained again."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from phf.config.meaning import configuration_differences
from phf.errors import ConfigError
from phf.runs.reader import Run
from phf.study.begin import DECIDING
from phf.study.folder import PLAN, StudyFolder
from phf.study.jobs import is_trained_in
from phf.study.plan import TRAIN, StudyRun


def with_runs_of(folder: StudyFolder, runs: Sequence[StudyRun], others: Sequence[Path]) -> StudyFolder:
    """The folder with the finished runs of other studies that have the same name and a configuration that means the same.

    A run that has begun in the folder itself stays there, and so do those of a study with switches, which depend on one
    another. Raises `ConfigError` for what is not the folder of a study.
    """
    elsewhere: dict[str, Path] = {}
    for other in map(StudyFolder, others):
        if not (other.path / PLAN).is_dir():
            raise ConfigError(f"--runs-from {other.path}: is not the folder of a study.")
        for run in runs:
            is_needed = run.name not in elsewhere and not is_trained_in(folder.run(run.name))
            is_alone = run.is_compared and run.starts_from is None
            if is_needed and is_alone and _has(other, run):
                elsewhere[run.name] = other.run(run.name)
    return replace(folder, elsewhere=elsewhere)


def _has(other: StudyFolder, run: StudyRun) -> bool:
    """Whether a study has a usable result of the run."""
    plan = other.plan(run.name)
    if not plan.is_file() or not isinstance(other.finished_run(run.name), Run):
        return False
    return not configuration_differences(plan, run.config, DECIDING[TRAIN])
