"""Whether a language model sees the tokens that it should predict, determined by a test run."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from phf.errors import ConfigError
from phf.models.context import context_of, text_config
from phf.storage.loading_errors import UNREADABLE, first_sentence

LENGTHS = (2, 18)
"""Tokens of the probes. In short texts a visible token has the most weight; long ones show long-distance effects."""
LONGEST = 1024
"""Tokens of another probe, if the context has room: some attention (BigBird's) is causal only in short texts."""
LONG_FLOP = 1e11
"""The long probe is left out if it takes more, unless `LONG_SETTINGS` say that attention depends on length."""
LONG_SETTINGS = ("attention_type", "block_size", "attn_layers", "attention_window", "attention_chunk_size")
TOLERANCE = 1e-4
"""Largest relative change of a hidden state in float32 that is attributed to rounding."""
HALF_TOLERANCE = 0.05
"""The same for models in half precision that are too large to be copied."""
COPIED_PARAMETERS = 1_000_000_000
"""Models in half precision with at most this many parameters are tested in float32."""
RAISED_BY_MODELS = (*UNREADABLE, AssertionError)
SETTINGS = {
    "is_decoder": True,
    "use_bidirectional_attention": False,
    "causal": True,
    "is_causal": True,
    "attn_type": "uni",
}
"""Settings of transformers' configurations, and the value that makes a model causal."""


def check_causal(lm: Any, key: str) -> None:
    """Raises `ConfigError` if earlier hidden states change with later tokens: `lm` would see its targets.

    `key` begins the message and identifies the model, e.g. `model.path_or_name`.
    """
    if _is_elsewhere(lm):
        return
    is_exact = all(parameter.dtype in (torch.float32, torch.float64) for parameter in lm.parameters())
    if not is_exact and lm.num_parameters() <= COPIED_PARAMETERS:
        lm, is_exact = copy.deepcopy(lm).float(), True
    try:
        change = change_by_later_tokens(lm)
    except RAISED_BY_MODELS as error:
        raise ConfigError(
            f"{key}: {type(lm).__name__} cannot be run on plain text: {first_sentence(error)} Change "
            "model.config_kwargs, or choose another model."
        ) from error
    if change <= (TOLERANCE if is_exact else HALF_TOLERANCE):
        return
    raise ConfigError(
        f"{key}: {type(lm).__name__} is not a causal language model: it sees the tokens that it should predict. "
        f"{_advice(lm.config, key)}"
    )


def can_run(lm: Any, length: int = LENGTHS[-1]) -> bool:
    """Whether `lm` takes `length` token ids and nothing else; True if that cannot be tested."""
    if _is_elsewhere(lm):
        return True
    try:
        change_by_later_tokens(lm, (length,))
    except RAISED_BY_MODELS:
        return False
    return True


@torch.no_grad()
def change_by_later_tokens(lm: Any, lengths: Sequence[int] | None = None) -> float:
    """Largest relative change of a hidden state when later tokens change; 0 for a causal model, except for rounding.

    The texts that are compared are rows of one batch, so that rounding is the same for both. `lengths`: in tokens;
    None: `LENGTHS`, and one that fills the context, if that is cheap.
    """
    with undisturbed(lm):
        long = _long_change(lm) if lengths is None else 0.0
        return max(long, *(_change(lm, length) for length in lengths or LENGTHS))


@contextmanager
def undisturbed(lm: Any) -> Iterator[None]:
    """The model in evaluation mode, and afterwards as it was."""
    was_training = {module: module.training for module in lm.modules()}
    lm.eval()
    try:
        yield
    finally:
        for module, training in was_training.items():
            module.training = training
        if hasattr(lm.base_model, "set_attention_type"):  # BigBird, which uses full attention for a short text
            lm.base_model.set_attention_type(lm.config.attention_type)


def _long_change(lm: Any) -> float:
    """`_change` in a text that fills the context, up to `LONGEST` tokens; 0 if that is left out."""
    length = min(LONGEST, context_of(lm.config) or LONGEST)
    num_tokens = length * (len(_changed(length)) + 1)
    if length <= max(LENGTHS) or (2 * lm.num_parameters() * num_tokens > LONG_FLOP and not depends_on_length(lm)):
        return 0.0
    try:
        return _change(lm, length)
    except RAISED_BY_MODELS:  # it accepts texts of other lengths, and is tested with short ones
        return 0.0


def depends_on_length(lm: Any) -> bool:
    """Whether the configuration says that attention differs between short and long texts."""
    return any(hasattr(text_config(lm.config), name) for name in LONG_SETTINGS)


def _changed(length: int) -> list[int]:
    """Positions from which on the text is changed, each in its own copy."""
    return sorted({1, length // 2, length - 1}) if length <= max(LENGTHS) else [length // 2]


def _is_elsewhere(lm: Any) -> bool:
    """Whether parameters are not in this process (on no device, or sharded over processes): nothing can be tested."""
    return any(parameter.is_meta or not parameter.numel() for parameter in lm.parameters())


def _change(lm: Any, length: int) -> float:
    rows, changed = _probe(lm, length)
    hidden = last_hidden_state(lm, rows.to(lm.device)).float()
    largest = 0.0
    for row, position in enumerate(changed, start=1):
        before, after = hidden[0, :position], hidden[row, :position]
        scale = before.norm(dim=-1).clamp_min(torch.finfo(torch.float32).tiny)
        largest = max(largest, float(((after - before).norm(dim=-1) / scale).nan_to_num(0.0).max()))
    return largest


def _probe(lm: Any, length: int) -> tuple[Tensor, list[int]]:
    """[rows, length] ids: a text, and copies of it that differ from some position on; and those positions."""
    plain = plain_ids(lm)
    half = max(len(plain) // 2, 1)
    text, other = (
        torch.tensor([part[7 * i % len(part)] for i in range(length)]) for part in (plain[:half], plain[-half:])
    )
    changed = _changed(length)
    rows = text.repeat(len(changed) + 1, 1)
    for row, position in enumerate(changed, start=1):
        rows[row, position:] = other[position:]
    return rows, changed


def plain_ids(lm: Any) -> list[int]:
    """Up to 64 ids of tokens that have no special role."""
    config = text_config(lm.config)
    named = [getattr(config, key, None) for key in ("pad_token_id", "bos_token_id", "eos_token_id")]
    num_rows = lm.get_input_embeddings().weight.size(0)
    special = {i for value in named for i in (value if isinstance(value, list | tuple) else [value])}
    return [i for i in range(min(num_rows, 64)) if i not in special] or [0]


def last_hidden_state(lm: Any, ids: Tensor, **arguments: Any) -> Tensor:
    """[rows, length, width]: the input of the output embedding, or the logits if that is not accessible."""
    head = lm.get_output_embeddings()
    seen: list[Tensor] = []
    handle = None if head is None else head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    try:
        logits = lm(input_ids=ids, use_cache=False, **arguments).logits
    finally:
        if handle is not None:
            handle.remove()
    is_whole = len(seen) == 1 and seen[0].dim() == 3 and seen[0].shape[:2] == ids.shape
    return seen[0] if is_whole else logits


def _advice(config: Any, key: str) -> str:
    for part in (config, text_config(config)):
        for name, value in SETTINGS.items():
            if getattr(part, name, value) != value:
                as_yaml = str(value).lower() if isinstance(value, bool) else value
                if key.startswith("model."):
                    return f"Set model.config_kwargs.{name}: {as_yaml}, or choose another model."
                return (
                    f"Set {name} to {as_yaml} in its config.json if it was trained that way, or choose another model."
                )
    return "Choose another model."
