"""Tests of damage, kills and hostile files. All have the marker `faults`.

`make test` runs them in a short form. `make faults` runs them in full, with `PHF_FAULTS=full`, and writes what was counted into
docs/reliability.md.
"""

from pathlib import Path

import pytest
from tests.faults.counts import FULL, write_counts


def pytest_collection_modifyitems(items):
    """Mark the tests of this folder."""
    folder = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(folder):
            item.add_marker(pytest.mark.faults)


@pytest.fixture(scope="session")
def counts():
    """What was done -> (number of cases, what came of them). Written into docs/reliability.md by the full form."""
    counted: dict[str, tuple[int, str]] = {}
    yield counted
    if FULL:
        write_counts(counted)
