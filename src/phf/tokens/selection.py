"""Which documents a view holds: split, sample and part, what an earlier run has seen, and what the scores admit."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from phf.errors import ConfigError
from phf.storage.hashing import hash64, splitmix64, uniform
from phf.text import counted, visible
from phf.tokens.encoded import Altered
from phf.tokens.view_settings import WHOLE, ViewCounts, ViewSettings

ENOUGH_DOCUMENTS = 1000
"""A share of fewer documents says little until the whole corpus has been seen."""


def in_split(split_hashes: np.ndarray, settings: ViewSettings) -> np.ndarray:
    """bool [documents], from uint64 [documents]."""
    if settings.held_out_groups is not None:
        held_out = np.isin(split_hashes, np.array(settings.held_out_groups, np.uint64))
    else:
        held_out = is_held_out(split_hashes, settings.eval_fraction)
    return held_out == (settings.split == "eval")


def is_held_out(split_hashes: np.ndarray, eval_fraction: float) -> np.ndarray:
    """bool [documents], from uint64 [documents], where they are held out by their ids."""
    # an integer is below a number exactly if it is below the next integer: no rounding of hashes to floats
    return split_hashes < np.uint64(math.ceil(eval_fraction * 2**64))


def in_part(keys: np.ndarray, settings: ViewSettings) -> np.ndarray:
    """bool [documents], from the int64 keys of the documents."""
    start, end = settings.part
    numbers = uniform(splitmix64(keys.astype(np.int64).view(np.uint64) ^ hash64("part", settings.seed)))
    return (numbers >= start) & (numbers < end)


def largest_sampled(parts: Iterable[np.ndarray], settings: ViewSettings) -> np.uint64 | None:
    """The largest of the hashes of the documents that `max_tokens` admits; None where it is not set.

    Args:
        parts: `DOCUMENT` [documents], which together are the corpus.
    """
    if settings.max_tokens is None:
        return None
    hashes, widths = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for documents in parts:
        of_split = documents[in_split(documents["split_hash"], settings) & (documents["num_tokens"] > 0)]
        hashes.append(_sampling_hashes(of_split["key"]))
        widths.append(of_split["num_tokens"].astype(np.int64) + len(settings.opening))
    all_hashes = np.concatenate(hashes)
    order = np.argsort(all_hashes)
    if not len(order):
        return None
    ends = np.cumsum(np.concatenate(widths)[order])
    last = int(np.searchsorted(ends, settings.max_tokens, side="right")) - 1
    first_full = int(np.searchsorted(ends, settings.seq_length, side="left"))
    return np.uint64(all_hashes[order[min(max(last, first_full), len(order) - 1)]])


def _sampling_hashes(keys: np.ndarray) -> np.ndarray:
    hashes: np.ndarray = splitmix64(keys.astype(np.int64).view(np.uint64) ^ hash64("max_tokens"))
    return hashes


class Selection:
    """Decides about documents in the order of the corpus, part after part.

    `num_passed`: where it does not begin with the first document, what is described below. `largest_hash`: see
    `largest_sampled`.
    """

    def __init__(
        self, settings: ViewSettings, counts: ViewCounts, num_passed: int = 0, largest_hash: np.uint64 | None = None
    ) -> None:
        self._settings = settings
        self._counts = counts
        self._largest_hash = largest_hash
        self.num_passed = num_passed
        """Tokens of the split so far, without control tokens; followed up to `skip_tokens`."""

    def of(self, documents: np.ndarray, avg_scores: np.ndarray, is_unscored: np.ndarray) -> np.ndarray:
        """bool [documents]: which of some consecutive documents are packed. What is left out is counted.

        Args:
            documents: `DOCUMENT` [documents].
            avg_scores: float32 [documents].
            is_unscored: bool [documents], whether a document has an unscored segment.
        """
        kept = in_split(documents["split_hash"], self._settings)
        if self._largest_hash is not None:
            kept &= _sampling_hashes(documents["key"]) <= self._largest_hash
        if self._settings.split == "train":
            kept = self._without_skipped(kept, documents["num_tokens"])
            kept = self._of_part(kept, documents["key"])
            kept = self._without_filtered(kept, avg_scores, is_unscored)
        self._counts.num_documents_altered += int(documents["is_altered"][kept].sum())
        self._counts.num_documents_empty += int((documents["num_tokens"][kept] == 0).sum())
        self._counts.num_documents += int((documents["num_tokens"][kept] > 0).sum())
        self._counts.num_bytes += int(documents["num_bytes"][kept].sum(dtype=np.int64))
        return kept

    def _of_part(self, kept: np.ndarray, keys: np.ndarray) -> np.ndarray:
        if self._settings.part == WHOLE:
            return kept
        is_inside = in_part(keys, self._settings)
        self._counts.num_documents_of_other_parts += int((kept & ~is_inside).sum())
        return kept & is_inside

    def _without_skipped(self, kept: np.ndarray, num_tokens: np.ndarray) -> np.ndarray:
        if self.num_passed >= self._settings.skip_tokens:
            return kept
        widths = num_tokens.astype(np.int64) + len(self._settings.opening) * (num_tokens > 0)
        widths[~kept] = 0
        ends = self.num_passed + np.cumsum(widths)
        is_skipped = kept & (ends - widths < self._settings.skip_tokens)
        self._counts.num_documents_skipped += int(is_skipped.sum())
        self.num_passed = int(ends[-1]) if len(ends) else self.num_passed
        return kept & ~is_skipped

    def _without_filtered(self, kept: np.ndarray, avg_scores: np.ndarray, is_unscored: np.ndarray) -> np.ndarray:
        passes = self._settings.method.keeps(avg_scores)
        if self._settings.unscored == "drop":
            passes = passes & ~is_unscored
        self._counts.num_documents_filtered += int((kept & ~passes).sum())
        return kept & passes


def check_altered(num_altered: int, num_documents: int, max_share: float, examples: Sequence[Altered]) -> None:
    """Raises `ConfigError`, with the first of `examples`, where more than a share of documents, in [0, 1], is altered."""
    if num_altered <= max_share * num_documents:
        return
    example = examples[0]
    advice = (
        "Set dataset.tokenization: document, which keeps it."
        if example.is_kept_whole
        else "Choose a tokenizer that can spell it, such as a byte-level BPE."
    )
    raise ConfigError(
        f"The tokenizer changes the text of {num_altered:,} of {counted(num_documents, 'document')}, so a model would "
        f"learn another text than the corpus's: in document '{visible(example.id, 100)}', '{visible(example.before)}' "
        f"becomes '{visible(example.after)}'. {advice} To train on it anyway, raise "
        "dataset.max_altered_documents, the largest share of such documents."
    )
