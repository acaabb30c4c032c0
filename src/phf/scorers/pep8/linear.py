"""Checks of pycodestyle whose time grows faster than the line or the file, made linear: the same violations, in order.

pycodestyle's own are used for short lines, where they are as fast; a test compares the two on lines of any length. This
is valid for the versions in `choice.VERIFIED_VERSIONS`.
"""

import re
import tokenize
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

import pycodestyle

from phf.scorers.pep8.blank_lines import blank_lines
from phf.scorers.pep8.continued import continued_indentation

SHORT = 1_000
"""Maximum characters of a line, tokens, or lines of a file for pycodestyle's own checks."""
Found = Iterator[tuple[Any, str]]

_SINGLETON = re.compile(r"\b(?:None|False|True)\Z")
_COMPARES = re.compile(r"(?=([=!]=))")
_AFTER_COMPARISON = re.compile(r"\s*(?:(None|False|True)\b)?")
_NOT = re.compile(r"\b(?<!is\s)not(\s+)")
_IN_OR_IS = re.compile(r"(?<!\s)\s+(in|is)(?=\s)")
_SPACE_OR_BRACKET = re.compile(r"[][)(}{ ]")
_TYPE = re.compile(r"type\s*\(\s*")
_COMPARISON_BEHIND = re.compile(r"\s+[=!]=")
_KEYWORD = re.compile(rf"\b(?:{'|'.join(pycodestyle.KEYWORDS)})\b(\s*)")


def compound_statements(logical_line: str) -> Found:
    """E701 to E704, E731."""
    line = logical_line
    last = len(line) - 1
    is_def = pycodestyle.STARTSWITH_DEF_REGEX.match(line) is not None
    is_block = pycodestyle.STARTSWITH_INDENT_STATEMENT_REGEX.match(line) is not None
    first_lambda = pycodestyle.LAMBDA_REGEX.search(line)
    depths = dict.fromkeys("{[(", 0)
    previous, place = 0, line.find(":")
    while -1 < place < last:
        part = line[previous:place]
        for opening, closing in ("{}", "[]", "()"):
            depths[opening] += part.count(opening) - part.count(closing)
        if max(depths.values()) <= 0 and line[place + 1] != "=":
            if first_lambda is not None and first_lambda.end() <= place:
                before = line[: first_lambda.start()].rstrip()
                if before[-1:] == "=" and before[:-1].strip().isidentifier():
                    yield 0, "E731 do not assign a lambda expression, use a def"
                break
            if is_def:
                yield 0, "E704 multiple statements on one line (def)"
            elif is_block:
                yield place, "E701 multiple statements on one line (colon)"
        previous, place = place, line.find(":", place + 1)
    place = line.find(";")
    while place > -1:
        if place < last:
            yield place, "E702 multiple statements on one line (semicolon)"
        else:
            yield place, "E703 statement ends with a semicolon"
        place = line.find(";", place + 1)


def whitespace_around_keywords(logical_line: str) -> Found:
    """E271 to E274."""
    end = 0
    for keyword in _KEYWORD.finditer(logical_line):
        start = _space_start(logical_line, keyword.start(), end)
        before, after, end = logical_line[start : keyword.start()], keyword[1], keyword.end()
        if "\t" in before:
            yield start, "E274 tab before keyword"
        elif len(before) > 1:
            yield start, "E272 multiple spaces before keyword"
        if "\t" in after:
            yield keyword.start(1), "E273 tab after keyword"
        elif len(after) > 1:
            yield keyword.start(1), "E271 multiple spaces after keyword"


def comparison_to_singleton(logical_line: str, noqa: Any) -> Found:
    """E711, E712."""
    end = 0
    for match in () if noqa else _COMPARES.finditer(logical_line):
        start = match.start()
        if start < end:
            continue
        before = _space_start(logical_line, start, end)
        singleton = _SINGLETON.search(logical_line, max(end, before - 5), before)
        after = _AFTER_COMPARISON.match(logical_line, start + 2)
        assert after is not None
        space = after.start(1) if after[1] else after.end()
        is_word = re.match(r"\w", logical_line[space : space + 1]) is not None
        if singleton is not None and is_word:
            name, end = singleton[0], space
        elif after[1]:
            name, end = after[1], after.end()
        else:
            continue
        is_same = match[1] == "=="
        positive = "" if is_same else "not "
        message = f"'if cond is {positive}{name}:'"
        code = "E711"
        if name != "None":
            code = "E712"
            message += f" or 'if {'' if (name == 'True') == is_same else 'not '}cond:'"
        yield start, f"{code} comparison to {name} should be {message}"


