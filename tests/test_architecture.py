"""What keeps the design true: the direction of imports, light imports, and nothing unsafe."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import phf

ROOT = Path(phf.__file__).parent
FOLDERS = [
    "config",
    "data",
    "scorers",
    "annotate",
    "profile",
    "objectives",
    "models",
    "evaluation",
    "redteam",
    "training",
    "report",
]
"""From left to right: a folder imports only from folders to its left."""
AT_HOME = {
    "pycodestyle": tuple(
        f"scorers/pep8_{name}.py" for name in ("checker", "linear", "blank_lines", "continued", "line_ends")
    ),
    "matplotlib": None,
    "jinja2": None,
    "wandb": None,
    "openai": None,
    "detoxify": None,
    "profanity_check": None,
    "scrubadub": None,
    "pyap": None,
    "spacy": None,
    "presidio_analyzer": None,
    "ray": None,
    "lm_eval": ("evaluation/harness.py",),
}
"""Library -> the files that may import it at module level; None: only inside functions."""
FILES = sorted(ROOT.rglob("*.py"))
PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = {"yaml": "pyyaml", "profanity_check": "alt-profanity-check", "pydantic_core": "pydantic"}
"""Library -> the distribution that brings it, where their names differ."""
WITH_EXTRA = ("evaluation/harness.py",)
"""Files that are imported only where an extra is wanted."""
WITH_SCRUBADUB = {"sklearn", "textblob", "tldextract"}
"""What scrubadub itself depends on, and is given by it in the versions that it needs."""


def imports(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module


def problems(path: str, source: str) -> list[str]:
    """What is wrong with one file of the package."""
    tree = ast.parse(source)
    found = []
    folder = path.split("/")[0]
    top = {id(node) for node in tree.body}
    for node, name in imports(tree):
        other = name.split(".")[1] if name.startswith("phf.") else None
        if folder in FOLDERS and other in FOLDERS and FOLDERS.index(other) > FOLDERS.index(folder):
            found.append(f"{path} imports {name}, which is to its right")
        library = name.split(".")[0]
        if library in AT_HOME and id(node) in top and path not in (AT_HOME[library] or ()):
            found.append(f"{path} imports {library} at module level")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in (
                "eval",
                "exec",
                "pickle.load",
                "pickle.loads",
                "yaml.load",
                "yaml.full_load",
                "yaml.unsafe_load",
            ):
                found.append(f"{path} calls {called}")
            if any(k.arg == "trust_remote_code" and ast.unparse(k.value) != "False" for k in node.keywords):
                found.append(f"{path} trusts remote code")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_file_keeps_to_the_design(path):
    assert problems(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) == []


def distributions(requirements: list[str]) -> set[str]:
    """The names in a list of requirements, as libraries are named in an import."""
    return {re.match(r"[\w.-]+", requirement)[0].lower().replace("-", "_") for requirement in requirements}


def undeclared(path: str, source: str) -> list[str]:
    """Libraries that a file imports and that whoever installs what `pyproject.toml` names does not have."""
    tree = ast.parse(source)
    top = {id(node) for node in tree.body}
    always = distributions(PROJECT["dependencies"])
    extras = {
        name
        for extra, wanted in PROJECT["optional-dependencies"].items()
        if extra != "dev"
        for name in distributions(wanted)
    }
    missing = []
    for node, name in imports(tree):
        library = name.split(".")[0]
        if library in sys.stdlib_module_names or library in {"phf", *WITH_SCRUBADUB}:
            continue
        declared = DISTRIBUTIONS.get(library, library).lower().replace("-", "_")
        may_be_extra = id(node) not in top or path in (AT_HOME.get(library) or ()) or path in WITH_EXTRA
        if declared not in always and not (may_be_extra and declared in extras):
            missing.append(f"{path} imports {library}, which pyproject.toml does not declare")
    return missing


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_file_imports_is_declared(path):
    assert undeclared(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) == []


def test_an_undeclared_import_is_seen():
    assert undeclared("data/x.py", "import sympy")
    assert undeclared("data/x.py", "import ray"), "an extra, at module level"
    assert not undeclared("data/x.py", "def f():\n    import ray")
    assert problems("data/x.py", "from phf.training.run import train")
    assert problems("scorers/x.py", "import wandb")
    assert problems("data/x.py", "eval('1')")
    assert problems("models/x.py", "load(trust_remote_code=True)")


def test_every_folder_has_its_place():
    packages = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert packages == set(FOLDERS)


def test_every_module_imports():
    for module in pkgutil.walk_packages([str(ROOT)], "phf."):
        if module.name != "phf.__main__":
            importlib.import_module(module.name)


@pytest.mark.parametrize(
    "code",
    ["import phf", "import phf.cli", "from phf.config import load_config; load_config(task='pep8', method='awr')"],
)
def test_light_imports_load_neither_torch_nor_transformers(code):
    check = "import sys; print(sorted({'torch', 'transformers', 'datasets', 'pyarrow'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", f"{code}\n{check}"], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
