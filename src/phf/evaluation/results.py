"""evaluation.json: the finished parts of an evaluation, with their model and settings."""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from phf.config import Config
from phf.config.differences import differences
from phf.config.meaning import configuration_differences
from phf.errors import ConfigError, OutputError
from phf.runs.layout import CONFIG, EVALUATION, METRICS
from phf.runs.writer import RunWriter, write_json
from phf.storage.plain_yaml import read_yaml
from phf.storage.reading import read_json_as
from phf.storage.shapes import EvaluationFile

SECTIONS = ("dataset", "generation", "kl_gpt3_callback", "downstream", "glue")
"""Sections of the configuration that affect the numbers, besides the seed."""
ELSEWHERE = "Choose another folder with --output."


class Results:
    """The contents of a folder with one model's results.

    Args:
        folder: where they are kept.
        model: file of the model -> its hash.
        task: the configuration that they are measured with.
        threshold: the score above which a segment is misaligned.
    """

    def __init__(self, folder: Path, model: Mapping[str, str], task: Config, threshold: float) -> None:
        self.folder, self.task = folder, task
        self._job = {"model": dict(model), "threshold": threshold, "seed": task.training.seed}

    def read(self) -> dict[str, dict[str, float | None]]:
        """Part -> its numbers, for the finished parts.

        Raises `OutputError`, with the keys that differ, for results of another model or with settings that mean something
        else; they may have been written by an older version.
        """
        path = self.folder / EVALUATION
        if not path.is_file():
            if (self.folder / METRICS).exists():
                raise OutputError(f"{self.folder} already contains a run. {ELSEWHERE}")
            return {}
        advice = "Delete the folder, or choose another with --output."
        values = read_json_as(EvaluationFile, path, OutputError, advice, finite=True)
        differing = self._differing(values)
        if differing:
            raise OutputError(
                f"{self.folder} holds results of another model or other settings: {differing} (those results' -> this "
                f"command's). {ELSEWHERE}"
            )
        return values["parts"]

    def write(self, facts: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
        """Write the finished parts; `facts`: additional information for people."""
        if not parts or not (self.folder / CONFIG).is_file():
            RunWriter(self.folder).write_config(self.task)  # first: results are compared by it
        write_json(self.folder / EVALUATION, {**facts, "job": self._job, "parts": parts})

    def _differing(self, values: Mapping[str, Any]) -> str:
        path = self.folder / CONFIG
        if "job" not in values:
            if not path.is_file():
                return (
                    ""
                    if values.get("identity") in set(self._older_identities())
                    else "an older version kept only a hash of them"
                )
            if values.get("identity") != self._older_identity_of(path):
                return "model or threshold"
            before = {**self._job, "seed": _seed(read_yaml(path, OutputError, ELSEWHERE))}
        else:
            before = values["job"]
        try:
            keys = [differences(before, self._job), configuration_differences(path, self.task, SECTIONS)]
        except ConfigError as error:
            return f"{error}"
        return "; ".join(filter(None, keys))

    def _older_identity(self, settings: Mapping[str, Any], seed: Any) -> str:
        """What version 0.1 kept instead of model and settings."""
        parts = [1, self._job["model"], dict(settings), seed, self._job["threshold"]]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    def _older_identity_of(self, path: Path) -> str:
        """The `_older_identity` of the model with the settings in a file that version 0.1 wrote."""
        values = read_yaml(path, OutputError, ELSEWHERE)
        settings = {key: value for key, value in values.items() if key in SECTIONS} if isinstance(values, dict) else {}
        return self._older_identity(settings, _seed(values))

    def _older_identities(self) -> Iterator[str]:
        """The identities that the model and these settings may have had: a scenario's numbers were kept as written."""
        is_known = self.task.dataset.model_dump(exclude_defaults=True).keys() <= set(DATASET_KEYS_OF_0_1)
        tagging = self.task.dataset.conditional_training_config
        is_known &= tagging is None or not tagging.model_dump(exclude_defaults=True).keys() & TAGGING_KEYS_SINCE_0_1
        if not is_known or self.task.generation.prefer is not None:
            return  # it had no such setting
        for is_written, is_whole in itertools.product((True, False), repeat=2):
            settings = _as_0_1_saved(self.task, is_written=is_written, is_whole=is_whole)
            yield self._older_identity(settings, self.task.training.seed)


def _seed(values: Any) -> Any:
    training = values.get("training") if isinstance(values, dict) else None
    return training.get("seed") if isinstance(training, dict) else None


DATASET_KEYS_OF_0_1 = (
    "datasets",
    "segment",
    "scores_column",
    "seq_length",
    "tokenization",
    "filter_threshold",
    "conditional_training_config",
    "unscored",
    "skip_tokens",
    "eval_fraction",
    "eval_datasets",
    "max_eval_tokens",
    "max_altered_documents",
    "streaming",
)
TAGGING_KEYS_SINCE_0_1 = {"loss_on_control_tokens", "placement"}
"""Of `dataset.conditional_training_config`."""
RELEASED_OF_0_1 = {
    "is_split_by_sentences": True,
    "concat_token": None,
    "num_of_sequences": 1024,
    "chars_per_token": 3.6,
}


def _as_0_1_saved(config: Config, *, is_written: bool, is_whole: bool) -> dict[str, Any]:
    """The sections as version 0.1 hashed them: with released keys at their defaults, and scenarios as they were written.

    Args:
        is_written: scenarios have the keys that the configuration has; else those that are not at their defaults.
        is_whole: their floats without a fraction were written as integers.
    """
    values = config.model_dump(mode="json", include=set(SECTIONS))
    values["dataset"] = {key: values["dataset"][key] for key in DATASET_KEYS_OF_0_1} | RELEASED_OF_0_1
    if (tagging := values["dataset"]["conditional_training_config"]) is not None:
        kept = {key: value for key, value in tagging.items() if key not in TAGGING_KEYS_SINCE_0_1}
        values["dataset"]["conditional_training_config"] = kept
    del values["generation"]["prefer"]
    values["generation"]["scenario_configs"] = [
        {
            key: int(value) if is_whole and isinstance(value, float) and value.is_integer() else value
            for key, value in scenario.model_dump(
                mode="json", exclude_unset=is_written, exclude_defaults=not is_written
            ).items()
        }
        for scenario in config.generation.scenario_configs
    ]
    if values["kl_gpt3_callback"] is not None:
        values["kl_gpt3_callback"]["gpt3_kwargs"] = {}
    return values
