"""The documentation site: generated pages are complete, what the Python reference names exists, and the site builds."""

import ast
import os
import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.browser import assert_accessible

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
    assert "| `--output PATH`, `-o PATH` | required |" in page
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


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site. Links, anchors and references hold, and no page fetches anything, or building it fails."""
    folder = tmp_path_factory.mktemp("site") / "built"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    return folder


@pytest.fixture
def address(site):
    """Where a server of this machine shows the site."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
def test_pages_show_what_github_shows(site):
    page = (site / "objectives.html").read_text(encoding="utf-8")
    assert "&lt;|aligned|&gt;" in page
    assert "<table>" in page
    assert not (site / "site").exists()
    assert 'href="examples-emails.html"' in (site / "guide.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.browser
def test_pages_are_accessible_and_fetch_nothing_from_elsewhere(address, open_page):
    for name in ("tutorial", "metrics"):
        page = open_page(f"{address}/{name}.html")
        expect(page.locator("h1")).to_be_visible()
        page.wait_for_function(
            "document.querySelector('table') === null || document.querySelector('.md-typeset__scrollwrap')"
        )
        assert_accessible(page)


@pytest.mark.slow
@pytest.mark.browser
def test_the_search_finds_an_error_message(address, open_page):
    page = open_page(f"{address}/index.html")
    page.locator("input.md-search__input").click()
    page.keyboard.type("divided into bins")
    expect(page.locator(".md-search-result__item", has_text="Troubleshooting").first).to_be_visible(timeout=30_000)


@pytest.mark.slow
@pytest.mark.browser
def test_the_search_works_on_pages_opened_from_disk(site, chromium):
    context = chromium.new_context(offline=True)
    page = context.new_page()
    faults = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(site.as_uri()) else faults.append(asked.url))
    page.goto((site / "tutorial.html").as_uri())
    page.locator("input.md-search__input").click()
    page.keyboard.type("divided into bins")
    result = page.locator(".md-search-result__item", has_text="Troubleshooting").first
    expect(result).to_be_visible(timeout=30_000)
    result.locator("a").first.click()
    expect(page.locator("h1")).to_contain_text("Troubleshooting")
    context.close()
    assert faults == []


@pytest.mark.slow
@pytest.mark.browser
def test_a_pasted_message_leads_to_its_explanation(address, open_page):
    page = open_page(f"{address}/messages.html")
    field, shown = page.get_by_label("Paste a message"), page.locator(".all-messages h3:visible")
    field.fill("data/emails.csv, line 17: has 5 fields, but the file has 4 columns.")
    expect(shown).to_have_count(1)
    expect(shown).to_contain_text("fields, but the file has … columns")
    assert_accessible(page)
    field.fill("")
    expect(page.locator(".all-messages h2:visible").first).to_be_visible()
    expect(shown).not_to_have_count(1)
