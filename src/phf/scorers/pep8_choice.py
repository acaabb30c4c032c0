"""Which of pycodestyle's checks could find something in a logical line: the others need not be run.

Each function names checks of pycodestyle 2.14 and 2.15 and says, for each, what it needs to find anything.
"""

import re
import tokenize
from collections.abc import Iterator

from phf.scorers.pep8_plain import KEYWORDS, OPERATOR

VERIFIED_VERSIONS = frozenset({"2.14.0", "2.15.0"})
"""Those whose checks were read, and compared, for the reasons given here and in `pep8_plain.py`."""

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
_AMBIGUOUS_NAMES = frozenset({"l", "O", "I"})
_NAME_OPERATORS = frozenset({"and", "in", "is", "or"})


def text_checks(line: str, is_plain: bool = False) -> Iterator[str]:
    """Checks that see the logical line only: each has words or characters that it needs."""
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
    # A plain row has no tabs, and no space inside a bracket or before a comma.
    if ("  " in line or line.startswith("@ ")) if is_plain else _ODD_SPACE.search(line):
        yield "extraneous_whitespace"
        yield "whitespace_around_keywords"
        yield "whitespace_around_operator"


def token_checks(
    tokens: list[tokenize.TokenInfo], line: str, next_character: str | None, has_templates: bool
) -> Iterator[str]:
    """Checks that walk over the tokens. maximum_doc_length is never needed: it is off by default.

    Args:
        tokens: those of the logical line.
        line: the logical line.
        next_character: what follows it in its row, "" for nothing; None where it is of several rows.
        has_templates: whether there are tokens of f-strings or t-strings.
    """
    texts = {token[1] for token in tokens}
    if not texts.isdisjoint(_AMBIGUOUS_NAMES):
        yield "ambiguous_identifier"
    if not texts.isdisjoint(KEYWORDS):
        yield "missing_whitespace_after_keyword"
    if has_templates or any(token[0] == tokenize.STRING and "\\" in token[1] for token in tokens):
        yield "python_3000_invalid_escape_sequence"
    if any(token[0] == tokenize.COMMENT for token in tokens):
        yield "whitespace_before_comment"
    # An equals sign inside brackets, the only thing this check looks at.
    equals = line.rfind("=")
    if -1 < line.find("(") < equals or -1 < line.find("[") < equals:
        yield "whitespace_around_named_parameter_equals"
    if next_character is None:
        yield "continued_indentation"
        yield "explicit_line_join"
        yield "missing_whitespace"
        yield "whitespace_before_parameters"
        return
    is_well_spaced = _WELL_SPACED.fullmatch(line + "\n") is not None
    is_followed_tightly = line[-1:] in (",", ";", ":") and next_character not in " \t\r\n"
    has_tight_names = not texts.isdisjoint(_NAME_OPERATORS) and _TIGHT_NAME_OPERATOR.search(line)
    if not is_well_spaced or is_followed_tightly or has_tight_names:
        yield "missing_whitespace"
    if not is_well_spaced or " (" in line or " [" in line:
        yield "whitespace_before_parameters"
