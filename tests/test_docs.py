"""The documents are true: Python in them runs, commands and YAML are accepted, links lead somewhere."""

import importlib
import itertools
import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from phf.cli.app import app
from phf.config import load_config
from phf.registry.names import CONDITIONINGS, DOCUMENT_FILTERS, METRICS, OBJECTIVES, SCORERS
from phf.scorers.judge.rubric import read_rubric
from phf.study.plan import expand
from phf.study.schema import parse_study

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*DOCS, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
NAME = re.compile(r"# ([\w-]+\.(?:py|yml))\n")
COMMANDS = get_command(app).commands
SITE = ROOT / "docs/site"


def blocks(page: Path, *languages: str) -> list[str]:
    fenced = FENCE.findall(page.read_text(encoding="utf-8"))
    return [code for language, code in fenced if language in languages]


def write_named_files(page: Path) -> None:
    """A block whose first line is `# name.py` or `# name.yml` is that file."""
    for code in blocks(page, "python", "yaml"):
        if name := NAME.match(code):
            Path(name[1]).write_text(code, encoding="utf-8")


def commands(page: Path) -> list[list[str]]:
    """Words of every `phf ...` in a shell block or between backticks, `phf` itself and messages with `…` left out."""
    text = page.read_text(encoding="utf-8")
    lines = [line for code in blocks(page, "sh", "bash", "console") for line in code.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    matches = (re.match(r"(?:\$ )?(?:\w+=\S* )*(?:\S*/)?phf (.*)", line.strip()) for line in lines)
    return [shlex.split(match[1], comments=True) for match in matches if match and "…" not in match[1]]


def values_of(option: str, words: list[str]) -> list[str]:
    return [value for name, value in itertools.pairwise(words) if name == option]


def problem(words: list[str]) -> str | None:
    """What is wrong with a command; None if nothing is."""
    name, *rest = words
    if name == "--help":
        return None
    if name not in COMMANDS:
        return f"no command {name}"
    command = COMMANDS[name]
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    for word in rest:
        if word.startswith("--") and word.partition("=")[0] not in options:
            return f"{name} has no option {word}"
    return None


def ids(pages: list[Path]) -> list[str]:
    return [page.name for page in pages]


@pytest.mark.slow
@pytest.mark.parametrize("page", DOCS, ids=ids(DOCS))
def test_python_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    write_named_files(page)
    importlib.invalidate_caches()
    before = set(sys.modules)
    names: dict[str, object] = {"__name__": "__main__"}
    for number, code in enumerate(blocks(page, "python")):
        exec(compile(code, f"{page.name}, Python block {number}", "exec"), names)
    for name in {Path(path).stem for path in tmp_path.glob("*.py")} & (set(sys.modules) - before):
        del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_commands_and_their_options_exist(page):
    assert [reason for words in commands(page) if (reason := problem(words))] == []


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_configurations_of_commands_load(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_named_files(page)
    for words in commands(page):
        tasks = [task for task in values_of("--task", words) if not task.endswith(".yml") or Path(task).is_file()]
        if tasks and re.fullmatch(r"[\w/.-]+", tasks[0]):
            method = next((name for name in values_of("--method", words) if re.fullmatch(r"[\w/.-]+", name)), None)
            overrides = [text for text in words if re.match(r"\w+\.[\w.]+=", text)]
            load_config(task=tasks[0], method=method, overrides=overrides)


@pytest.mark.parametrize("page", DOCS, ids=ids(DOCS))
def test_yaml_is_configuration(page, tmp_path, monkeypatch):
    """A block that starts with `# name.yml` or with a section is a task of its own, or goes on top of the quickstart; one with
    `tasks` is a study, one with `question` the rubric of a judge."""
    sections = ("dataset", "tokenizer", "model", "objective", "schedule", "training", "generation", "redteam")
    monkeypatch.chdir(tmp_path)
    write_named_files(page)  # which a study may name
    for number, code in enumerate(blocks(page, "yaml")):
        if re.search(r"^tasks:", code, re.MULTILINE):
            expand(parse_study(yaml.safe_load(code), page.name))
            continue
        if code.startswith("question:"):
            read_rubric(yaml.safe_load(code))
        if not re.search(rf"^({'|'.join(sections)}):", code, re.MULTILINE):
            continue
        path = tmp_path / f"{number}.yml"
        path.write_text(code, encoding="utf-8")
        is_task = all(re.search(rf"^{name}:", code, re.MULTILINE) for name in ("dataset", "(model|size)", "generation"))
        if is_task:
            load_config(task=str(path))
        else:
            load_config(task="pep8/quickstart", method=str(path))


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_links_resolve(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """Anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_objective_and_metric_is_documented():
    assert [name for name in OBJECTIVES.entries if f"`{name}`" not in (ROOT / "docs/objectives.md").read_text()] == []
    assert [name for name in METRICS.entries if f"`{name}`" not in (ROOT / "docs/metrics.md").read_text()] == []
    own_method = (ROOT / "docs/own-method.md").read_text()
    assert [name for name in (*CONDITIONINGS.entries, *DOCUMENT_FILTERS.entries) if f"`{name}`" not in own_method] == []
    assert SCORERS.entries  # scorers have pages of their own


def pages_of(nav) -> list[str]:
    """The pages in a part of the navigation."""
    if isinstance(nav, str):
        return [nav]
    return [page for item in nav for page in pages_of(item.values() if isinstance(item, dict) else item)]


def test_every_page_is_in_the_navigation_of_the_site_once():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert sorted(pages_of(nav)) == sorted(page.name for page in DOCS), "add the page to `nav` in mkdocs.yml"


@pytest.fixture(scope="module")
def site():
    """The scripts that write pages, by name."""
    names = {path.stem for path in SITE.glob("*.py")}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SITE))
        yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


def test_generated_pages_are_current(site):
    generated = {name: page() for name, page in site("generate").PAGES.items()}
    stale = [name for name, text in generated.items() if (ROOT / "docs" / name).read_text(encoding="utf-8") != text]
    assert stale == [], "write them again: python docs/site/generate.py"


def test_every_message_is_in_troubleshooting(site):
    """What this page explains is found by `docs/site/source_messages.py`; tests/test_docs_messages.py tests that."""
    messages, rows = site("source_messages").messages(), site("explanations").rows()
    assert len(messages) > 900
    assert len(rows) > 400
    row_of = site("explanations").explained([message.text for message in messages], rows)
    unexplained = [
        f"{message.module}:{message.line}: {message.text}" for message in messages if row_of[message.text] is None
    ]
    advice = "quote them in a row of docs/troubleshooting.md, then run python docs/site/generate.py"
    assert unexplained == [], advice


def test_every_row_of_troubleshooting_is_about_messages_of_the_source(site):
    explanations = site("explanations")
    texts, rows = [message.text for message in site("source_messages").messages()], explanations.rows()
    quotations = [quotation for row in rows for quotation in row.quotations]
    advice = "remove it from docs/troubleshooting.md, or quote the message as it is now; then run python docs/site/generate.py"
    nowhere = [quotation for quotation in quotations if not any(explanations.occurs(quotation, text) for text in texts)]
    assert nowhere == [], advice
    explained = set(explanations.explained(texts, rows).values())
    assert [row.quotations for row in rows if row not in explained] == [], "others are about the same: " + advice


def test_no_row_of_troubleshooting_is_about_everything(site):
    explanations = site("explanations")
    texts, rows = [message.text for message in site("source_messages").messages()], explanations.rows()
    counts = {row.quotations: sum(explanations.explains(row, text) for text in texts) for row in rows}
    assert [quotations for quotations, count in counts.items() if count > len(texts) / 10] == []
    short = [quotation for row in rows for quotation in row.quotations if len(re.findall(r"[A-Za-z]+", quotation)) < 2]
    assert short == [], "quote two words at least"
    assert [row.quotations for row in rows if len(row.why) < 10 or not row.remedy] == []


def test_the_checks_can_fail(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("`phf trian --task x`\n```sh\nphf train --tusk pep8 \\\n  --dry-run\n```\n[x](#a-b)\n# A b\n")
    assert [problem(words) for words in commands(page)] == ["train has no option --tusk", "no command trian"]
    assert anchors(page) == {"a-b"}
