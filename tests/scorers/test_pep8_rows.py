"""Rows of tokens against `tokenize`, and plain rows by hand."""

import random
import sys
import tokenize
from collections.abc import Callable, Iterator

import pytest
from tests.scorers.broken_code import PIECES, broken, mutated

from phf.corpus.segmenting.segment import segment
from phf.corpus.sources.documents import read_documents
from phf.scorers.pep8.plain import Plain, plain_row
from phf.scorers.pep8.rows import read_rows

# The rows of Python 3.12 and later are made of tokenize's own tokens.
has_own_tokenizer = pytest.mark.skipif(sys.version_info >= (3, 12), reason="tokenize is used as it is")
NOT_PLAIN = [tokenize.TokenInfo(tokenize.NAME, "x", (1, 0), (1, 1), "x")]
"""Tokens that wait: no row begins a statement."""


def reader(lines: list[str]) -> Callable[[], str]:
    remaining = iter(lines)
    return lambda: next(remaining, "")


def own_tokens(lines: list[str]) -> Iterator[tokenize.TokenInfo]:
    for row in read_rows(reader(lines), NOT_PLAIN):
        assert not isinstance(row, Plain)
        yield from row[0]


def tokens_of_tokenize(lines: list[str]) -> Iterator[tokenize.TokenInfo]:
    for token in tokenize.generate_tokens(reader(lines)):
        if token.start[0] > len(lines):
            return
        yield token


def drained(tokens: Iterator[tokenize.TokenInfo]) -> list[object]:
    """The tokens, and what ends them if that is an error."""
    items: list[object] = []
    try:
        items.extend(tokens)
    except (SyntaxError, tokenize.TokenError) as error:
        items.append((type(error), error.args))
    return items


def assert_same_tokens(text: str) -> None:
    lines = segment(text.replace("\r", "").replace("\0", ""), "lines")
    # extend() keeps what came before an error
    assert drained(own_tokens(lines)) == drained(tokens_of_tokenize(lines)), lines


@has_own_tokenizer
@pytest.mark.slow
def test_tokens_are_those_of_tokenize_on_the_standard_library():
    for document in list(read_documents("python-stdlib"))[::16]:
        assert_same_tokens(document.text)


@has_own_tokenizer
@pytest.mark.slow
def test_tokens_are_those_of_tokenize_on_broken_code():
    rng = random.Random(0)
    documents = [document.text for document in read_documents("python-stdlib")][::20]
    for _ in range(3000):
        text = rng.choice(documents)
        assert_same_tokens(broken(text, rng))
        assert_same_tokens("".join(mutated(segment(text, "lines"), rng)))
        assert_same_tokens("".join(rng.choices(PIECES, k=rng.randrange(1, 40))))


@has_own_tokenizer
@pytest.mark.parametrize(
    "text",
    [
        *(operator + "\n" for operator in sorted(tokenize.EXACT_TOKEN_TYPES)),
        *("0x_f 0b1 0o7 1_0 1. .5 1e5 1.5e-3j 1jx 0777 1if x\n", "rb'a' Rb'b' fr'c' U'd' ub'e' x'f' bb'g'\n"),
        *("'a\\\nb' 'c\\\n", "'a\\\nb\n'''c\nd'''\n", "'''a\n\\'''b\n''' x '''c'''\n", '"""a\\\n"""\n', "'''", "'"),
        *("é = ²\n", "a\xa0b\n", "x \\\n\n", "\\\n\\\n", "\\", "x = (\n\n# c\n)\n", "))\n  x\n(\n y\n"),
        *("if x:\n\ty\n        z\n\x0c    z\n  w\n", "  # c", "# c", "x # c", "  ", "if x:\n  y\n  ", "x ?$! ` y\n"),
    ],
)
def test_tokens_are_those_of_tokenize_by_example(text):
    assert_same_tokens(text)


def test_rows_end_where_the_tokens_of_a_line_end():
    if sys.version_info < (3, 12):
        rows = list(read_rows(reader(["x=(1,\n", "2)\n", "y = 1\n", "  # c\n", "\n"]), []))
        texts = [row if isinstance(row, Plain) else ([token.string for token in row[0]], row[1]) for row in rows]
        assert texts == [
            (["x", "=", "(", "1", ",", "\n"], 1),
            (["2", ")", "\n"], 0),
            Plain(0, "y = 1"),
            Plain(2, ""),
            (["\n"], 0),
        ]


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("    x = f(a, b=1)\n", (4, "x = f(a, b=1)")),
        ("if x > 'a':\n", (0, "if x > 'x':")),
        ("return\n", (0, "return")),
        ("x = (1)  # one\n", (0, "x = (1)")),
        ("x = y[1:-1] + z[:n] * -0x1F - 1.5\n", (0, "x = y[1:-1] + z[:n] * -0x1F - 1.5")),
        ("def f(a: int, *b) -> c:\n", (0, "def f(a: int, *b) -> c:")),
        ("  '''one''', b'\\n', r'\\d', \"it's\"\n", (2, "'''xxx''', b'xx', r'xx', \"xxxx\"")),
        ("from ..x import y; import z\n", (0, "from ..x import y; import z")),
        ("    # one\n", (4, "")),
        ("#\n", (0, "")),
    ],
)
def test_plain_rows_are_those_whose_tokens_are_beyond_doubt(line, plain):
    assert plain_row(line) == plain


@pytest.mark.parametrize(
    "line",
    [
        *("x=1\n", "x = 1", "x -1\n", "x% 1\n", "f(a, b= 1)\n", "x = y |z\n", "f(a,b)\n", "{a:b}\n", "x = a\tb\n"),
        *(
            "f(a = 1)\n",
            "f[a=1]\n",
            "f(a))\n",
            "f(a]\n",
            "f (x)\n",
            "x = f( a)\n",
            "def f(a: int=1):\n",
            "f(lambda: x)\n",
        ),
        *("return(x)\n", "f(x in(y))\n", "if x is:\n", "f(x)or y\n", "x = yield(y)\n", "l = 1\n", "def f(I):\n"),
        *("x = 1 # one\n", "x = 1  #one\n", "x = 1  #  one\n", "x = 1  # noqa\n", "#one\n", "## one\n", "#!one\n"),
        *(
            "x = '\\d'\n",
            "x = 'y\n",
            "x = '''y\n",
            "x = 'y' 'z'z\n",
            "x = (\n",
            "x = \\\n",
            "x = é\n",
            "x\n\n",
            "\n",
            "",
        ),
        "(" * 101 + ")" * 101 + "\n",
    ],
)
def test_rows_with_a_doubtful_token_are_not_plain(line):
    assert plain_row(line) is None
