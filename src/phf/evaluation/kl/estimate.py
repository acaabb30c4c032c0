"""KL(reference || model): how far training has moved a model from a reference LM, in nats (arXiv 2302.08582, section 3).

Estimated as the mean of log p_reference - log p_model over samples of the reference. Both are charged for the same
thing: if the model's tokenizer decodes the drawn ids like the reference's, exactly these tokens; otherwise the text,
each as its own tokenizer encodes it. The end of a sample is charged if the reference drew it, as the probability of
any id that ends a text. The released system charged conditional models for their own control token; here what is given
in front of the text is free, and probability on control tokens is spread over the others, as in sampling.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from phf.config import KLConfig
from phf.corpus.segmenting.segment import segment
from phf.evaluation.kl.logprob import EndedRow, Row, banned_ids, ended_logprobs
from phf.evaluation.kl.reference import REPLACEMENT, ReferenceSample
from phf.evaluation.kl.reference_samples import reference_samples
from phf.models.vocabulary import end_ids
from phf.sampling.division import ALONE, Division
from phf.statistics import mean_interval
from phf.tokens.encoding import SegmentEncoder
from phf.tokens.tokenizer import PlainEncoder


def measure_kl(
    model: Any,
    tokenizer: Any,
    section: KLConfig,
    *,
    prefix_ids: list[int],
    repeated_ids: Sequence[int] = (),
    cache_dir: Path,
    announce: Callable[[str], None] = lambda message: None,
    division: Division = ALONE,
) -> dict[str, float]:
    """The numbers of `kl_from_samples` for the reference that `section` names; its samples are drawn once and kept.

    Args:
        prefix_ids: what the model is given before each sample, its document start, then the control tokens if there are any.
        repeated_ids: the control tokens, where they are given again before every later line.
        cache_dir: folder of the reference's samples.
        announce: called when samples are drawn.
        division: the processes that share the samples; each gets the numbers. The main one draws.
    """
    return kl_from_samples(
        model,
        tokenizer,
        division.from_main(lambda: reference_samples(section, cache_dir, announce)),
        prefix_ids=prefix_ids,
        repeated_ids=repeated_ids,
        batch_size=section.batch_size,
        division=division,
    )


def kl_from_samples(
    model: Any,
    tokenizer: Any,
    samples: Sequence[ReferenceSample],
    *,
    prefix_ids: list[int],
    repeated_ids: Sequence[int] = (),
    batch_size: int = 64,
    division: Division = ALONE,
) -> dict[str, float]:
    """KL(reference || model) of any causal LM.

    Args:
        prefix_ids: document start, and the control tokens if there are any; given, not charged for.
        repeated_ids: the control tokens, where they are given again before every later line.

    Returns:
        `kl/nats_per_sequence`, with its 95% interval `_low`, `_high`; >= 0 except for sampling error. It grows
        with the length of samples. `kl/nats_per_character`: all nats / all characters. `kl/num_samples`: samples;
        `kl/num_unscored`: those that one of two different tokenizers cannot spell, or whose bytes are not text, left out of
        the rest.
    """
    rows = _same_tokens(tokenizer, samples)
    if rows is not None:
        reference: list[float | None] = [sum(sample.logprobs) for sample in samples]
        texts = [sample.text for sample in samples]
    else:
        texts = [sample.shared_text for sample in samples]
        # bytes that are not text were drawn; what replaces them was not
        is_text = [REPLACEMENT not in text for text in texts]
        reference = [sample.text_logprob if is_text[i] else None for i, sample in enumerate(samples)]
        rows = _encode(tokenizer, texts, by_line=bool(repeated_ids))
    ends = end_ids(model, tokenizer)
    cannot_spell = {tokenizer.unk_token_id} - {None, *ends}
    is_scored = [r is not None and not cannot_spell & {*ids} for r, ids in zip(reference, rows, strict=True)]
    line_ends = _line_ends(tokenizer, rows) if repeated_ids else set()
    ended_rows = [
        EndedRow(_with_prefix(prefix_ids, ids, repeated_ids, line_ends), sample.is_ended)
        for ids, sample in zip(rows, samples, strict=True)
    ]
    scored = [i for i in range(len(samples)) if is_scored[i]]
    logprobs_of_rows = ended_logprobs(
        model,
        [ended_rows[i] for i in scored],
        ends=ends,
        banned_ids=banned_ids(tokenizer, model),
        batch_size=batch_size,
        division=division,
    )
    charged = [reference[i] for i in scored]
    nats = [r - float(logprobs.sum()) for r, logprobs in zip(charged, logprobs_of_rows, strict=True) if r is not None]
    # each sample equally likely under both, to the last bit: they are the same model
    mean, low, high = (0.0, 0.0, 0.0) if nats and not any(nats) else mean_interval(nats)
    num_characters = sum(len(texts[i]) for i in scored)
    return {
        "kl/nats_per_sequence": mean,
        "kl/nats_per_sequence_low": low,
        "kl/nats_per_sequence_high": high,
        "kl/nats_per_character": float(np.sum(nats)) / num_characters if num_characters else np.nan,
        "kl/num_samples": len(samples),
        "kl/num_unscored": len(samples) - len(scored),
    }


def _same_tokens(tokenizer: Any, samples: Sequence[ReferenceSample]) -> list[list[int]] | None:
    """The drawn ids, if they decode to the text of every sample with this tokenizer too.

    Bytes that are not UTF-8 are left out of the comparison: servers show them in other ways, or not yet at the end.
    """
    drawn = [sample.ids for sample in samples]
    rows = [ids for ids in drawn if ids is not None]
    used = {i for ids in rows for i in ids}
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    if len(rows) < len(drawn) or not used <= set(tokenizer.get_vocab().values()) - special:
        return None
    texts = [tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in rows]
    is_same = all(
        text.replace(REPLACEMENT, "") == sample.text.replace(REPLACEMENT, "")
        for text, sample in zip(texts, samples, strict=True)
    )
    return rows if is_same else None


def _encode(tokenizer: Any, texts: Sequence[str], *, by_line: bool) -> list[list[int]]:
    """Ids of each text, encoded as a whole, or line by line if each line has its own control token."""
    parts = [segment(text, "lines") if by_line else [text] for text in texts]
    ids, lengths = SegmentEncoder(PlainEncoder(tokenizer)).encode(parts)
    num_parts = np.cumsum([0, *map(len, parts)])
    ends = np.concatenate([[0], np.cumsum(lengths)])[num_parts]
    return [ids[start:end].tolist() for start, end in pairwise(ends)]


def _line_ends(tokenizer: Any, rows: Sequence[list[int]]) -> set[int]:
    """The used ids that end a line."""
    used = {i for ids in rows for i in ids}
    return {i for i in used if tokenizer.decode([i], clean_up_tokenization_spaces=False).endswith("\n")}


def _with_prefix(prefix_ids: list[int], ids: list[int], repeated_ids: Sequence[int], line_ends: set[int]) -> Row:
    """The sample after its prefix, with the control tokens given again between two lines, if they are to be."""
    row, is_given = [*prefix_ids, *ids[:1]], [True] * len(prefix_ids) + [False] * len(ids[:1])
    for before, token in pairwise(ids):
        if before in line_ends:
            row += repeated_ids
            is_given += [True] * len(repeated_ids)
        row.append(token)
        is_given.append(False)
    return Row(row, is_given)
