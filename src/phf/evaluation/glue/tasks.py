"""The tasks of GLUE (Wang et al. 2019, arXiv 1804.07461): columns, data and standard metrics."""

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phf.corpus.formats.jsonlines import read_json_lines
from phf.errors import CorpusError, MissingExtraError

HUB_DATASET = "nyu-mll/glue"
Examples = list[dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """One task; with `num_labels` 1 its labels are numbers to be predicted, otherwise classes 0, 1, ..."""

    columns: tuple[str, ...]
    metrics: tuple[str, ...] = ("accuracy",)
    num_labels: int = 2
    dev_splits: tuple[str, ...] = ("validation",)


TASKS = {
    "cola": Task(("sentence",), ("matthews",)),
    "sst2": Task(("sentence",)),
    "mrpc": Task(("sentence1", "sentence2"), ("accuracy", "f1")),
    "qqp": Task(("question1", "question2"), ("accuracy", "f1")),
    "stsb": Task(("sentence1", "sentence2"), ("pearson", "spearman"), num_labels=1),
    "mnli": Task(("premise", "hypothesis"), num_labels=3, dev_splits=("validation_matched", "validation_mismatched")),
    "qnli": Task(("question", "sentence")),
    "rte": Task(("sentence1", "sentence2")),
    "wnli": Task(("sentence1", "sentence2")),
}


def check_glue(names: Iterable[str]) -> None:
    """Raises `MissingExtraError` if a metric of these tasks needs a library that is not installed."""
    needed = {metric for name in names for metric in TASKS[name].metrics}
    if not needed.isdisjoint(OF_SKLEARN) and importlib.util.find_spec("sklearn") is None:
        raise MissingExtraError("GLUE", "scikit-learn", "eval")


def load_task(name: str, data_dir: str | None) -> dict[str, Examples]:
    """Split -> examples with the task's columns and `label`, from `data_dir` or the Hub.

    Raises `CorpusError` naming file and line of an example that does not belong there.
    """
    task = TASKS[name]
    examples = {}
    for split in ("train", *task.dev_splits):
        rows = _read_hub(name, split) if data_dir is None else _read_file(Path(data_dir) / name / f"{split}.jsonl")
        examples[split] = [_checked(row, task, where) for where, row in rows]
        if not examples[split]:
            raise CorpusError(f"glue: {split} of '{name}' has no examples.")
    return examples


def measure(task: Task, predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The task's metrics of [examples] predicted classes (or numbers) and their labels; higher is better.

    A correlation with predictions that are all the same is undefined and counts as 0.
    """
    return {metric: METRICS[metric](predictions, labels) for metric in task.metrics}


def _accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(predictions == labels))


def _f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    return float(_library("sklearn.metrics").f1_score(labels, predictions, zero_division=0))


def _matthews(predictions: np.ndarray, labels: np.ndarray) -> float:
    return float(_library("sklearn.metrics").matthews_corrcoef(labels, predictions))


def _pearson(predictions: np.ndarray, labels: np.ndarray) -> float:
    return _correlation(_library("scipy.stats").pearsonr, predictions, labels)


def _spearman(predictions: np.ndarray, labels: np.ndarray) -> float:
    return _correlation(_library("scipy.stats").spearmanr, predictions, labels)


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "matthews": _matthews,
    "pearson": _pearson,
    "spearman": _spearman,
}
OF_SKLEARN = ("f1", "matthews")


def _correlation(correlate: Callable[..., Any], predictions: np.ndarray, labels: np.ndarray) -> float:
    if np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        return 0.0
    return float(correlate(predictions, labels).statistic)


def _library(name: str) -> Any:
    try:
        if name == "scipy.stats":
            import scipy.stats as library
        else:
            import sklearn.metrics as library
    except ModuleNotFoundError as error:
        raise MissingExtraError("GLUE", "scikit-learn" if "sklearn" in name else "scipy", "eval") from error
    return library


def _read_file(path: Path) -> list[tuple[str, dict[str, Any]]]:
    if not path.is_file():
        raise CorpusError(f"glue.data_dir: there is no file {path}.")
    return [(f"{path}, line {number + 1}", row) for number, row in read_json_lines(path)]


def _read_hub(name: str, split: str) -> list[tuple[str, dict[str, Any]]]:
    import datasets

    try:
        rows = list(datasets.load_dataset(HUB_DATASET, name, split=split))
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        first = next(iter(str(error).splitlines()), "no details")
        raise CorpusError(
            f"glue: {HUB_DATASET} cannot be loaded ({type(error).__name__}: {first}). Check the network, or set "
            "glue.data_dir to a folder of <task>/train.jsonl and <task>/validation.jsonl."
        ) from error
    return [(f"{HUB_DATASET}, {name}, {split}, row {number}", row) for number, row in enumerate(rows)]


def _checked(row: dict[str, Any], task: Task, where: str) -> dict[str, Any]:
    for column in task.columns:
        if not isinstance(row.get(column), str):
            raise CorpusError(f"{where}: '{column}' must be text; the columns are {sorted(row)}.")
    label = row.get("label")
    if task.num_labels == 1:
        is_valid = isinstance(label, (int, float)) and np.isfinite(label)
    else:
        is_valid = isinstance(label, int) and 0 <= label < task.num_labels
    if not is_valid:
        expected = "a number" if task.num_labels == 1 else f"a class from 0 to {task.num_labels - 1}"
        raise CorpusError(f"{where}: 'label' is {label!r}; it must be {expected}.")
    return {**{column: row[column] for column in task.columns}, "label": label}
