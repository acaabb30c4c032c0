"""Keys of the released system, and of older transformers, that are spelled otherwise today.

Each is translated in place with one line of warning, so files written for them work as they are.
"""

from typing import Any

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


def translate(values: dict[str, Any], origin: str) -> list[str]:
    """Rename old keys in `values` in place; returns a line of warning for each."""
    warnings: list[str] = []
    training = values.get("training")
    if isinstance(training, dict):
        for old in [key for key in training if key in RENAMED_TRAINING_KEYS]:
            new, value = RENAMED_TRAINING_KEYS[old], training.pop(old)
            if new is None:
                warnings.append(f"{origin}: training.{old} has no effect any more and is ignored.")
                continue
            training.setdefault(new, value)
            warnings.append(f"{origin}: training.{old} is called training.{new} now; read as that.")
    model = values.get("model")
    settings = model.get("gpt2_config_kwargs") if isinstance(model, dict) else None
    if isinstance(settings, dict):
        for key in [key for key in settings if key in DEAD_GPT2_KEYS]:
            del settings[key]
            warnings.append(f"{origin}: model.gpt2_config_kwargs.{key} is no GPT-2 setting and never had an effect.")
    return warnings
