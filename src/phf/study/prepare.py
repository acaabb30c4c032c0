"""What is done once for all runs of a study: they are validated, and their data is annotated, tokenized and encoded."""

import filecmp
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from phf.errors import PhfError
from phf.runs.data import CONTENT
from phf.storage.hashing import hash64
from phf.study.agreement import named_data
from phf.study.folder import StudyFolder
from phf.study.jobs import Job, is_trained_in, parts_of
from phf.study.plan import EVALUATE, REDTEAM, TRAIN, Arm, StudyRun
from phf.tokens.prepare import annotated_sources

TOKENIZERS = "tokenizers"
"""Folder of the tokenizers that are trained for the study, from which each run has its copy."""


def validate(jobs: Sequence[Job], folder: StudyFolder, announce: Callable[[str], None]) -> None:
    """Raises an error of the first job that its command would refuse before it begins; seeds do not differ in that."""
    warnings: dict[str, None] = {}
    first: dict[tuple[Arm, str], Job] = {}
    for job in jobs:
        first.setdefault((job.run.arm, job.command), job)
    for job in first.values():
        try:
            warnings |= dict.fromkeys(_validate(job, folder))
        except PhfError as error:
            error.args = (f"{job.name}: {error}",)
            raise
    for warning in warnings:
        announce(warning)


def _validate(job: Job, folder: StudyFolder) -> Sequence[str]:
    """The warnings of one job."""
    if job.command == TRAIN:
        from phf.training.plan import plan_run

        return plan_run(job.config, folder.run(job.run.name)).warnings
    if job.command == EVALUATE:
        from phf.evaluation.run import chosen_parts

        chosen_parts(parts_of(job), (), False, job.config)
        return ()
    from phf.redteam.folder import configured
    from phf.redteam.search import well_formed_prompts
    from phf.redteam.target import check_sampling

    settings = configured(job.config)
    well_formed_prompts(settings)
    check_sampling(settings)
    return ()


def ask_red_lms(jobs: Sequence[Job]) -> None:
    """Ask each server of a red LM once. Raises `ServerError` for one that does not answer: its turn is after training."""
    from phf.redteam.folder import configured
    from phf.redteam.red_lm import build_red_lm
    from phf.redteam.search import check_red_lm, well_formed_prompts
    from phf.redteam.server_lm import ServerRedLM
    from phf.registry.names import RED_LMS

    asked: list[Any] = []
    for job in jobs:
        if job.command != REDTEAM:
            continue
        settings = configured(job.config)
        red_lm = RED_LMS.resolve(str(settings.red_lm.get("class_name")))
        request = settings.model_copy(update={"seed": 0})
        # a local red LM would take memory of the GPU that the runs are trained on
        if request in asked or not (isinstance(red_lm, type) and issubclass(red_lm, ServerRedLM)):
            continue
        asked.append(request)
        try:
            check_red_lm(settings, build_red_lm(settings.red_lm, settings.template), well_formed_prompts(settings))
        except PhfError as error:
            error.args = (
                f"{job.name}: {error} The study would ask it when its runs are trained. Or leave `redteam` out: what is "
                "trained is kept when it is added.",
            )
            raise


def prepare(
    runs: Sequence[StudyRun],
    folder: StudyFolder,
    announce: Callable[[str], None],
    progress: Callable[[str], None] = lambda what: None,
) -> dict[str, list[dict[str, Any]]]:
    """Annotate and encode the data of the unfinished runs with all cores, before they share them.

    Returns what the data is, as a run records it (`dataset` of its provenance), by the name of a run that reads it.

    A tokenizer that is trained on the corpus is trained once, and copied to where each run looks for its own. A run that
    continues another one's model has its tokenizer, too, and its data.
    """
    unfinished = [run for run in runs if run.starts_from is None and not folder.is_finished(run.name)]
    by_data: dict[str, list[StudyRun]] = {}
    for run in unfinished:
        config = run.config
        parts = (config.dataset.datasets, config.dataset.scores_column, config.dataset.segment)
        scorer, tokenizer = config.generation.scorer_config, config.tokenizer.model_dump()
        tokenization = (config.dataset.tokenization, config.dataset.streaming, config.dataset.eval_datasets)
        key = json.dumps(
            [parts, scorer, tokenizer, config.model.path_or_name, tokenization], sort_keys=True, default=str
        )
        by_data.setdefault(key, []).append(run)
    described = {}
    for key, members in by_data.items():
        config = members[0].config
        data = described[members[0].name] = _described(annotated_sources(config, config.dataset.datasets, announce))
        is_trained = config.tokenizer.train_from_corpus is not None
        # of this data: there may be one of a corpus that has been changed since
        name = f"{hash64('tokenizer', key, json.dumps([source.get(CONTENT) for source in data])):016x}"
        trained = folder.path / TOKENIZERS / name if is_trained else None
        if not config.dataset.streaming or trained is not None:
            _encode(members[0], trained, announce, progress)
        if trained is not None:
            for run in members:
                _copy(trained, folder.run(run.name))
    seen = {named_data(run.config) for run in unfinished}
    for run in runs:  # those that continue a model that was trained before
        if not folder.is_finished(run.name) and named_data(run.config) not in seen:
            seen.add(named_data(run.config))
            sources = annotated_sources(run.config, run.config.dataset.datasets, announce)
            described[run.name] = _described(sources)
    return described


def _described(sources: Sequence[str]) -> list[dict[str, Any]]:
    from phf.training.sources import describe_sources

    return describe_sources(sources)


def _encode(
    run: StudyRun, tokenizer: Path | None, announce: Callable[[str], None], progress: Callable[[str], None]
) -> None:
    from phf.training.data import prepare_data, resolve_percentiles

    if tokenizer is not None:
        tokenizer.parent.mkdir(parents=True, exist_ok=True)
    config, _ = resolve_percentiles(run.config, lambda message: None)
    prepare_data(config, announce, tokenizer, progress)


def _copy(tokenizer: Path, run_dir: Path) -> None:
    """A copy that is complete or absent; a run that has begun keeps its tokenizer."""
    target = run_dir / "tokenizer"
    if target.exists() and (is_trained_in(run_dir) or _is_copy(tokenizer, target)):
        return
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(tokenizer, partial)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def _is_copy(tokenizer: Path, target: Path) -> bool:
    names = [path.name for path in tokenizer.iterdir()]
    same, _, _ = filecmp.cmpfiles(tokenizer, target, names, shallow=False)
    return len(same) == len(names)
