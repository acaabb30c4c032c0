"""The part of a model card about what was measured."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from phf.errors import ConfigError
from phf.models.model_folder import model_hashes
from phf.runs.layout import EVALUATION
from phf.runs.reader import Run, read_run
from phf.storage.reading import read_json_as
from phf.storage.shapes import EvaluationFile
from phf.text import code_span, table_row

PARTS = ("generation/", "eval/", "kl/", "downstream/", "glue/")
BOUNDS = ("_low", "_high")
LEFT_OUT = (*BOUNDS, "_per_second")
WEIGHTS = (".safetensors", ".bin", ".pt")


def result_lines(run: Path | None, evaluations: Sequence[Path], origin: Path) -> Sequence[str]:
    """Tables of the last numbers of the run and of each evaluation, with their 95% intervals.

    Raises `ConfigError` for an evaluation of another model than `origin`, `CorpusError` for a damaged one.
    """
    check_evaluations(evaluations, origin)
    tables = [] if run is None else [("Measured while training", read_run(run))]
    tables += [("Measured by `phf evaluate`", read_run(folder)) for folder in evaluations]
    lines: list[str] = []
    for title, measured in tables:
        rows = list(_rows(measured))
        if rows:
            last = max(line["step"] for line in measured.metrics if any(key.startswith(PARTS) for key in line))
            lines += [
                *([""] if lines else []),
                f"{title}, last at step {last:,}:",
                "",
                "| | value | 95% interval |",
                "|---|---|---|",
                *rows,
            ]
        if measured.problem is not None:
            lines += ["", f"The run {code_span(measured.problem)}."]
    return lines or ["It was not evaluated."]


def _rows(measured: Run) -> Iterator[str]:
    values = {key: value for part in PARTS for key, value in measured.last_values(part).items()}
    for key, value in values.items():
        if key.endswith(LEFT_OUT):
            continue
        low, high = (values.get(f"{key}{bound}") for bound in BOUNDS)
        interval = "" if low is None or high is None else f"{_number(low)} to {_number(high)}"
        yield table_row([code_span(key), _number(value), interval])


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def check_evaluations(folders: Sequence[Path], model: Path) -> None:
    """Raises `ConfigError` for a folder that holds no evaluation of `model`."""
    ours = _weights(model_hashes(model)) if folders else {}
    for folder in folders:
        job = _job(folder)
        if ours != _weights(job.get("model") or {}):
            raise ConfigError(
                f"{folder} has results of another model than {model}. Evaluate this one: phf evaluate {model}"
            )


def _weights(hashes: Mapping[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in hashes.items() if name.endswith(WEIGHTS)}


def _job(folder: Path) -> Mapping[str, Any]:
    path = folder / EVALUATION
    if not path.is_file():
        raise ConfigError(
            f"{folder} is not an evaluation: it has no {EVALUATION}. Give a folder that phf evaluate wrote."
        )
    results: Mapping[str, Any] = read_json_as(EvaluationFile, path, ConfigError, "Evaluate the model again.")
    return results.get("job") or {}
