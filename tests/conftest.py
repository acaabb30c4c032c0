"""Shared by all tests: one cache folder a test session, few threads, no network."""

import gc
import os

import pytest
from tests.browser import chromium, open_page  # noqa: F401

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # models this small only wait for more of them
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory):
    """Nothing of the user's own cache is read or written."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("PHF_CACHE")
    os.environ["PHF_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["PHF_CACHE"]
    else:
        os.environ["PHF_CACHE"] = before


SLOWEST_FIRST = ("training", "evaluation", "annotate", "scorers", "sweep", "study", "tokens", "playground", "tests")
"""Rooms whose files take longest, and the files that are in none (`tests`): begun early, so that no process waits for
another at the end."""


def pytest_collection_modifyitems(items):
    """Order the rooms; within one, files and tests keep their order."""
    ranks = {room: rank for rank, room in enumerate(SLOWEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.parent.name, len(ranks)))


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session):
    """Nothing that is loaded for the tests becomes garbage."""
    gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    """What is loaded by now stays: a collection of garbage, with which each training run begins, need not search it."""
    gc.collect()
    gc.freeze()
    gc.enable()
