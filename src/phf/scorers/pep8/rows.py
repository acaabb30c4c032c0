"""The tokens of a file, row by row: those of `tokenize`, in a fraction of its time in versions where it is pure Python."""

import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from tokenize import COMMENT, DEDENT, ENDMARKER, ERRORTOKEN, INDENT, NAME, NEWLINE, NL, NUMBER, OP, STRING, TokenInfo

from phf.scorers.pep8.plain import Plain, plain_row

Row = tuple[list[TokenInfo], int]
"""(tokens, opening less closing brackets since the start of the file), never without a token."""

# Repeats are possessive where what follows them starts otherwise: they take time linear in the line.
_PREFIX = r"(?:[bBfF][rR]?|[rR][bBfF]?|[uU])?"
_PARTS = [rf"{quote}[^\n{quote}\\]*+(?:\\.[^\n{quote}\\]*+)*+" for quote in "'\""]
_ENDS = {quote: rf"[^{quote}\\]*+(?:\\.[^{quote}\\]*+)*+{quote}" for quote in "'\""}
_ENDS |= {
    quote * 3: rf"[^{quote}\\]*+(?:(?:\\.|{quote}(?!{quote}{quote}))[^{quote}\\]*+)*+{quote * 3}" for quote in "'\""
}
_WHOLE_STRING = "|".join(
    [quote * 3 + _ENDS[quote * 3] for quote in "'\""]
    + [f"(?!{quote * 3}){part}{quote}" for quote, part in zip("'\"", _PARTS, strict=True)]
)
_OPEN_STRING = "|".join(["'''", '"""', *(rf"{part}\\\n" for part in _PARTS)])
# (type, pattern) of each kind of token, as in tokenize.PseudoToken, except that strings are whole and frequent kinds
# come first. A name that a quote follows may be the prefix of a string; one that begins with another letter may not.
_KINDS = [
    (NAME, r"[A-Za-z_]\w*+(?!['\"])"),
    (OP, r"[()\[\]{},;~]|:=?|\.(?:\.\.|(?![0-9]))|->|!=|\*\*=?|//=?|>>=?|<<=?|[-+*/%&|^@=<>]=?"),
    (NUMBER, re.sub(r"\((?!\?)", "(?:", tokenize.Number)),
    (COMMENT, r"#[^\n]*+"),
    (STRING, f"{_PREFIX}(?:{_WHOLE_STRING})"),
    (NEWLINE, r"\n"),
    (STRING, f"{_PREFIX}(?:{_OPEN_STRING})"),
    (OP, r"\\\n"),
    (NAME, r"\w++"),
]
_TOKEN = re.compile(rf"[ \f\t]*+(?:{'|'.join(f'({pattern})' for _, pattern in _KINDS)}|\Z)|((?s:.))")
_WITHOUT_STRING = re.compile(
    rf"[ \f\t]*+(?:{'|'.join('((?!))' if kind == STRING else f'({pattern})' for kind, pattern in _KINDS)}|\Z)|((?s:.))"
)
"""The same if no string can end: at every quote, `_TOKEN` would search the whole line for the end."""
_QUOTE_AHEAD = re.compile(rf"[ \f\t]*+{_PREFIX}(?:(')(?!'')|(\")(?!\"\"))")
_LONG_LINE = 1_000
_TYPES = [0, *(token_type for token_type, _ in _KINDS), ERRORTOKEN]
_OPERATOR, _NEWLINE, _OPEN, _JOIN, _OTHER_NAME = 2, 6, 7, 8, 9
_STRING_ENDS = {quote: re.compile(pattern) for quote, pattern in _ENDS.items()}
_QUOTES = re.compile(r"'''|\"\"\"|'|\"")
_BLANK = re.compile(r"[ \t\f]*+")
_make: Callable[..., TokenInfo] = tuple.__new__
"""`_make(TokenInfo, (...))` takes a third of the time of `TokenInfo(...)`."""


@dataclass
class _OpenString:
    """A string that did not end in the row where it began."""

    start: tuple[int, int]
    quotes: str
    first_line: str
    more_lines: list[str] = field(default_factory=list)