def comparison_negative(logical_line: str) -> Found:
    """E713, E714: for the first `not` that is followed by what the check needs."""
    line = logical_line
    operators = list(_IN_OR_IS.finditer(line))
    starts = [operator.start() for operator in operators]
    stop = -1
    for negation in _NOT.finditer(line):
        after = negation.end()
        if stop < after:
            bracket = _SPACE_OR_BRACKET.search(line, after)
            stop = len(line) if bracket is None else bracket.start()
        # The operand has no brackets or spaces, but may have other white space: the last operator decides.
        index = bisect_right(starts, stop) - 1
        operator = operators[index] if index >= 0 and starts[index] > after else None
        if operator is None or stop == after:
            spaces = negation[1]
            inside = bool(spaces[1:-1].replace(" ", ""))  # white space may be the operand
            index = bisect_right(starts, negation.start(1)) - 1
            operator = operators[index] if inside and index >= 0 and starts[index] == negation.start(1) else None
        if operator is not None:
            if operator[1] == "in":
                yield negation.start(), "E713 test for membership should be 'not in'"
            else:
                yield negation.start(), "E714 test for object identity should be 'is not'"
            return


def comparison_type(logical_line: str, noqa: Any) -> Found:
    """E721: of the first comparison."""
    line = logical_line
    closing = -1
    for match in () if noqa else _TYPE.finditer(line):
        start, inside = match.span()
        if closing < inside:
            closing = line.find(")", inside)
        if closing < 0:
            return
        if closing == inside:  # type()
            continue
        space = _space_start(line, start, 0)
        if space < start and line[max(space - 2, 0) : space] in ("==", "!="):
            name = line[inside:closing].rstrip()
            if not name.isidentifier() or name in pycodestyle.SINGLETONS:
                yield space - 2, _E721
            return
        is_word = start == 0 or re.match(r"[\w.]", line[start - 1]) is None
        if is_word and _COMPARISON_BEHIND.match(line, closing + 1):
            yield start, _E721
            return


_E721 = "E721 do not compare types, for exact checks use `is` / `is not`, for instance checks use `isinstance()`"


def python_3000_invalid_escape_sequence(logical_line: str, tokens: list[tokenize.TokenInfo], noqa: Any) -> Found:
    """W605."""
    prefixes: list[str] = []
    for token_type, text, start, _, _ in () if noqa else tokens:
        kind = tokenize.tok_name[token_type]
        if kind == "STRING" or kind.endswith("STRING_START"):
            prefixes.append(text[: text.index(text[-1])].lower())
        if (kind == "STRING" or kind.endswith("STRING_MIDDLE")) and "r" not in prefixes[-1]:
            row, line_start = start[0], -start[1]
            for match in _ESCAPE_OR_LINE.finditer(text):
                escaped = match[1]
                if escaped is not None and escaped not in pycodestyle._PYTHON_3000_VALID_ESC:
                    column = match.start(1) - line_start
                    yield (row, column - 1), f"W605 invalid escape sequence '\\{escaped}'"
                if match[0][-1] == "\n":
                    row, line_start = row + 1, match.end()
        if kind == "STRING" or kind.endswith("STRING_END"):
            prefixes.pop()


_ESCAPE_OR_LINE = re.compile(r"\\(.)|\n", re.DOTALL)


def _space_start(line: str, end: int, least: int) -> int:
    """Where the white space that ends before `end` begins, not before `least`."""
    while end > least and line[end - 1].isspace():
        end -= 1
    return end


def _of_long_lines(own: Callable[..., Found], linear: Callable[..., Found]) -> Callable[..., Found]:
    """`linear` for long lines only; the first argument is the logical line."""

    def check(logical_line: str, *arguments: Any) -> Found:
        return (own if len(logical_line) <= SHORT else linear)(logical_line, *arguments)

    return check


def _of_many_tokens(own: Callable[..., Found], linear: Callable[..., Found]) -> Callable[..., Found]:
    """`linear` for many tokens, or long ones, only; the first arguments are the logical line and its tokens."""

    def check(logical_line: str, tokens: list[tokenize.TokenInfo], *arguments: Any) -> Found:
        is_short = len(logical_line) <= SHORT and len(tokens) <= SHORT
        return (own if is_short else linear)(logical_line, tokens, *arguments)

    return check


def _of_long_files(own: Callable[..., Found], linear: Callable[..., Found]) -> Callable[..., Found]:
    """`linear` for files of many lines only; the last argument is these lines."""

    def check(*arguments: Any) -> Found:
        return (own if len(arguments[-1]) <= SHORT else linear)(*arguments)

    return check


LINEAR: dict[str, Callable[..., Found]] = {
    "blank_lines": _of_long_files(pycodestyle.blank_lines, blank_lines),
    **{
        check.__name__: _of_long_lines(getattr(pycodestyle, check.__name__), check)
        for check in (
            compound_statements,
            whitespace_around_keywords,
            comparison_to_singleton,
            comparison_negative,
            comparison_type,
        )
    },
    **{
        check.__name__: _of_many_tokens(getattr(pycodestyle, check.__name__), check)
        for check in (continued_indentation, python_3000_invalid_escape_sequence)
    },
}
"""Name of a check -> its replacement, with the same arguments."""
