"""Tests of damage, kills and hostile files. All have the marker `faults`.

`make test` runs them in a short form. `make faults` runs them in full, with `PHF_FAULTS=full`, and writes what was counted into
docs/reliability.md.
"""

from pathlib import Path

import pytest
from tests.faults.counts import FULL, write_counts

SHARING = {"test_checkpoints", "test_datasets", "test_models"}
"""Files whose tests share what they damage: `make faults` runs each of them in one process, all other tests in any."""


def pytest_collection_modifyitems(items):
    """Mark the tests of this folder."""
    folder = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(folder):
            item.add_marker(pytest.mark.faults)
            if item.path.stem in SHARING:
                item.add_marker(pytest.mark.xdist_group(item.path.stem))


class Counts(dict[str, tuple[int, str]]):
    """What was done -> (number of cases, what came of them). In the full form each row is written at once, so that it
    is not lost to a test that fails, or crashes the process, later."""

    def __setitem__(self, what: str, row: tuple[int, str]) -> None:
        super().__setitem__(what, row)
        if FULL:
            write_counts({what: row})


@pytest.fixture(scope="session")
def counts():
    """For the table in docs/reliability.md."""
    return Counts()
