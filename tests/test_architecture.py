"""What keeps the design true: the direction of imports, light imports, and nothing unsafe."""

import ast
import importlib
import pkgutil
import subprocess
import sys
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


def test_the_test_can_fail():
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
