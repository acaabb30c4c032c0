"""pycodestyle's verdict, line by line and code by code, in a third of its time.

`Checker` below leaves out the checks that cannot find anything in the line at hand, each for a reason stated beside
it, and hands everything else to pycodestyle's own functions. With a pycodestyle that those reasons were not verified
for, `find_violations` uses pycodestyle's own Checker.
"""

import re
import tokenize
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pycodestyle

from phf.scorers.pep8_plain import KEYWORDS, OPERATOR, plain_statement

PYCODESTYLE_VERSION: str = pycodestyle.__version__
VERIFIED_VERSIONS = frozenset({"2.14.0", "2.15.0"})
"""Those whose checks were read, and compared, for the reasons given in this file."""

LOGICAL_CHECKS = frozenset(
    {
        "ambiguous_identifier",
        "bare_except",
        "blank_lines",
        "comparison_negative",
        "comparison_to_singleton",
        "comparison_type",
        "compound_statements",
        "continued_indentation",
        "explicit_line_join",
        "extraneous_whitespace",
        "imports_on_separate_lines",
        "indentation",
        "maximum_doc_length",
        "missing_whitespace",
        "missing_whitespace_after_keyword",
        "module_imports_on_top_of_file",
        "python_3000_invalid_escape_sequence",
        "whitespace_around_keywords",
        "whitespace_around_named_parameter_equals",
        "whitespace_around_operator",
        "whitespace_before_comment",
        "whitespace_before_parameters",
    }
)
PHYSICAL_CHECKS = frozenset(
    {
        "maximum_line_length",
        "tabs_obsolete",
        "tabs_or_spaces",
        "trailing_blank_lines",
        "trailing_whitespace",
    }
)


@dataclass
class Violations:
    """What a Checker reports to: keeps (line from 1, column from 0, code) of each violation, and nothing else."""

    ignored: tuple[str, ...]
    found: list[tuple[int, int, str]] = field(default_factory=list)

    def init_file(self, filename: str, lines: list[str], expected: Any, line_offset: int) -> None:
        """Called once, before the first line."""

    def increment_logical_line(self) -> None:
        """Called for each logical line."""

    def error(self, line_number: int, offset: int, text: str, check: Any) -> None:
        """Called for each violation, those that pycodestyle ignores by default included."""
        code = text[:4]
        if not code.startswith(self.ignored):
            self.found.append((line_number, offset, code))

    def get_file_results(self) -> int:
        """Called once, after the last line."""
        return len(self.found)


@cache
def _default_options() -> Any:
    # Passing every default overrides what a user's ~/.config/pycodestyle says.
    defaults = vars(pycodestyle.get_parser().get_default_values())
    return pycodestyle.StyleGuide(parse_argv=False, **defaults).options


@cache
def checker_class() -> type[pycodestyle.Checker]:
    """The fast `Checker`, or pycodestyle's own where its version or its registered checks are not the verified ones."""
    options = _default_options()
    names = {
        kind: frozenset(name for name, check, _ in checks if check.__module__ == pycodestyle.__name__)
        for kind, checks in (("logical", options.logical_checks), ("physical", options.physical_checks))
    }
    is_verified = (
        PYCODESTYLE_VERSION in VERIFIED_VERSIONS
        and names == {"logical": LOGICAL_CHECKS, "physical": PHYSICAL_CHECKS}
        and (len(options.logical_checks), len(options.physical_checks)) == (len(LOGICAL_CHECKS), len(PHYSICAL_CHECKS))
        and not options.ast_checks
    )
    return Checker if is_verified else pycodestyle.Checker


def find_violations(file_lines: list[str]) -> list[tuple[int, int, str]]:
    """(line from 1, column from 0, code) of each violation, as pycodestyle finds them with its defaults.

    Raises whatever pycodestyle raises on text that it cannot handle.
    """
    options = _default_options()
    report = Violations(options.ignore)
    # From Python 3.12 on, the positions of tokens of such lines are not those of the text: no shortcuts.
    is_strange = any("\r" in line or "\0" in line for line in file_lines)
    checker = pycodestyle.Checker if is_strange else checker_class()
    # A Checker cuts a byte order mark off its own first line, hence the copy.
    checker(lines=list(file_lines), options=options, report=report).check_all()
    return report.found


