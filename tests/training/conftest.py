"""Shared by tests of runs that something happens to."""

import pytest

from phf.training.run import train


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """The run folder of the file's `config`, a run that nothing happened to."""
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    train(config, run_dir)
    return run_dir
