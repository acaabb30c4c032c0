"""Self-BLEU of larger sets is NLTK's to the last digits, and odd ones are not errors."""

import random

import pytest

from phf.evaluation.generation.bleu import self_bleu


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("level", ["word", "char"])
@pytest.mark.parametrize("max_references", [10, 100])
def test_each_text_has_nltks_value(level, max_references):
    bleu = pytest.importorskip("nltk.translate.bleu_score")
    words = ["def", "f(x):", "return", "x", "+", "1", "naïve", "\ud800", "\U0001f600"]
    generator = random.Random(0)
    texts = [" ".join(generator.choices(words, k=generator.randrange(30))) for _ in range(40)]
    tokens = [text.split() if level == "word" else text for text in texts]
    expected = [
        bleu.sentence_bleu(
            (tokens[:index] + tokens[index + 1 :])[:max_references],
            hypothesis,
            [0.2] * 5,
            smoothing_function=bleu.SmoothingFunction().method1,
        )
        for index, hypothesis in enumerate(tokens)
    ]
    assert self_bleu(tokens, 5, max_references) == pytest.approx(expected, abs=1e-9)


def test_by_hand():
    """ "a b" against "a b c": both orders match in full, brevity exp(1 - 3/2); the other way 2/3 and 1/2, no penalty."""
    assert self_bleu(["ab", "abc"], 2, 1) == pytest.approx([2.718281828**-0.5, (2 / 3 * 1 / 2) ** 0.5])


def test_counts_are_clipped_at_the_most_of_any_one_reference():
    """ "aaaa" has 2 of 4 in "aab" and "aa" each, not 4 of 4 together."""
    assert self_bleu(["aaaa", "aab", "aa"], 1, 2)[0] == pytest.approx(0.5)


@pytest.mark.parametrize("texts", [["", ""], ["", "a"], ["a", "b", ""]])
def test_texts_without_a_common_token_have_none(texts):
    assert self_bleu(texts, 5, 200) == [0.0] * len(texts)


def test_one_text_has_nothing_to_be_compared_with():
    assert self_bleu(["a"], 5, 200) == self_bleu([], 5, 200) == []
