"""Checks of pycodestyle whose time grows faster than the line or the file, made linear: the same violations, in order.

pycodestyle's own are used for short lines, where they are as fast; a test compares the two on lines of any length. They
hold for the versions in `pep8_choice.VERIFIED_VERSIONS`.
"""

import re
import tokenize
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

import pycodestyle

from phf.scorers.pep8_continued import continued_indentation

SHORT = 1_000
"""Characters of a line, tokens, or lines of a file, that pycodestyle's own checks may have."""
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
    previous, found = 0, line.find(":")
    while -1 < found < last:
        part = line[previous:found]
        for opening, closing in ("{}", "[]", "()"):
            depths[opening] += part.count(opening) - part.count(closing)
        if max(depths.values()) <= 0 and line[found + 1] != "=":
            if first_lambda is not None and first_lambda.end() <= found:
                before = line[: first_lambda.start()].rstrip()
                if before[-1:] == "=" and before[:-1].strip().isidentifier():
                    yield 0, "E731 do not assign a lambda expression, use a def"
                break
            if is_def:
                yield 0, "E704 multiple statements on one line (def)"
            elif is_block:
                yield found, "E701 multiple statements on one line (colon)"
        previous, found = found, line.find(":", found + 1)
    found = line.find(";")
    while found > -1:
        if found < last:
            yield found, "E702 multiple statements on one line (semicolon)"
        else:
            yield found, "E703 statement ends with a semicolon"
        found = line.find(";", found + 1)


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
    """E713, E714: of the first `not` that has what it needs behind it."""
    line = logical_line
    operators = list(_IN_OR_IS.finditer(line))
    starts = [operator.start() for operator in operators]
    stop = -1
    for negation in _NOT.finditer(line):
        after = negation.end()
        if stop < after:
            bracket = _SPACE_OR_BRACKET.search(line, after)
            stop = len(line) if bracket is None else bracket.start()
        # The operand is without brackets and spaces, but may have other white space: the last operator decides.
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


class _Layout:
    """What `blank_lines` looks for above and below a line, found once for a file."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.indents = [pycodestyle.expand_indent(line) if line.strip() else None for line in lines]
        self.above: list[int] = []  # the line above, not empty, that is indented less
        self.filled: list[int] = []  # this line or the one above that is not empty
        stack: list[int] = []
        for index, indent in enumerate(self.indents):
            while indent is not None and stack and (self.indents[stack[-1]] or 0) >= indent:
                stack.pop()
            self.above.append(stack[-1] if stack and indent is not None else -1)
            if indent is not None:
                stack.append(index)
            self.filled.append(index if indent is not None else (self.filled[-1] if self.filled else -1))
        self.next_top = [len(lines)] * (len(lines) + 1)  # this line or the one below that is a def or a class
        self.next_filled = [len(lines)] * (len(lines) + 1)
        for index in range(len(lines) - 1, -1, -1):
            line = lines[index].strip()
            is_top = not line.startswith("@") and pycodestyle.STARTSWITH_TOP_LEVEL_REGEX.match(line) is not None
            self.next_top[index] = index if is_top else self.next_top[index + 1]
            self.next_filled[index] = index if line else self.next_filled[index + 1]

    def is_one_liner(self, line_number: int, indent_level: int) -> bool:
        """pycodestyle's `_is_one_liner`, of a line that begins a def, a class or a decorator."""
        index = line_number - 1
        if index >= 1 and pycodestyle.expand_indent(self.lines[index - 1]) > indent_level:
            return False
        top = self.next_top[index] if index < len(self.lines) else len(self.lines)
        if top == len(self.lines):
            return False
        following = self.next_filled[top + 1]
        return following == len(self.lines) or (self.indents[following] or 0) <= indent_level

    def is_nested(self, line_number: int, indent_level: int) -> bool:
        """Whether the nearest def or top level above, each line indented less than the one before, is a def."""
        index = self.filled[line_number - 2]
        is_def = False
        while index >= 0:
            indent = self.indents[index] or 0
            if indent < indent_level:
                is_def = pycodestyle.STARTSWITH_DEF_REGEX.match(self.lines[index].lstrip()) is not None
                if is_def or indent == 0:
                    break
            index = self.above[index]
        return is_def


_layouts: list[_Layout] = []
"""That of the file at hand."""


def blank_lines(  # the parameters are pycodestyle's
    logical_line: str,
    blank_lines: int,
    indent_level: int,
    line_number: int,
    blank_before: int,
    previous_logical: str,
    previous_unindented_logical_line: str,
    previous_indent_level: int,
    lines: list[str],
) -> Found:
    """E301 to E306."""
    if not previous_logical and blank_before < 2:
        return
    if previous_logical.startswith("@"):
        if blank_lines:
            yield 0, "E304 blank lines found after function decorator"
    elif blank_lines > 2 or (indent_level and blank_lines == 2):
        yield 0, f"E303 too many blank lines ({blank_lines})"
    elif pycodestyle.STARTSWITH_TOP_LEVEL_REGEX.match(logical_line):
        if not _layouts or _layouts[0].lines is not lines:
            _layouts[:] = [_Layout(lines)]
        layout = _layouts[0]
        if blank_before == 0 and layout.is_one_liner(line_number, indent_level):
            return
        if indent_level:
            is_apart = blank_before == 1 or previous_indent_level < indent_level
            if not is_apart and not pycodestyle.DOCSTRING_REGEX.match(previous_logical):
                if layout.is_nested(line_number, indent_level):
                    yield 0, "E306 expected 1 blank line before a nested definition, found 0"
                else:
                    yield 0, "E301 expected 1 blank line, found 0"
        elif blank_before != 2:
            yield 0, f"E302 expected 2 blank lines, found {blank_before}"
    elif (
        logical_line
        and not indent_level
        and blank_before != 2
        and previous_unindented_logical_line.startswith(("def ", "class "))
    ):
        yield 0, f"E305 expected 2 blank lines after class or function definition, found {blank_before}"


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
"""Name of a check -> what is used in its place, with the same arguments."""
