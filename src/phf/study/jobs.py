"""The processes of a run: its training, then what is measured on its model. Each is a command with a folder of its own."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phf.config import Config
from phf.errors import CorpusError
from phf.redteam.rounds import JOB
from phf.runs.folder import has_steps, is_started
from phf.runs.layout import EVALUATION, METRICS, MODEL
from phf.runs.reader import read_provenance
from phf.storage.files import last_line
from phf.storage.reading import parse_json
from phf.study.folder import StudyFolder
from phf.study.plan import EVALUATE, REDTEAM, TRAIN, StudyRun


@dataclass(frozen=True)
class Job:
    """One process: `phf train` of a run, or `phf evaluate` or `phf redteam` of the model that it gave."""

    command: str
    """train, evaluate or redteam."""
    run: StudyRun
    config: Config
    options: tuple[str, ...] = ()
    """Of the command, besides those that every job of its kind has."""
    after: tuple[str, ...] = ()
    """Names of the jobs that must have finished before."""

    @property
    def name(self) -> str:
        """For people, and unique within a study."""
        return self.run.name if self.command == TRAIN else f"{self.run.name}, {self.command}"


def jobs_of(runs: Iterable[StudyRun]) -> list[Job]:
    """All jobs of these runs; those of a run follow one another, and the training of the run whose model it continues."""
    return [
        job
        for run in runs
        for job in (
            Job(TRAIN, run, run.config, after=() if run.starts_from is None else (run.starts_from,)),
            *(Job(one.command, run, one.config, one.options, after=(run.name,)) for one in run.measurements),
        )
    ]


def command_line(job: Job, folder: StudyFolder) -> list[str]:
    """The words of its command; it continues what an earlier attempt has left."""
    plan, output = str(folder.plan(job.run.name, job.command)), folder.output(job.run.name, job.command)
    if job.command == TRAIN:
        words = ["phf", "train", "--config", plan, "--run-name", job.run.name, "--output-dir", str(folder.path)]
        return [*words, "--resume"] if is_started(output) else words
    model = str(folder.run(job.run.name) / MODEL)
    return ["phf", job.command, model, "--config", plan, "--output", str(output), *job.options]


def is_finished(job: Job, folder: StudyFolder) -> bool:
    """Whether the result of a job is there."""
    if job.command == TRAIN:
        return folder.is_finished(job.run.name)
    output = folder.output(job.run.name, job.command)
    return (output / METRICS).is_file() and _measured(output).issuperset(parts_of(job))


def parts_of(job: Job) -> list[str]:
    """The parts of an evaluation that the study names; none for all that are configured."""
    return [part for option, part in itertools.pairwise(job.options) if option == "--only"]


def has_begun(job: Job, folder: StudyFolder) -> bool:
    """Whether a job has made something that must not be mixed with another's."""
    output = folder.output(job.run.name, job.command)
    if job.command == TRAIN:
        return is_trained_in(output)
    return any((output / name).is_file() for name in (METRICS, EVALUATION, JOB))


def is_trained_in(run_dir: Path) -> bool:
    """Whether the training of a run has made something in the folder."""
    return is_started(run_dir) and has_steps(run_dir)


def num_tokens(config: Config) -> float:
    """Tokens that a training is made on, without those that its model has seen before."""
    return (config.training.num_tokens or 0.0) - config.training.tokens_already_seen


def share(job: Job, folder: StudyFolder) -> float:
    """Share of a job's work that is done, as far as its folder shows; 0 for what cannot be read now."""
    output = folder.output(job.run.name, job.command)
    if job.command == TRAIN:
        return _share_of_training(output)
    if is_finished(job, folder):
        return 1.0
    if job.command == EVALUATE:
        return 0.0  # its parts differ too much in length
    if job.config.redteam is None:
        return 0.0  # it is going to be refused
    of_trial = job.config.redteam.num_rounds + 3  # the initial round, and two files of prompts that are sampled again
    return min(len(list(output.glob("rounds/*.json"))) / (job.config.redteam.num_trials * of_trial), 1.0)


def _share_of_training(run_dir: Path) -> float:
    path = run_dir / METRICS
    try:
        step = parse_json(last_line(path), str(path))["step"]
        max_steps = read_provenance(run_dir)["max_steps"]
        return min(step / max_steps, 1.0)
    except (CorpusError, OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return 0.0  # not begun, or a line is being written


def measured_model(job: Job, folder: StudyFolder) -> Any:
    """File -> its hash, of the model that a job measured, or began to; None where that is not known."""
    output = folder.output(job.run.name, job.command)
    return (
        _read(output / JOB).get("model")
        if job.command == REDTEAM
        else _mapping(_read(output / EVALUATION).get("job")).get("model")
    )


def _measured(output: Path) -> set[str]:
    """The finished parts of an evaluation."""
    return set(_mapping(_read(output / EVALUATION).get("parts")))


def _read(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file; empty for what cannot be read."""
    try:
        value = parse_json(path.read_bytes(), str(path))
    except (CorpusError, OSError):
        return {}
    return _mapping(value)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
