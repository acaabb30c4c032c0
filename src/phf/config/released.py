"""Keys of the released system, and of older transformers, that have other names today or no effect.

They are translated in place before the schema sees them, so files written for them work unchanged, as do the
configurations that older versions of `phf` saved with their runs. Warnings report what users should know.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from phf.config.derive import tagging_key
from phf.config.schema import DatasetConfig
from phf.errors import ConfigError

RENAMED_TRAINING_KEYS = {
    "evaluation_strategy": "eval_strategy",
    "warmup_ratio": "warmup_steps",  # transformers 5 reads warmup_steps below 1 as a ratio
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "gradient_checkpointing": "activation_checkpointing",
    "no_cuda": "use_cpu",
    "group_by_length": None,
    "logging_dir": None,
    "overwrite_output_dir": None,
    "save_safetensors": None,
}
"""Old name -> its name in transformers 5, or None where it has no counterpart and no effect here."""

DEAD_GPT2_KEYS = ("scale_attn_by",)
"""Keys of the released model section that were never read by any GPT-2."""

WITHOUT_EFFECT: dict[str, dict[str, tuple[Any, ...]]] = {
    "dataset": {"num_of_sequences": (1024,), "chars_per_token": (3.6,)},  # there is no buffer to size
    "kl_gpt3_callback": {"gpt3_kwargs": ({},)},
    "generation.scenario_configs": {
        "prompt_before_control": (
            True,
            False,
        ),  # the control token comes first, as in the released code where it is true
        "display_as_html": (True, False),
        "token_type_id": (None, 0),
    },
}
"""Section -> key -> values without a warning: they change nothing, or older versions saved them automatically."""

PROMPTS = "resources/"
"""Folder of the released repository that its files take prompts from, next to the folder of the files."""

SPELLED_OUT = (("tokenizer", "special_tokens"), ("model", "num_additional_tokens"))
"""Keys of the released conditional methods that follow from the control tokens."""


def translate(values: dict[str, Any], origin: str) -> list[str]:
    """Rename old keys in `values` in place, and remove those without effect; returns lines of warning.

    Raises `ConfigError` for a released setting that would change the results and is not supported.
    """
    warnings = _translate_training(values.get("training"), origin)
    dataset = values.get("dataset")
    if isinstance(dataset, dict):
        if dataset.pop("is_split_by_sentences", True) is not True:
            raise ConfigError(
                f"{origin}: dataset.is_split_by_sentences: false is not supported; annotate with --segment document (or "
                "set dataset.segment: document for raw documents) to give each document one score."
            )
        if dataset.pop("concat_token", None) is not None:
            raise ConfigError(
                f"{origin}: dataset.concat_token: only the tokenizer's EOS token is supported; leave it out."
            )
    model = values.get("model")
    if isinstance(model, dict):
        warnings += _translate_model(model, origin)
    _find_prompts(values, origin)
    for path, section, known in _sections(values):
        for key in [key for key in section if key in known]:
            value = section.pop(key)
            if not any(value == silent for silent in known[key]):
                model_name = value.get("model_name") if isinstance(value, dict) else None
                of_gpt3 = f" ({model_name}): the GPT-3 models are no longer served" if model_name else ""
                warnings.append(f"{origin}: {path}.{key} has no effect and is ignored{of_gpt3}.")
    return warnings


def take_spelled_out(values: dict[str, Any]) -> dict[str, Any]:
    """Remove the keys of `SPELLED_OUT` from merged values, in place; returns their values, by dotted key."""
    spelled_out = {}
    for name, key in SPELLED_OUT:
        section = values.get(name)
        if isinstance(section, dict) and section.get(key) is not None:
            spelled_out[f"{name}.{key}"] = section[key]
        if isinstance(section, dict):
            values[name] = {other: value for other, value in section.items() if other != key}
    return spelled_out


def check_spelled_out(spelled_out: Mapping[str, Any], dataset: DatasetConfig, *, for_models: bool) -> None:
    """Raises `ConfigError` where the values of the keys of `SPELLED_OUT` contradict the control tokens of `dataset`.

    `for_models`: the task is for models with their own control tokens, so without any in `dataset` nothing is checked.
    """
    if dataset.tagging is None:
        if any(spelled_out.values()) and not for_models:
            raise ConfigError(
                f"{' and '.join(spelled_out)}: this belongs to conditional training; set "
                "dataset.conditional_training_config or dataset.conditioning, or leave it out."
            )
        return
    tokens = dataset.tagging.control_tokens
    derived = {"tokenizer.special_tokens": tokens, "model.num_additional_tokens": len(tokens)}
    for key, value in spelled_out.items():
        if value != derived[key] or isinstance(value, bool):
            raise ConfigError(
                f"{key} is {value}, but dataset.{tagging_key(dataset)} names the control tokens {tokens}. Leave {key} out: "
                "it is derived."
            )


def current_path(keys: list[str], origin: str) -> tuple[list[str], list[str]]:
    """The current names of the keys of an override, and a warning if they have changed."""
    if keys[:2] == ["model", "gpt2_config_kwargs"]:
        return ["model", "config_kwargs", *keys[2:]], []
    new = RENAMED_TRAINING_KEYS.get(keys[1]) if keys[0] == "training" and len(keys) > 1 else None
    if new is None:
        return keys, []
    return ["training", new, *keys[2:]], [
        f"{origin}: training.{keys[1]} is now called training.{new} and is read as such."
    ]


def _translate_training(training: Any, origin: str) -> list[str]:
    warnings: list[str] = []
    if not isinstance(training, dict):
        return warnings
    for old in [key for key in training if key in RENAMED_TRAINING_KEYS]:
        new, value = RENAMED_TRAINING_KEYS[old], training.pop(old)
        if new is None:
            warnings.append(f"{origin}: training.{old} no longer has an effect and is ignored.")
            continue
        training.setdefault(new, value)
        warnings.append(f"{origin}: training.{old} is now called training.{new} and is read as such.")
    return warnings


def _translate_model(model: dict[str, Any], origin: str) -> list[str]:
    """`gpt2_config_kwargs` is the released name of `config_kwargs`; if a file has both, the latter takes precedence."""
    settings = model.pop("gpt2_config_kwargs", None)
    if settings is None:
        return []
    if not isinstance(settings, dict):
        model.setdefault("config_kwargs", settings)  # the schema says what is wrong with it
        return []
    dead = [key for key in settings if key in DEAD_GPT2_KEYS]
    own = model.get("config_kwargs") or {}
    if isinstance(own, dict):
        model["config_kwargs"] = {key: value for key, value in settings.items() if key not in dead} | own
    return [f"{origin}: model.gpt2_config_kwargs.{key} is not a GPT-2 setting and never had an effect." for key in dead]


def _find_prompts(values: dict[str, Any], origin: str) -> None:
    """Prompts that a released file names are also looked for where that file is, not only in the working directory."""
    for _, scenario, _ in _sections(values, "generation.scenario_configs"):
        name = scenario.get("prompts_path")
        if isinstance(name, str) and name.startswith(PROMPTS) and not Path(name).exists():
            candidates = (folder / name for folder in Path(origin).parents if (folder / name).is_file())
            scenario["prompts_path"] = str(next(candidates, name))


def _sections(values: dict[str, Any], *paths: str) -> Iterator[tuple[str, dict[str, Any], dict[str, tuple[Any, ...]]]]:
    """(path, section, its keys without effect) of what stands in `values`, of all paths or these."""
    for path, known in WITHOUT_EFFECT.items():
        if paths and path not in paths:
            continue
        at: Any = values
        for key in path.split("."):
            at = at.get(key) if isinstance(at, dict) else None
        if isinstance(at, dict):
            yield path, at, known
        for number, item in enumerate(at if isinstance(at, list) else ()):
            if isinstance(item, dict):
                yield f"{path}.{number}", item, known
