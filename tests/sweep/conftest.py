"""`make sweep` writes what it found into docs/support.md."""

import os

import pytest
from tests.sweep.architectures import ARCHITECTURES, UNSUPPORTED
from tests.sweep.table import write_architectures


@pytest.fixture(scope="session")
def outcomes():
    """Architecture -> what the table says of it. Written if all of them passed and PHF_WRITE_TABLE is set."""
    by_class = {}
    yield by_class
    if os.environ.get("PHF_WRITE_TABLE") and set(by_class) == set(ARCHITECTURES) - set(UNSUPPORTED):
        write_architectures(by_class)
