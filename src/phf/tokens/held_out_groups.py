"""Which groups of documents, such as the packages of a corpus of code, are held out to have a given share of its text.

Groups are taken in the order of their hashes until they have it, so a group that is added displaces few others. But a
group that is large is trained on: held out, it would be most of what the held-out loss is measured on.
"""

import numpy as np

from phf.errors import CorpusError
from phf.text import visible

LARGEST_SHARE = 0.1
"""Of the held-out text, for one group. Where the groups that are small enough for it do not have twice as much text as is
to be held out, so that hashes would leave little to choose, larger ones are among them."""


def held_out_groups(groups: np.ndarray, num_bytes: np.ndarray, eval_fraction: float) -> np.ndarray:
    """uint64 [groups held out], ascending: at least one, and never the largest group.

    Args:
        groups: uint64 [documents], hash of the group of each.
        num_bytes: int [documents], size of the text of each.
        eval_fraction: share of the text that is held out, above 0 and below 1.

    Raises `CorpusError` where there is only one group.
    """
    hashes, owners = np.unique(groups, return_inverse=True)
    if len(hashes) < 2:
        raise CorpusError(
            "All documents have the same value of dataset.eval_group, so none can be held out by it. Choose another key, or "
            "set dataset.eval_group to null."
        )
    sizes = np.bincount(owners, weights=num_bytes)
    wanted = eval_fraction * sizes.sum()
    ascending = np.sort(sizes)
    enough = ascending[np.searchsorted(np.cumsum(ascending), min(2 * wanted, sizes.sum() - ascending[-1]))]
    is_small = sizes <= max(LARGEST_SHARE * wanted, enough)
    is_small[sizes.argmax()] = False
    shares = np.cumsum(sizes[is_small])
    chosen: np.ndarray = hashes[is_small][: 1 + np.abs(shares - wanted).argmin()]
    return chosen


def describe_held_out(groups: np.ndarray, num_bytes: np.ndarray, held_out: np.ndarray, eval_group: str) -> str:
    """What was chosen, for people: "Held out by package: 21 of 155 values, 5.0% of the text"."""
    is_held_out = np.isin(groups, held_out)
    share = num_bytes[is_held_out].sum(dtype=np.int64) / max(num_bytes.sum(dtype=np.int64), 1)
    return f"Held out by {visible(eval_group)}: {len(held_out):,} of {len(np.unique(groups)):,} values, {share:.1%} of the text"
