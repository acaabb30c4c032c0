"""Capability on the tasks of lm-evaluation-harness (Gao et al., github.com/EleutherAI/lm-evaluation-harness)."""

import difflib
import importlib.util
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from phf.config import DownstreamConfig
from phf.errors import ConfigError, CorpusError, MissingExtraError
from phf.evaluation.downstream.task_files import task_files_as_data
from phf.evaluation.seeding import seeded
from phf.sampling.finite import finite_logits
from phf.sampling.generate import evaluation_mode
from phf.statistics import bootstrap, mean_interval

LOADING_ERRORS = (OSError, ValueError, KeyError, AttributeError, ImportError, datasets.exceptions.DatasetsError)
"""Raised by the harness for task files and data that it cannot use."""
RESAMPLES = 1000
"""Bootstrap resamples for a metric that is not a mean over documents."""
SLOW_METRICS = {"bleu": 100, "chrf": 100, "chrfpp": 100, "ter": 100}
"""Resamples for metrics that are slow on a whole corpus; the same number as in the harness."""


def check_downstream() -> None:
    """Raises `MissingExtraError` without the harness."""
    if importlib.util.find_spec("lm_eval") is None:
        raise MissingExtraError("Downstream evaluation", "lm_eval", "eval")


def run_downstream(
    model: Any,
    tokenizer: Any,
    section: DownstreamConfig,
    *,
    prefix_ids: Sequence[int],
    banned_token_ids: Sequence[int] | None = None,
) -> dict[str, float]:
    """`downstream/<task>/<metric>` of each task, and of each group its mean.

    With each metric come `_stderr` (standard error over documents) and `_low`, `_high` (95% interval over
    documents), with each task `num_samples` (documents). Numbers are the same in one process and in several, each of
    which holds the whole model and gets all numbers; only what a task samples at random differs.

    Args:
        prefix_ids: EOS and control token, in front of every text; empty: what the tokenizer itself puts there.
        banned_token_ids: never generated. None: the control tokens, if one is in the prefix.

    Raises `ConfigError` for unknown tasks and for tasks that execute code unless `allow_code_execution` is set,
    `CorpusError` for data that is not available.
    """
    try:
        from jinja2 import TemplateError
        from lm_eval.evaluator import evaluate

        from phf.evaluation.downstream.harness import HarnessLM
    except ModuleNotFoundError as error:
        raise MissingExtraError("Downstream evaluation", "lm_eval", "eval") from error
    with _undisturbed(section.allow_code_execution), seeded(section.seed), evaluation_mode(model), finite_logits(model):
        lm = HarnessLM(model, tokenizer, section.batch_size, prefix_ids, banned_token_ids)
        try:
            loaded = load_tasks(section)
            results = evaluate(
                lm=lm,
                task_dict=loaded,
                limit=section.limit,
                bootstrap_iters=0,  # intervals come from the documents, below
                log_samples=True,
                confirm_run_unsafe_code=section.allow_code_execution,
            )
        except (TemplateError, KeyError) as error:
            raise CorpusError(
                f"downstream.tasks {', '.join(section.tasks)}: a document does not fit its task's templates: "
                f"{error}. Repair the document or the task file."
            ) from error
    logs: dict[str, float] = {}
    for name, task in loaded["tasks"].items():
        logs |= {f"downstream/{name}/{key}": value for key, value in _task_numbers(task, results["samples"][name])}
    for name in loaded["groups"]:
        values = {key: value for key, value in results["results"][name].items() if "_stderr," not in key}
        logs |= {
            f"downstream/{name}/{key.removesuffix(',none').replace(',', '@')}": float(value)
            for key, value in values.items()
            if "," in key and isinstance(value, (int, float))
        }
    return logs


def load_tasks(section: DownstreamConfig) -> Any:
    """The harness's own dictionary of tasks and groups. Tasks of `include_path` come before those it ships.

    Raises `ConfigError` for unknown names and for tasks that execute code without permission.
    """
    from jinja2.exceptions import SecurityError
    from lm_eval.tasks import TaskManager

    if section.include_path is not None and not Path(section.include_path).is_dir():
        raise ConfigError(f"downstream.include_path: there is no folder {section.include_path}.")
    if section.include_path is None:
        manager = _shipped_tasks()
    else:  # its own tasks often suffice
        manager = TaskManager(include_path=section.include_path, include_defaults=False)
    names = [name for name in section.tasks if not Path(name).is_file()]
    own, needed = manager.all_tasks, _with_members(manager.task_index, names)
    if section.include_path is not None and not needed <= set(own):
        manager = TaskManager(include_path=section.include_path)
        needed = _with_members(manager.task_index, names)
    for name in names:
        if name not in manager.task_index:
            raise ConfigError(_unknown_task(name, manager.all_tasks, own, section.include_path))
    if not section.allow_code_execution:
        for name in sorted(needed & set(manager.task_index)):
            _check_safe(name, (manager.task_index[name].cfg or {}).get("unsafe_code"))
    try:
        with nullcontext() if section.allow_code_execution else task_files_as_data():
            loaded = manager.load(section.tasks)
    except ConfigError:
        raise
    except (*LOADING_ERRORS, SecurityError) as error:
        first = next(iter(str(error).splitlines()), "no details")
        raise CorpusError(
            f"downstream.tasks {', '.join(section.tasks)}: cannot be loaded ({type(error).__name__}: {first}). "
            "Check the task file, its data files (relative to the working directory) and, for a task of the Hub, "
            "the network."
        ) from error
    for name, task in loaded["tasks"].items():
        if not section.allow_code_execution:
            _check_safe(name, getattr(task, "UNSAFE_CODE", False))
        fixed = task.get_config("num_fewshot")
        if fixed is None or (section.num_fewshot is not None and fixed != 0):
            task.set_config("num_fewshot", section.num_fewshot or 0)
        task.set_fewshot_seed(section.seed)
    return loaded


