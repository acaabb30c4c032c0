"""The model of a run for others: its card, and `training.push_to_hub`, which uploads it and its checkpoints."""

import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_utils import HubStrategy

from phf.config import Config
from phf.errors import PhfError
from phf.models import ObjectiveLM
from phf.models.exporting.card import CardFacts, write_card
from phf.models.exporting.upload import ModelRepository, tokens_tag
from phf.runs.layout import MODEL
from phf.training.meter import Meter
from phf.training.settings.keys import check_keys
from phf.training.uploads import Uploads
from phf.training.whole import WholeModel

KEY = "training.push_to_hub"
UPLOADING = "uploading"
"""Folder in a run folder for checkpoints that are being uploaded."""


class Sharing(TrainerCallback):
    """Uploads the checkpoints of a run while it trains, and its model when it ends. What fails is reported: the run continues.

    All processes have one and call it; the main one does the work.

    Attributes:
        whole, meter, tokens_seen, export: those of the run, to be set before it trains. `export` writes a module into a folder.
    """

    whole: WholeModel
    meter: Meter
    tokens_seen: Callable[[int], int]
    export: Callable[[ObjectiveLM, Path], None]

    def __init__(self, config: Config, run_dir: Path, announce: Callable[[str], None]) -> None:
        keys, _ = check_keys(config.training)
        self._run_dir, self._announce = run_dir, announce
        self._is_wanted = bool(keys.get("push_to_hub"))
        self._strategy = HubStrategy(keys.get("hub_strategy", HubStrategy.EVERY_SAVE))
        self._name = keys.get("hub_model_id") or run_dir.name
        self._is_private = keys.get("hub_private_repo") is not False
        self._uploads: Uploads | None = None

    def connect(self) -> None:
        """Open the repository, before anything expensive begins. Without token or network, a line says what is not uploaded."""
        if not self._is_wanted:
            return
        again = self._again
        shutil.rmtree(self._run_dir / UPLOADING, ignore_errors=True)  # left by a run that was ended
        try:
            repository = ModelRepository(self._name, self._is_private, KEY, again)
        except PhfError as error:
            self._announce(f"Nothing will be uploaded. {error}" + ("" if again in str(error) else f" {again}"))
            return
        self._uploads = Uploads(repository, self._announce)
        self._announce(f"Uploading to {repository.url}")

    @property
    def _again(self) -> str:
        name = self._name if self._uploads is None else self._uploads.repository.repo_id
        return (
            f"The run does not depend on it; upload its model afterwards: phf export {shlex.quote(str(self._run_dir))} FOLDER "
            f"--push-to-hub {name}"
        )

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step = state.global_step
        is_last = step >= state.max_steps  # then the model itself follows
        if not self._is_wanted or self._strategy == HubStrategy.END or is_last:
            return
        start = time.perf_counter()
        with self.whole.shared() as (module, _):
            if module is not None and self._uploads is not None:
                self._add(module, step, self._uploads)
        self.meter.pause(time.perf_counter() - start)

    def _add(self, module: ObjectiveLM, step: int, uploads: Uploads) -> None:
        has_tags = self._strategy == HubStrategy.ALL_CHECKPOINTS
        if uploads.is_busy and not has_tags:
            return  # a later one replaces it
        tag = tokens_tag(self.tokens_seen(step))
        folder = self._run_dir / UPLOADING / tag
        before = module.lm.generation_config  # of samples to come: the export's bans control tokens
        try:
            self.export(module, folder)
            note = f"A checkpoint of a run that has not ended: {tag}."
            write_card(folder, CardFacts(uploads.repository.repo_id, note=note), self._run_dir / MODEL)
        except (PhfError, OSError) as error:
            self._announce(f"{tag} is not uploaded: {error}")
            return
        finally:
            module.lm.generation_config = before
        uploads.add(folder, f"Step {step:,}: {tag}", tag if has_tags else None, is_temporary=True)

    def finish(self, step: int, progress: Callable[[str], None]) -> None:
        """Write the card of the exported model, and upload it. Called in the main process."""
        uploads, model = self._uploads, self._run_dir / MODEL
        try:
            write_card(model, CardFacts(self._run_dir.name if uploads is None else uploads.repository.repo_id))
        except (PhfError, OSError) as error:
            self._announce(f"The model card could not be written: {error}")
        if uploads is None:
            return
        progress("uploading to the Hub")
        tag = tokens_tag(self.tokens_seen(step))
        uploads.add(model, f"The model after training: {tag}", tag, is_temporary=False)
        is_there = uploads.finish()
        self._announce(f"The model is at {uploads.repository.url}" if is_there else f"Not uploaded. {self._again}")
        shutil.rmtree(self._run_dir / UPLOADING, ignore_errors=True)
