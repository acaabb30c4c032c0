"""pycodestyle's verdict, line by line and code by code, in a third of its time.

`Checker` takes its tokens from `rows`, leaves out the checks that cannot find anything in the current line (`choice`), does
not even tokenize a line that is certain to be clean
(`plain`), and passes everything else to pycodestyle's own functions. With a
pycodestyle that this was not verified for, `find` uses pycodestyle's own Checker.
"""

import tokenize
from bisect import bisect_left
from typing import Any

import pycodestyle

from phf.scorers.pep8.choice import physical_checks, place_checks, text_checks, token_checks
from phf.scorers.pep8.line_ends import LinearChecker, is_joined
from phf.scorers.pep8.options import checks_by_name
from phf.scorers.pep8.plain import Plain
from phf.scorers.pep8.rows import read_rows

_TEMPLATE_TOKENS = frozenset(
    getattr(tokenize, f"{kind}_{part}", -1) for kind in ("FSTRING", "TSTRING") for part in ("START", "MIDDLE", "END")
)


def _noqa(line: str) -> Any:
    return line and pycodestyle.noqa(line)


class Checker(LinearChecker):
    """A `pycodestyle.Checker` that reports the same violations in the same order, with pycodestyle's defaults."""

    def check_all(self, expected: Any = None, line_offset: int = 0) -> int:
        """Run all checks on the file: pycodestyle's own loop, with the work that most tokens do not need left out."""
        self.report.init_file(self.filename, self.lines, expected, line_offset)
        self.total_lines = len(self.lines)
        self.line_number = 0
        self.indent_char: str | None = None
        self.indent_level = self.previous_indent_level = 0
        self.previous_logical = self.previous_unindented_logical_line = ""
        self.tokens: list[tokenize.TokenInfo] = []
        self.blank_lines = self.blank_before = 0
        self.checker_state: dict[str, bool] = {}  # only module_imports_on_top_of_file has one
        self._has_templates = False
        try:
            self._check_rows()
        except (SyntaxError, tokenize.TokenError):
            self.report_invalid_syntax()
        if self.tokens:
            self.noqa = _noqa(self.tokens[-1].line)
            self.check_physical(self.lines[-1])
            self.check_logical()
        return self.report.get_file_results()

    def _check_rows(self) -> None:
        previous_line = ""
        for row in read_rows(self.readline, self.tokens):
            if isinstance(row, Plain):
                self._check_plain(row)
                continue
            tokens, depth = row
            self.tokens += tokens
            first, last = tokens[0], tokens[-1]
            line = last.line
            if first[0] in _TEMPLATE_TOKENS or first[2][0] != first[3][0] or line.endswith("\\\n"):
                self._check_within_row(tokens, previous_line)
            if last[0] in pycodestyle.NEWLINE:
                self._check_line_end(line or previous_line, line, depth, last[0])
            previous_line = line

    def _check_within_row(self, tokens: list[tokenize.TokenInfo], previous_line: str) -> None:
        """The physical lines that end within a string or in a backslash."""
        for token in tokens:
            token_type, text, start, end, line = token
            if token_type in pycodestyle.NEWLINE:
                continue
            if token_type in _TEMPLATE_TOKENS:
                self._has_templates = True
                self.noqa = _noqa(line)
                self.maybe_check_physical(token, previous_line)
            elif is_joined(line, end[1]):
                self.noqa = _noqa(line)
                self.check_physical(line)
            elif token_type == tokenize.STRING and "\n" in text:
                self._check_lines_of_string(start[0], end[0], line)

    def _check_line_end(self, physical_line: str, token_line: str, depth: int, token_type: int) -> None:
        if not self._is_clean(physical_line):
            self.noqa = _noqa(token_line)
            self.check_physical(physical_line)
        if depth:
            return
        if token_type == tokenize.NEWLINE:
            self.check_logical()
            self.blank_before = 0
        elif len(self.tokens) == 1:  # an empty line
            self.blank_lines += 1
            self.tokens.clear()
        else:
            self.check_logical()

    def _check_lines_of_string(self, first: int, last: int, line: str) -> None:
        """The physical lines of a string but for its last, as `maybe_check_physical` does."""
        if _noqa(line):
            return
        self.noqa = None
        self.multiline = True
        self.line_number = first
        for physical_line in self.lines[first - 1 : last - 1]:
            if not self._is_clean(physical_line):
                self.check_physical(physical_line + "\n")
            self.line_number += 1
        self.multiline = False

    def _is_clean(self, line: str) -> bool:
        """Whether no physical check can find anything: a short line without tabs that ends in a printed character."""
        if self.line_number == self.total_lines:
            return False  # W291, W391 depend on it
        if line == "\n":
            return True
        return (
            len(line) <= self.max_line_length + 1
            and line[-1:] == "\n"
            and line[-2] not in " \t\v\r\x0c\n"
            and "\t" not in line
            and (line[0] != " " or self.indent_char == " ")
        )

    def check_physical(self, line: str) -> None:
        """Run the checks of a physical line as pycodestyle does."""
        self.physical_line = line
        checks = checks_by_name()
        for name in physical_checks(self, line):
            check, arguments, are_several = checks[name]
            result = check(*arguments(self)) if are_several else check(arguments(self))
            if result is not None:
                offset, text = result
                self.report_error(self.line_number, offset, text, check)
                if text.startswith("E101"):
                    self.indent_char = line[0]

    def _check_plain(self, plain: Plain) -> None:
        line = self.lines[self.line_number - 1]
        if not self._is_clean(line):
            self.noqa = _noqa(line)
            self.check_physical(line)
        self.logical_line = plain.statement
        self.noqa = None
        self.indent_level = plain.column
        self.blank_before = max(self.blank_before, self.blank_lines)
        names = place_checks(self) + text_checks(plain.statement, is_plain=True)
        if names:
            self._run(names, (self.line_number, plain.column))
        self._remember()
        if plain.statement:
            self.blank_before = 0

    def check_logical(self) -> None:
        """Build a logical line from `self.tokens` and run the checks that could find something in it."""
        tokens, has_templates = self.tokens, self._has_templates
        self._has_templates = False
        mapping = None
        next_character = None
        if tokens[0].start[0] == tokens[-1].end[0] and not has_templates:
            start, next_character = self._build_one_row()
        else:
            mapping = self.build_tokens_line()
            start = mapping[0][1] if mapping else None
        if start is None:
            return
        indentation = self.lines[start[0] - 1][: start[1]]
        self.indent_level = pycodestyle.expand_indent(indentation) if indentation.strip(" ") else len(indentation)
        self.blank_before = max(self.blank_before, self.blank_lines)
        names = place_checks(self)
        names += token_checks(tokens, self.logical_line, next_character, has_templates)
        names += text_checks(self.logical_line)
        self._run(names, start, mapping)
        self._remember()
        tokens.clear()

    def _build_one_row(self) -> tuple[tuple[int, int] | None, str]:
        """What `build_tokens_line` builds, for tokens of one row: that part of the row, its strings muted.

        Returns where its first token starts, None where there is nothing but white space, and the character after it.
        """
        kept = [token for token in self.tokens if token[0] not in pycodestyle.SKIP_TOKENS]
        if not kept:
            return None, ""
        start, line = kept[0].start, kept[0].line
        self.noqa = []
        if kept[-1][0] == tokenize.COMMENT:
            self.noqa = pycodestyle.noqa(kept.pop()[1])
        self.logical_line = ""
        if not kept:
            return start, ""
        position = start[1]
        parts: list[str] = []
        for token in kept:
            if token[0] == tokenize.STRING:
                parts += (line[position : token[2][1]], pycodestyle.mute_string(token[1]))
                position = token[3][1]
        end = kept[-1].end[1]
        self.logical_line = "".join([*parts, line[position:end]])
        return start, line[end : end + 1]

    def _run(self, names: list[str], start: tuple[int, int], mapping: Any = None) -> None:
        """Run the checks called `names`, in the order of their names, as `pycodestyle.Checker.check_logical` does.

        Without a `mapping`, the logical line is a part of the row, and begins at `start`.
        """
        checks = checks_by_name()
        offsets = [mapped for mapped, _ in mapping or ()]
        names.sort()
        for name in names:
            check, arguments, are_several = checks[name]
            for offset, text in check(*arguments(self)) if are_several else check(arguments(self)):
                if not isinstance(offset, tuple):
                    token_offset, position = 0, start
                    if mapping:
                        token_offset, position = mapping[bisect_left(offsets, offset)]
                    offset = (position[0], position[1] + offset - token_offset)
                self.report_error(offset[0], offset[1], text, check)

    def _remember(self) -> None:
        if self.logical_line:
            self.previous_indent_level = self.indent_level
            self.previous_logical = self.logical_line
            if not self.indent_level:
                self.previous_unindented_logical_line = self.logical_line
        self.blank_lines = 0
