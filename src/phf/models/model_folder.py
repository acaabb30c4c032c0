"""A folder with a Hugging Face causal LM, for evaluation and red teaming."""

import os
import re
from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from huggingface_hub import snapshot_download
from transformers.utils import logging as transformers_logging

from phf.errors import ConfigError, CorpusError
from phf.models import open_as_exported, pretrained_lm, pretrained_tokenizer
from phf.runs.layout import CONFIG, EVALUATION, resume_command, run_of_model
from phf.storage.file_list import FILE_LIST
from phf.storage.files import file_sha256
from phf.storage.hub import NOT_OF_THE_HUB, offline_where_unreachable
from phf.storage.loading_errors import first_sentence, is_unreachable
from phf.storage.model_files import check_model_files
from phf.storage.pretrained import without_progress_bar
from phf.storage.reading import read_json_as
from phf.tokens.tokenizer import prepare_tokenizer
from phf.workers.launcher import check_devices, check_launcher, check_visible_gpus

RELEASED_CLASS = "GPT2LMAndValueHeadModel"
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
PATTERNS = ["*.json", "*.safetensors", "*.bin", "*.pt", "*.txt", "*.model", "*.jinja"]
"""Files of a Hub model that are downloaded; those of training are not among them."""
MODEL_FILES = (".safetensors", ".bin", ".pt", ".json", ".jinja", ".model", ".txt")
LONGEST_WAIT = timedelta(days=1)
"""Timeout for processes that wait for the main one, which samples alone; torch's 10 minutes on GPUs are too short."""


def check_model_folder(folder: Path) -> None:
    """Raises `CorpusError` for a folder without a model."""
    if not (folder / "config.json").is_file():
        what = "it has no config.json" if os.path.lexists(folder) else "nothing has that name"
        raise CorpusError(f"{folder} is not a model folder: {what}. Give the model folder of a run, or any other.")


def find_model(path: Path) -> Path:
    """The model folder itself, or that of a run folder, or the files of a Hub model, `OWNER/NAME` or `OWNER/NAME@REVISION`.

    Raises `CorpusError` for a folder without a model, and for a model that the Hub does not have or that is out of reach.
    """
    if (path / "config.json").is_file():
        check_model_files(path, "MODEL_DIR")
        return path
    if is_hub_name(path):
        return _downloaded(str(path))
    if (path / "model" / "config.json").is_file():
        check_model_files(path / "model", "MODEL_DIR")
        return path / "model"
    if (path / "trainer_state.json").is_file():
        raise CorpusError(
            f"{path} is a checkpoint, which training resumes from; it contains no exported model. Finish the run with "
            f"{resume_command(path.parent)}, then evaluate {path.parent}."
        )
    is_training = (path / "config.yaml").is_file() and not (path / EVALUATION).is_file()
    if is_training and not (path / "model").exists():
        raise CorpusError(
            f"{path} is a run that has exported no model yet. Finish it with {resume_command(path)}, or choose another."
        )
    check_model_folder(path)
    return path


def is_hub_name(path: Path) -> bool:
    """Whether `path` may name a model on the Hub: it has two parts, of which the first is not a folder here."""
    return HUB_NAME.fullmatch(str(path)) is not None and not path.exists() and not Path(path.parts[0]).exists()


def _downloaded(text: str) -> Path:
    """The files of a Hub model in the Hub's cache."""
    name, _, revision = text.partition("@")
    at = f" at the revision {revision}" if revision else ""
    try:
        with without_progress_bar(), offline_where_unreachable():
            return Path(snapshot_download(name, revision=revision or None, allow_patterns=PATTERNS))
    except (OSError, ValueError) as error:
        unreachable = " The Hub cannot be reached, and it is not in the cache." if is_unreachable(error) else ""
        if isinstance(error, JSONDecodeError):
            unreachable = f" The answer {NOT_OF_THE_HUB}."
        raise CorpusError(
            f"{text} is not a folder here, and there is no model '{name}'{at} to be had from the Hugging Face Hub."
            f"{unreachable or f' {first_sentence(error)}'} Check the name, or give a local folder with the model's files."
        ) from error


def is_of_released_system(folder: Path) -> bool:
    """Whether the model was trained by the released system, which encoded the segments of a text separately, as `phf` does."""
    config = read_json_as(dict[str, Any], folder / "config.json", CorpusError, "Restore it, or choose another folder.")
    return config.get("architectures") == [RELEASED_CLASS]


def own_task(model: Path) -> Path | None:
    """The configuration of the run whose `model` this folder is; None for a model from elsewhere."""
    run = run_of_model(model)
    return None if run is None else run / CONFIG


def model_name(folder: Path) -> str:
    """The name of a model folder: `runs/pep8-mle/model` is pep8-mle, `models--OWNER--NAME/snapshots/...` is NAME."""
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        return folder.parent.parent.name.rpartition("--")[2]
    folder = folder.resolve()
    return folder.parent.name if folder.name == "model" else folder.name


def check_distinct(folders: Sequence[Path]) -> None:
    """Raises `ConfigError` for a model that is given more than once, where it would be compared with itself."""
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if (times := places.count(place)) > 1:
            raise ConfigError(f"The model {folder} is given {times} times. Give it once.")


def model_names(folders: Sequence[Path]) -> list[str]:
    """A name for each model: its folder's, or that of the run whose `model` it is; numbered if they repeat."""
    written = [model_name(folder) for folder in folders]
    names, taken = [], set(written)
    for number, name in enumerate(written, 1):
        if written.count(name) > 1:
            free = (n for n in count(number, len(written)) if f"{name}-{n}" not in taken)
            name = f"{name}-{next(free)}"
            taken.add(name)
        names.append(name)
    return names


def processes() -> PartialState:
    """The processes that torchrun started, or this one alone. On CPUs accelerate finds them only on request.

    Raises `ConfigError` where the launcher's variables, or the GPUs, are not enough for them.
    """
    check_launcher()
    check_devices(torch.accelerator.device_count())
    check_visible_gpus(torch.accelerator.device_count())
    return PartialState(cpu=not torch.accelerator.is_available(), timeout=LONGEST_WAIT)


def load_folder_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder, which begins documents like the model; a control token is left to the caller.

    Raises `ConfigError` for a folder without tokenizer.
    """
    tokenizer = prepare_tokenizer(pretrained_tokenizer(str(folder), "MODEL_DIR"), None)
    return open_as_exported(tokenizer, str(folder))


def load_folder_lm(folder: Path) -> Any:
    """The model of a folder: on this process's GPU in its own dtype, or on the CPU in float32."""
    transformers_logging.disable_progress_bar()
    device = processes().device if torch.cuda.is_available() else torch.device("cpu")
    dtype = "auto" if device.type == "cuda" else torch.float32
    return pretrained_lm(str(folder), "MODEL_DIR", device, dtype=dtype)


def _model_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.suffix in MODEL_FILES and path.name != FILE_LIST]


def model_hashes(folder: Path) -> dict[str, str]:
    """File -> SHA-256 of every file that determines the model's output: weights, configuration, tokenizer."""
    return {path.name: file_sha256(path) for path in _model_files(folder)}