# One space between words, operators apart from their operands, commas and colons at the end of a word, no bracket with
# a space inside: nothing for missing_whitespace (but for and, in, is, or), nor for the three checks of spaces.
_WELL_SPACED = re.compile(
    rf"(?:(?:{OPERATOR}(?=[ \n])|[\w.'\"(\[{{][\w.()\[\]{{}}'\"]*+(?<![(\[{{])[,:;]?+)(?: (?!\n)|(?=\n)))*+\n"
)
_TIGHT_NAME_OPERATOR = re.compile(r"(?:[^\w\s]|\b\d\w*)(?:and|in|is|or)\b|\b(?:and|in|is|or)[^\w\s]")
# What extraneous_whitespace, whitespace_around_keywords and whitespace_around_operator look for, and more.
_ODD_SPACE = re.compile(r"\s\s|\t|[\[({@]\s|\s[\]}),;:]")
_AMBIGUOUS_NAMES = frozenset({"l", "O", "I"})
_NAME_OPERATORS = frozenset({"and", "in", "is", "or"})
_TEMPLATE_TOKENS = frozenset(
    {
        getattr(pycodestyle, f"{kind}_{part}", -1)
        for kind in ("FSTRING", "TSTRING")
        for part in ("START", "MIDDLE", "END")
    }
    - {-1}
)


