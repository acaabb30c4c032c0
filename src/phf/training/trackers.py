"""Additional data for experiment trackers, besides what Trainer sends: evaluations, samples as tables, the configuration.

The trackers are transformers' own callbacks, named in `training.report_to`. Numbers go through `Trainer.log`, whose names
have no slash: a tracker shows `eval_loss` as `eval/loss` and `lm_loss` as `train/lm_loss`.
"""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from transformers import Trainer, TrainerCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from phf.runs.reader import read_samples

MAX_ROWS = 100
"""Of a table of samples."""
COLUMNS = ("step", "prompt", "continuation", "score")
SECRET = re.compile(r"(^|_)(token|secret|password|passwd|key|credentials?)$", re.IGNORECASE)
"""Keys whose text is not sent."""
HIDDEN = "(not sent)"


class Trackers(TrainerCallback):
    """Sends to the trackers of a Trainer; does nothing if it has none. Comes after them in its callbacks.

    Args:
        configuration: the resolved configuration as YAML. Secrets are left out of what is sent.
        run_dir: the run folder, from which the samples are read.
    """

    def __init__(self, trainer: Trainer, configuration: str, run_dir: Path) -> None:
        kinds = tuple(INTEGRATION_TO_CALLBACK.values())
        self._trainer = trainer
        self._callbacks = [callback for callback in trainer.callback_handler.callbacks if isinstance(callback, kinds)]
        self._configuration = without_secrets(yaml.safe_load(configuration))
        self._run_dir = run_dir

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            for callback in self._callbacks:
                _send_configuration(callback, self._configuration)

    def evaluation(self, step: int, numbers: dict[str, float]) -> None:
        """Send the numbers of an evaluation, named as in metrics.jsonl, and the samples that it drew."""
        if not self._callbacks:
            return
        self._trainer.log({tracker_name(key): value for key, value in numbers.items()})
        scenarios = {key.split("/")[1] for key in numbers if key.startswith("generation/")}
        for scenario in sorted(scenarios):
            samples = read_samples(self._run_dir, scenario, step, MAX_ROWS)
            rows = [[sample.get(column) for column in COLUMNS] for sample in samples]
            for callback in self._callbacks:
                _send_table(callback, f"samples/{scenario}", step, rows)


def tracker_name(key: str) -> str:
    """`eval/loss` -> `eval_loss`, `generation/x/score` -> `eval_generation/x/score`: what Trainer calls an evaluation."""
    return f"eval_{key.removeprefix('eval/')}"


def without_secrets(value: Any, key: str = "") -> Any:
    """The same with the texts of keys that hold secrets, and passwords in addresses, replaced."""
    if isinstance(value, dict):
        return {name: without_secrets(item, str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item, key) for item in value]
    if not isinstance(value, str):
        return value
    return HIDDEN if SECRET.search(key) else re.sub(r"://[^/@\s]+@", "://", value)


def _send_table(callback: Any, name: str, step: int, rows: list[list[Any]]) -> None:
    for attribute in ("_wandb", "_trackio"):
        library = getattr(callback, attribute, None)
        if library is not None:
            library.log({name: library.Table(columns=list(COLUMNS), data=rows)})
    if getattr(callback, "tb_writer", None) is not None:
        callback.tb_writer.add_text(name, _markdown(rows), step)
    if getattr(callback, "_ml_flow", None) is not None:
        columns = {column: [row[i] for row in rows] for i, column in enumerate(COLUMNS)}
        callback._ml_flow.log_table(data=columns, artifact_file=f"{name}.json")
    if getattr(callback, "_experiment", None) is not None:
        callback._experiment.log_table(f"{name}-{step}.csv", tabular_data=rows, headers=list(COLUMNS))
    if getattr(callback, "_clearml_task", None) is not None:
        callback._clearml_task.get_logger().report_table(name, "samples", step, table_plot=[list(COLUMNS), *rows])


def _send_configuration(callback: Any, configuration: dict[str, Any]) -> None:
    text = yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True)
    for attribute in ("_wandb", "_trackio"):
        library = getattr(callback, attribute, None)
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


def _markdown(rows: list[list[Any]]) -> str:
    """A table; samples may contain anything, so each cell is shown as code on one line."""
    cells = [[f"`{_one_line(value)}`" for value in row] for row in rows]
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _one_line(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False).strip('"')
    return text.replace("`", "'").replace("|", "\\|") or " "
