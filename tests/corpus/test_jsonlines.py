"""JSON in every layout: one object per line, an array, objects over several lines."""

import json
import random

import pytest
from tests.corpus.corpora import ids, put, read, texts

from phf.corpus.formats import jsonlines
from phf.corpus.formats.jsonlines import is_laid_out, read_json_lines
from phf.errors import CorpusError

ROWS = [{"text": "one"}, {"text": "tw\u00f6\n"}, {"text": "{[,"}]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=1),
        "\ufeff" + json.dumps(ROWS, indent=2, ensure_ascii=False),
        "\n ".join(json.dumps(row, indent=1) for row in ROWS),
        json.dumps(ROWS[:1]) + "\n" + json.dumps(ROWS[1:]),
        "\n\n".join(json.dumps(row) for row in ROWS),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_layouts(tmp_path, content, name):
    assert texts(put(tmp_path / name, content)) == ["one", "tw\u00f6\n", "{[,"]


def test_elements_longer_than_what_is_read_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonlines, "CHUNK_BYTES", 7)
    rows = [{"text": "x" * length + "é"} for length in (0, 1, 5, 50, 500)]
    for indent in (None, 1):
        assert texts(put(tmp_path / "a.json", json.dumps(rows, indent=indent, ensure_ascii=False))) == [
            row["text"] for row in rows
        ]
    numbers = put(tmp_path / "b.json", '[{"text": "a", "n": 123456789012345678}, {"text": "b"}]')
    assert texts(numbers) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[\n{"text": "a"},\n{"text": }\n]', r"line 3: is not valid JSON"),
        ('[\n{"text": "a"}', r"line 2: the file ends inside a JSON array"),
        ('[{"text": "a"}, {"te', r"line 1: is not valid JSON"),
        ('{\n"text": "a",\n}', r"line 3: is not valid JSON"),
        ('["a"]', r"line 1: is a JSON str; an object was expected"),
        ('[{"text": "a"}] tail', r"line 1: is not valid JSON"),
        (b'[{"text": "a"},\n{"text": "\xff"}]', r"is not UTF-8"),
        ('[{"text": "a", "n": ' + "1" * 5000 + "}]", r"line 1: is JSON that cannot be read"),
        ('[{"text": "a", "n": ' + "[" * 200 + "]" * 200 + "}]", r"nested more than 100 deep"),
        ('[{"text": "a", "n": ' + "[" * 9000 + "]" * 9000 + "}]", r"line 1: is JSON that cannot be read"),
    ],
)
def test_what_is_broken_is_named_by_its_line(tmp_path, content, message):
    with pytest.raises(CorpusError, match=rf"a\.json, .*{message}"):
        texts(put(tmp_path / "a.json", content))


def test_a_broken_line_is_one_bad_row_and_a_broken_array_ends_the_file(tmp_path):
    lines = '{"text": "a"}\n{"text": \n[1]\n{"text": null}\n{"text": 3}\n{"other": ""}\n{"text": "b"}\n'
    documents, notes, _ = read(put(tmp_path / "a.jsonl", lines), is_strict=False)
    assert [(document.id, document.text) for document in documents] == [("a.jsonl:0", "a"), ("a.jsonl:6", "b")]
    assert notes.skipped.count == 5
    assert [row["where"].rpartition(", ")[2] for row in notes.skipped.names] == [f"line {n}" for n in range(2, 7)]
    array = '[{"text": "a"}, 3, {"text": "b"}, {"text": oops}, {"text": "c"}]'
    documents, notes, _ = read(put(tmp_path / "a.json", array), is_strict=False)
    assert [(document.id, document.text) for document in documents] == [("a.json:0", "a"), ("a.json:2", "b")]
    assert notes.skipped.count == 2


def test_nothing_json_does_not_have_gets_into_meta(tmp_path):
    lines = '{"text": "", "meta": {"a": NaN, "b": [-Infinity, 1e999, 1.5]}}\n{"text": "", "meta": "{\\"a\\": NaN}"}\n'
    documents, _, _ = read(put(tmp_path / "a.jsonl", lines))
    assert [document.meta for document in documents] == [{"a": None, "b": [None, None, 1.5]}, {"a": None}]


def test_the_layout_is_recognised_by_the_first_line():
    assert is_laid_out(b"[1, 2]")
    assert is_laid_out(b'\xef\xbb\xbf {\n "text": "a"\n}')
    assert is_laid_out(b'{"text": "a",\n "b": 1}')
    assert not is_laid_out(b'{"text": "a"}\n{"text": "b"}')
    assert not is_laid_out(b'{"text": "a')  # longer than what is known of it
    assert not is_laid_out(b'{"text": "a\n{"text": "b"}')  # a string does not go on in the next line
    assert not is_laid_out(b'{"text": }\n{"text": "b"}')


