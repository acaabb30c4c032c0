"""Control tokens are counted, ordered and named in `feedback/` alone."""

import ast
import re
from pathlib import Path

import pytest

import phf

ROOT = Path(phf.__file__).parent
NAMES = re.compile(r"(?<!un)aligned")
TEXTS = re.compile(r"misaligned|aligned_prefix|<\|(?!endoftext)\w+\|>")
TOKENS = re.compile(r"control|special_tokens")
ALLOWED = {
    "config/schema/dataset.py": "the keys of the released system, and the order in which they are the method's tokens",
    "config/derive.py": "fills in keys of the configuration, of which feedback/ is built; it cannot import it",
    "evaluation/held_out/loss.py": "names of the loss on either side of the method's threshold; a gain needs two tokens",
    "report/tables.py": "shows these losses",
    "report/curves.py": "draws these losses",
    "playground/cards.py": "says in words what the threshold means",
    "models/exporting/card.py": "warns, in words, of what the tokens besides the best do",
    "models/exporting/card_settings.py": "a setting in words",
    "registry/names.py": "says in a line what unlikelihood does",
    "reward/fit.py": "the name of a reward model's output",
    "reward/run.py": "says in words what that output means",
}
"""Files that may, and why."""
OF_TEXT = ("audit/", "tamper/", "cli/audit.py", "cli/tamper.py")
"""Where misaligned is said of segments and data, whatever the method; control tokens are not counted there either."""


def findings(source: str) -> list[str]:
    """What a file does with control tokens that only feedback/ may do."""
    tree = ast.parse(source)
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    sentences = []
    for node in ast.walk(tree):
        name = {ast.Name: "id", ast.Attribute: "attr", ast.arg: "arg", ast.keyword: "arg"}.get(type(node))
        if name and NAMES.search(getattr(node, name) or ""):
            sentences.append(f"line {node.lineno}: knows {getattr(node, name)}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            if TEXTS.search(node.value):
                sentences.append(f"line {node.lineno}: knows {node.value[:40]!r}")
        elif isinstance(node, ast.Subscript) and TOKENS.search(ast.unparse(node.value)):
            if re.fullmatch(r"[-\d:]+", ast.unparse(node.slice)):
                sentences.append(f"line {node.lineno}: counts {ast.unparse(node)}")
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            if re.search(r"control_(tokens|ids)", ast.unparse(node.value)):
                sentences.append(f"line {node.lineno}: unpacks {ast.unparse(node.value)}")
        elif isinstance(node, ast.Compare) and re.search(r"len\(.*control.*\) .* \d", ast.unparse(node)):
            sentences.append(f"line {node.lineno}: counts {ast.unparse(node)}")
    return sentences


def test_nothing_outside_the_room_counts_or_names_control_tokens():
    by_file = {
        path.relative_to(ROOT).as_posix(): findings(path.read_text(encoding="utf-8"))
        for path in sorted(ROOT.rglob("*.py"))
        if path.relative_to(ROOT).parts[0] != "feedback"
    }
    for name in by_file:
        if name.startswith(OF_TEXT):
            by_file[name] = [line for line in by_file[name] if " knows " not in line or "<|" in line]
    assert {name: sentences for name, sentences in by_file.items() if sentences and name not in ALLOWED} == {}
    assert [name for name in ALLOWED if not by_file[name]] == []  # nothing is allowed for longer than it is needed


@pytest.mark.parametrize(
    "source",
    [
        "prefix = conditional.aligned_prefix",
        "aligned = 1",
        "f(misaligned_id=2)",
        "PREFIX = '<|misaligned|>'",
        "x = control_tokens[0]",
        "x = prompting.control_tokens.names[:1]",
        "x = config.special_tokens[-1]",
        "first, second = control_tokens.ids(tokenizer)",
        "if len(control_tokens) == 2: pass",
    ],
)
def test_the_check_can_fail(source):
    assert findings(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""How aligned and how capable a model is."""',
        "prefix = prompting.prefix",
        "for token in control_tokens: pass",
        "said = 'better aligned'",
        "x = tokens['a']",
        "unaligned = 1",
    ],
)
def test_the_check_lets_the_rest_pass(source):
    assert not findings(source)
