"""Runs to be refreshed: two layers of width 32, 6 steps of 4 blocks of 64 tokens."""

import pytest
from tests.tiny import tiny_config, tiny_corpus

from phf.refresh.rounds import Callbacks
from phf.refresh.run import refresh_run
from phf.refresh.settings import RefreshSettings
from phf.training.run import train

SCORER = {"class_name": "tests.refresh.letters:Letters"}
SETTINGS = RefreshSettings(rounds=2, samples=24, share=0.5, kl_samples=8, kl_tokens=8)


def config_of(corpus, method="conditional", **changes):
    settings = {
        "generation.scorer_config": SCORER,
        "generation.metrics_configs": [],
        "generation.run_on_train_end": False,
        "generation.scenario_configs.0.num_samples": 8,
        "training.inspect_steps": None,
    }
    return tiny_config(corpus, method, **{**settings, **changes})


def quiet(*_):
    pass


QUIET = Callbacks(quiet, quiet, quiet)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def run(corpus, tmp_path_factory):
    """A finished run of conditional training."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    train(config_of(corpus), folder)
    return folder


@pytest.fixture(scope="session")
def refreshed(run, tmp_path_factory):
    """(folder, answer) of two rounds that nothing happened to."""
    folder = tmp_path_factory.mktemp("refreshed") / "out"
    return folder, refresh_run(run, folder, SETTINGS, QUIET)
