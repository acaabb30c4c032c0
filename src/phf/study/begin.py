"""Beginning a study, or continuing it: what each process is started with, and what may not have changed."""

from collections.abc import Sequence

from phf.config import Config, dump_config
from phf.config.meaning import configuration_differences
from phf.errors import OutputError, PhfError
from phf.evaluation.results import SECTIONS
from phf.runs.layout import MODEL
from phf.storage.files import LOCK, write_text_atomic
from phf.study.folder import PLAN, StudyFolder
from phf.study.jobs import Job, has_begun, is_trained_in, measured_model
from phf.study.plan import EVALUATE, REDTEAM, TRAIN

NOT_OF_TRAINING = ("redteam", "downstream", "glue", "task", "method", "size")
DECIDING = {
    TRAIN: tuple(section for section in Config.model_fields if section not in NOT_OF_TRAINING),
    EVALUATE: SECTIONS,
    REDTEAM: ("redteam", "generation"),
}
"""Command -> the sections of the configuration that its result depends on."""


def begin(folder: StudyFolder, jobs: Sequence[Job]) -> list[str]:
    """Write the configurations of the jobs; returns notices about what has changed since the study was begun.

    Finished and unfinished jobs whose configurations mean the same are kept, those that are new to the study are added, and
    those that it no longer has are left where they are. Raises `OutputError`, with the keys that differ, if a job that has
    begun would have to be another one.
    """
    path = folder.path
    if path.is_dir() and not (path / PLAN).is_dir() and any(entry.name != LOCK for entry in path.iterdir()):
        raise OutputError(f"{path} is not the folder of a study: it has other files. Choose another with --output-dir.")
    before = {file.stem for file in (path / PLAN).glob("*.yaml")}
    here = [job for job in jobs if job.command != TRAIN or job.run.name not in folder.elsewhere]
    kept = [job for job in here if folder.plan(job.run.name, job.command).is_file() and has_begun(job, folder)]
    _refuse_changed(folder, kept)
    _refuse_other_models(folder, [job for job in kept if job.command != TRAIN])
    names_kept = {job.name for job in kept}
    for job in jobs:
        if job.name not in names_kept:
            write_text_atomic(folder.plan(job.run.name, job.command), dump_config(job.config))
    if not before:
        return []
    names = list(dict.fromkeys(job.run.name for job in jobs))
    added = [name for name in names if name not in before]
    left = [name for name in sorted(before.difference(names)) if is_trained_in(folder.run(name))]
    notices = []
    if added:
        notices.append(f"New to the study since it was begun: {', '.join(added)}")
    if left:
        notices.append(f"No longer part of the study, so kept but not on the page: {', '.join(left)}")
    return notices


def _refuse_changed(folder: StudyFolder, jobs: Sequence[Job]) -> None:
    changed: dict[str, list[str]] = {}
    for job in jobs:
        # the configuration itself, since that of the run folder has numbers for percentiles
        plan = folder.plan(job.run.name, job.command)
        try:
            differing = configuration_differences(plan, job.config, DECIDING[job.command])
        except PhfError as error:
            raise OutputError(
                f"{error} So it is not known whether the runs of {folder.path} are still those of the study."
            ) from error
        if differing:
            output = folder.output(job.run.name, job.command).relative_to(folder.path)
            changed.setdefault(differing, []).append(str(output))
    if changed:
        lines = [f"{', '.join(names)}: {differing}" for differing, names in changed.items()]
        raise OutputError(
            f"{folder.path} was begun with other settings, and these were made with them (theirs -> the study's now):\n  "
            + "\n  ".join(lines)
            + "\nUndo the change, choose another folder with --output-dir, or delete these folders in it to make them "
            "again; the others are kept."
        )


def _refuse_other_models(folder: StudyFolder, jobs: Sequence[Job]) -> None:
    """Raises `OutputError` where something was measured on a model that the run does not have any more."""
    if not jobs:
        return
    from phf.models.model_folder import model_hashes

    models = {
        name: model_hashes(folder.run(name) / MODEL) if folder.is_finished(name) else None
        for name in dict.fromkeys(job.run.name for job in jobs)
    }
    if others := [job for job in jobs if measured_model(job, folder) != models[job.run.name]]:
        outputs = ", ".join(str(folder.output(job.run.name, job.command)) for job in others)
        raise OutputError(
            f"The models of these runs are not those that were measured: {', '.join(job.run.name for job in others)}. "
            f"Delete what was measured before, and it is measured again: {outputs}"
        )
