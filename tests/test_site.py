"""The documentation site: generated pages are complete, what the Python reference names exists, and the site builds."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture
def generated():
    return {name: (DOCS / name).read_text(encoding="utf-8") for name in ("configuration.md", "commands.md")}


def test_the_configuration_page_has_every_key(generated):
    from phf.config.schema import DatasetConfig, ScenarioConfig, TrainingConfig

    rows = re.findall(r"^\| `(\w+)`", generated["configuration.md"], re.MULTILINE)
    for section in (DatasetConfig, ScenarioConfig, TrainingConfig):
        assert set(section.model_fields) <= set(rows)
    assert "| `seq_length` | integer, at least 2 | `1024` | Tokens in a block. |" in generated["configuration.md"]
    assert "None:" not in generated["configuration.md"]


def test_the_page_of_commands_has_every_command_and_option(generated):
    page = generated["commands.md"]
    assert "| `--resume` |  | Continue from the last complete checkpoint. |" in page
    assert "| `--workers N` |" in page
    assert "| `--output PATH` | required |" in page
    assert "### `phf cache prune`" in page


def defined(identifier: str) -> bool:
    """Whether `package.module.Name` or `package.module` is in the source, or imported by it, without importing anything."""
    parts = identifier.split(".")
    for size in range(len(parts), 0, -1):
        base = ROOT.joinpath("src", *parts[:size])
        path = next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
        if path is None:
            continue
        names = set()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names |= {alias.asname or alias.name for alias in getattr(node, "names", ())}
            names |= {getattr(node, "name", "")}
        return size == len(parts) or (size == len(parts) - 1 and parts[-1] in names)
    return False


def test_the_python_reference_names_what_exists():
    named = re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(named) > 20
    assert [identifier for identifier in named if not defined(identifier)] == []
    assert not defined("phf.statistics.Intervall")
    assert not defined("phf.statistiks.Interval")


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    """Links, anchors and references hold in the built pages, and no page fetches anything from another server."""
    pytest.importorskip("material", reason="needs the extra `docs`")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    page = (tmp_path / "site/objectives.html").read_text(encoding="utf-8")
    assert "&lt;|aligned|&gt;" in page
    assert "<table>" in page
    assert not (tmp_path / "site/site").exists()
