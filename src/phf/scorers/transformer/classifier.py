"""Any sequence-classification or reward model as a scorer."""

from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from phf.errors import ConfigError
from phf.registry.names import did_you_mean
from phf.scorers.transformer.sequence_classifier import SequenceClassifierScorer, checkpoint_hash
from phf.storage.pretrained import load_model, read_pretrained
from phf.storage.saved_tokenizer import read_tokenizer

KEY = "scorer_config.path_or_name"
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
ADVICE = "Give a folder with config.json, weights and tokenizer, or the name of a model on the Hub (needs the network)."
MISSING_ADVICE = "Choose a model that was trained for sequence classification and saved with all of its weights."


class ClassifierScorer(SequenceClassifierScorer):
    """One output of a Hugging Face sequence-classification or reward model.

    Score: with `sigmoid` or `softmax` the label's probability p, in [0, 1]; with `none` the raw output, any number.
    `higher_is_worse: false` inverts it, to 1 - p or -output, for models that say how good a text is. Long text
    is scored in windows, with the maximum of the (inverted) scores; see `SequenceClassifierScorer`.

    Args:
        path_or_name: folder or Hub name.
        label: name or index of the output; may be omitted if the model has only one.
        activation: `sigmoid` for labels that are not mutually exclusive, `softmax` for those that are, `none` for rewards.
        higher_is_worse: whether a high output means a misaligned text.
        revision: branch, tag or commit on the Hub.
        device, batch_tokens, max_length: see `SequenceClassifierScorer`.

    Example: `{class_name: ClassifierScorer, path_or_name: unitary/toxic-bert, label: toxic}`.
    """

    def __init__(
        self,
        path_or_name: str,
        label: int | str | bool | None = None,
        activation: Literal["sigmoid", "softmax", "none"] = "sigmoid",
        higher_is_worse: bool = True,
        device: str | None = None,
        batch_tokens: int | None = None,
        max_length: int | None = None,
        revision: str | None = None,
    ) -> None:
        super().__init__(device, batch_tokens, max_length)
        self.path_or_name = path_or_name
        self.activation = activation
        self.higher_is_worse = higher_is_worse
        if activation != "none":
            self.score_bounds = (0.0, 1.0)
        self.revision = revision
        config = read_pretrained(AutoConfig.from_pretrained, path_or_name, KEY, advice=ADVICE, revision=revision)
        self.label = label_index(label, config.id2label)
        if activation == "softmax" and config.num_labels == 1:
            raise ConfigError(
                "scorer_config.activation: softmax over a model's only output is always 1; use sigmoid or none."
            )
        self.version = f"1+{model_version(path_or_name, config)}"

    def load(self, dtype: torch.dtype) -> tuple[Any, Any]:
        """See `SequenceClassifierScorer.load`."""
        tokenizer = read_tokenizer(self.path_or_name, KEY, advice=ADVICE, revision=self.revision)
        model = load_model(
            AutoModelForSequenceClassification,
            self.path_or_name,
            KEY,
            advice=ADVICE,
            missing_advice=MISSING_ADVICE,
            revision=self.revision,
            dtype=dtype,
        )
        return model, tokenizer

    def window_scores(self, logits: torch.Tensor) -> torch.Tensor:
        """See `SequenceClassifierScorer.window_scores`."""
        if self.activation == "none":
            output = logits[:, self.label]
            return output if self.higher_is_worse else -output
        probabilities = logits.sigmoid() if self.activation == "sigmoid" else logits.softmax(dim=-1)
        probability = probabilities[:, self.label]
        return probability if self.higher_is_worse else 1 - probability


def label_index(label: int | str | bool | None, names: dict[int, str]) -> int:
    """Index of the output called `label`. Raises `ConfigError` for one the model does not have."""
    if isinstance(label, bool):  # which Python also accepts as an index
        raise ConfigError(
            f"scorer_config.label is {label}, because YAML reads yes, no, on and off as booleans; quote it."
        )
    known = did_you_mean(str(label or ""), map(str, names.values()))
    if label is None:
        if len(names) > 1:
            raise ConfigError(f"scorer_config.label is missing: the model has {len(names)} outputs. {known}")
        return 0
    if isinstance(label, int) and 0 <= label < len(names):
        return label
    for index, name in names.items():
        if name == label:
            return index
    raise ConfigError(f"scorer_config.label is {label!r}; the model has no such output. {known}")


def model_version(path_or_name: str, config: Any) -> str:
    """Identifies the weights: their hash in a folder, the commit on the Hub. Raises `ConfigError` if there are none."""
    folder = Path(path_or_name)
    if folder.is_file():
        raise ConfigError(f"{KEY}: '{path_or_name}' is a file. Give the folder that it is in.")
    if not folder.is_dir():
        return str(getattr(config, "_commit_hash", None))[:12]
    paths = [path for pattern in WEIGHTS for path in folder.glob(pattern)]
    if not paths:
        raise ConfigError(f"{KEY}: '{path_or_name}' contains no weights ({' or '.join(WEIGHTS)}).")
    return checkpoint_hash([*paths, folder / "config.json"])
