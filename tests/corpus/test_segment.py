"""Segmenters: by hand, against spaCy, and on text that is nothing like text."""

import ast
import io
import random
from importlib.metadata import distributions
from itertools import pairwise

import pytest

from phf.config.schema import DatasetConfig
from phf.corpus.segmenting.segment import MAX_CHARS, segment, segmenter, sentences
from phf.corpus.segmenting.sentences import FINAL, sentence_starts
from phf.corpus.sources.documents import read_documents
from phf.errors import ConfigError


@pytest.mark.parametrize(
    "how", ["lines", "sentences", "sentences:de", "sentences:xx", "sentences:zh", "sentences:th", "document"]
)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "One. Two?  \n\nThree",
        "a\r\nb\x0c\n\n",
        "…!\n x. \t",
        'He said "Hi." Then left.',
        " ",
        "\n",
        ".\ud800\0. .",
    ],
)
def test_segments_join_to_the_text(how, text):
    segments = segment(text, how)
    assert "".join(segments) == text
    assert all(segments)


def test_lines_are_those_of_a_file():
    rng = random.Random(0)
    ends = [
        "\n",
        "\r",
        "\r\n",
        "\n\r",
        "\v",
        "\f",
        "\x1c",
        "\x1d",
        "\x1e",
        "\x1f",
        "\x85",
        "\u2028",
        "\u2029",
        "é",
        "\U0001f600",
    ]
    for _ in range(2000):
        some = rng.sample(ends, rng.randrange(1, 5))  # of few kinds, so that there are texts with none that is special
        text = "".join(rng.choices(["a", "", *some], k=rng.randrange(12)))
        assert segment(text, "lines") == io.StringIO(text, newline="").readlines(), repr(text)


def test_segmenters_by_hand():
    assert segment("a\nb\n", "lines") == ["a\n", "b\n"]
    assert segment("One. Two? Three", "sentences") == ["One. ", "Two? ", "Three"]
    assert segment("One. Two? Three", "document") == ["One. Two? Three"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. No met Mr. X. at 5 p.m. today. It ended.", ["Dr. No met Mr. X. at 5 p.m. today. ", "It ended."]),
        ("Pi is 3.14. See www.x.com. End", ["Pi is 3.14. ", "See www.x.com. ", "End"]),
        ('(See x.) "Hi." he said.', ['(See x.) "Hi." ', "he said."]),  # quotes belong to the sentence they close
        ("Wait... what? Yes!! No", ["Wait... what? ", "Yes!! ", "No"]),  # an ellipsis ends nothing
        ("One.\n\nTwo.  Three", ["One.", "\n\nTwo. ", " Three"]),  # white space but for one space begins the next
        ("end.Start", ["end.", "Start"]),
        ("One.\nTwo. three", ["One.", "\nTwo. ", "three"]),
        ("At 5. Mr. 7m. A. so", ["At 5. ", "Mr. 7m. A. so"]),
        ("见到你很高兴 。 再见", ["见到你很高兴 。 ", "再见"]),
        ("क्या हाल है । ठीक", ["क्या हाल है । ", "ठीक"]),
        (
            "Bake at 180°C. Then at 350 °F. Cool to 0°K. Done",
            ["Bake at 180°C. ", "Then at 350 °F. ", "Cool to 0°K. ", "Done"],
        ),
        ("It's y³. Ok.", ["It's y³. Ok."]),
        ("Open http://a.b/c?d=e. Then close it.", ["Open http://a.b/c?d=e. Then close it."]),
        ("He'd w/o. a dot. 5m. of it. Hed. So", ["He'd w/o. ", "a dot. ", "5m. of it. ", "Hed. So"]),
    ],
)
def test_sentences_are_those_of_spacy_by_hand(text, expected):
    assert segment(text, "sentences") == expected


@pytest.mark.parametrize("how", ["sentences", "sentences:xx", "sentences:zh", "sentences:ja"])
@pytest.mark.parametrize("times", [1, 40, 1000])
def test_sentences_of_scripts_without_spaces_do_not_depend_on_what_stands_before_them(how, times):
    parts = ["今天天气很好。", "我们去公园散步。", "你想一起来吗？", "太好了！", "はい。", "と言った．"]
    assert segment("".join(parts) * times, how) == parts * times
    assert segment("x" * 255 + "".join(parts), how) == ["x" * 255 + parts[0], *parts[1:]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("你好!我是小明?是的", ["你好!", "我是小明?", "是的"]),
        (
            "第3.2节。价格３．５元。见http://a.b/c?d=e。好",
            ["第3.2节。", "价格３．５元。", "见http://a.b/c?d=e。", "好"],
        ),
        ("他说：“你好。”然后走了。", ["他说：“你好。”", "然后走了。"]),
        ("见http://例え.jp/検索?q=1&r=!2", ["见http://例え.jp/検索?q=1&r=!2"]),
        ("မင်္ဂလာပါ။ကောင်း။", ["မင်္ဂလာပါ။", "ကောင်း။"]),
        ("ราคา!ดี?ครับ", ["ราคา!", "ดี?", "ครับ"]),
    ],
)
def test_marks_end_sentences_between_words_without_spaces(text, expected):
    assert segment(text, "sentences") == expected


def test_chinese_and_thai_have_the_rules_of_their_blank_pipelines():
    assert segment("第3.2节. 好", "sentences:zh") == ["第3.", "2节. ", "好"]  # every character is a token
    # a space is a token; abbreviations and numbers keep their dots
    text = "ราคา 3.50 บาท. พ.ศ. 2565 Mr. X ครับ.สวัสดี!ครับ"
    assert segment(text, "sentences:th") == ["ราคา 3.50 บาท.", " พ.ศ. 2565 Mr.", " X ครับ.", "สวัสดี!", "ครับ"]


