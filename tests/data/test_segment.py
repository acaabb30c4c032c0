"""Segmenters: by hand, against spaCy, and on text that is nothing like text."""

import ast
import random
from importlib.metadata import distributions
from itertools import pairwise

import pytest

from phf.config.schema import DatasetConfig
from phf.data.segment import MAX_CHARS, segment, segmenter, sentences
from phf.data.sentences import FINAL, sentence_starts
from phf.data.sources import read_documents
from phf.errors import ConfigError


@pytest.mark.parametrize("how", ["lines", "sentences", "sentences:de", "sentences:xx", "document"])
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
    ],
)
def test_sentences_are_those_of_spacy_by_hand(text, expected):
    assert segment(text, "sentences") == expected


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
        ("sentences:", "no sentences of language ''"),
        ("sentences:tlh", "no sentences of language 'tlh'.*Known: de, en"),
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
