"""Where physical lines end within a logical one, found in time linear in the line."""

import re
import tokenize

import pycodestyle

_SPACE = re.compile(r"\s*")


def is_joined(line: str, end: int) -> bool:
    """Whether nothing follows but a backslash that joins lines."""
    if not line.endswith("\\\n"):
        return False
    space = _SPACE.match(line, end)
    return space is not None and space.end() == len(line) - 2


class LinearChecker(pycodestyle.Checker):
    """A `pycodestyle.Checker` that takes time linear in a line of many tokens."""

    fstring_start = tstring_start = 0

    def maybe_check_physical(self, token: tokenize.TokenInfo, prev_physical: str) -> None:
        """pycodestyle's, without the copy of the rest of the line that it makes at each token."""
        token_type, text, start, end, line = token
        kind = tokenize.tok_name[token_type]
        if kind == "FSTRING_START":
            self.fstring_start = start[0]
        elif kind == "TSTRING_START":
            self.tstring_start = start[0]
        elif token_type in pycodestyle.NEWLINE or is_joined(line, end[1]):
            self.check_physical(line or prev_physical)
        elif (kind == "STRING" and "\n" in text) or kind in ("FSTRING_END", "TSTRING_END"):
            if pycodestyle.noqa(line):
                return
            starts = {"STRING": start[0], "FSTRING_END": self.fstring_start, "TSTRING_END": self.tstring_start}
            self.multiline = True
            self.line_number = starts[kind]
            for number in range(starts[kind], end[0]):
                self.check_physical(self.lines[number - 1] + "\n")
                self.line_number += 1
            self.multiline = False
