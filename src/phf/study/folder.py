"""The folder of a study: the configuration and log of each run, the run folders, and the answer.

plan/<run>.yaml              the configuration that the run is started with
logs/<run>.log               what its process printed
<run>/                       its run folder
evaluate/<run>/              what `phf evaluate` measured on its model, where the study says so; plan/evaluate, logs/evaluate
redteam/<run>/               the same of `phf redteam`
held-out-scorers/<run>/      the scores that scorers which were not trained on give its samples
study.json                   the answer, as numbers
report.html                  the answer, as a page
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from phf.errors import PhfError
from phf.runs.layout import MODEL
from phf.runs.reader import Run, read_run
from phf.study.plan import TRAIN

PLAN, LOGS, ANSWER, PAGE = "plan", "logs", "study.json", "report.html"
HELD_OUT_SCORERS = "held-out-scorers"


@dataclass(frozen=True)
class StudyFolder:
    """The paths in the folder of a study."""

    path: Path
    elsewhere: Mapping[str, Path] = field(default_factory=dict)
    """Name of each run that another study has trained -> its run folder."""

    def plan(self, name: str, command: str = TRAIN) -> Path:
        """The configuration of a run, or of what is measured on it."""
        return self._of(PLAN, command) / f"{name}.yaml"

    def log(self, name: str, command: str = TRAIN) -> Path:
        """What the processes of a run printed, over all attempts."""
        return self._of(LOGS, command) / f"{name}.log"

    def output(self, name: str, command: str = TRAIN) -> Path:
        """The folder that a command writes for a run: the run folder, or that of what is measured on it."""
        return self.run(name) if command == TRAIN else self.path / command / name

    def run(self, name: str) -> Path:
        """A run folder."""
        return self.elsewhere.get(name, self.path / name)

    def held_out(self, name: str, file_name: str) -> Path:
        """What a held-out scorer gave the samples of a run."""
        return self.path / HELD_OUT_SCORERS / name / file_name

    def is_finished(self, name: str) -> bool:
        """Whether a run has exported its model, which is the last thing it does."""
        return (self.run(name) / MODEL / "config.json").is_file()

    def finished_run(self, name: str) -> Run | str:
        """A finished run, or why its numbers cannot be used."""
        if not self.is_finished(name):
            return "it has not finished"
        return self.readable_run(self.run(name))

    @staticmethod
    def readable_run(path: Path) -> Run | str:
        """A run folder, or why its numbers cannot be used."""
        try:
            run = read_run(path)
        except PhfError as error:
            return str(error)
        return run if run.problem is None else f"it {run.problem}"

    def _of(self, what: str, command: str) -> Path:
        return self.path / what if command == TRAIN else self.path / what / command
