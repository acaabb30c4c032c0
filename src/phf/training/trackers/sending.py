"""Numbers, samples as tables, and the configuration, in the form that each tracker's library takes.

Weights & Biases, trackio and TensorBoard get numbers under their names in metrics.jsonl. The others get what Trainer logs,
whose names have no slash.
"""

import json
import re
from typing import Any

import yaml

COLUMNS = ("step", "prompt", "continuation", "score")
"""Of a table of samples."""
STEP = "train/global_step"
"""What transformers' callbacks call the step, where a library counts its own."""
SECRET = re.compile(r"(^|_)(token|secret|password|passwd|key|credentials?)$", re.IGNORECASE)
"""Keys whose text is not sent."""
HIDDEN = "(not sent)"


def send_numbers(callback: Any, trainer: Any, step: int, numbers: dict[str, float]) -> None:
    """Send the numbers of an evaluation, named as in metrics.jsonl, to one tracker."""
    library = _library(callback)
    writer = getattr(callback, "tb_writer", None)
    if library is not None:
        library.log({**numbers, STEP: step})
    elif writer is not None:
        for key, value in numbers.items():
            writer.add_scalar(key, value, step)
        writer.flush()
    else:
        logs = {tracker_name(key): value for key, value in numbers.items()}
        callback.on_log(trainer.args, trainer.state, trainer.control, logs=logs)


def tracker_name(key: str) -> str:
    """`eval/loss` -> `eval_loss`, `generation/x/score` -> `eval_generation/x/score`: what Trainer calls an evaluation."""
    return f"eval_{key.removeprefix('eval/')}"


def send_table(callback: Any, name: str, step: int, rows: list[list[Any]]) -> None:
    """Send samples to one tracker, if it has tables or texts."""
    if getattr(callback, "_wandb", None) is not None:
        table = callback._wandb.Table(columns=list(COLUMNS), data=rows)
        callback._wandb.log({name: table, STEP: step})
    if getattr(callback, "_trackio", None) is not None:
        # trackio renders text as Markdown, in which a sample could load images or show links
        cells = [[_as_code(value) if isinstance(value, str) else value for value in row] for row in rows]
        callback._trackio.log({name: callback._trackio.Table(columns=list(COLUMNS), data=cells), STEP: step})
    if getattr(callback, "tb_writer", None) is not None:
        callback.tb_writer.add_text(name, _markdown(rows), step)
    if getattr(callback, "_ml_flow", None) is not None:
        columns = {column: [row[i] for row in rows] for i, column in enumerate(COLUMNS)}
        callback._ml_flow.log_table(data=columns, artifact_file=f"{name}.json")
    if getattr(callback, "_experiment", None) is not None:
        callback._experiment.log_table(f"{name}-{step}.csv", tabular_data=rows, headers=list(COLUMNS))
    if getattr(callback, "_clearml_task", None) is not None:
        callback._clearml_task.get_logger().report_table(name, "samples", step, table_plot=[list(COLUMNS), *rows])


def send_configuration(callback: Any, configuration: dict[str, Any]) -> None:
    """Send the configuration, which has no secrets, to one tracker."""
    text = yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True)
    library = _library(callback)
    if library is not None:
        library.config.update({"phf": configuration}, allow_val_change=True)
    if getattr(callback, "tb_writer", None) is not None:
        callback.tb_writer.add_text("phf", "\n".join(f"    {line}" for line in text.splitlines()))
    if getattr(callback, "_ml_flow", None) is not None:
        callback._ml_flow.log_text(text, "phf.yaml")
    if getattr(callback, "_experiment", None) is not None:
        callback._experiment.log_other("phf", text)
    if getattr(callback, "_clearml_task", None) is not None:
        callback._clearml_task.connect_configuration(configuration, name="phf")


def without_secrets(value: Any, key: str = "") -> Any:
    """The same with the texts of keys that hold secrets, and passwords in addresses, replaced."""
    if isinstance(value, dict):
        return {name: without_secrets(item, str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item, key) for item in value]
    if not isinstance(value, str):
        return value
    return HIDDEN if SECRET.search(key) else re.sub(r"://[^/@\s]+@", "://", value)


def _library(callback: Any) -> Any:
    """The library of a tracker that logs as Weights & Biases does; None for another."""
    return next(filter(None, (getattr(callback, name, None) for name in ("_wandb", "_trackio"))), None)


def _markdown(rows: list[list[Any]]) -> str:
    """A table; samples may contain anything, so each cell is shown as code on one line."""
    cells = [[_as_code(value).replace("|", "\\|") for value in row] for row in rows]
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _as_code(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False).strip('"')
    return f"`{text.replace('`', chr(39)) or ' '}`"
