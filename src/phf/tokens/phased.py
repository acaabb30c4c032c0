"""The blocks of a run whose phases see the corpus in different ways: one order of the text for all of them.

Views of different methods have different numbers of blocks: control tokens lengthen a text, filters leave documents out. If
each phase drew its own order, it would repeat some of what earlier ones have read in this pass over the data, and others
would not be read at all. So the first view decides the order of the text in each pass, and a later phase continues where
the one before has stopped: with its own blocks, sorted by the place of their text in the order of the first view.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from phf.tokens.order import permutation, permuted, round_keys
from phf.tokens.views import Blocks


class PhasedBlocks:
    """Map-style dataset of a whole run: item i is the block that sample i trains on, with its `phase`, int.

    With one view for all phases it is that of `OrderedBlocks`. A pure function of its arguments, so that nothing is counted
    through when a run is resumed, and each process and worker has the same.

    Args:
        views: of each phase, of one store; phases with the same view have the same object.
        ends: the sample, counted from 1, that ends each phase, ascending.
        seed: of the order.
    """

    def __init__(self, views: Sequence[Blocks], ends: Sequence[int], seed: int) -> None:
        self.views = list(views)
        self._ends = np.array(ends)
        self._distinct = list({id(view): view for view in views}.values())
        self._orders = [_ViewOrder(view, self._distinct[0], seed) for view in self._distinct]
        self._numbers = [next(n for n, one in enumerate(self._distinct) if one is view) for view in views]
        self._firsts = self._begin_phases()
        """Of each phase: how many of its view's blocks, in the order of all passes, come before its first one."""
        self._seed = seed

    def __reduce__(self) -> tuple[type["PhasedBlocks"], tuple[list[Blocks], list[int], int]]:
        return PhasedBlocks, (self.views, self._ends.tolist(), self._seed)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        phase, block = self.place(index)
        return {**self.views[phase][block], "phase": np.array(phase)}

    def segment_starts(self, index: int) -> np.ndarray:
        """Where segments begin in item `index`: see `Blocks.segment_starts`."""
        phase, block = self.place(index)
        return self.views[phase].segment_starts(block)

    def place(self, index: int) -> tuple[int, int]:
        """(phase, number of the block in its view) of a sample."""
        sample = range(len(self))[index]
        phase = int(self._ends.searchsorted(sample, "right"))
        start = int(self._ends[phase - 1]) if phase else 0
        return phase, self._orders[self._numbers[phase]].block(self._firsts[phase] + sample - start)

    def _begin_phases(self) -> list[int]:
        firsts: list[int] = []
        for phase, number in enumerate(self._numbers):
            if not phase:
                firsts.append(0)
                continue
            start = int(self._ends[phase - 2]) if phase > 1 else 0
            following = firsts[-1] + int(self._ends[phase - 1]) - start
            before = self._numbers[phase - 1]
            firsts.append(
                following
                if number == before
                else self._orders[number].first_after(*self._orders[before].reached(following))
            )
        return firsts


class _ViewOrder:
    """The order of a view's blocks, pass after pass, by the place of their text in the order of the first view."""

    def __init__(self, view: Blocks, first: Blocks, seed: int) -> None:
        self._num_blocks, self._num_first = len(view), len(first)
        self._matched = None if view is first else view.matched(first)
        self._seed = seed
        self._sorted = lru_cache(maxsize=2)(self._sort)

    def block(self, position: int) -> int:
        """The block at a position in the order of all passes."""
        epoch, place = divmod(position, self._num_blocks)
        if self._matched is None:
            return permuted(place, self._num_blocks, round_keys(self._seed, epoch))
        return int(self._sorted(epoch)[0][place])

    def reached(self, position: int) -> tuple[int, int]:
        """(pass, place in the first view's order) of the text that comes next after so many blocks."""
        epoch, place = divmod(position, self._num_blocks)
        return epoch, place if self._matched is None else int(self._sorted(epoch)[1][place])

    def first_after(self, epoch: int, place: int) -> int:
        """The position of the first block whose text is not before a place in the first view's order."""
        before = place if self._matched is None else int(self._sorted(epoch)[1].searchsorted(place))
        return epoch * self._num_blocks + before

    def _sort(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Blocks in the order of a pass, and the places of their text in the first view's order: int64 [blocks] each."""
        places = np.empty(self._num_first, np.int64)
        places[permutation(self._num_first, round_keys(self._seed, epoch))] = np.arange(self._num_first)
        of_blocks = places[self._matched]
        order = np.argsort(of_blocks, kind="stable")
        return order, of_blocks[order]
