"""pycodestyle's check of blank lines in time linear in the file: the same violations, in order, with its defaults."""

from collections.abc import Iterator

import pycodestyle


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
"""The facts about the current file."""


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
) -> Iterator[tuple[int, str]]:
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
