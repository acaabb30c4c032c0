"""The configuration of a round: the run's own, from the model of the round before, on the data of this round."""

from pathlib import Path
from typing import Any

from phf.config import Config, parse_config
from phf.models.building.architecture import HUB_ARGUMENTS, WEIGHT_ARGUMENTS
from phf.refresh.settings import LEARNING_RATE_SHARE, SCHEDULE, WARMUP_SHARE, RefreshSettings

DEFAULT_LEARNING_RATE = 5e-5
"""Of transformers' TrainingArguments."""
DROPPED = ("max_steps", "num_train_epochs", "lr_scheduler_kwargs", "push_to_hub")
"""Keys of `training` that belong to the run from which the refresh starts: its length, and where its model is published."""


def learning_rate_of(config: Config, settings: RefreshSettings) -> float:
    """The highest learning rate of a round."""
    if settings.learning_rate is not None:
        return settings.learning_rate
    own = (config.training.model_extra or {}).get("learning_rate")
    return LEARNING_RATE_SHARE * float(DEFAULT_LEARNING_RATE if own is None else own)


def round_config(
    config: Config, settings: RefreshSettings, model: Path, data: list[str], num_tokens: float, number: int
) -> Config:
    """What `phf train` does in round `number`: `num_tokens` of `data` from the exported `model`.

    The method is the run's. Nothing is held out or measured on the way: that is done on the run's own task.
    """
    values = config.model_dump()
    training = {
        key: value for key, value in values["training"].items() if key not in DROPPED and not key.startswith("hub_")
    }
    kwargs = {
        key: value for key, value in config.model.model_kwargs.items() if key not in (*HUB_ARGUMENTS, *WEIGHT_ARGUMENTS)
    }
    changes: dict[str, dict[str, Any]] = {
        "dataset": {
            "datasets": data,
            "scores_column": "scores",
            "skip_tokens": 0,
            "part": [0.0, 1.0],
            "eval_fraction": 0.0,
            "eval_group": None,
            "eval_datasets": [],
            # applied when the data was chosen; a document that was cut there has another average
            "filter_threshold": None,
            "document_filter": None,
        },
        "tokenizer": {"path_or_name": None, "train_from_corpus": None},
        "model": {
            "path_or_name": str(model),
            "from_scratch": False,
            "model_type": None,
            "config_kwargs": {},
            "model_kwargs": kwargs,
        },
        "generation": {"scenario_configs": [], "metrics_configs": []},
    }
    training |= {
        "num_tokens": float(num_tokens),
        "tokens_already_seen": 0.0,
        "learning_rate": learning_rate_of(config, settings),
        "lr_scheduler_type": SCHEDULE,
        "warmup_steps": WARMUP_SHARE,
        "seed": settings.seed + number,
    }
    merged = {name: values[name] | changed for name, changed in changes.items()}
    return parse_config(values | merged | {"training": training, "kl_gpt3_callback": None})
