"""Loading saved configurations, tokenizers, and models with all of their weights.

transformers initialises weights that a checkpoint lacks at random, with only a log message. Here every model goes through
`load_model`, which refuses one whose weights are missing, have the wrong shape, are not finite, or have other names.
"""

import logging
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from phf.errors import ConfigError
from phf.storage.file_list import FILE_LIST, damaged_files
from phf.storage.hub import offline_where_unreachable
from phf.storage.loading_errors import UNREADABLE_TENSORS, first_sentence
from phf.storage.model_files import check_model_files
from phf.storage.model_sizes import check_size
from phf.text import visible

logger = logging.getLogger(__name__)

ADVICE = "Give a local folder or check the network."
FOLDER_KEYS = ("model.path_or_name", "tokenizer.path_or_name", "kl_gpt3_callback.reference.path_or_name")
"""Keys that `--override` can set to a local folder."""
MISSING_ADVICE = "Save the whole model again with save_pretrained, without its wrapper."
INNER_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
"""Parts of a weight's name that torch, accelerate and DeepSpeed insert when they wrap a module."""
WRAPPERS = (*INNER_WRAPPERS, "lm", "model", "base_model", "pretrained_model", "policy")
"""Prefixes of the names of all weights if a model was saved as part of another module."""
HEADS = ("score", "classifier", "classification_head", "logits_proj", "sequence_summary", "pooler", "lm_head")
"""Names of heads in models whose trunk is not a separate module."""
RELEASED_WEIGHT = "value_head.head.weight"
"""Name of the value head among the weights of a checkpoint of the released system; `phf.models.value_head` reads it."""
OLD_BUFFERS = ("attn.masked_bias", "attention.masked_bias")
"""Ends of the names of constants that older versions of transformers saved with the weights."""
_LAYER = re.compile(r"(?<=\.)\d+(?=\.)")


def read_pretrained(load: Callable[..., Any], name: str, key: str, *, advice: str = ADVICE, **settings: Any) -> Any:
    """`load(name, **settings)` of transformers, without remote code. Raises `ConfigError` naming `key`, with `advice`."""
    folder = Path(name, settings.get("subfolder") or "")
    if folder.is_dir():
        check_model_files(folder, key)
    try:
        with without_progress_bar(), nullcontext() if Path(name).exists() else offline_where_unreachable():
            return load(name, trust_remote_code=False, **settings)
    except Exception as error:
        # the tokenizers library raises plain Exception
        if not isinstance(error, UNREADABLE_TENSORS) and type(error) is not Exception:
            raise
        revision = f" (revision {settings['revision']})" if settings.get("revision") else ""
        if advice is ADVICE:
            advice = _advice(name, key, error)
        raise ConfigError(f"{key}: '{name}'{revision} cannot be loaded: {first_sentence(error)} {advice}") from error


def _advice(name: str, key: str, error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):
        return "Restore it, or save it again as safetensors where it comes from."
    if Path(name).exists():
        return "Restore its files, or choose another folder."
    if key in FOLDER_KEYS:
        return f"Check the name and the network, or give a local folder: {key}=FOLDER."
    return ADVICE


def load_model(
    auto_class: Any,
    name: str,
    key: str,
    *,
    advice: str = ADVICE,
    missing_advice: str = MISSING_ADVICE,
    has_new_head: bool = False,
    may_leave_out: bool = False,
    **settings: Any,
) -> Any:
    """The model in a folder or on the Hub, with all weights from there.

    Args:
        auto_class: e.g. `AutoModelForCausalLM`.
        key: names what is loaded in error messages, e.g. `model.path_or_name`.
        advice: last sentence of the error if nothing can be read.
        missing_advice: last sentence of the error if weights are missing.
        has_new_head: whether what is on top of the base model (and its pooler) need not be in the checkpoint, as before
            the finetuning of a classifier; a head that is there instead is not used.
        may_leave_out: whether layers of the checkpoint that the model does not have are left out with a warning,
            instead of an error: for configurations that were changed intentionally.
        settings: arguments of `from_pretrained`. With `device_map="meta"` only names and shapes are read.

    Raises `ConfigError` with the names of weights that are missing, have another shape, are not finite, or are in the
    checkpoint under a name that the model does not know, for an adapter (LoRA) without its base model, and for a model that we
    have exported and whose files are not what they were then; see also `check_size`.
    """
    if (Path(name) / FILE_LIST).is_file() and (problems := damaged_files(Path(name))):
        raise ConfigError(
            f"{key}: '{name}' is damaged: {'; '.join(problems)}. Copy or export it again; if you have changed it yourself, "
            f"delete {FILE_LIST}."
        )
    if (Path(name) / "adapter_config.json").is_file():
        raise ConfigError(_adapter(key, name))
    if "device_map" not in settings:
        with without_warnings():  # from_pretrained repeats them
            check_size(auto_class, name, key, settings)
    model, info = read_pretrained(
        auto_class.from_pretrained,
        name,
        key,
        advice=advice,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # otherwise the names appear only in a log
        **settings,
    )
    if getattr(model, "_hf_peft_config_loaded", False):
        raise ConfigError(_adapter(key, name))
    unused = _check_weights(model, info, name, key, missing_advice, has_new_head, may_leave_out)
    if "device_map" not in settings:
        check_finite(model, f"{key}: the weights in '{name}'")
    if unused:
        named = _and_more([visible(weight) for weight in unused])
        logger.warning("%s: %s in '%s', but not in %s: left out.", key, named, visible(name), type(model).__name__)
    return model


