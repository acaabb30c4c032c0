"""pycodestyle's check of continuation lines in linear time: the same violations, in order, with its default options.

For each token, pycodestyle looks through all previous rows, columns and brackets; this one keeps what can still matter.
"""

import tokenize
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any

import pycodestyle

_STARTS_OF_STRINGS = frozenset(
    getattr(tokenize, name, -1) for name in ("STRING", "COMMENT", "FSTRING_START", "TSTRING_START")
)


class _OpenRows:
    """The rows that a line at one depth of brackets may be indented against."""

    def __init__(self, row: int, indent: int) -> None:
        self.first_indent = indent
        self.last_with: dict[int, int] = {indent: row}

    def add(self, row: int, indent: int) -> None:
        self.last_with[indent] = row

    def hang(self, indent: int, valid_hangs: tuple[int, ...]) -> tuple[int, bool]:
        """How far `indent` exceeds that of the last row that makes it valid, or otherwise of the first row."""
        rows = [(row, hang) for hang in valid_hangs if (row := self.last_with.get(indent - hang)) is not None]
        return (max(rows)[1], True) if rows else (indent - self.first_indent, False)


class _Indents:
    """The visual indent of each depth; 0 for none."""

    def __init__(self, first: int) -> None:
        self.values = [first]
        self._largest = [(-first, 0)]

    def set(self, depth: int, column: int) -> None:
        self.values[depth] = column
        heappush(self._largest, (-column, depth))

    def drop_beyond(self, column: int) -> None:
        """0 for all that are larger."""
        while self._largest and -self._largest[0][0] > column:
            negative, depth = heappop(self._largest)
            if depth < len(self.values) and self.values[depth] == -negative:
                self.values[depth] = 0


class _Chances(dict[int, Any]):
    """Columns that a visual indent may have."""

    def __init__(self) -> None:
        self._largest: list[int] = []

    def __setitem__(self, column: int, value: Any) -> None:
        if column not in self:
            heappush(self._largest, -column)
        super().__setitem__(column, value)

    def drop_from(self, column: int) -> None:
        while self._largest and -self._largest[0] >= column:
            self.pop(-heappop(self._largest), None)


def continued_indentation(
    logical_line: str,
    tokens: list[tokenize.TokenInfo],
    indent_level: int,
    hang_closing: bool,
    indent_char: str,
    indent_size: int,
    noqa: Any,
    verbose: int,
) -> Iterator[tuple[Any, str]]:
    """E12 and E131."""
    first_row = tokens[0][2][0]
    num_rows = 1 + tokens[-1][2][0] - first_row
    if noqa or num_rows == 1:
        return
    indent_next = logical_line.endswith(":")
    row = depth = 0
    valid_hangs = (indent_size,) if indent_char != "\t" else (indent_size, indent_size * 2)
    relative = [0] * num_rows
    open_in_row = [0] * num_rows
    rows_of_brackets: list[int] = []
    open_rows = [_OpenRows(0, 0)]
    hangs: list[int | None] = [None]
    chances = _Chances()
    last_start = tokens[0][2]
    visual: Any = None
    is_multiline = False
    indents = _Indents(last_start[1])
    measured, text_end = "", 0
    for token_type, text, start, end, line in tokens:
        is_new = row < start[0] - first_row
        if is_new:
            row = start[0] - first_row
            is_new = not is_multiline and token_type not in pycodestyle.NEWLINE
        if is_new:
            last_start = start
            relative[row] = pycodestyle.expand_indent(line) - indent_level
            is_closing = token_type == tokenize.OP and text in "]})"
            hang, is_hanging = open_rows[depth].hang(relative[row], valid_hangs)
            if hangs[depth]:
                is_hanging = hang == hangs[depth]
            visual = not is_closing and hang > 0 and chances.get(start[1])
            indent = indents.values[depth]
            if is_closing and indent:
                if start[1] != indent:
                    yield start, "E124 closing bracket does not match visual indentation"
            elif is_closing and not hang:
                pass
            elif indent and start[1] < indent:
                if visual is not True:
                    yield start, "E128 continuation line under-indented for visual indent"
            elif is_hanging or (indent_next and relative[row] == 2 * indent_size):
                if is_closing:
                    yield start, "E123 closing bracket does not match indentation of opening bracket's line"
                hangs[depth] = hang
            elif visual is True:
                indents.set(depth, start[1])
            elif visual in (text, str):
                pass
            else:
                yield start, _broken(hang, indent, is_closing, hangs, depth, indent_size)
        if open_in_row[row] and token_type not in (tokenize.NL, tokenize.COMMENT) and not indents.values[depth]:
            indents.set(depth, start[1])
            chances[start[1]] = True
        elif token_type in _STARTS_OF_STRINGS:
            chances[start[1]] = str
        elif (not row and not depth and text in ("assert", "raise", "with")) or (
            not chances and not row and not depth and text == "if"
        ):
            chances[end[1] + 1] = True
        elif text == ":":
            if line is not measured:
                measured, text_end = line, len(line.rstrip())
            if text_end <= end[1] < len(line):
                open_rows[depth].add(row, relative[row])
        if token_type == tokenize.OP:
            if text in "([{":
                depth += 1
                indents.values.append(0)
                hangs.append(None)
                if len(open_rows) == depth:
                    open_rows.append(_OpenRows(row, relative[row]))
                else:
                    open_rows[depth].add(row, relative[row])
                open_in_row[row] += 1
                rows_of_brackets.append(row)
            elif text in ")]}" and depth > 0:
                previous = indents.values.pop() or last_start[1]
                hangs.pop()
                indents.drop_beyond(previous)
                chances.drop_from(previous)
                del open_rows[depth + 1 :]
                depth -= 1
                if depth:
                    chances[indents.values[depth]] = True
                open_in_row[rows_of_brackets.pop()] -= 1
            if start[1] not in chances:
                chances[start[1]] = text
        is_multiline = start[0] != end[0]
        if is_multiline:
            relative[end[0] - first_row] = relative[row]
    if indent_next and pycodestyle.expand_indent(line) == indent_level + indent_size:
        code = "E129 visually indented line" if visual else "E125 continuation line"
        yield (start[0], indents.values[0] + indent_size), f"{code} with same indent as next logical line"


def _broken(hang: int, indent: int, is_closing: bool, hangs: list[int | None], depth: int, indent_size: int) -> str:
    """The violation of an indentation that is neither visual nor hanging."""
    if hang <= 0:
        return "E122 continuation line missing indentation or outdented"
    if indent:
        return "E127 continuation line over-indented for visual indent"
    if not is_closing and hangs[depth]:
        return "E131 continuation line unaligned for hanging indent"
    hangs[depth] = hang
    if hang > indent_size:
        return "E126 continuation line over-indented for hanging indent"
    return "E121 continuation line under-indented for hanging indent"
