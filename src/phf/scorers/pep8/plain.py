"""Rows so plain that no token of theirs can break PEP 8: recognised by pattern, without tokenizing them."""

import keyword
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

SINGLETONS = frozenset({"None", "True", "False"})
KEYWORDS = frozenset(keyword.kwlist) - SINGLETONS
"""The words that pycodestyle requires a space after (E275)."""

OPERATOR = r"(?:[=!<>]=|->|:=|(?:\*\*|//|<<|>>|[-+*/%@&|^])=?|[=<>])"
"""One whole operator token."""


def _strings(prefix: str, escape: str) -> str:
    """A pattern of strings of one row, those of three quotes without a quote or a backslash inside."""
    thrice = [rf"{quote * 3}[^{quote}\\\n]*+{quote * 3}(?!{quote})" for quote in "'\""]
    once = [rf"{quote}[^{quote}\\\n]*+(?:\\{escape}[^{quote}\\\n]*+)*+{quote}(?!{quote})" for quote in "'\""]
    return rf"{prefix}(?:{'|'.join(thrice + once)})"


# The pieces are such that the next characters always say which alternative it is, and repeats are possessive: matching
# takes time linear in the line.
# Not a keyword without a space after it (E275, E225), not an ambiguous name (E741 to E743), not lambda, after which E225
# treats "=" in its own way, not the prefix of a string.
_NAME = rf"(?!(?:{'|'.join(sorted(KEYWORDS))})[^\w\s:]|(?:and|in|is|or):|(?:[lOI]|lambda)\b)[A-Za-z_]\w*+(?!['\"])"
_NUMBER = r"(?:0x[0-9A-Fa-f]++|(?:0|[1-9]\d*+)(?:\.\d++)?+)(?![\w.])"
# W605 reports other escapes than these. From Python 3.12 on, an f-string is several tokens.
_ESCAPED = _strings("[bBuUfF]?" if sys.version_info < (3, 12) else "[bBuU]?", r"[\\'\"abfnrtv0-7xNuU]")
_UNIT = rf"(?:{_NAME}|{_NUMBER}|{_ESCAPED}|{_strings('[rR]', '.')})"
_IS_APART = r"(?!(?:and|in|is|or)\b)"  # not an operator with no space before it (E225)
_TIGHT = rf"{_IS_APART}{_UNIT}"
_OPEN = rf"[(\[{{]++(?:\*{{1,2}}+(?=[A-Za-z_])|-(?=\w))?+(?:{_TIGHT})?+"
_TAIL = "|".join(
    [
        rf"\.(?:{_IS_APART}{_NAME}|(?=[ \n]))",
        rf"(?<=\w)=(?:-?{_TIGHT}|(?=[(\[{{]))",
        _OPEN,
        r"[)\]}]++(?!['\"\w])",
        rf"(?<=[\w)\]])[-+*/](?:{_TIGHT}|(?=\())",  # with no space on either side: E226, which is off by default
        rf":(?=[\w\]-])(?:-?{_TIGHT})?+",  # in a slice
        r",(?=[)\]])",
    ]
)
# The character before it says that this sign or star is not an operator between two operands.
_SIGN = rf"(?:(?<=, )\*{{1,2}}+(?=[A-Za-z_])|(?:(?<=[=,:(<>+*/%|&-] )|(?<=\breturn ))-(?=[\w(])){_IS_APART}"
_FIRST = rf"(?:{_SIGN})?+(?:{_OPEN}|{_UNIT})|\.{{1,3}}(?:{_IS_APART}{_NAME}|(?=[ \n]))"
_WORD = rf"(?:{_FIRST})(?:{_TAIL})*+(?<![(\[{{])[,:;]?+"
_ITEM = rf"(?:{OPERATOR}|{_WORD})(?=[ \n])"
_COMMENT_BEHIND = r"#:?(?: (?![ \t\xa0])[^\n]*+)?+"
_COMMENT_ALONE = r"#:?(?: [^\n]*+)?+"
_PLAIN = re.compile(
    rf"( *+)(?:({_ITEM}(?: ++{_ITEM})*+)(?: {{2,}}+({_COMMENT_BEHIND}))?+|{_COMMENT_ALONE})\n", re.ASCII
)

_NOQA = re.compile(r"# no(?:qa|pep8)\b", re.IGNORECASE)
_BEFORE_BRACKET = re.compile(r"(?<![\w)\]}])([\w)\]}]+) +[(\[]")
_QUOTED = re.compile(r"'''[^']*'''|\"\"\"[^\"]*\"\"\"|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_SKELETON = re.compile(r"[()\[\]{}]|[=:](?![ =]|\Z)")
_DEEPEST = 100
"""Brackets; Python 3.12's tokenizer refuses to nest more than 200."""


class Plain(NamedTuple):
    """A plain row: a whole statement, or a comment with nothing before it."""

    column: int
    statement: str
    """The logical line as pycodestyle builds it: strings muted, no comment."""


_make: Callable[..., Plain] = tuple.__new__
"""`_make(Plain, (...))` takes a third of the time of `Plain(...)`."""


def plain_row(line: str) -> Plain | None:
    """`line` as a plain row, None if it is not plain. `line` must begin a statement.

    Plain is a comment that begins with "# ", and a statement that is whole, of names, numbers, simple strings, balanced
    brackets, and operators with space on either side. All that pycodestyle (2.14, 2.15) could find in it is its length,
    its indentation, its place in the file (E1, E3, E402), or what `text_checks` look for in the logical line, never its
    tokens. Everything that a check of tokens could report is refused below, check by check.
    """
    match = _PLAIN.fullmatch(line)
    if match is None:
        return None
    column, statement, comment = match.end(1), match[2], match[3]
    if statement is None:
        return _make(Plain, (column, ""))
    if comment and _NOQA.search(comment):
        return None
    if "'" in statement or '"' in statement:
        statement = _QUOTED.sub(_mute, statement)
    skeleton = "".join(_SKELETON.findall(statement))
    if skeleton:
        if len(skeleton) > _DEEPEST or not _is_balanced(skeleton):
            return None
        # E211 depends on what the bracket belongs to
        if (" (" in statement or " [" in statement) and not _ALL_KEYWORDS.issuperset(
            _BEFORE_BRACKET.findall(statement)
        ):
            return None
        # E251, E252
        assigned = statement.rfind(" = ")
        if -1 < statement.find("(") < assigned or -1 < statement.find("[") < assigned:
            return None
        if "=" in skeleton and ": " in statement:
            return None
    return _make(Plain, (column, statement))


_ALL_KEYWORDS = KEYWORDS | SINGLETONS


def _mute(match: re.Match[str]) -> str:
    quoted = match[0]
    num_quotes = 3 if quoted[:3] in ("'''", '"""') else 1
    return quoted[:num_quotes] + "x" * (len(quoted) - 2 * num_quotes) + quoted[-num_quotes:]


@lru_cache(1000)
def _is_balanced(skeleton: str) -> bool:
    """Whether brackets are nested, each "=" without spaces directly inside round, each such ":" inside square ones."""
    while True:
        reduced = skeleton
        for pair, rest in (("()", ""), ("[]", ""), ("{}", ""), ("(=", "("), ("[:", "[")):
            reduced = reduced.replace(pair, rest)
        if reduced == skeleton:
            return not reduced
        skeleton = reduced
