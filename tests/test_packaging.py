"""The wheel holds everything that the package reads, and works without the source tree; what it needs is documented."""

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from tests.tiny import tiny_corpus

import phf

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "phf"
TINY = (
    "dataset.seq_length=64", "tokenizer.train_from_corpus=300", "model.config_kwargs.n_layer=1", "training.num_tokens=256",
    "training.effective_batch_size=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of the working tree, built with what is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel", "--no-deps", "--no-index"]
    subprocess.run(
        [*pip, "--no-build-isolation", "--wheel-dir", folder, ROOT], check=True, capture_output=True, text=True
    )
    (path,) = folder.glob("phf-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs a command in an environment that has the wheel and sees the dependencies that are installed here, not the
    source tree."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python, "install"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--no-compile", wheel], check=True, capture_output=True, text=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PHF_CACHE"] = str(folder / "cache")

    def run(*words):
        command = [folder / "bin" / words[0], *map(str, words[1:])]
        process = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stderr
        return process.stdout + process.stderr

    return run


def test_the_wheel_has_every_file_of_the_package(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = [path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {str(path.relative_to(SOURCE.parent)) for path in ours} <= names
    endings = {path.suffix for path in ours}
    assert {".py", ".yml", ".j2", ".typed"} <= endings
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]


@pytest.mark.slow
def test_the_first_steps_of_the_quickstart_work_from_the_wheel(installed, tmp_path):
    where = "import phf, jinja2; print(phf.__file__); from phf.report.html import render"
    assert str(SOURCE) not in installed("python", "-c", where)
    assert installed("phf", "--version") == f"phf {phf.__version__}\n"
    assert "pep8/quickstart" in installed("phf", "list", "tasks")
    data, corpus = tmp_path / "annotated", tmp_path / "corpus"
    corpus.mkdir()
    words = ("--scorer", "PEP8Scorer", "--output", data, "--workers", "1", "--time-limit", "0")
    assert "60 documents" in installed("phf", "annotate", tiny_corpus(corpus), *words)
    overrides = [f"dataset.datasets=['{data}']", *TINY]
    planned = installed(
        "phf", "train", "--task", "pep8/quickstart", "--method", "conditional", "--dry-run", "--override", *overrides
    )
    assert "2 steps x 2 blocks x 64 tokens" in planned


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == phf.__version__
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_the_classifiers_name_this_python_and_none_that_the_package_refuses():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    prefix = "Programming Language :: Python :: 3."
    minors = [int(text.removeprefix(prefix)) for text in project["classifiers"] if text.startswith(prefix)]
    assert minors
    assert min(minors) >= int(project["requires-python"].removeprefix(">=3."))


def licences():
    spec = importlib.util.spec_from_file_location("licences", ROOT / "docs" / "site" / "licences.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["licences"] = module
    spec.loader.exec_module(module)
    return module


def test_the_licences_of_a_plain_install_are_documented():
    module = licences()
    rows = [line.strip("| ").split(" | ") for line in module.PAGE.read_text(encoding="utf-8").splitlines()]
    documented = {row[0]: row[2] for row in rows if len(row) == 4}
    of_cuda = ("nvidia", "cuda", "triton")
    needed = [name for name in module.closure(module.roots()[module.PLAIN], set()) if not name.startswith(of_cuda)]
    assert len(needed) > 40
    for distribution in map(metadata.distribution, needed):
        assert documented[distribution.name] == module.licence(distribution).replace("|", "/"), module.PAGE.name
    count = re.compile(r"plain install.{0,30} has (\d+) packages")
    pages = [module.PAGE, ROOT / "docs" / "installation.md"]
    counts = {count.search(page.read_text(encoding="utf-8"))[1] for page in pages}
    assert counts == {str(len({row[0] for row in rows if row[3:] == [module.PLAIN]}))}


def test_needs_are_followed_through_extras_and_markers(monkeypatch):
    module, missing = licences(), set()
    needs = {"a": ["b[x]>=1", "c; python_version < '3'"], "b": ["d; extra == 'x'", "e; extra == 'y'"], "d": ["a"]}

    def requires(name):
        if name == "gone":
            raise metadata.PackageNotFoundError(name)
        return needs.get(name)

    monkeypatch.setattr(module.metadata, "requires", requires)
    assert sorted(set(module.closure(["A>=2", "gone"], missing))) == ["a", "b", "d"]
    assert missing == {"gone"}
