"""Documents, messages, docstrings and comments keep to the house's words, and to idioms that a native reader uses."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("*.md"), *ROOT.glob("benchmarks/*.md")])
MODULES = sorted(ROOT.glob("src/**/*.py"))
TESTS = sorted(path for path in ROOT.glob("tests/**/*.py") if path != Path(__file__))

THING = "process|worker|line|object|prompt|token|character|byte|score|sentence|file|sample|question"
COMPARATIVE = "longer|more|less|faster|slower|larger|smaller|better|worse|higher|lower|shorter"
UNIT = "core|GPU|worker|second|token|line|row|document|file|round|window|step|commit|scenario|segment"
PHRASES = {
    "is not a ..., not: is no ...": rf"(?<!\b[Tt]here )\b(?:is|are|was|were) no\b(?! (?:{COMPARATIVE})\b)",
    "fixed or repaired, not: mended": r"\bmend(?:s|ed|ing)?\b",
    "continues or resumes, not: goes on": r"\bgo(?:es|ne|ing)? on (?:with|where|like)\b",
    "per core, not: a core": rf"\b(?:{THING})s? an? (?:{UNIT})\b",
    "reported, known, distinguished, not: told": r"\btold\b",
    "occasionally or from time to time, not: now and then": r"\bnow and then\b",
    "instead of, not: in place of what": r"\bin place of (?:what|whatever)\b",
    "through or by, not: by way of": r"\bby way of\b",
    "unchanged, not: as it stands": r"\bas (?:it|they) stands?\b",
    "give, choose or set, not: name": r"\bName (?:another|an?|the|it|one|what)\b",
    "continuation, not: completion": r"(?i)\bcompletions?\b",
    "anyway, not: nevertheless": r"\b[Nn]evertheless\b",
    "rebuild, not: build again or make again": r"\b(?:built|made) again\b",
    "skip, not: pass over": r"\bpassed over\b",
    "again or from scratch, not: anew": r"\banew\b",
    "command, not: verb": r"\bverbs?\b(?! that goes with)",
    "our own loop or its own loop, not: the own loop": r"\b[Tt]he own (?!er)\w+",
    "finally, not: at last": r"\bat last\b",
    "after, not: behind (of a place in a text)": r"\b(?:tokens?|segments?|prompts?|samples?|pieces?|prefix|EOS|space) behind\b",
    "not in use, not: nobody uses": r"\b(?:nobody|somebody|anybody) (?:uses|does|can|begins)\b",
}
NAMES = re.compile(
    r"/completions\b|completions (?:or chat )?(?:API|server)|chat or completions|`completions` in older files"
    r"|[Ss]hell completion|(?:install|show)-completion|(?:Install|Show) completion for the current shell"
)
"""OpenAI's API, a key in files of earlier versions, and what shells call it."""


def prose(path: Path) -> list[tuple[int, str]]:
    """(line, text) of what people read in a file: all of a page; the comments and texts with a space of a module."""
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return list(enumerate(content.splitlines(), start=1))
    tokens = tokenize.generate_tokens(io.StringIO(content).readline)
    return [
        (token.start[0], re.sub(r"\s+", " ", token.string))
        for token in tokens
        if token.type == tokenize.COMMENT or (tokenize.tok_name[token.type] in TEXTS and " " in token.string)
    ]


TEXTS = ("STRING", "FSTRING_MIDDLE")


def offences(path: Path) -> list[str]:
    return [
        f"{path.name}, line {line}: {advice}: {match[0]!r}"
        for line, text in prose(path)
        for advice, pattern in PHRASES.items()
        for match in re.finditer(pattern, NAMES.sub("", text))
    ]


@pytest.mark.parametrize(
    "files", [*([page] for page in PAGES), MODULES, TESTS], ids=[*(p.name for p in PAGES), "src", "tests"]
)
def test_phrases_that_read_like_a_translation_do_not_come_back(files):
    assert [offence for file in files for offence in offences(file)] == []


NAME_PHRASES = re.compile(
    r"_(?:is|are)_no_(?!longer)|_told_|_goe?s?_on_|_anew_|_(?:is|are)_said\b|_said_to_be|nobody|somebody|_is_none\b"
)


def test_names_of_tests_are_idiomatic_too():
    names = [
        f"{path.name}: {name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        if NAME_PHRASES.search(name)
    ]
    assert names == []


SAYS_NOTHING = {"found", "thing", "things", "stuff"}
"""Names of locals and arguments that hold something with a name of its own."""


def says_nothing(source: str) -> list[str]:
    """The names in SAYS_NOTHING that are assigned or are arguments in some Python."""
    nodes = list(ast.walk(ast.parse(source)))
    assigned = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return [
        name for name in (*assigned, *(node.arg for node in nodes if isinstance(node, ast.arg))) if name in SAYS_NOTHING
    ]


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks"])
def test_a_variable_is_named_after_what_it_holds(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    names = {str(path): says_nothing(path.read_text(encoding="utf-8")) for path in files}
    assert {path: of_file for path, of_file in names.items() if of_file} == {}


def test_the_check_can_fail(tmp_path):
    page, module = tmp_path / "page.md", tmp_path / "module.py"
    page.write_text("There is no such file.\nThat is no file. One process a core is told.\n")
    module.write_text(
        '"""A completion."""\nx = f"{1} is no longer mended"  # now and then\nPOST = "/completions API"\n'
    )
    assert [line.rpartition(": ")[2] for line in offences(page)] == ["'is no'", "'process a core'", "'told'"]
    assert [line.rpartition(": ")[2] for line in offences(module)] == ["'completion'", "'mended'", "'now and then'"]
    assert NAME_PHRASES.search("test_a_file_that_is_no_run_is_refused")
    assert not NAME_PHRASES.search("test_a_run_that_is_no_longer_there_is_not_read")
    assert says_nothing("found, y = 1, report.found\ndef f(x, thing): return g(found=x)") == ["found", "thing"]
