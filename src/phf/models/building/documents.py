"""Keeping the documents of a block apart: how a model is run for it, and whether it does, determined by a test run.

transformers recognises packed documents by positions that restart, and masks attention accordingly. Not every architecture
takes part: some take no positions (ALiBi), others carry a state from token to token (Mamba) or build their own masks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import masking_utils

from phf.errors import ConfigError
from phf.models.building.causality import (
    HALF_TOLERANCE,
    LONG_FLOP,
    RAISED_BY_MODELS,
    TOLERANCE,
    depends_on_length,
    last_hidden_state,
    plain_ids,
    undisturbed,
)
from phf.models.context import text_config
from phf.storage.loading_errors import first_sentence

LENGTHS: tuple[tuple[int, ...], ...] = ((5, 1, 8, 4), (3, 9, 6))
"""Tokens of the documents of the probe, by row."""
LONG_LENGTHS: tuple[tuple[int, ...], ...] = ((130, 1, 200),)
"""The same for a longer one, which shows windows of attention; left out if it costs too much (see `LONG_FLOP`)."""
FAR_LENGTHS = (6, 3, 5)
"""Documents of a row whose second one is at the end of the longest possible document."""

Run = Callable[[Tensor, Tensor | None], Tensor]
"""ids [rows, length], positions [rows, length] or None -> hidden states or logits [rows, length, width]."""


def document_arguments(lm: Any, position_ids: Tensor | None) -> dict[str, Any]:
    """Arguments of `forward` that keep documents apart.

    Args:
        position_ids: int64 [batch, seq], restarting at 0 with each document; None: nothing is kept apart.
    """
    if position_ids is None:
        return {}
    if not uses_flash_attention(lm):
        return {"position_ids": position_ids}
    # transformers finds out by itself for a single row only, and then in every layer; this waits for the device once
    starts = (position_ids.flatten() == 0).nonzero().flatten()
    ends = torch.cat([starts, starts.new_tensor([position_ids.numel()])]).to(torch.int32)
    length = position_ids.size(1)
    return {
        "position_ids": position_ids,
        "cu_seq_lens_q": ends,
        "cu_seq_lens_k": ends,
        "max_length_q": length,
        "max_length_k": length,
    }


@contextmanager
def one_document_per_row(is_known: bool) -> Iterator[None]:
    """Rows that hold one document each, if `is_known`: transformers does not look for more in the positions that it makes.

    Looking waits for the device once in each forward pass; and what is compiled, where it cannot look, would get a mask
    for it, with which attention is slower.
    """
    if not is_known:
        yield
        return
    try:
        for name in ORIGINALS:
            setattr(masking_utils, name, ANSWERS[name])
        yield
    finally:
        # not what was there before: another thread may have been in here, or a signal may have left it here
        for name, function in ORIGINALS.items():
            setattr(masking_utils, name, function)


def _no_documents(position_ids: Tensor) -> None:
    """What transformers finds in positions that do not restart."""


def _not_exporting() -> bool:
    """Whether a model is traced for export, which needs a mask: torch before 2.13 answers yes wherever it compiles."""
    return False


ANSWERS: dict[str, Callable[..., Any]] = {
    "find_packed_sequence_indices": _no_documents,
    "is_torchdynamo_exporting": _not_exporting,
}
"""Functions by which transformers finds out whether attention needs a mask, and what they would answer here."""
ORIGINALS: dict[str, Callable[..., Any]] = {
    name: getattr(masking_utils, name) for name in ANSWERS if hasattr(masking_utils, name)
}


def uses_flash_attention(lm: Any) -> bool:
    """Whether attention is computed by kernels that are given the bounds of documents instead of a mask."""
    return "flash" in str(text_config(lm.config)._attn_implementation)


def check_document_attention(lm: Any, seq_length: int, run: Run | None = None) -> None:
    """Raises `ConfigError` unless `lm` computes the same for a document in a block as for the document alone.

    Args:
        seq_length: tokens of a block, which limits the positions.
        run: how the model is run; None: by calling it.
    """
    weight = lm.get_input_embeddings().weight
    is_flash = uses_flash_attention(lm)  # which runs in half precision only
    is_exact = not is_flash and weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64)
    tolerance = TOLERANCE if is_exact else HALF_TOLERANCE
    autocast: AbstractContextManager[object] = (
        nullcontext() if is_flash else torch.autocast(weight.device.type, enabled=False)
    )

    def call(ids: Tensor, positions: Tensor | None) -> Tensor:
        return last_hidden_state(lm, ids, **document_arguments(lm, positions))

    try:
        with (
            undisturbed(lm),
            autocast,
            torch.compiler.set_stance("force_eager"),
        ):  # not compiled for the sizes of a probe
            problem = _problem(lm, seq_length, run or call, tolerance)
    except RAISED_BY_MODELS as error:
        problem = f"takes no positions that restart with each document ({first_sentence(error)})"
    if problem is not None:
        raise ConfigError(
            f"dataset.attention is document, but {type(lm).__name__} {problem}. Set dataset.attention: packed, or choose an "
            "architecture that keeps documents apart, such as gpt2, gpt_neox, llama or mistral."
        )


@torch.no_grad()
def _problem(lm: Any, seq_length: int, run: Run, tolerance: float) -> str | None:
    """What is wrong with the documents of a block; None if each is computed as it is alone."""
    num_long_tokens = 5 * sum(map(sum, LONG_LENGTHS))  # three texts at once, one alone, and its documents alone
    is_cheap = 2 * lm.num_parameters() * num_long_tokens <= LONG_FLOP or depends_on_length(lm)
    for rows in (LENGTHS, LONG_LENGTHS) if is_cheap else (LENGTHS,):
        lengths = [_cut(row, seq_length) for row in rows]
        if change_by_other_documents(lm, lengths, run) > tolerance:
            return "lets a token see documents other than its own"
        for row, of_row in enumerate(lengths):
            ids, positions = _documents(lm, of_row, row)
            packed = run(ids, positions)[0]
            for document, (start, end) in enumerate(_bounds(of_row)):
                alone = run(ids[:, start:end], None)[0]
                if largest_change(packed[start:end], alone) > tolerance:
                    return f"computes document {document + 1} of a block differently from the same document alone"
    if sum(FAR_LENGTHS) <= seq_length:
        ids, positions = _documents(lm, FAR_LENGTHS, 0)
        (start, end), (last, _) = _bounds(FAR_LENGTHS)[1:]
        positions[:, start:end] += seq_length - (end - start)
        if largest_change(run(ids, positions)[0, last:], run(ids[:, last:], None)[0]) > tolerance:
            return "computes short documents differently in a block that has a long one"
    return None


@torch.no_grad()
def strengthen(lm: Any) -> None:
    """Scale weights until their outputs are about as large as their inputs, so that attention has an effect.

    In a narrow model that is not trained yet its effect, and that of positions, may be lost in rounding.
    """
    for parameter in lm.parameters():
        if parameter.is_floating_point() and parameter.dim() > 1 and parameter.any():
            parameter.mul_(1 / (parameter.square().mean().sqrt() * parameter.size(-1) ** 0.5))


@torch.no_grad()
def change_by_other_documents(lm: Any, lengths: Sequence[Sequence[int]], run: Run) -> float:
    """Largest relative change of a hidden state of a document when every second other document of its row changes.

    The texts that are compared are rows of one batch, so that rounding is the same for both.
    """
    largest = 0.0
    for row, of_row in enumerate(lengths):
        ids, positions = _documents(lm, of_row, row)
        others, _ = _documents(lm, of_row, row + len(lengths))
        bounds = _bounds(of_row)
        rows = ids.repeat(3, 1)
        for document, (start, end) in enumerate(bounds):
            rows[1 + document % 2, start:end] = others[0, start:end]
        hidden = run(rows, positions.repeat(3, 1))
        for document, (start, end) in enumerate(bounds):
            changed = hidden[2 - document % 2, start:end]
            largest = max(largest, largest_change(hidden[0, start:end], changed))
    return largest


def largest_change(before: Tensor, after: Tensor) -> float:
    """Largest change of a row of [tokens, width], relative to its norm; infinite where a number is not finite."""
    before, after = before.float(), after.float()
    scale = before.norm(dim=-1).clamp_min(torch.finfo(torch.float32).tiny)
    return float(((after - before).norm(dim=-1) / scale).nan_to_num(torch.inf).max())


def _documents(lm: Any, lengths: Sequence[int], number: int) -> tuple[Tensor, Tensor]:
    """[1, tokens] ids, which differ with `number`, and positions that restart with each document."""
    ids = probe_ids(lm, sum(lengths), number)
    return ids, torch.cat([torch.arange(length) for length in lengths]).unsqueeze(0).to(ids.device)


def probe_ids(lm: Any, num_tokens: int, number: int) -> Tensor:
    """[1, tokens] ids of a text, on the model's device; each `number` has its own text."""
    plain = plain_ids(lm)
    ids = torch.tensor([[plain[(7 * i + i * i // 3 + 5 * number) % len(plain)] for i in range(num_tokens)]])
    return ids.to(lm.get_input_embeddings().weight.device)


def _bounds(lengths: Sequence[int]) -> list[tuple[int, int]]:
    ends = torch.tensor(lengths).cumsum(0).tolist()
    return [(end - length, end) for end, length in zip(ends, lengths, strict=True)]


def _cut(lengths: Sequence[int], seq_length: int) -> tuple[int, ...]:
    """The documents that fit into a block of `seq_length`, the last of them cut off."""
    room, kept = seq_length, []
    for length in lengths:
        if room > 0:
            kept.append(min(length, room))
            room -= length
    return tuple(kept)
