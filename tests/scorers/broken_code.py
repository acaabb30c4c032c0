"""Code that is broken in ways that the checks of pycodestyle, and tokenizers, care about."""

import keyword
import random

PIECES = [
    *"()[]{}:;,.=+-*/%@&|^<>!~'\"\\#\t\n\r\x0c lOI01x ",
    *("  ", " = ", "==", "!=", " in ", " is ", "not ", "or", "lambda ", "def ", "class ", "if ", "else:", "except:"),
    *(
        "import a, b",
        "from ",
        "return",
        "None",
        "type(",
        "# noqa",
        "#x",
        "# ",
        "\n\n\n",
        "\n    ",
        "\n        ",
        "\\\n",
    ),
    *(
        "'''",
        '"""',
        "f'{",
        "rb'",
        "\xa0",
        "é",
        "²",
        "\x00",
        "\u2028",
        "\ufeff",
        "await ",
        "yield",
        "match ",
        "**",
        "->",
    ),
    *(
        ":=",
        "0x",
        "1e5",
        "x=1",
        "if(",
        "in(",
        ")in",
        "(*args)",
        "(a=1)",
        "(a = 1)",
        "[a=1]",
        " (",
        " [",
        "f(lambda: x)",
    ),
    *("x.l", "global l", "as l", "@ x", "if x:", "x = y(z)\n", "# comment\n", "return x\n", "x = 'a b'\n"),
]
"""What breaks code in ways that checks care about."""


WORDS = [
    *keyword.kwlist,
    *("x", "foo", "self.a", "l", "I", "O", "1", "0", "10", "'a_b'", '""', "print", "type", "x.y()", "f(a)", "f(a=1)"),
    *("-1", "-x", "(-1", "*a", "**k", "1.5", "0x1F", "x[1:]", "x[:-1]", "[:n]", "a-b", "a*(b", "f(a,)", "...", "..x"),
    *("f(*a)", "g(**k)", "[1]", "{}", "()", "[x]", "x[0]", "a,", "b:", "a=b", "=1", "=", "==", "!=", "+", "-", "->"),
    *(":=", "*", "**", ">", "<", "@", "&", "(a", "b)", "[a", "b]", "{a", "b}", "f(", "g[", ".x", "x.", "x.l", "x.in"),
    *(
        "in.x",
        "f(l)",
        "f(l=1)",
        "is:",
        "in,",
        "if:",
        "f()[0]",
        "f(a, b=c)",
        "f(x in y)",
        "f(not x)",
        "f(a)(b)",
        "'a b'.c",
        "'\\d'",
        "r'\\d'",
        "b'\\n'",
        "f'{x}'",
        "'''a'''",
        "# c",
    ),
]
"""What plain statements, and some that are not quite plain, are made of."""
CHARACTERS = "()[]{}:;,.=+-*/%@'\"\\# \t\n_lOI0é²\x0c!?`$"
ENDINGS = ["  # noqa\n", " # c\n", "  #c\n", "  # c\n", "  #: c\n", " \\\n", ";\n", ":\n", " \n", "  # NOQA: E501\n"]


def broken(text: str, rng: random.Random) -> str:
    """A piece of `text` with pieces of code put in anywhere."""
    start = rng.randrange(max(1, len(text) - 400))
    text = text[start : start + rng.choice([100, 400])]
    for _ in range(rng.choice([0, 1, 2, 5, 20])):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(PIECES) + text[at + rng.choice([0, 0, 1, 5]) :]
    return text


def mutated(lines: list[str], rng: random.Random) -> list[str]:
    """A few of `lines`, some of them changed: a character more or less, joined, split, moved, without a bracket."""
    start = rng.randrange(max(1, len(lines)))
    lines = lines[start : start + rng.choice([1, 2, 4, 8, 14])]
    for _ in range(rng.choice([1, 1, 2, 3, 6])):
        if lines:
            index = rng.randrange(len(lines))
            lines[index : index + 1] = _mutations(lines[index], rng)
    return lines


def _mutations(line: str, rng: random.Random) -> list[str]:
    at = rng.randrange(len(line) + 1)
    before, after, body = line[:at], line[at:], line.rstrip("\n")
    bracket = rng.choice("()[]{}")
    return rng.choice(
        [
            [before + rng.choice(CHARACTERS) + after],
            [before + rng.choice(PIECES) + after],
            [f"{before} {rng.choice(WORDS)} {after}"],
            [before + after[1:]],
            [before + before[-1:] + after],
            [before + "\n" + after],
            [body],
            [body + rng.choice(ENDINGS)],
            [" " * rng.choice([1, 2, 3, 4, 8]) + line],
            [line[rng.choice([1, 2, 4]) :]],
            [line.replace(bracket, "", 1)],
            [line, line],
            [],
        ]
    )
