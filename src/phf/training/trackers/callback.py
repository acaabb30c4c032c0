"""What connects a training run to the experiment trackers in `training.report_to`, which are transformers' own callbacks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from phf.config import Config
from phf.runs.reader import read_samples
from phf.training.trackers.opening import open_runs
from phf.training.trackers.sending import COLUMNS, send_configuration, send_numbers, send_table, without_secrets

MAX_ROWS = 100
"""Of a table of samples."""


class Trackers(TrainerCallback):
    """Sends to the trackers of a Trainer; does nothing if it has none. Comes after them in its callbacks.

    Args:
        config: the resolved configuration. Secrets are left out of what is sent.
        run_dir: the run folder, which keeps the names of the trackers' runs and has the samples.
        announce: called with messages.
    """

    def __init__(self, trainer: Trainer, config: Config, run_dir: Path, announce: Callable[[str], None]) -> None:
        kinds = tuple(INTEGRATION_TO_CALLBACK.values())
        self._trainer = trainer
        self._callbacks = [callback for callback in trainer.callback_handler.callbacks if isinstance(callback, kinds)]
        self._config = config
        self._run_dir = run_dir
        self._announce = announce

    @contextmanager
    def open(self, is_main: bool, step: int | None) -> Iterator[None]:
        """Around training: the trackers' runs, continued if this run is resumed from `step`. Only the main process has any."""
        if not is_main or not self._callbacks:
            yield
            return
        with open_runs(self._callbacks, self._trainer.args, self._config, self._run_dir, step, self._announce):
            yield

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            configuration = without_secrets(self._config.model_dump(mode="json"))
            for callback in self._callbacks:
                send_configuration(callback, configuration)

    def evaluation(self, step: int, numbers: dict[str, float]) -> None:
        """Send the numbers of an evaluation, and the samples that it drew. Called in the main process."""
        for callback in self._callbacks:
            send_numbers(callback, self._trainer, step, numbers)
        scenarios = {key.split("/")[1] for key in numbers if key.startswith("generation/")} if self._callbacks else ()
        for scenario in sorted(scenarios):
            samples = read_samples(self._run_dir, scenario, step, MAX_ROWS)
            rows = [[sample.get(column) for column in COLUMNS] for sample in samples]
            for callback in self._callbacks:
                send_table(callback, f"samples/{scenario}", step, rows)
