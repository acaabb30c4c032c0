"""Which of pycodestyle's checks could find something in a logical line: the others need not be run.

Each function names checks of pycodestyle 2.14 and 2.15 and says, for each, what it needs to find anything.
"""

import re
import tokenize
from collections.abc import Iterator
from typing import Protocol

from phf.scorers.pep8.plain import KEYWORDS, OPERATOR

VERIFIED_VERSIONS = frozenset({"2.14.0", "2.15.0"})
"""The versions whose checks were read and compared for the arguments given here and in `plain.py`."""

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

# One space between words, operators apart from their operands, commas and colons at the end of a word, no bracket with
# a space inside: nothing for missing_whitespace (but for and, in, is, or), nor for the three checks of spaces.
_WELL_SPACED = re.compile(
    rf"(?:(?:{OPERATOR}(?=[ \n])|[\w.'\"(\[{{][\w.()\[\]{{}}'\"]*+(?<![(\[{{])[,:;]?+)(?: (?!\n)|(?=\n)))*+\n"
)
_TIGHT_NAME_OPERATOR = re.compile(r"(?:[^\w\s]|\b\d\w*)(?:and|in|is|or)\b|\b(?:and|in|is|or)[^\w\s]")
# What extraneous_whitespace, whitespace_around_keywords and whitespace_around_operator look for, and more.
_ODD_SPACE = re.compile(r"\s\s|\t|[\[({@]\s|\s[\]}),;:]")
_SPACED_BRACKET = re.compile(r"\s[(\[]")
_AMBIGUOUS_NAMES = frozenset({"l", "O", "I"})
_BLOCKS = ("async", "class", "def", "el", "except", "f", "if", "try", "w")
_INDENTATION = frozenset({tokenize.INDENT, tokenize.DEDENT})
_NAME_OPERATORS = frozenset({"and", "in", "is", "or"})


_IMPORTS = ("import ", "from ", "lazy ")
_TOP_LEVEL = ("def", "class", "async", "@")


class Place(Protocol):
    """What pycodestyle's Checker knows about where a line is."""

    line_number: int
    total_lines: int
    indent_char: str | None
    max_line_length: int
    logical_line: str
    indent_level: int
    indent_size: int
    blank_lines: int
    blank_before: int
    previous_logical: str
    previous_indent_level: int
    previous_unindented_logical_line: str
    checker_state: dict[str, bool]
    """The state of module_imports_on_top_of_file, the only check that has one."""


def physical_checks(place: Place, line: str) -> Iterator[str]:
    """Checks of a line of the file, in pycodestyle's order."""
    if len(line) > place.max_line_length:
        yield "maximum_line_length"
    if "\t" in line:
        yield "tabs_obsolete"
    if line[:1] in " \t" and ("\t" in line or place.indent_char != " "):
        yield "tabs_or_spaces"
    if place.line_number == place.total_lines:
        yield "trailing_blank_lines"
    if line.rstrip("\n\r\x0c")[-1:] in " \t\v":
        yield "trailing_whitespace"


def place_checks(place: Place) -> list[str]:
    """Checks that see where the logical line is: how deep, how many blank lines above, which statement before it."""
    line, level, blank_lines = place.logical_line, place.indent_level, place.blank_lines
    names = []
    if (
        line.startswith(_TOP_LEVEL)  # E301, E302, E306
        or (blank_lines and place.previous_logical.startswith("@"))  # E304
        or blank_lines > (1 if level else 2)  # E303
        # E305
        or (not level and place.blank_before != 2 and place.previous_unindented_logical_line.startswith(_TOP_LEVEL))
    ):
        names.append("blank_lines")
    # The indentation is right: one step deeper after a colon, otherwise no deeper than the line before.
    expected = place.previous_indent_level
    is_in_place = (
        expected < level <= expected + place.indent_size if place.previous_logical.endswith(":") else level <= expected
    )
    if level % place.indent_size or not is_in_place:
        names.append("indentation")
    # Only statements outside any block count, and after the first that is not an import, only imports.
    if not level and line and (line.startswith(_IMPORTS) or "seen_non_imports" not in place.checker_state):
        names.append("module_imports_on_top_of_file")
    return names


def text_checks(line: str, is_plain: bool = False) -> list[str]:
    """Checks that see the logical line only: each has words or characters that it needs."""
    names = []
    if line.startswith("except"):
        names.append("bare_except")
    if "not" in line:
        names.append("comparison_negative")
    if "==" in line or "!=" in line:
        names += ("comparison_to_singleton", "comparison_type")
    # A statement after a semicolon or after the colon of a block, or an assigned lambda
    if ";" in line or (-1 < line.find(":") < len(line) - 1 and ("lambda" in line or line.lstrip().startswith(_BLOCKS))):
        names.append("compound_statements")
    if line.startswith("import "):
        names.append("imports_on_separate_lines")
    # A plain row has no tabs, and no space inside a bracket or before a comma.
    if ("  " in line or line.startswith("@ ")) if is_plain else _ODD_SPACE.search(line):
        names += ("extraneous_whitespace", "whitespace_around_keywords", "whitespace_around_operator")
    return names


def token_checks(
    tokens: list[tokenize.TokenInfo], line: str, next_character: str | None, has_templates: bool
) -> list[str]:
    """Checks that walk over the tokens. maximum_doc_length is never needed: it is off by default.

    Args:
        tokens: those of the logical line.
        line: the logical line.
        next_character: what follows it in its row, "" for nothing; None if it spans several rows.
        has_templates: whether there are tokens of f-strings or t-strings.
    """
    names = []
    types, texts, *_ = zip(*tokens, strict=True)
    if not _AMBIGUOUS_NAMES.isdisjoint(texts):
        names.append("ambiguous_identifier")
    if not KEYWORDS.isdisjoint(texts):
        names.append("missing_whitespace_after_keyword")
    if has_templates or (tokenize.STRING in types and "\\" in "".join(texts)):
        names.append("python_3000_invalid_escape_sequence")
    if tokenize.COMMENT in types:
        names.append("whitespace_before_comment")
    # An equals sign inside brackets, the only thing this check looks at.
    equals = line.rfind("=")
    if -1 < line.find("(") < equals or -1 < line.find("[") < equals:
        names.append("whitespace_around_named_parameter_equals")
    is_docstring = (
        types[-2:] == (tokenize.STRING, tokenize.NEWLINE)
        and _INDENTATION.issuperset(types[:-2])
        and tokens[-2].start[0] == tokens[0].start[0]
    )
    if is_docstring:
        return names
    if next_character is None:
        names += (
            "continued_indentation",
            "explicit_line_join",
            "missing_whitespace",
            "whitespace_before_parameters",
        )
        return names
    is_well_spaced = _WELL_SPACED.fullmatch(line + "\n") is not None
    is_followed_tightly = line[-1:] in (",", ";", ":") and next_character not in " \t\r\n"
    has_tight_names = not _NAME_OPERATORS.isdisjoint(texts) and _TIGHT_NAME_OPERATOR.search(line)
    if not is_well_spaced or is_followed_tightly or has_tight_names:
        names.append("missing_whitespace")
    if _SPACED_BRACKET.search(line):
        names.append("whitespace_before_parameters")
    return names
