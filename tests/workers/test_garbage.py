"""Looking for cycles rarely is a matter of one block, also if it ends in an error."""

import gc
from contextlib import suppress

from phf.workers.garbage import NEW_OBJECTS, collecting_rarely


def test_thresholds_are_those_of_before_behind_the_block():
    before = gc.get_threshold()
    with suppress(KeyError), collecting_rarely():
        assert gc.get_threshold() == (NEW_OBJECTS, *before[1:])
        raise KeyError
    assert gc.get_threshold() == before


def test_cycles_are_still_collected():
    collected = []
    gc.callbacks.append(lambda phase, info: collected.append(info["generation"]))
    try:
        with collecting_rarely():
            lists = [[] for _ in range(2 * NEW_OBJECTS)]
    finally:
        gc.callbacks.pop()
    assert len(lists) == 2 * NEW_OBJECTS
    assert 0 in collected