@cache
def _shipped_tasks() -> Any:
    """The tasks that the harness ships, for which it reads thousands of files: several models share the index."""
    from lm_eval.tasks import TaskManager

    return TaskManager()


def _with_members(index: dict[str, Any], names: Sequence[str]) -> set[str]:
    """The names, and those of all tasks in the groups and tags among them, known or not."""
    reached: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        entry = index.get(name)
        if entry is None:
            continue
        if entry.kind.name == "TAG":
            waiting += entry.tags
        elif entry.kind.name == "GROUP":
            members = [member if isinstance(member, str) else member.get("task") for member in entry.cfg["task"]]
            waiting += [member for member in members if isinstance(member, str)]
    return reached


def _unknown_task(name: str, known: Sequence[str], own: Sequence[str], include_path: str | None) -> str:
    """Nearest names only: the harness ships thousands."""
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(n) for n in nearest)}?" if nearest else ""
    where = f" The task files that can be read in {include_path} define: {', '.join(own)}." if include_path else ""
    return f"downstream.tasks: there is no task, group or tag called '{name}'.{hint}{where}"


def _check_safe(name: str, executes_code: object) -> None:
    if executes_code:
        raise ConfigError(
            f"downstream.tasks: '{name}' runs programs that the model wrote. Set downstream.allow_code_execution: true "
            "to allow it, on a machine where they can do no harm."
        )


@contextmanager
def _undisturbed(allow_code_execution: bool) -> Iterator[None]:
    """The harness without warnings meant for its command line, without sending usage data to the Hub, and with
    the permission to run code that `evaluate` reads from the environment."""
    logger, leave = logging.getLogger("lm_eval"), "HF_ALLOW_CODE_EVAL"
    level, before = logger.level, os.environ.get(leave)
    counts = datasets.config.HF_UPDATE_DOWNLOAD_COUNTS
    logger.setLevel(logging.ERROR)
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    if allow_code_execution:
        os.environ[leave] = "1"
    try:
        yield
    finally:
        logger.setLevel(level)
        datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = counts
        if before is None:
            os.environ.pop(leave, None)
        else:
            os.environ[leave] = before


def _task_numbers(task: Any, samples: list[dict[str, Any]]) -> Iterator[tuple[str, float]]:
    from lm_eval.api.metrics import mean

    values: dict[tuple[str, str], list[Any]] = {}
    for sample in samples:
        for metric in sample["metrics"]:
            values.setdefault((metric, sample["filter"]), []).append(sample[metric])
    has_filters = len({which for _, which in values}) > 1
    for (metric, which), of_documents in values.items():
        aggregate = task.aggregation().get(metric, mean)
        value = aggregate(of_documents)
        if not isinstance(value, (int, float, np.number)):
            continue
        key = f"{metric}@{which}" if has_filters else metric
        stderr, low, high = _uncertainty(of_documents, aggregate, aggregate is mean)
        yield key, float(value)
        yield f"{key}_stderr", stderr
        yield f"{key}_low", low
        yield f"{key}_high", high
    yield "num_samples", len({sample["doc_id"] for sample in samples})


def _uncertainty(
    values: list[Any], aggregate: Callable[[list[Any]], float], is_mean: bool
) -> tuple[float, float, float]:
    """(standard error, low, high) over documents; unknown for one document."""
    if len(values) < 2:
        return float("nan"), float("nan"), float("nan")
    if is_mean:
        _, low, high = mean_interval(values)
        return float(np.std(values, ddof=1) / np.sqrt(len(values))), low, high
    num_resamples = SLOW_METRICS.get(getattr(aggregate, "__name__", ""), RESAMPLES)
    error, (_, low, high) = bootstrap(values, aggregate, num_resamples)
    return error, low, high
