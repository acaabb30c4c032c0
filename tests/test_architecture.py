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
    "cli",
    "quickstart",
    "tamper",
    "study",
    "refresh",
    "playground",
    "audit",
    "report",
    "redteam",
    "training",
    "reward",
    "evaluation",
    "sampling",
    "models",
    "profile",
    "tokens",
    "feedback",
    "annotate",
    "scorers",
    "labels",
    "corpus",
    "clients",
    "runs",
    "workers",
    "config",
    "storage",
    "registry",
]
"""From top to bottom, as in CONTRIBUTING.md: a folder imports only from folders below it."""
LOOSE = {"__init__.py", "__main__.py", "errors.py", "statistics.py", "text.py"}
"""Files beside the folders. They import from no folder."""
MAX_LINES = 300
AT_HOME = {
    "pycodestyle": tuple(
        f"scorers/pep8/{name}.py"
        for name in ("checker", "find", "options", "linear", "blank_lines", "continued", "line_ends")
    ),
    "matplotlib": None,
    "gradio": None,
    "fastapi": None,
    "uvicorn": None,
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
    "lm_eval": ("evaluation/downstream/harness.py",),
}
"""Library -> the files that may import it at module level; None: only inside functions."""
FILES = sorted(ROOT.rglob("*.py"))
PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = {"yaml": "pyyaml", "profanity_check": "alt-profanity-check", "pydantic_core": "pydantic"}
"""Library -> the distribution that brings it, where their names differ."""
WITH_EXTRA = ("evaluation/downstream/harness.py",)
"""Files that are imported only where an extra is wanted."""
WITH_SCRUBADUB = {"sklearn", "textblob", "tldextract"}
"""What scrubadub itself depends on, and is given by it in the versions that it needs."""


def imports(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module


def is_above(first: str, second: str) -> bool:
    return first in FOLDERS and second in FOLDERS and FOLDERS.index(first) < FOLDERS.index(second)


def problems(path: str, source: str) -> list[str]:
    """What is wrong with one file of the package."""
    tree = ast.parse(source)
    sentences = []
    folder = path.split("/")[0]
    top = {id(node) for node in tree.body}
    for node, name in imports(tree):
        other = name.split(".")[1] if name.startswith("phf.") else None
        if other in FOLDERS and (folder in LOOSE - {"__main__.py"} or is_above(other, folder)):
            sentences.append(f"{path} imports {name}, which is above it")
        library = name.split(".")[0]
        if library in AT_HOME and id(node) in top and path not in (AT_HOME[library] or ()):
            sentences.append(f"{path} imports {library} at module level")
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
                sentences.append(f"{path} calls {called}")
            if any(k.arg == "trust_remote_code" and ast.unparse(k.value) != "False" for k in node.keywords):
                sentences.append(f"{path} trusts remote code")
    return sentences


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
    assert undeclared("corpus/x.py", "import sympy")
    assert undeclared("corpus/x.py", "import ray"), "an extra, at module level"
    assert not undeclared("corpus/x.py", "def f():\n    import ray")
    assert problems("corpus/x.py", "from phf.training.run import train")
    assert problems("errors.py", "from phf.corpus.dataset import read_annotated")
    assert problems("scorers/x.py", "import wandb")
    assert problems("corpus/x.py", "eval('1')")
    assert problems("models/x.py", "load(trust_remote_code=True)")


def test_every_folder_has_its_place():
    assert {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()} == set(FOLDERS)
    assert {path.name for path in ROOT.glob("*.py")} == LOOSE


def test_the_tree_in_contributing_is_that_of_the_folders():
    page = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = page.split("src/phf/\n")[1].split("\n\n")[0]
    names = [name for line in tree.splitlines() for name in re.findall(r"^ {6}(\w+/)|(?<= )(\w+\.py)", line)]
    names = [folder or file for folder, file in names]
    assert [name.removesuffix("/") for name in names if name.endswith("/")] == FOLDERS
    assert {name for name in names if name.endswith(".py")} == LOOSE - {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_says_what_it_is_for(folder):
    doc = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text(encoding="utf-8")))
    assert doc
    assert "\n" in doc, "what it takes and gives, and may not know"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_is_too_long_for_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def module_of(path: Path) -> str:
    names = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def import_graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Module -> modules of the package that it imports, anywhere in it; `sources`: module -> its text."""
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        graph[module] = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                graph[module] |= {alias.name for alias in node.names} & sources.keys()
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names} & sources.keys()
                graph[module] |= inner or {node.module} & sources.keys()
    return graph


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; empty where there are none."""
    finished: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in finished:
            return []
        for other in sorted(graph[module]):
            if circle := visit(other, [*path, module]):
                return circle
        finished.add(module)
        return []

    return next((circle for module in sorted(graph) if (circle := visit(module, []))), [])


def test_no_files_import_each_other_in_a_circle():
    assert circle_in(import_graph({module_of(path): path.read_text(encoding="utf-8") for path in FILES})) == []
    assert circle_in(import_graph({"phf.a": "def f():\n    from phf import b", "phf.b": "from phf.a import f"}))


def test_every_module_imports():
    for module in pkgutil.walk_packages([str(ROOT)], "phf."):
        if module.name != "phf.__main__":
            importlib.import_module(module.name)


@pytest.mark.parametrize(
    "code",
    ["import phf", "import phf.cli.app", "from phf.config import load_config; load_config(task='pep8', method='awr')"],
)
def test_light_imports_load_neither_torch_nor_transformers(code):
    check = "import sys; print(sorted({'torch', 'transformers', 'datasets', 'pyarrow'} & set(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", f"{code}\n{check}"], check=True, capture_output=True, text=True)
    assert process.stdout.strip() == "[]"