class _Rows:
    """Iterates over what `tokenize.generate_tokens` of Python 3.11 yields and raises, up to the end of the last row."""

    def __init__(self, readline: Callable[[], str], pending: list[TokenInfo]) -> None:
        self._readline, self._pending = readline, pending
        self._number = self._depth = 0
        self._indents = [0]
        self._is_joined = False
        self._string: _OpenString | None = None
        self._must_join = False  # whether each row of a string must end in a backslash

    def __iter__(self) -> Iterator[Row | Plain]:
        line = last_line = ""
        while True:
            last_line, line = line, self._readline()
            self._number += 1
            tokens: list[TokenInfo] = []
            position = 0
            if self._string is not None:
                position = self._end_string(self._string, line, tokens)
            elif self._depth == 0 and not self._is_joined:
                if line == "\n":
                    yield [_make(TokenInfo, (NL, line, (self._number, 0), (self._number, 1), line))], 0
                    continue
                plain = None if self._pending else plain_row(line)
                if plain is not None and (plain.column == self._indents[-1] or not plain.statement):
                    yield plain
                    continue
                match = _BLANK.match(line)
                position = match.end() if match else 0
                if position == len(line):
                    break
                if line[position] in "#\n":
                    yield self._row_of_comment(line, position), 0
                    continue
                is_known = self._indent(line, position, tokens)
                if not is_known and tokens:
                    yield tokens, 0
                if not is_known:
                    raise IndentationError(
                        "unindent does not match any outer indentation level",
                        ("<tokenize>", self._number, position, line),
                    )
                if plain is not None:
                    yield plain
                    continue
            elif not line:
                raise tokenize.TokenError("EOF in multi-line statement", (self._number, 0))
            self._is_joined = False
            if position < len(line):
                self._scan(line, position, tokens)
            if tokens:
                yield tokens, self._depth
        yield from self._last_rows(line, last_line)

    def _end_string(self, string: _OpenString, line: str, tokens: list[TokenInfo]) -> int:
        """Add the string's token if it ends, or is broken off, in `line`; returns how much of the line was used."""
        if not line:
            raise tokenize.TokenError("EOF in multi-line string", string.start)
        match = _STRING_ENDS[string.quotes].match(line)
        if match is not None:
            end, token_type, last_line = match.end(), STRING, line
            self._must_join = False  # not so below, by an oversight in tokenize: triple quotes are affected too
        elif self._must_join and not line.endswith("\\\n"):
            end, token_type, last_line = len(line), ERRORTOKEN, ""
        else:
            string.more_lines.append(line)
            return len(line)
        before = "".join(string.more_lines)
        text = string.first_line[string.start[1] :] + before + line[:end]
        token_line = string.first_line + before + last_line
        tokens.append(TokenInfo(token_type, text, string.start, (self._number, end), token_line))
        self._string = None
        return end

    def _row_of_comment(self, line: str, position: int) -> list[TokenInfo]:
        """A row with nothing but a comment, or nothing at all."""
        number, end = self._number, len(line.rstrip("\n"))
        newline = TokenInfo(NL, line[end:], (number, end), (number, len(line)), line)
        if position == end:
            return [newline]
        return [TokenInfo(COMMENT, line[position:end], (number, position), (number, end), line), newline]

    def _indent(self, line: str, position: int, tokens: list[TokenInfo]) -> bool:
        """Add the tokens of the indentation; returns whether a row above has the same or a smaller one."""
        indents = self._indents
        column = position
        if line[:position].strip(" "):
            column = 0
            for character in line[:position]:
                column = {" ": column + 1, "\t": (column // 8 + 1) * 8, "\f": 0}[character]
        here = (self._number, position)
        if column > indents[-1]:
            indents.append(column)
            tokens.append(TokenInfo(INDENT, line[:position], (self._number, 0), here, line))
        while column < indents[-1]:
            if column not in indents:
                return False
            indents.pop()
            tokens.append(TokenInfo(DEDENT, "", here, here, line))
        return True

    def _scan(self, line: str, position: int, tokens: list[TokenInfo]) -> None:
        """Add the tokens of `line` from `position` on."""
        number, depth = self._number, self._depth
        is_simple = len(line) <= _LONG_LINE or "\\" not in line
        for match in _TOKEN.finditer(line, position) if is_simple else _matches(line, position):
            kind = match.lastindex
            if kind is None:
                break
            text = match[kind]
            start, end = match.span(kind)
            token_type = _TYPES[kind]
            if kind == _OPERATOR:
                if text in "([{":
                    depth += 1
                elif text in ")]}":
                    depth -= 1
            elif kind == _NEWLINE:
                if depth > 0:
                    token_type = NL
            elif kind == _OPEN:
                quotes = _QUOTES.search(text)
                assert quotes is not None
                self._must_join = self._must_join or len(quotes[0]) == 1
                self._string = _OpenString((number, start), quotes[0], line)
                break
            elif kind == _JOIN:
                self._is_joined = True
                break
            elif kind == _OTHER_NAME and not text[0].isidentifier():
                token_type = OP
            tokens.append(_make(TokenInfo, (token_type, text, (number, start), (number, end), line)))
        self._depth = depth

    def _last_rows(self, line: str, last_line: str) -> Iterator[Row]:
        """The tokens after the last row with a token: its end if it has none, and a row of nothing but space."""
        if last_line and not last_line.endswith("\n") and not last_line.strip().startswith("#"):
            end = len(last_line)
            yield [TokenInfo(NEWLINE, "", (self._number - 1, end), (self._number - 1, end + 1), "")], 0
        if line:
            here = (self._number, 0)
            dedents = [TokenInfo(DEDENT, "", here, here, "") for _ in self._indents[1:]]
            yield [*dedents, TokenInfo(ENDMARKER, "", here, here, "")], 0


def _matches(line: str, position: int) -> Iterator[re.Match[str]]:
    """The same as `_TOKEN.finditer`, in time linear in the line."""
    ends: dict[str, bytearray] = {}
    while True:
        pattern = _TOKEN
        if (ahead := _QUOTE_AHEAD.match(line, position)) is not None:
            quote = ahead[1] or ahead[2]
            if quote not in ends:
                ends[quote] = _string_ends(line, quote)
            if not ends[quote][ahead.end()]:
                pattern = _WITHOUT_STRING
        match = pattern.match(line, position)
        assert match is not None
        yield match
        position = match.end()


def _string_ends(line: str, quote: str) -> bytearray:
    """For each position: whether a string that reaches it ends in the line, or continues in the next one."""
    ends = bytearray(len(line) + 2)
    for place in range(len(line) - 1, -1, -1):
        letter = line[place]
        if letter == "\\":
            ends[place] = line[place + 1 : place + 2] == "\n" or ends[place + 2]
        elif letter != "\n":
            ends[place] = letter == quote or ends[place + 1]
    return ends


class _RowsOfTokenize:
    """Iterates over what `tokenize.generate_tokens` yields and raises, with plain statements recognised in advance."""

    def __init__(self, readline: Callable[[], str], pending: list[TokenInfo]) -> None:
        self._readline, self._pending = readline, pending
        self._number = 0
        self._whole_row = 0  # if it is the last row read, the next one begins a statement
        self._plain: Plain | None = None

    def __iter__(self) -> Iterator[Row | Plain]:
        depth = 0
        has_stray_bracket = False  # then the tokenizer's count of brackets may differ from this one
        for token in tokenize.generate_tokens(self._read):
            token_type, text, start, _, _ = token
            if start[0] > self._number:
                return
            if token_type == OP:
                if text in "([{":
                    depth += 1
                elif text in "}])":
                    depth -= 1
                    has_stray_bracket = has_stray_bracket or depth < 0
            is_end = token_type in (NEWLINE, NL)
            if self._plain is None:
                yield [token], depth
            elif is_end:
                yield self._plain
                self._plain = None
            if is_end:
                self._whole_row = -1 if self._pending or depth or has_stray_bracket else start[0]

    def _read(self) -> str:
        """The next line; a plain statement is replaced by two tokens with the same indentation and length."""
        line = self._readline()
        if not line:
            return line
        self._number += 1
        if self._whole_row == self._number - 1 and len(line) > 1:
            self._plain = plain_row(line)
            if self._plain is not None and self._plain.statement:
                column = self._plain.column
                # The length matters if E901 reports a wrong indentation at the end of the line.
                return line[:column] + "0" + " " * (len(line) - column - 2) + "\n"
        return line


def read_rows(readline: Callable[[], str], pending: list[TokenInfo]) -> Iterator[Row | Plain]:
    """The tokens that `tokenize.generate_tokens` yields, grouped as they were read; `Plain` instead of a plain row.

    Ends with the tokens of the last line, and raises what `tokenize` raises. From Python 3.12 on, where `tokenize` is
    written in C, each token is a row of its own.

    Args:
        readline: returns the next line, "" after the last. A line has no "\\r" and no "\\0", and "\\n" only at its end.
        pending: the tokens that wait for the end of their logical line, maintained by the caller: a statement begins
            only if there are none.
    """
    return iter((_Rows if sys.version_info < (3, 12) else _RowsOfTokenize)(readline, pending))