def test_language_decides_which_abbreviations_hold_a_dot():
    text = "Das gilt z.B. bzw. usw. hier. Gut."
    assert segment(text, "sentences:de") == ["Das gilt z.B. bzw. usw. hier. ", "Gut."]
    assert segment(text, "sentences:en")[0] == "Das gilt z.B. bzw. "
    assert segment("M. Dupont etc. est là. Oui", "sentences:fr") == ["M. Dupont etc. est là. ", "Oui"]
    assert segment("El Sr. Ud. es. Si", "sentences:es") == ["El Sr. Ud. es. ", "Si"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("line", "Did you mean 'lines'"),
        ("lines:en", "There is no segmenter 'lines:en'"),
        ("sentences:", "no sentence rules for the language ''"),
        ("sentences:tlh", "no sentence rules for the language 'tlh'.*Known: de, en"),
    ],
)
def test_an_unknown_segmenter_is_an_error_before_any_text(how, message):
    with pytest.raises(ConfigError, match=message):
        segmenter(how)


def test_configuration_takes_a_language_and_refuses_nonsense():
    assert DatasetConfig(datasets=["x"], segment="sentences:de").segment == "sentences:de"
    for wrong in ("sentence", "lines:de", "sentences:", "document\n"):
        with pytest.raises(ValueError, match="segment"):
            DatasetConfig(datasets=["x"], segment=wrong)


@pytest.mark.slow
def test_final_punctuation_is_that_of_spacy():
    sentencizer = pytest.importorskip("spacy.pipeline").Sentencizer
    assert set(sentencizer.default_punct_chars) == FINAL


@pytest.mark.slow
def test_sentences_are_those_of_spacy_on_docstrings_and_readmes():
    spacy = pytest.importorskip("spacy")
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    texts = [distribution.read_text("METADATA") or "" for distribution in distributions()][:60]
    for module in list(read_documents("python-stdlib"))[::3]:
        nodes = (ast.Module, ast.ClassDef, ast.FunctionDef)
        docs = (ast.get_docstring(node) for node in ast.walk(ast.parse(module.text)) if isinstance(node, nodes))
        texts += [doc for doc in docs if doc]
    num_sentences = 0
    for text in texts:
        expected = [sentence.start_char for sentence in nlp(text).sents]
        assert sentence_starts(text) == expected, [text[a:b] for a, b in pairwise([*expected, len(text)])]
        num_sentences += len(expected)
    assert num_sentences > 5000


PIECES = [
    *"abcxyzABZ019.!?()[]{}\"'…°-:;,/@#%+=&$€£²³|*^~<>_—–’“”‘´«»éÉßжЖαहि한🙂🫠©ǅª١½‼؟।",
    *(
        ". ",
        "? ",
        " ",
        "  ",
        "\n",
        "\t",
        "\xa0",
        "°C.",
        "°F",
        "km",
        "m.",
        "3.14",
        "e.g.",
        "Mr.",
        "U.S.",
        "p.m.",
        "...",
        "..",
    ),
    *(
        "http://",
        "www.",
        "x.com",
        "a@b.co",
        "?q=",
        "'s",
        "US$",
        "10.0.0.1",
        "8.8.8.8",
        ":80",
        "1.",
        "A.",
        "z.",
        "\u200b",
    ),
    *("\u0301", "hed.", "Im", "'em", "w/o", ":)", ":D", "I'ma", "can't", "-_-", "\n\n", "end.", "Start"),
]


@pytest.mark.slow
def test_sentences_are_those_of_spacy_on_soup():
    spacy = pytest.importorskip("spacy")
    for language, pieces in (("en", PIECES), ("zh", [*PIECES, *"今天。！？．｡“”「」（），、　好"])):
        nlp = spacy.blank(language)
        nlp.add_pipe("sentencizer")
        rng = random.Random(0)
        for _ in range(3000):
            text = "".join(rng.choices(pieces, k=rng.randrange(1, 30)))
            expected = [sentence.start_char for sentence in nlp(text).sents]
            starts = sentence_starts(text, language)
            assert starts == expected, (text, [text[a:b] for a, b in pairwise([*expected, len(text)])])


def test_what_is_too_long_is_cut_at_white_space():
    assert segment("aaa bbb ccc", "sentences", max_chars=8) == ["aaa bbb ", "ccc"]
    assert segment("aaa bbb\nccc\n", "lines", max_chars=8) == ["aaa bbb\n", "ccc\n"]
    assert segment("aaaaaaaaaa", "lines", max_chars=4) == ["aaaa", "aaaa", "aa"]
    assert segment("aaa bbb", "document", max_chars=2) == ["aaa bbb"]
    assert max(map(len, segment("word " * 50_000, "sentences"))) <= MAX_CHARS


@pytest.mark.parametrize(
    "pattern",
    [
        "a.b",
        "hello there. ",
        "x",
        ").(",
        "a:",
        " ",
        ". ",
        "a\t",
        "\xa0.",
        "y" * 3000 + ". ",
        "a@b.",
        "http://a/?",
        "'.\"!",
        "好。",
        "://a@",
        "°C.",
    ],
)
def test_a_long_document_of_one_line_is_cut(pattern):
    text = pattern * (500_000 // len(pattern))  # never ends where the work per word depends on the length of the text
    segments = segment(text, "sentences")
    assert "".join(segments) == text
    assert max(map(len, segments)) <= MAX_CHARS


def test_random_text_joins():
    rng = random.Random(0)
    for _ in range(300):
        text = "".join(rng.choices("ab.!?() \n\t\xa0\"'…é1°-", k=rng.randrange(600)))
        assert "".join(sentences(text)) == text
        assert all(segment(text, "sentences"))