def test_lines_are_counted_from_zero_for_other_readers(tmp_path):
    path = put(tmp_path / "a.jsonl", '\n{"a": 1}\n')
    assert list(read_json_lines(path)) == [(1, {"a": 1})]
    assert ids(put(tmp_path / "b.json", '[{"text": "x", "id": 7}, {"text": "x"}]')) == ["7", "b.json:1"]
    assert ids(put(tmp_path / "c.jsonl", '{"text": "x", "id": ""}\n{"text": "x", "id": NaN}\n')) == [
        "c.jsonl:0",
        "c.jsonl:1",
    ]


NUMBERS = ["0", "-0", "-0.0", "1.5", "1e5", "1E400", "-1e400", "1e-400", "5e-324", "0.1", "123456789.123456789"]
NUMBERS += [str(2**bits + more) for bits in (31, 53, 63, 64, 65, 200) for more in (-1, 0, 1)]
NUMBERS += [f"-{2**bits + more}" for bits in (53, 63, 64) for more in (-1, 0, 1)]
NUMBERS += [
    "9223372036854775807.0",
    "9223372036854775808.0",
    "9" * 5000,
    "01",
    "+1",
    ".5",
    "1.",
    "0x10",
    "NaN",
    "-Infinity",
]
STRINGS = [
    "",
    "a",
    "\\n",
    "\\u0000",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\ude00\\ud83d",
    "\\u00e9",
    "é",
    "\U0001f600",
    "\x7f",
    "\x1f",
    "\t",
]
STRINGS += ["\\/", "\\x", "\\u12", "\ufeff", "\u2028", "[", "{" * 101]
OTHERS = ["true", "null", "None", "True", "'a'", "undefined", ""]


def random_value(rng, depth):
    kind = rng.random()
    if depth < 4 and kind < 0.2:
        return "[" + ", ".join(random_value(rng, depth + 1) for _ in range(rng.randrange(4))) + "]"
    if depth < 4 and kind < 0.4:
        return random_object(rng, depth + 1)
    return rng.choice([*NUMBERS, *OTHERS] if kind < 0.7 else [f'"{string}"' for string in STRINGS])


def random_object(rng, depth=0):
    pairs = [f'"{rng.choice(STRINGS)}": {random_value(rng, depth)}' for _ in range(rng.randrange(4))]
    return "{" + ", ".join(pairs) + "}"


def outcome(parse, line):
    try:
        return repr(parse(line, "a.jsonl, line 3"))  # tells -0.0 from 0, True from 1, and the order of keys
    except CorpusError as error:
        return type(error), str(error)


def test_the_fast_parser_gives_what_the_lenient_one_gives(monkeypatch):
    rng = random.Random(0)
    lines = [random_object(rng) for _ in range(3000)]
    lines += ["[" * depth + "]" * depth for depth in (1, 99, 100, 101, 2000)]
    lines += ['{"a": ' + opening * depth + "1" + closing * depth + "}" for depth in (98, 99, 100, 101, 2000)
              for opening, closing in (("[", "]"), ('{"a": ', "}"))]  # fmt: skip
    lines += [
        "",
        " ",
        "3",
        '"a"',
        "null",
        '{"a": 1, "b": 2, "a": 3}',
        '\ufeff{"a": 1}',
        '{"a": 1} {"b": 2}',
        ' {"a":1}\r',
    ]
    contents = [line.encode() for line in lines]
    for content in contents[:1000]:  # broken anywhere
        at = rng.randrange(len(content) + 1)
        contents.append(
            content[:at]
            + rng.choice([b"", b"\xff", b"\xed\xa0\x80", b"\0", b"\x0b", b"}", b'"', b"\\"])
            + content[at + 1 :]
        )
    contents += [content + b"\n" for content in contents]
    lenient = [outcome(jsonlines._parse_leniently, content) for content in contents]
    slow, parse = [], jsonlines._parse_leniently
    monkeypatch.setattr(jsonlines, "_parse_leniently", lambda line, place: slow.append(line) or parse(line, place))
    assert [outcome(jsonlines._parse, content) for content in contents] == lenient
    assert len(contents) / 20 < len(slow) < len(contents) * 19 / 20  # both were used
