"""The folder of a study: the configuration and log of each run, the run folders, and the answer.

plan/<run>.yaml    the configuration that the run is started with
logs/<run>.log     what its process printed
<run>/             its run folder
study.json         the answer, as numbers
report.html        the answer, as a page
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phf.config import dump_config
from phf.config.meaning import configuration_differences
from phf.errors import OutputError, PhfError
from phf.runs.folder import has_steps, is_started
from phf.runs.reader import Run, read_run
from phf.storage.files import LOCK, write_text_atomic
from phf.study.plan import StudyRun

PLAN, LOGS, ANSWER, PAGE = "plan", "logs", "study.json", "report.html"


@dataclass(frozen=True)
class StudyFolder:
    """The paths in the folder of a study."""

    path: Path

    def plan(self, name: str) -> Path:
        """The configuration of a run."""
        return self.path / PLAN / f"{name}.yaml"

    def log(self, name: str) -> Path:
        """What the process of a run printed, over all attempts."""
        return self.path / LOGS / f"{name}.log"

    def run(self, name: str) -> Path:
        """A run folder."""
        return self.path / name

    def is_finished(self, name: str) -> bool:
        """Whether a run has exported its model, which is the last thing it does."""
        return (self.run(name) / "model" / "config.json").is_file()

    def finished_run(self, name: str) -> Run | str:
        """A finished run, or why its numbers cannot be used."""
        if not self.is_finished(name):
            return "it has not finished"
        try:
            run = read_run(self.run(name))
        except PhfError as error:
            return str(error)
        return run if run.problem is None else f"it {run.problem}"


def begin(folder: StudyFolder, runs: Sequence[StudyRun]) -> list[str]:
    """Write the configurations of the runs; returns notices about what has changed since the study was begun.

    Finished and unfinished runs whose configurations mean the same are kept, runs that are new to the study are added, and
    those that it no longer has are left where they are. Raises `OutputError`, with the keys that differ, if a run that has
    begun would have to be another one.
    """
    path = folder.path
    if path.is_dir() and not (path / PLAN).is_dir() and any(entry.name != LOCK for entry in path.iterdir()):
        raise OutputError(f"{path} is not the folder of a study: it has other files. Choose another with --output-dir.")
    before = {file.stem for file in (path / PLAN).glob("*.yaml")}
    changed: dict[str, list[str]] = {}
    for run in runs:
        # the configuration itself, since that of the run folder has numbers for percentiles
        if run.name in before and has_begun(folder, run.name):
            try:
                differing = configuration_differences(folder.plan(run.name), run.config)
            except PhfError as error:
                raise OutputError(
                    f"{error} So it is not known whether the runs of {path} are still those of the study."
                ) from error
            if differing:
                changed.setdefault(differing, []).append(run.name)
    if changed:
        lines = [f"{', '.join(names)}: {differing}" for differing, names in changed.items()]
        raise OutputError(
            f"{path} was begun with other settings, and runs have been trained with them (the run's -> the study's now):\n  "
            + "\n  ".join(lines)
            + "\nUndo the change, choose another folder with --output-dir, or delete the folders of these runs to train "
            "them again; the other runs are kept."
        )
    for run in runs:
        if run.name not in before or not has_begun(folder, run.name):
            write_text_atomic(folder.plan(run.name), dump_config(run.config))
    if not before:
        return []
    names = [run.name for run in runs]
    added = [name for name in names if name not in before]
    left = [name for name in sorted(before.difference(names)) if has_begun(folder, name)]
    notices = []
    if added:
        notices.append(f"New to the study since it was begun: {', '.join(added)}")
    if left:
        notices.append(f"No longer part of the study, so kept but not on the page: {', '.join(left)}")
    return notices


def has_begun(folder: StudyFolder, name: str) -> bool:
    """Whether a run has made something that must not be mixed with another's."""
    path = folder.run(name)
    return is_started(path) and has_steps(path)
