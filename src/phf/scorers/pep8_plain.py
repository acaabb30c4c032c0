"""Statements so plain that no token of theirs can break PEP 8: recognised by pattern, without tokenizing them."""

import keyword
import re
from functools import lru_cache
from typing import NamedTuple

SINGLETONS = frozenset({"None", "True", "False"})
KEYWORDS = frozenset(keyword.kwlist) - SINGLETONS
"""The words that pycodestyle wants a space behind (E275)."""

OPERATOR = r"(?:[=!<>]=|->|:=|(?:\*\*|//|<<|>>|[-+*/%@&|^])=?|[=<>])"
"""One whole operator token."""

# The pieces are such that the next character always says which alternative it is, and all repeats are possessive:
# matching takes time linear in the line.
_NAME = r"[A-Za-z_]\w*+(?!['\"])"  # not the prefix of a string
_NUMBER = r"(?:0|[1-9]\d*+)(?![\w.])"
_STRING = r"'[^'\\\n]*+'(?!')|\"[^\"\\\n]*+\"(?!\")"
_UNIT = rf"(?:{_NAME}|{_NUMBER}|{_STRING})"
_TAIL = rf"(?:\.{_NAME}|(?<=\w)=(?=[\w'\"(\[{{])|[(\[{{]++(?:\*{{1,2}}+(?=[A-Za-z_]))?+{_UNIT}?+|[)\]}}]++(?!['\"\w]))"
_WORD = rf"(?:[(\[{{]*+{_UNIT}(?:{_TAIL}|(?<==){_UNIT})*+(?<![(\[{{=])[,:]?+)"
_PLAIN = re.compile(rf"( *+)({_WORD}(?: (?:{OPERATOR}(?= )|{_WORD})(?=[ \n]))*+)\n", re.ASCII)
_TIGHT_NAME = re.compile(r"[A-Za-z_]\w*+(?=[^\w\s:])", re.ASCII)
_TIGHT_OPERATOR = re.compile(r"[^\w\s](?:and|in|is|or)\b", re.ASCII)
_AMBIGUOUS_NAME = re.compile(r"\b[lOI]\b", re.ASCII)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_SKELETON = re.compile(r"[()\[\]{}]|(?<=\w)=")
_BRACKETS = re.compile(r"[()\[\]{}=.,]")


_PLAIN_COMMENT = re.compile(r"( *+)#:?(?: [^\n]*+)?\n")


class Plain(NamedTuple):
    """A row whose tokens cannot break PEP 8: a whole statement, or a comment on its own."""

    column: int
    statement: str
    """The logical line as pycodestyle builds it, "" for a comment."""


def plain_row(line: str) -> Plain | None:
    match = _PLAIN_COMMENT.fullmatch(line)
    if match is not None:
        return Plain(match.end(1), "")
    plain = plain_statement(line)
    return None if plain is None else Plain(*plain)


def plain_statement(line: str) -> tuple[int, str] | None:
    """(indentation, logical line as pycodestyle builds it) of a plain one-line statement; None for any other line.

    `line` must begin a statement. That it is plain means: a whole statement on one line, of names, integers, simple
    strings, balanced brackets, and operators with one space on either side; no comment, no double space, no
    backslash. Whatever pycodestyle could find in it (2.14, 2.15) is its length, its indentation, its place in the file
    (E1, E3, E402), never its tokens. Everything a check would stumble on is refused below, check by check.
    """
    match = _PLAIN.fullmatch(line)
    if match is None:
        return None
    statement = match[2]
    if "'" in statement or '"' in statement:
        statement = _QUOTED.sub(_mute, statement)
    if _BRACKETS.search(statement):
        # E211, E225 and E251 depend on what the bracket belongs to; E275 and E225: a keyword with no space beside it
        if " (" in statement or " [" in statement or not _is_balanced("".join(_SKELETON.findall(statement))):
            return None
        if not KEYWORDS.isdisjoint(_TIGHT_NAME.findall(statement)) or _TIGHT_OPERATOR.search(statement):
            return None
        assigned = statement.rfind(" = ")
        if -1 < statement.find("(") < assigned or -1 < statement.find("[") < assigned:
            return None
    is_refused = (
        "not" in statement  # E713, E714
        or "==" in statement  # E711, E712, E721
        or "!=" in statement
        or -1 < statement.find(":") < len(statement) - 1  # E70, E231, E252, lambda
        or (statement.startswith("import ") and "," in statement)  # E401
        or statement.startswith("except")  # E722
        or statement.endswith(("and:", "in:", "is:", "or:"))  # E225
        or _AMBIGUOUS_NAME.search(statement) is not None  # E741 to E743
    )
    return None if is_refused else (len(match[1]), statement)


def _mute(match: re.Match[str]) -> str:
    quoted = match[0]
    return quoted[0] + "x" * (len(quoted) - 2) + quoted[0]


@lru_cache(1000)
def _is_balanced(skeleton: str) -> bool:
    """Whether brackets are nested, and each "=" without spaces is directly inside round ones, as in `f(a=1)`."""
    while True:
        reduced = skeleton.replace("()", "").replace("[]", "").replace("{}", "").replace("(=", "(")
        if reduced == skeleton:
            return not reduced
        skeleton = reduced