def _check_weights(
    model: Any, info: dict[str, Any], name: str, key: str, missing_advice: str, has_new_head: bool, may_leave_out: bool
) -> list[str]:
    """The weights left out because the model has no place for them.

    `info`: `missing_keys`, `unexpected_keys` and `mismatched_keys` of `from_pretrained(output_loading_info=True)`.
    """
    base = f"{model.base_model_prefix}."
    is_wrapped = model.base_model is not model

    def is_of_head(weight: str) -> bool:
        is_outside = not weight.startswith(base) if is_wrapped else weight.partition(".")[0] in HEADS
        return is_outside or ".pooler." in weight

    lacking = set(info["missing_keys"])
    tied_to = getattr(model, "all_tied_weights_keys", None) or {}
    missing = [
        weight
        for weight in model.state_dict()  # in the order of the model
        if weight in lacking and tied_to.get(weight) not in lacking and not (has_new_head and is_of_head(weight))
    ]
    mismatched = [item for item in info["mismatched_keys"] if not (has_new_head and is_of_head(item[0]))]
    unused = [weight for weight in info["unexpected_keys"] if not (has_new_head and is_of_head(weight))]
    known = {*model.state_dict(), *(buffer for buffer, _ in model.named_buffers())}
    real_names = {weight.removeprefix(base): weight for weight in known} | {weight: weight for weight in known}
    wrapped = {weight: real for weight in info["unexpected_keys"] if (real := _unwrapped(weight, real_names))}
    if missing:
        hint = ""
        if wrapped:
            hint = f" (it has {visible(min(wrapped))}, which would be {wrapped[min(wrapped)]})"
        elif any(".lora_" in weight or ".base_layer." in weight for weight in info["unexpected_keys"]):
            hint = " (it has a LoRA adapter, which must be merged: merge_and_unload of peft)"
        raise ConfigError(
            f"{key}: {_and_more(missing, missing[0])} not in '{name}'{hint}, and would be random numbers. {missing_advice}"
        )
    if mismatched:
        weight, stored_shape, configured_shape = min(mismatched, key=lambda item: item[0])
        others = f", and {len(mismatched) - 1} more do not fit either" if len(mismatched) > 1 else ""
        raise ConfigError(
            f"{key}: {weight} has the shape {list(stored_shape)} in '{name}', but its configuration says "
            f"{list(configured_shape)}{others}. Leave out the settings that change shapes, or repair its config.json."
        )
    if wrapped:
        raise ConfigError(
            f"{key}: {_and_more([*wrapped])} in '{name}' next to weights with the same names without the prefix. "
            "Remove one set of them."
        )
    patterns = {_LAYER.sub("*", weight) for weight in known}
    own = set(model.state_dict())
    # of layers that the model lacks, or a bias that its layer lacks
    left_out = [
        weight
        for weight in unused
        if _LAYER.sub("*", weight) in patterns
        or (weight.endswith(".bias") and real_names.get(f"{weight.removesuffix('.bias')}.weight") in own)
    ]
    if left_out and not may_leave_out:
        raise ConfigError(
            f"{key}: {_and_more(left_out)} in '{name}', but not in the model that its configuration describes, which "
            "would be cut. Repair its config.json."
        )
    return [weight for weight in unused if weight != RELEASED_WEIGHT and not weight.endswith(OLD_BUFFERS)]


@torch.no_grad()
def check_finite(model: Any, what: str) -> None:
    """Raises `ConfigError` if a parameter of `model` contains NaN or infinity; `what` begins the message."""
    for weight, values in model.named_parameters():
        is_read = values.is_floating_point() and values.element_size() > 1 and not values.is_meta
        if is_read and not bool(torch.isfinite(values).all()):
            raise ConfigError(
                f"{what} are not finite: {weight} contains NaN or infinity. It was saved after training had diverged, or "
                "its numbers do not fit the requested dtype."
            )


def _unwrapped(weight: str, real_names: Mapping[str, str]) -> str | None:
    """The weight of the model that `weight` is, saved from inside a wrapper; None if it is another one."""
    parts = weight.split(".")
    while parts and parts[0] in WRAPPERS:
        parts = parts[1:]
    rest = ".".join(part for part in parts if part not in INNER_WRAPPERS)
    return real_names.get(rest) if rest != weight else None


def _and_more(names: list[str], first: str | None = None) -> str:
    """The first name, how many more, and the verb that goes with them."""
    return (first or min(names)) + (f" and {len(names) - 1} more are" if len(names) > 1 else " is")


def _adapter(key: str, name: str) -> str:
    return (
        f"{key}: '{name}' is an adapter (LoRA), not a model. Merge it into its base model (merge_and_unload of peft), "
        "save that with its tokenizer, and give that folder."
    )


@contextmanager
def without_warnings() -> Iterator[None]:
    """Do what transformers would warn about, such as giving a model a new head, where that is intended."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)


@contextmanager
def without_progress_bar() -> Iterator[None]:
    """Load a model without transformers' own progress bar."""
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()
