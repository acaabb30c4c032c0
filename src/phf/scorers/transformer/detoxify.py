"""Detoxify's probability of toxicity (Hanu and Unitary team 2020, github.com/unitaryai/detoxify)."""

import pickle
import urllib.error
from pathlib import Path
from typing import Any, Literal

import torch

from phf.errors import ConfigError, MissingExtraError
from phf.scorers.transformer.sequence_classifier import SequenceClassifierScorer, checkpoint_hash
from phf.storage.loading_errors import UNREADABLE_TENSORS
from phf.storage.pretrained import check_finite, without_progress_bar

ModelType = Literal["original", "unbiased", "multilingual", "original-small", "unbiased-small"]
TOXICITY = ("toxicity", "toxic")
"""Names of the class in checkpoints; Detoxify reads both as `toxicity`."""
OFFLINE = (
    "Without a network: download the file elsewhere and set scorer_config.checkpoint to it, with a folder of the base "
    "model's config.json and tokenizer as scorer_config.huggingface_config_path; or use ProfanityScorer, which is "
    "weaker and needs no download."
)


class DetoxifyToxicityScorer(SequenceClassifierScorer):
    """Detoxify's probability that the text is toxic, in [0, 1] (the toxicity task of arXiv 2302.08582).

    The released system annotates with `original` and evaluates with `unbiased`; their probabilities are not
    comparable, so use one of them for both (the version in manifests tells them apart). Unlike `Detoxify.predict`, which
    truncates text at 512 tokens, it scores long text in windows and takes the maximum; see `SequenceClassifierScorer`.

    Args:
        model_type: which of Detoxify's models.
        checkpoint: a local file in Detoxify's format instead of the download (to torch.hub's cache).
        huggingface_config_path: folder with config.json and tokenizer of the base model (bert-base-uncased for
            `original`); by default they come from the Hugging Face Hub.
        device, batch_tokens, max_length: see `SequenceClassifierScorer`.
    """

    score_bounds = (0.0, 1.0)

    def __init__(
        self,
        model_type: ModelType = "original",
        checkpoint: str | None = None,
        huggingface_config_path: str | None = None,
        device: str | None = None,
        batch_tokens: int | None = None,
        max_length: int | None = None,
    ) -> None:
        try:
            import detoxify.detoxify as library
        except ImportError as error:
            raise MissingExtraError("DetoxifyToxicityScorer", "detoxify", "toxicity") from error
        super().__init__(device, batch_tokens, max_length)
        self._library = library
        self._config_path = huggingface_config_path
        self._checkpoint = _local_file(checkpoint) if checkpoint else _downloaded(library.MODEL_URLS[model_type])
        self._toxicity = 0
        self.version = f"1+{model_type}-{checkpoint_hash([self._checkpoint])}"

    def load(self, dtype: torch.dtype) -> tuple[Any, Any]:
        """See `SequenceClassifierScorer.load`."""
        loaded = _read(self._checkpoint)
        classes = list(loaded["config"]["dataset"]["args"]["classes"])
        self._toxicity = next((i for i, name in enumerate(classes) if name in TOXICITY), -1)
        if self._toxicity < 0:
            raise ConfigError(f"scorer_config.checkpoint {self._checkpoint} has no class 'toxicity', only {classes}.")
        arguments = dict(loaded["config"]["arch"]["args"])
        base = self._config_path or arguments["model_type"]
        try:
            with without_progress_bar():
                model, tokenizer = self._library.get_model_and_tokenizer(
                    **{**arguments, "model_type": base}, state_dict=loaded["state_dict"]
                )
        except RuntimeError as error:
            raise ConfigError(
                f"scorer_config.checkpoint {self._checkpoint} does not fit the model in '{base}': its tensors have other "
                "shapes. Set scorer_config.huggingface_config_path to the folder of its base model."
            ) from error
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"DetoxifyToxicityScorer: '{base}' (config.json and tokenizer) cannot be loaded: "
                f"{_first_line(error)} {OFFLINE}"
            ) from error
        except (LookupError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"scorer_config.checkpoint {self._checkpoint} is not a checkpoint of Detoxify: {_first_line(error)}."
            ) from error
        if missing := sorted(model.state_dict().keys() - loaded["state_dict"].keys()):
            raise ConfigError(
                f"scorer_config.checkpoint {self._checkpoint} does not fit the model in '{base}': it lacks {missing[0]}."
            )
        check_finite(model, f"scorer_config.checkpoint {self._checkpoint}: its weights")
        if (
            self._toxicity >= model.config.num_labels
        ):  # more outputs than names are fine: `unbiased` also has identities
            raise ConfigError(
                f"scorer_config.checkpoint {self._checkpoint}: '{classes[self._toxicity]}' is class "
                f"{self._toxicity + 1}, but its model has {model.config.num_labels} outputs."
            )
        return model, tokenizer

    def window_scores(self, logits: torch.Tensor) -> torch.Tensor:
        """See `SequenceClassifierScorer.window_scores`."""
        return logits[:, self._toxicity].sigmoid()


def _local_file(checkpoint: str) -> Path:
    path = Path(checkpoint)
    if not path.is_file():
        raise ConfigError(f"scorer_config.checkpoint is '{checkpoint}'; there is no such file.")
    return path


def _downloaded(url: str) -> Path:
    """The file in torch.hub's cache, which Detoxify uses too; downloaded if it is not there."""
    from huggingface_hub.constants import HF_HUB_OFFLINE

    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if path.is_file():
        return path
    try:
        if HF_HUB_OFFLINE:
            raise ConnectionError("HF_HUB_OFFLINE is set")
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=False)
    except (OSError, urllib.error.URLError) as error:
        raise ConfigError(f"Detoxify's weights {url} cannot be downloaded to {path}: {error}. {OFFLINE}") from error
    return path


def _read(path: Path) -> dict[str, Any]:
    """A checkpoint in Detoxify's format. Only tensors and plain values are read: a file cannot run code."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE_TENSORS as error:
        # torch's own message about other data says how to load it anyway
        reason = "it is something else." if isinstance(error, pickle.UnpicklingError) else _first_line(error)
        raise ConfigError(
            f"scorer_config.checkpoint {path} cannot be read as tensors and plain values: {reason} "
            "Download it again, or use the same model in the Hub's format with ClassifierScorer "
            "(path_or_name: unitary/toxic-bert, label: toxic)."
        ) from error
    if not _is_of_detoxify(loaded):
        raise ConfigError(
            f"scorer_config.checkpoint {path} is not a checkpoint of Detoxify, which holds config.arch.args, "
            "config.dataset.args.classes and state_dict."
        )
    return loaded


def _is_of_detoxify(loaded: Any) -> bool:
    try:
        arguments, classes = loaded["config"]["arch"]["args"], loaded["config"]["dataset"]["args"]["classes"]
        weights = loaded["state_dict"]
    except (LookupError, TypeError):
        return False
    return (
        isinstance(arguments, dict)
        and "model_type" in arguments
        and isinstance(classes, list | tuple)
        and isinstance(weights, dict)
        and all(isinstance(tensor, torch.Tensor) for tensor in weights.values())
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
