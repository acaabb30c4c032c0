"""Hiding segments from what follows them: how a model is run for it, and whether it does, determined by a test run.

Each token sees what is visible among the tokens before it, and those of its own segment. This takes an attention mask for each
block, [seq, seq], that neither flash kernels nor restarting positions can express.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from phf.errors import ConfigError
from phf.models.building.causality import (
    HALF_TOLERANCE,
    LONG_FLOP,
    RAISED_BY_MODELS,
    TOLERANCE,
    last_hidden_state,
    undisturbed,
)
from phf.models.building.documents import largest_change, probe_ids
from phf.models.context import text_config
from phf.storage.loading_errors import first_sentence

Run = Callable[[Tensor, Tensor | None], Tensor]
"""ids [rows, length], hidden [rows, length] or None -> hidden states or logits [rows, length, width]."""
KERNELS = ("sdpa", "eager")
"""Implementations of attention in transformers that take a mask of any kind."""
WINDOWS = ("sliding_window", "attention_chunk_size", "attention_window")
"""Settings of attention that does not reach back to the start of a text: the given mask replaces its own."""
PATTERN = (0, 0, 1, 1, 1, 0, 2, 2, 0, 0, 3, 4, 4, 0)
"""Hidden segments of the probe."""


def visibility(hidden: Tensor, position_ids: Tensor | None = None) -> Tensor:
    """bool [batch, 1, seq, seq]: whether the token of a row may attend to that of a column.

    Args:
        hidden: int [batch, seq], 0 for tokens that all later ones see, else the number of the hidden segment they belong to.
        position_ids: int [batch, seq], restarting at 0 with each document, which are then kept apart.
    """
    seq = hidden.size(1)
    is_seen = (hidden[:, None, :] == 0) | (hidden[:, None, :] == hidden[:, :, None])
    is_seen &= torch.ones(seq, seq, dtype=torch.bool, device=hidden.device).tril()
    if position_ids is not None:
        documents = (position_ids == 0).cumsum(1)
        is_seen &= documents[:, None, :] == documents[:, :, None]
    return is_seen.unsqueeze(1)


def hiding_arguments(lm: Any, hidden: Tensor | None, position_ids: Tensor | None = None) -> dict[str, Any]:
    """Arguments of `forward` that hide segments; see `visibility`. None for `hidden`: nothing is hidden."""
    if hidden is None:
        return {}
    mask = visibility(hidden, position_ids)
    if text_config(lm.config)._attn_implementation == "eager":
        dtype = lm.get_input_embeddings().weight.dtype
        return {"attention_mask": added_to_logits(mask, dtype, torch.finfo(dtype).min)}
    device = mask.device.type
    if device == "cuda":  # where every layer would make this from a mask of bool
        is_mixed = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if is_mixed else lm.get_input_embeddings().weight.dtype
        return {"attention_mask": added_to_logits(mask, dtype, -torch.inf)}
    return {"attention_mask": mask}


def added_to_logits(mask: Tensor, dtype: torch.dtype, lowest: float) -> Tensor:
    """0 where a token is seen, and `lowest` where it is not, of the same shape."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, lowest)


def follows_hidden(hidden: Tensor) -> Tensor:
    """bool [batch, seq]: tokens that would be predicted from a hidden segment before theirs, which are not targets."""
    follows = torch.zeros_like(hidden, dtype=torch.bool)
    follows[:, 1:] = (hidden[:, :-1] != 0) & (hidden[:, :-1] != hidden[:, 1:])
    return follows


def check_hiding(lm: Any, seq_length: int, run: Run | None = None) -> None:
    """Raises `ConfigError` unless hidden segments have no effect on what follows, and `lm` is the same where none is hidden.

    Args:
        seq_length: tokens of a block.
        run: how the model is run; None: by calling it.
    """
    name, config = type(lm).__name__, text_config(lm.config)
    if config._attn_implementation not in KERNELS:
        raise ConfigError(
            f"dataset.hidden_threshold needs an attention mask for each block, but {name} is run with "
            f"{config._attn_implementation}. Set model.model_kwargs.attn_implementation: sdpa."
        )
    weight = lm.get_input_embeddings().weight
    is_exact = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64)
    tolerance = TOLERANCE if is_exact else HALF_TOLERANCE

    def call(ids: Tensor, hidden: Tensor | None) -> Tensor:
        return last_hidden_state(lm, ids, **hiding_arguments(lm, hidden))

    try:
        with (
            undisturbed(lm),
            torch.autocast(weight.device.type, enabled=False),
            torch.compiler.set_stance("force_eager"),  # not compiled for the sizes of a probe
        ):
            problem = _short_window(config, seq_length) or _problem(lm, seq_length, run or call, tolerance)
    except RAISED_BY_MODELS as error:
        problem = f"takes no attention mask of its own for each block ({first_sentence(error)})"
    if problem is not None:
        raise ConfigError(
            f"dataset.hidden_threshold hides segments from what follows, but {name} {problem}. Leave it out, or choose an "
            "architecture that attends to whole texts, such as gpt2, gpt_neox or llama."
        )


def _short_window(config: Any, seq_length: int) -> str | None:
    for key in WINDOWS:
        window = getattr(config, key, None)
        is_used = getattr(config, f"use_{key}", True) is not False
        if isinstance(window, int) and is_used and window < seq_length:
            return f"attends to {window} tokens only ({key}), fewer than a block of {seq_length} has"
    return None


@torch.no_grad()
def _problem(lm: Any, seq_length: int, run: Run, tolerance: float) -> str | None:
    """What is wrong with how hidden segments are computed; None if nothing."""
    device = lm.get_input_embeddings().weight.device
    pattern = torch.tensor(PATTERN[:seq_length], device=device)
    ids = probe_ids(lm, len(pattern), 0)
    hidden = pattern.expand(2, -1)
    rows = torch.where(pattern == 0, ids, probe_ids(lm, len(pattern), 1))  # other text in the hidden segments
    states = run(torch.cat([ids, rows]), hidden)
    is_visible = pattern == 0
    if largest_change(states[0, is_visible], states[1, is_visible]) > tolerance:
        return "lets later tokens see a hidden segment"
    num_tokens = min(seq_length, max(2, int(LONG_FLOP / (4 * max(lm.num_parameters(), 1)))))
    ids = probe_ids(lm, num_tokens, 2)
    nothing = torch.zeros_like(ids)
    if largest_change(run(ids, nothing)[0], run(ids, None)[0]) > tolerance:
        return "computes text differently with an attention mask, even where nothing is hidden"
    return None
