"""What is done once for all runs of a study: they are validated, and their data is annotated, tokenized and encoded."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from phf.errors import PhfError
from phf.storage.hashing import hash64
from phf.study.folder import StudyFolder
from phf.study.plan import Arm, StudyRun
from phf.tokens.prepare import annotated_sources

TOKENIZERS = "tokenizers"
"""Folder of the tokenizers that are trained for the study, from which each run has its copy."""


def validate(runs: Sequence[StudyRun], folder: StudyFolder, announce: Callable[[str], None]) -> None:
    """Raises an error of the first arm that `phf train --dry-run` would refuse; seeds do not differ in that."""
    from phf.training.plan import plan_run

    warnings: dict[str, None] = {}
    first: dict[Arm, StudyRun] = {}
    for run in runs:
        first.setdefault(run.arm, run)
    for run in first.values():
        try:
            plan = plan_run(run.config, folder.run(run.name))
        except PhfError as error:
            error.args = (f"{run.name}: {error}",)
            raise
        warnings |= dict.fromkeys(plan.warnings)
    for warning in warnings:
        announce(warning)


def prepare(
    runs: Sequence[StudyRun],
    folder: StudyFolder,
    announce: Callable[[str], None],
    progress: Callable[[str], None] = lambda what: None,
) -> None:
    """Annotate and encode the data of the unfinished runs with all cores, before they share them.

    A tokenizer that is trained on the corpus is trained once, and copied to where each run looks for its own.
    """
    unfinished = [run for run in runs if not folder.is_finished(run.name)]
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
    for key, members in by_data.items():
        config = members[0].config
        is_trained = config.tokenizer.train_from_corpus is not None
        trained = folder.path / TOKENIZERS / f"{hash64('tokenizer', key):016x}" if is_trained else None
        if config.dataset.streaming and trained is None:
            annotated_sources(config, config.dataset.datasets, announce)
        else:
            _encode(members[0], trained, announce, progress)
        if trained is not None:
            for run in members:
                _copy(trained, folder.run(run.name) / "tokenizer")


def _encode(
    run: StudyRun, tokenizer: Path | None, announce: Callable[[str], None], progress: Callable[[str], None]
) -> None:
    from phf.training.data import prepare_data, resolve_percentiles

    if tokenizer is not None:
        tokenizer.parent.mkdir(parents=True, exist_ok=True)
    config, _ = resolve_percentiles(run.config, lambda message: None)
    prepare_data(config, announce, tokenizer, progress)


def _copy(tokenizer: Path, target: Path) -> None:
    """A copy that is complete or absent; a run that has a tokenizer keeps it."""
    if target.exists():
        return
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(tokenizer, partial)
    partial.rename(target)
