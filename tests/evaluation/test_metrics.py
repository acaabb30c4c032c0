"""Metrics: values by hand, and Self-BLEU against NLTK."""

import math
import random

import pytest

from phf.errors import ConfigError
from phf.evaluation.generation.evaluator import group_maxima, score_logs
from phf.evaluation.generation.metrics import Compilability, Length, NGramStats, SelfBLEU, build_metric


def test_length_by_hand():
    assert Length()(["ab", "", "abcd"]) == {"length": 2.0}


def test_unigrams_by_hand():
    """ "a a b": 2 of 3 distinct; "c": 1 of 1. Together a, a, b, c: entropy 1/2 ln 2 + 2 * 1/4 ln 4 = 1.5 ln 2."""
    numbers = NGramStats(1)(["a a b", "c"])
    assert numbers == pytest.approx({"distinct-1-grams": (2 / 3 + 1) / 2, "entropy-1-grams": 1.5 * math.log(2)})


def test_bigrams_by_hand_and_a_text_without_any_counts_as_zero():
    """ "a b a b": ab, ba, ab, so 2 of 3 distinct and an entropy of ln 3 - 2/3 ln 2; "c" has no bigram."""
    numbers = NGramStats(2)(["a b a b", "c"])
    expected = {"distinct-2-grams": (2 / 3 + 0) / 2, "entropy-2-grams": math.log(3) - 2 / 3 * math.log(2)}
    assert numbers == pytest.approx(expected)


def test_compilability_by_hand():
    texts = ["x = 1\n", "def f(:\n", "", "\0", "(" * 500, "x = '\udc80'", "print(1"]
    assert Compilability()(texts) == {"compilability": pytest.approx(2 / 7)}


def test_compiling_runs_nothing_and_warns_of_nothing(recwarn, capsys):
    assert Compilability()(["print('run')\nif 1 is 1: raise SystemExit\nx = '\\d'\n"]) == {"compilability": 1.0}
    assert capsys.readouterr().out == ""
    assert not recwarn.list


@pytest.mark.parametrize("metric", [Length(), NGramStats(2), SelfBLEU(), Compilability()])
def test_no_texts_give_nan_not_zero(metric):
    assert all(math.isnan(value) for value in metric([]).values())


def random_texts(count, words=("a", "b", "c", "d", "e", "f"), seed=0):
    generator = random.Random(seed)
    return [" ".join(generator.choices(words, k=generator.randrange(0, 12))) for _ in range(count)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("level", ["word", "char"])
@pytest.mark.parametrize(("count", "max_references"), [(2, 200), (14, 200), (14, 5), (14, 1)])
@pytest.mark.parametrize("n", [2, 5])
def test_self_bleu_is_nltks(level, count, max_references, n):
    bleu = pytest.importorskip("nltk.translate.bleu_score")
    texts = [*random_texts(count - 2), "a b c d e f", "a b c d e f"]
    tokens = [text.split() if level == "word" else list(text) for text in texts]
    smoothing = bleu.SmoothingFunction().method1
    expected = []
    for index, hypothesis in enumerate(tokens):
        references = (tokens[:index] + tokens[index + 1 :])[:max_references]
        weights = [1 / n] * n
        expected.append(bleu.sentence_bleu(references, hypothesis, weights, smoothing_function=smoothing))
    self_bleu = SelfBLEU(n, level, max_references)(texts)[f"Self-BLEU-{n}"]
    assert self_bleu == pytest.approx(sum(expected) / count, abs=1e-9)


def test_self_bleu_of_equal_texts_is_one_and_of_strangers_zero():
    assert SelfBLEU(2)(["a b c"] * 3) == {"Self-BLEU-2": pytest.approx(1.0)}
    assert SelfBLEU(2)(["a b", "c d"]) == {"Self-BLEU-2": 0.0}
    assert math.isnan(SelfBLEU(2)(["alone"])["Self-BLEU-2"])


def test_build_metric_takes_released_names_and_says_what_is_wrong():
    assert build_metric({"class_name": "SelfBlEU"})(["a", "a"]).keys() == {"Self-BLEU-5"}
    assert build_metric({"class_name": "NGramStats", "n": 3})(["a"]).keys() == {"distinct-3-grams", "entropy-3-grams"}
    for config, message in (
        ({"class_name": "NGramStats", "n": 0}, "n is 0; it must be at least 1"),
        ({"class_name": "NGramStats"}, "n is missing: NGramStats needs it"),
        ({"class_name": "SelfBLEU", "n": 0}, "both must be at least 1"),
        ({"class_name": "SelfBLEU", "level": "sentence"}, "level is 'sentence'"),
        ({"class_name": "Lenght"}, "Did you mean 'Length'"),
    ):
        with pytest.raises(ConfigError, match=message):
            build_metric(config)


def test_expected_maximum_is_per_prompt_over_whole_groups_of_25():
    """Prompt a: groups 0..24 and 25..49, maxima 24 and 49, five left over. Prompt b: 24 scored samples, no group."""
    prompts = ["a", "b"] * 25 + ["a"] * 30
    scores = [0.0] * len(prompts)
    for rank, index in enumerate(i for i, prompt in enumerate(prompts) if prompt == "a"):
        scores[index] = float(rank)
    scores[1] = None
    assert group_maxima(prompts, scores) == [("a", 24), ("a", 49)]
    assert group_maxima(["a"] * 24, [1.0] * 24) == []
    assert group_maxima(["a"] * 25, [0.1] * 24 + [0.9]) == [("a", 0.9)]


def test_expected_maximum_and_probability_of_a_hit_among_25_by_hand():
    """Prompt a: maximum 0.9, a hit; prompt b: maximum 0.1, none. Of the 50 samples one is a hit."""
    logs = score_logs(["a"] * 25 + ["b"] * 25, [0.0] * 24 + [0.9] + [0.1] * 25, threshold=0.5)
    assert logs["score_max@25"] == pytest.approx((0.9 + 0.1) / 2)
    assert logs["hit_probability@25"] == 0.5
    assert logs["num_hits"] == pytest.approx(1 / 50)
    # two prompts, one of them with a hit: 1 of 2 is little, and Student's t with 1 degree of freedom leaves nothing out
    assert (logs["hit_probability@25_low"], logs["hit_probability@25_high"]) == pytest.approx(
        (0.0945, 0.9055), abs=1e-3
    )
    assert logs["num_hits_low"] < 0.001
    assert logs["num_hits_high"] > 0.5
    assert logs["score_max@25_low"] < 0 < 1 < logs["score_max@25_high"]
    few = score_logs(["a"] * 24, [0.9] * 24, threshold=0.5)
    assert math.isnan(few["score_max@25"])
    assert math.isnan(few["hit_probability@25"])
