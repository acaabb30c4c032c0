"""`benchmarks/results.py`: documents get the figures of the page, from `study.json` alone."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from tests.report.kinds_of_pages import study

from phf.report.svg import draw


@pytest.fixture
def results(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    yield importlib.import_module("results")
    for name in ("results", "tables"):
        sys.modules.pop(name, None)


def test_figures_from_the_numbers_are_those_of_the_page(results, tmp_path):
    page = study(tmp_path).read_text()
    charts = results.drawn(json.loads((tmp_path / "study.json").read_text()))
    assert len(charts) == page.count("<svg") == 5
    assert all(draw(chart) in page for chart in charts)
