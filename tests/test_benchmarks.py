"""The benchmarks follow the package: each takes only names that are there. They are run by hand."""

import ast
import importlib
import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import Trainer

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_what_a_benchmark_imports_from_the_package_is_there(script):
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "phf":
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


@pytest.fixture
def scripts(monkeypatch):
    """Those that measure training, as modules."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    names = ("tables", "train", "train_contender", "train_task")
    modules = {name: importlib.import_module(name) for name in names}
    yield SimpleNamespace(**modules)
    for name in (*names, "machine"):
        sys.modules.pop(name, None)


def test_a_section_of_a_page_is_replaced_and_the_rest_stays(scripts, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n\n<!-- a -->\nold\n<!-- /a -->\n\nafter\n")
    scripts.tables.write_section(page, "a", "| new |\n")
    scripts.tables.write_section(page, "b", "added")
    assert page.read_text() == (
        "before\n\n<!-- a -->\n| new |\n<!-- /a -->\n\nafter\n\n<!-- b -->\nadded\n<!-- /b -->\n"
    )


@pytest.mark.parametrize("page", ["benchmarks/README.md", "docs/scaling.md"])
def test_every_section_that_benchmarks_write_has_an_end(page):
    marks = re.findall(r"<!-- (/?)(.+?) -->", (ROOT / page).read_text(encoding="utf-8"))
    assert len(marks) >= 3
    assert [key for slash, key in marks if not slash] == [key for slash, key in marks if slash]


def test_ratios_of_training_are_of_one_round(scripts):
    def rounds(*seconds):
        return [{"seconds": s, "resident": 2**30, "gpu": 0, "waited": 0.1} for s in seconds]

    shape = scripts.train.Shape(1, 64, 1, 300, batch_size=2, seq_length=50, dropout=0.0)
    measured = {("plain", "bf16"): rounds(2.0, 6.0, 3.0), ("mle", "bf16"): rounds(1.0, 2.0, 3.0)}
    plain, mle = scripts.train.summary(measured, shape, 4, "seconds")
    assert mle["speed_against_plain"] == [2.0, 1.0, 3.0]  # median, smallest, largest
    assert plain["speed_against_mle"] == [0.5, pytest.approx(1 / 3), 1.0]
    assert mle["tokens_per_second"] == 4 * 100 / 2.0
    assert mle["waiting"] == pytest.approx(0.3 / 6)
    assert mle["speed_against_released"] is mle["speed_against_conditional"] is None
    assert (
        "| phf mle | bf16 | 200 | 2.00 (1.00 to 3.00) | 1.00 (1.00 to 1.00) | 1.00 GiB | 5.00% |"
        in scripts.train.table([plain, mle])
    )


def test_processes_of_one_contender_count_together(scripts):
    one = {"seconds": 1.0, "cpu_seconds": 3.0, "waited": 0.25, "resident": 5, "gpu": 0, "parts": {}}
    both = scripts.train.together([one, {**one, "cpu_seconds": 4.0, "resident": 7}])
    assert both == {"seconds": 2.0, "cpu_seconds": 7.0, "waited": 0.5, "resident": 7, "gpu": 0, "parts": {}}


@pytest.mark.slow
def test_a_contender_reports_each_measurement_and_the_parts_of_its_steps(scripts, tmp_path, monkeypatch):
    contender, shape = scripts.train_contender, scripts.train.Shape(1, 16, 1, 300, 2, 64, 0.0)
    monkeypatch.setenv("PHF_CACHE", str(tmp_path / "cache"))
    scripts.train_task.prepare(tmp_path, shape, 4000, ["mle", *scripts.train_task.BEYOND])
    for module, path in contender.PARTS.values():  # the script replaces them in a process of its own
        owner, name = path.split(".")
        owner = getattr(importlib.import_module(module), owner)
        monkeypatch.setattr(owner, name, getattr(owner, name))
    monkeypatch.setattr(contender.os, "_exit", lambda status: sys.exit(status))
    trainings = {
        "plain": lambda: contender.train_plainly(tmp_path, shape, "float32"),
        "mle": lambda: contender.train_with_phf(tmp_path, "mle", "float32"),
    }
    measured = {}
    for name in trainings:
        monkeypatch.setattr(sys, "stdin", io.StringIO("2\n3\n"))
        pacer = contender.Pacer(io.StringIO())
        with monkeypatch.context() as patches:
            patches.setattr(Trainer, "train", Trainer.train)
            contender.instrument(pacer)
            if name == "mle":
                contender.split(pacer)
            with pytest.raises(SystemExit):
                trainings[name]()
        ready, *measured[name] = map(json.loads, pacer.reports.getvalue().splitlines())
        assert "seconds" not in ready
        assert len(measured[name]) == 2
        assert all(0 < one["waited"] < one["seconds"] for one in measured[name])
    shares = scripts.train.shares(measured["mle"])
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) > 0
