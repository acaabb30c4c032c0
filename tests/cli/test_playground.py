"""`phf playground`: what it says, and what it refuses before a model is loaded."""

import importlib.util
import re
import shutil
from contextlib import contextmanager
from threading import Thread
from types import SimpleNamespace

import pytest
from tests.audit.planted import write_corpus
from tests.playground.conftest import run  # noqa: F401
from typer.testing import CliRunner

from phf.cli import app as cli
from phf.playground import server
from phf.playground.server import listening_on


def playground(*arguments):
    result = CliRunner().invoke(cli.app, ["playground", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def served(monkeypatch):
    """The sites that would have been served."""
    sites = []

    @contextmanager
    def serving(site, port, *, max_seconds):
        thread = Thread(target=lambda: None)
        thread.start()
        thread.join()
        sites.append(site)
        yield SimpleNamespace(url="http://127.0.0.1:1/token/", thread=thread)

    monkeypatch.setattr(server, "serving", serving)
    return sites


def test_the_models_of_a_run_are_scored_by_its_scorer(run, served):  # noqa: F811
    code, output = playground(run, "--prefer", "worst")
    assert code == 0, output
    assert "Open http://127.0.0.1:1/token/" in output
    assert served[0].scorer.name == "PEP8Scorer"
    assert served[0].has_task
    assert [way.label for way in served[0].models[0].ways][:2] == ["aligned", "misaligned"]


def test_without_gradio_the_extra_is_named_before_anything_is_loaded(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *names: None)
    code, output = playground(tmp_path / "not there")
    assert code == 2
    assert output == "Error: phf playground needs gradio. Install it with: pip install 'phf[playground]'"


def test_a_model_from_elsewhere_has_no_scorer_unless_one_is_chosen(run, served, tmp_path):  # noqa: F811
    shutil.copytree(run / "model", tmp_path / "elsewhere")
    code, output = playground(tmp_path / "elsewhere")
    assert code == 0, output
    assert "nothing is scored. Choose a scorer with --scorer" in output
    assert served[0].scorer is None
    assert not served[0].has_task
    code, output = playground(tmp_path / "elsewhere", "--scorer", "{class_name: PEP8Scorer}")
    assert code == 0, output
    assert served[1].scorer.name == "PEP8Scorer"


def test_what_is_known_of_a_dataset_is_announced(run, served, tmp_path):  # noqa: F811
    source = write_corpus(tmp_path / "data", [(["def f(x):\n", "  pass\n"], [0.0, 1.0])])
    code, output = playground(run, "--dataset", source)
    assert code == 0, output
    assert "The model records no training data, so whether it was trained on this dataset is not known." in output
    assert served[0].models[0].data is not None


def test_scores_can_be_switched_off(run, served):  # noqa: F811
    code, output = playground(run, "--unscored")
    assert (code, served[0].scorer) == (0, None), output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "missing is not a model folder"),
        (["{run}", "missing"], "missing is not a model folder"),
        (["{run}"] * 5, "5 models are given; the page shows up to 4"),
        (["{run}", "--scorer", "PEP8Scorer", "--unscored"], "contradict each other"),
        (["{run}", "--scorer", "NoScorer"], "NoScorer"),
        (["{run}", "--prefer", "pep8=best"], "there is no preference 'pep8'"),
        (["{run}", "--max-seconds", "inf"], "must be a finite number"),
        (["{run}", "--task", "no/task"], "no/task"),
        (["{run}", "--dataset", "missing"], "missing"),
    ],
)
def test_a_mistake_is_one_message(run, served, arguments, message, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    code, output = playground(*(argument.format(run=run) for argument in arguments))
    assert code == 2, output
    assert message in output
    assert not served


def test_a_port_in_use_is_found_before_models_are_loaded(served):
    with listening_on(0) as first:
        code, output = playground("missing", "--port", first.getsockname()[1])
    assert code == 2
    assert re.search(r"--port \d+: 127.0.0.1:\d+ cannot be used: .* Choose another port", output)
