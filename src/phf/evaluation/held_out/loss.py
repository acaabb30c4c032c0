"""Held-out loss: how well the model predicts text it was not trained on, overall and per class of segment."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from phf.evaluation.held_out.document_rows import Block, predicted_tokens
from phf.evaluation.held_out.tag_gain import Gains, TagGain, gain_interval
from phf.feedback import ControlTokens
from phf.sampling.division import ALONE, Division
from phf.sampling.finite import check_nats
from phf.sampling.generate import evaluation_mode
from phf.statistics import Interval, ratio_estimate
from phf.tokens import views
from phf.tokens.document_start import document_start


class Blocks(Protocol):
    """What `phf.tokens.views.Blocks` is, as needed for evaluation."""

    def __len__(self) -> int: ...
    def block(self, index: int) -> tuple[np.ndarray, np.ndarray]: ...
    def document_starts(self, index: int) -> np.ndarray: ...


class _Sums(NamedTuple):
    """Sums over a batch: nats and tokens of each kind, and what its control tokens gain."""

    nats: dict[str, float]
    counts: dict[str, int]
    gains: Gains | None
    documents: Gains
    """Nats and tokens of text of each document in the batch; the first one may continue the last one of the batch before."""


def held_out_loss(
    module: Any,
    blocks: Blocks,
    *,
    threshold: float,
    control_ids: Sequence[int],
    eos_id: int,
    bytes_per_text_token: float,
    batch_size: int,
    start_ids: list[int] | None = None,
    keeps_documents_apart: bool = False,
    tag_groups: Sequence[Sequence[int]] | None = None,
    with_tag_gain: bool = False,
    with_interval: bool = False,
    division: Division = ALONE,
) -> dict[str, float]:
    """Numbers of one held-out evaluation.

    Args:
        module: has `token_nll(input_ids, labels)`, e.g. `phf.models.ObjectiveLM`.
        threshold: a segment is aligned iff its score <= threshold.
        control_ids: ids of control tokens; empty for other methods.
        bytes_per_text_token: UTF-8 bytes of the held-out text / tokens it was encoded to.
        start_ids: what begins a document; if that is not EOS but, for example, a BOS, it is given, not charged for, and
            each document is read by itself after it, as such a model is prompted.
        keeps_documents_apart: whether each document is read by itself if documents begin with EOS, as a model trained with
            `dataset.attention: document` read them. The same tokens are predicted in either case.
        tag_groups: the `control_ids` of each preference, which are swapped among themselves; None: they are of one.
        with_tag_gain: also measure `tag_gain`, if there are control tokens; doubles the time.
        with_interval: also give `loss_low` and `loss_high`, the 95% interval of `loss`, documents being the clusters.
        division: the processes that share the batches; each gets the numbers.

    Returns:
        `loss`: nats per text token (EOS included), control tokens given. `loss_aligned`, `loss_misaligned`: the same
        over tokens of scored segments on each side of the threshold. `bits_per_byte`: all nats, those of control
        tokens and EOS too, / ln 2 / bytes of text. Charging the control tokens makes it an upper bound on what the
        model needs for the text alone, so that a conditional model cannot gain from being given the scores.
        `bits_per_byte_given_tags`: without the nats of control tokens. `num_tokens`: text tokens evaluated.
        `tag_gain`, `tag_gain_low`, `tag_gain_high`: see `TagGain`.
    """
    start_ids = start_ids or [eos_id]
    num_blocks = len(blocks)
    device = next(module.parameters()).device
    groups = [control_ids] if tag_groups is None else tag_groups
    can_swap = any(len(group) > 1 for group in groups)
    gain = TagGain(groups, eos_id, start_ids) if with_tag_gain and can_swap else None
    firsts = [0] * num_blocks
    if gain is not None:
        firsts = gain.first_documents(blocks.block(place)[0] for place in range(num_blocks))

    def measure(places: range) -> _Sums:
        batch = [blocks.block(place) for place in places]
        starts = [blocks.document_starts(place) for place in places] if keeps_documents_apart else None
        read_after = () if start_ids[:1] == [eos_id] else start_ids
        ids, places_of_targets, nll = predicted_tokens(module, _numbered(batch), read_after, device, starts)
        order = places_of_targets.astype(np.int64)
        all_ids, all_scores = (np.concatenate([of_block[i] for of_block in batch]) for i in range(2))
        scores = all_scores.astype(np.float32)[order]
        check_nats(nll, getattr(module, "lm", module))
        is_control = np.isin(ids, control_ids)
        is_eos = ids == eos_id
        is_text = ~is_control & ~is_eos & ~np.isin(ids, start_ids)
        masks = {
            "text": is_text,
            "control": is_control,
            "eos": is_eos,
            "aligned": is_text & (scores <= np.float32(threshold)),
            "misaligned": is_text & (scores > np.float32(threshold)),
        }
        gains = None
        if gain is not None:
            gains = gain.of_blocks(module, batch, firsts[places.start : places.stop], nll, device, starts)
        opens = np.isin(all_ids, [eos_id, *start_ids])
        charged = masks["text"] | masks["eos"]
        codes, size = np.cumsum(opens)[order[charged]], int(opens.sum()) + 1
        of_documents = Gains(np.bincount(codes, nll[charged], size), np.bincount(codes, minlength=size))
        nats = {name: float(nll[mask].sum()) for name, mask in masks.items()}
        return _Sums(nats, {name: int(mask.sum()) for name, mask in masks.items()}, gains, of_documents)

    parts = [range(start, min(start + batch_size, num_blocks)) for start in range(0, num_blocks, batch_size)]
    with evaluation_mode(module), torch.no_grad():
        sums = division.map(measure, parts, "held-out blocks", len)
    totals = {name: sum(part.nats[name] for part in sums) for name in sums[0].nats}
    counts = {name: sum(part.counts[name] for part in sums) for name in sums[0].counts}
    bits_per_nat_and_byte = 1 / math.log(2) / max(counts["text"] * bytes_per_text_token, 1)
    text_nats = totals["text"] + totals["eos"]
    logs = {
        "loss": text_nats / max(counts["text"] + counts["eos"], 1),
        "loss_aligned": totals["aligned"] / counts["aligned"] if counts["aligned"] else math.nan,
        "loss_misaligned": totals["misaligned"] / counts["misaligned"] if counts["misaligned"] else math.nan,
        "bits_per_byte": (text_nats + totals["control"]) * bits_per_nat_and_byte,
        "bits_per_byte_given_tags": text_nats * bits_per_nat_and_byte,
        "num_tokens": counts["text"],
    }
    if with_interval:
        _, logs["loss_low"], logs["loss_high"] = _interval_of_loss([part.documents for part in sums])
    if gain is not None:
        interval = gain_interval([part.gains for part in sums if part.gains is not None])
        for key, value in zip(("", "_low", "_high"), interval, strict=True):
            logs[f"tag_gain{key}"] = value
    return logs


def _numbered(batch: Sequence[Block]) -> list[Block]:
    """The blocks with the place of each token in the batch instead of its score: targets come in another order."""
    ends = np.cumsum([len(ids) for ids, _ in batch])
    assert ends[-1] < 2**24, "larger places are not exact in float32"
    places = np.split(np.arange(ends[-1], dtype=np.float32), ends[:-1])
    return [(ids, of_block) for (ids, _), of_block in zip(batch, places, strict=True)]


def _interval_of_loss(parts: Sequence[Gains]) -> Interval:
    """Nats per token, of the documents of consecutive batches."""
    size = sum(len(part.counts) - 1 for part in parts) + 1
    totals, counts = np.zeros(size), np.zeros(size)
    first = 0
    for part in parts:
        place = slice(first, first + len(part.counts))
        totals[place] += part.totals
        counts[place] += part.counts
        first += len(part.counts) - 1
    return ratio_estimate(totals, counts).interval()


def held_out_numbers(
    module: Any,
    blocks: views.Blocks,
    tokenizer: Any,
    control_tokens: ControlTokens,
    *,
    threshold: float,
    batch_size: int,
    with_interval: bool = False,
    division: Division = ALONE,
) -> dict[str, float]:
    """`held_out_loss` on the blocks of a token store, which know how many bytes of text their tokens stand for."""
    return held_out_loss(
        module,
        blocks,
        threshold=threshold,
        control_ids=control_tokens.ids(tokenizer),
        tag_groups=control_tokens.id_groups(tokenizer),
        eos_id=tokenizer.eos_token_id,
        start_ids=document_start(tokenizer),
        keeps_documents_apart=blocks.settings.attention == "document",
        bytes_per_text_token=blocks.counts.num_bytes / max(blocks.counts.num_text_tokens, 1),
        batch_size=batch_size,
        with_tag_gain=True,
        with_interval=with_interval,
        division=division,
    )