class Checker(pycodestyle.Checker):
    """A `pycodestyle.Checker` that reports the same violations in the same order, with pycodestyle's defaults."""

    def check_all(self, expected: Any = None, line_offset: int = 0) -> int:
        """Run all checks on the file: pycodestyle's own loop, with the work that most tokens do not need left out."""
        self.report.init_file(self.filename, self.lines, expected, line_offset)
        self._checks = {name: (check, names) for name, check, names in self._logical_checks}
        self.total_lines = len(self.lines)
        self.line_number = 0
        self.indent_char: str | None = None
        self.indent_level = self.previous_indent_level = 0
        self.previous_logical = self.previous_unindented_logical_line = ""
        self.tokens: list[tokenize.TokenInfo] = []
        self.blank_lines = self.blank_before = 0
        self._strings: list[tokenize.TokenInfo] = []
        self._has_templates = False
        self._whole_row = 0  # if it is the last row read, the next line begins a statement
        self._plain: tuple[int, str] | None = None
        try:
            self._check_tokens()
        except (SyntaxError, tokenize.TokenError):
            self.report_invalid_syntax()
        if self.tokens:
            self.noqa = self._noqa(self.tokens[-1].line)
            self.check_physical(self.lines[-1])
            self.check_logical()
        return self.report.get_file_results()

    def readline(self) -> str:
        """The next line; instead of a plain statement, one of two tokens with its indentation and its length."""
        line = super().readline()
        if self._whole_row == self.line_number - 1 and len(line) > 1:
            self._plain = plain_statement(line)
            if self._plain is not None:
                column = self._plain[0]
                # The length matters where E901 reports a wrong indentation at the end of the line (Python 3.12).
                return line[:column] + "0" + " " * (len(line) - column - 2) + "\n"
        return line

    def _check_tokens(self) -> None:
        parens = 0
        has_stray_bracket = False  # then the tokenizer's count of brackets may not be this one (Python 3.12)
        previous_line = ""
        is_joined = False
        for token in tokenize.generate_tokens(self.readline):
            token_type, text, start, end, line = token
            if start[0] > self.total_lines:
                return
            self.tokens.append(token)
            if line is not previous_line:
                is_joined = line.endswith("\\\n")
            if token_type == tokenize.OP:
                if text in "([{":
                    parens += 1
                elif text in "}])":
                    parens -= 1
                    has_stray_bracket = has_stray_bracket or parens < 0
            if token_type in pycodestyle.NEWLINE:
                if self._plain is not None:
                    self._check_plain_statement(*self._plain)
                    self._plain = None
                else:
                    self._check_line_end(line or previous_line, line, parens, token_type)
                self._whole_row = -1 if self.tokens or parens or has_stray_bracket else start[0]
            elif token_type in _TEMPLATE_TOKENS:
                self._has_templates = True
                self.noqa = self._noqa(line)
                self.maybe_check_physical(token, previous_line)
            elif is_joined and line[end[1] :].lstrip() == "\\\n":
                self.noqa = self._noqa(line)
                self.check_physical(line)
            elif token_type == tokenize.STRING and "\n" in text:
                self._check_lines_of_string(start[0], end[0], line)
            if token_type == tokenize.STRING:
                self._strings.append(token)
            previous_line = line

    def _check_line_end(self, physical_line: str, token_line: str, parens: int, token_type: int) -> None:
        if not self._is_clean(physical_line):
            self.noqa = self._noqa(token_line)
            self.check_physical(physical_line)
        if parens:
            return
        if token_type == tokenize.NEWLINE:
            self.check_logical()
            self.blank_before = 0
        elif len(self.tokens) == 1:  # an empty line
            self.blank_lines += 1
            del self.tokens[0]
        else:
            self.check_logical()

    def _check_lines_of_string(self, first: int, last: int, line: str) -> None:
        """The physical lines of a string but for its last, as `maybe_check_physical` does."""
        if self._noqa(line):
            return
        self.noqa = None
        self.multiline = True
        self.line_number = first
        for physical_line in self.lines[first - 1 : last - 1]:
            if not self._is_clean(physical_line):
                self.check_physical(physical_line + "\n")
            self.line_number += 1
        self.multiline = False

    @staticmethod
    def _noqa(line: str) -> Any:
        return line and pycodestyle.noqa(line)

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

    def _check_plain_statement(self, column: int, statement: str) -> None:
        line = self.lines[self.line_number - 1]
        if not self._is_clean(line):
            self.noqa = self._noqa(line)
            self.check_physical(line)
        self.tokens = []
        self.logical_line = statement
        self.noqa = None
        self.indent_level = column
        self.blank_before = max(self.blank_before, self.blank_lines)
        # These three report where the statement starts.
        self._run(self._checks_of_place(statement), [(0, (self.line_number, column))])
        self._remember(statement)
        self.blank_before = 0

    def check_logical(self) -> None:
        """Build a logical line from `self.tokens` and run the checks that could find something in it."""
        tokens, strings, has_templates = self.tokens, self._strings, self._has_templates
        self._strings, self._has_templates = [], False
        is_one_row = tokens[0].start[0] == tokens[-1].end[0] and not has_templates
        mapping = None
        start = self._build_one_row(strings) if is_one_row else None
        if start is None:
            mapping = self.build_tokens_line()
            if not mapping:
                return
            start = mapping[0][1]
        self.indent_level = pycodestyle.expand_indent(self.lines[start[0] - 1][: start[1]])
        self.blank_before = max(self.blank_before, self.blank_lines)
        self._run(self._checks_of_line(is_one_row, strings, has_templates), mapping)
        self._remember(self.logical_line)
        self.tokens = []

    def _build_one_row(self, strings: list[tokenize.TokenInfo]) -> tuple[int, int] | None:
        """What `build_tokens_line` builds, for tokens of one row: that part of the row, its strings muted.

        Returns where its first token starts; None where there is nothing but white space.
        """
        kept = [token for token in self.tokens if token[0] not in pycodestyle.SKIP_TOKENS]
        if not kept:
            return None
        start = kept[0].start
        comments = [token[1] for token in kept if token[0] == tokenize.COMMENT]
        self.noqa = comments and pycodestyle.noqa("".join(comments))
        while kept and kept[-1][0] == tokenize.COMMENT:
            kept.pop()
        self.logical_line = ""
        if kept:
            line = kept[0].line
            position = start[1]
            for string in strings:
                self.logical_line += line[position : string.start[1]] + pycodestyle.mute_string(string.string)
                position = string.end[1]
            end = kept[-1].end[1]
            self.logical_line += line[position:end]
            self._next_character = line[end : end + 1]
        return start

    def _run(self, names: list[str], mapping: Any) -> None:
        """Run the checks called `names` as `pycodestyle.Checker.check_logical` does."""
        for name in names:
            check, argument_names = self._checks[name]
            self.init_checker_state(name, argument_names)
            for offset, text in self.run_check(check, argument_names) or ():
                if not isinstance(offset, tuple):
                    mapping = mapping or self.build_tokens_line()
                    token_offset, position = mapping[bisect_left([mapped for mapped, _ in mapping], offset)]
                    offset = (position[0], position[1] + offset - token_offset)
                self.report_error(offset[0], offset[1], text, check)

    def _remember(self, logical_line: str) -> None:
        if logical_line:
            self.previous_indent_level = self.indent_level
            self.previous_logical = logical_line
            if not self.indent_level:
                self.previous_unindented_logical_line = logical_line
        self.blank_lines = 0

    def _checks_of_place(self, logical_line: str) -> list[str]:
        """Those of blank_lines, indentation and module_imports_on_top_of_file that could find something."""
        level = self.indent_level
        names = []
        # Without empty lines before it and inside a block, only a def, a class or a decorator can be at fault.
        if not level or self.blank_lines or logical_line[:1] in "acd@":
            names.append("blank_lines")
        # The line is where it belongs: one step deeper after a colon, else no deeper than the line before.
        expected = self.previous_indent_level
        is_in_place = (
            expected < level <= expected + self.indent_size
            if self.previous_logical.endswith(":")
            else level <= expected
        )
        if level % self.indent_size or not is_in_place:
            names.append("indentation")
        # Only statements outside of any block count.
        if not level and logical_line:
            names.append("module_imports_on_top_of_file")
        return names

    def _checks_of_line(self, is_one_row: bool, strings: list[tokenize.TokenInfo], has_templates: bool) -> list[str]:
        """The checks that could find something in the logical line at hand, in pycodestyle's order."""
        names = self._checks_of_place(self.logical_line)
        names.extend(self._checks_of_tokens(is_one_row, strings, has_templates))
        names.extend(self._checks_of_text())
        if len(names) > 1:
            names.sort()
        return names

    def _checks_of_text(self) -> Iterator[str]:
        """Checks that see the logical line only: each has words or characters that it needs."""
        line = self.logical_line
        if line.startswith("except"):
            yield "bare_except"
        if "not" in line:
            yield "comparison_negative"
        if "==" in line or "!=" in line:
            yield "comparison_to_singleton"
            yield "comparison_type"
        if ";" in line or -1 < line.find(":") < len(line) - 1:
            yield "compound_statements"
        if line.startswith("import "):
            yield "imports_on_separate_lines"
        if _ODD_SPACE.search(line):
            yield "extraneous_whitespace"
            yield "whitespace_around_keywords"
            yield "whitespace_around_operator"

    def _checks_of_tokens(
        self, is_one_row: bool, strings: list[tokenize.TokenInfo], has_templates: bool
    ) -> Iterator[str]:
        """Checks that walk over the tokens. maximum_doc_length is never needed: it is off by default."""
        line = self.logical_line
        texts = {token[1] for token in self.tokens}
        if not texts.isdisjoint(_AMBIGUOUS_NAMES):
            yield "ambiguous_identifier"
        if not texts.isdisjoint(KEYWORDS):
            yield "missing_whitespace_after_keyword"
        if has_templates or any("\\" in string[1] for string in strings):
            yield "python_3000_invalid_escape_sequence"
        if any(token[0] == tokenize.COMMENT for token in self.tokens):
            yield "whitespace_before_comment"
        # An equals sign inside brackets, the only thing this check looks at.
        equals = line.rfind("=")
        if -1 < line.find("(") < equals or -1 < line.find("[") < equals:
            yield "whitespace_around_named_parameter_equals"
        if not is_one_row:
            yield "continued_indentation"
            yield "explicit_line_join"
            yield "missing_whitespace"
            yield "whitespace_before_parameters"
            return
        is_well_spaced = _WELL_SPACED.fullmatch(line + "\n") is not None
        is_followed_tightly = line[-1:] in (",", ";", ":") and self._next_character not in " \t\r\n"
        has_tight_names = not texts.isdisjoint(_NAME_OPERATORS) and _TIGHT_NAME_OPERATOR.search(line)
        if not is_well_spaced or is_followed_tightly or has_tight_names:
            yield "missing_whitespace"
        if not is_well_spaced or " (" in line or " [" in line:
            yield "whitespace_before_parameters"
