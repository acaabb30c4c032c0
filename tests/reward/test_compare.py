"""How well scorers agree with people: by hand, by simulation, and on the command line."""

import itertools
import json
import random

import numpy as np
import pytest
from typer.testing import CliRunner

from phf.cli import app as cli
from phf.errors import CorpusError
from phf.labels.label import Labels, Pair, Rating
from phf.reward.compare import compare, concordance
from phf.reward.seen import unseen, write_trained_on
from phf.scorers import Scorer


class Numbers(Scorer):
    """The score of a text is the number that it begins with; without one it is unscored."""

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__()
        self._noise = noise

    def score_texts(self, texts):
        scores = [float(text.split()[0]) if text[0].isdigit() else None for text in texts]
        self.unscored["no number"] += scores.count(None)
        return [
            None if score is None else score + random.Random(text).gauss(0, self._noise)
            for text, score in zip(texts, scores, strict=True)
        ]


class Shares(Numbers):
    """The same, known to be in [0, 1]."""

    score_bounds = (0.0, 1.0)


class Broken(Scorer):
    def score_texts(self, texts):
        raise RuntimeError("no")


def ratings(*pairs):
    return Labels([Rating(text, badness, None, None) for text, badness in pairs], "ratings")


def pairs(*texts):
    return Labels([Pair(chosen, rejected, "", None) for chosen, rejected in texts], "pairs")


def test_the_order_of_ratings_is_the_share_of_pairs_that_scores_order_alike():
    badness, scores = np.array([0.0, 0.0, 0.5, 1.0]), np.array([1.0, 3.0, 3.0, 2.0])
    # pairs with different ratings: (1,3)+ (3,3)half (1,2)+ (3,2)- (3,2)-
    assert concordance(badness, scores).value == pytest.approx(2.5 / 5)
    assert concordance(badness, badness).value == 1
    assert concordance(badness, -badness).value == 0
    assert concordance(badness, np.zeros(4)).value == 0.5
    assert concordance(np.ones(3), np.arange(3.0)) is None


def test_the_order_is_that_of_all_pairs_counted_one_by_one_and_influences_are_derivatives():
    generator = np.random.default_rng(0)
    badness, scores = generator.integers(0, 4, 40) / 3, generator.integers(0, 10, 40).astype(float)

    def counted(weights):
        alike = total = 0.0
        for i, j in itertools.combinations(range(40), 2):
            if badness[i] != badness[j]:
                weight = weights[i] * weights[j]
                total += weight
                direction = (scores[i] - scores[j]) * (badness[i] - badness[j])
                alike += weight * (0.5 if direction == 0 else direction > 0)
        return alike / total

    order = concordance(badness, scores)
    assert order.value == pytest.approx(counted(np.ones(40)))
    assert order.influence.sum() == pytest.approx(0, abs=1e-12)
    for i in (0, 7):
        heavier = np.ones(40)
        heavier[i] += 1e-6
        assert (counted(heavier) - order.value) / 1e-6 == pytest.approx(order.influence[i], abs=1e-5)


def test_intervals_cover_the_order_of_all_texts_about_as_often_as_they_say():
    generator = np.random.default_rng(1)

    def drawn(count):
        badness = generator.integers(0, 3, count) / 2
        return badness, badness + generator.normal(0, 0.7, count)

    truth = concordance(*drawn(20_000)).value
    covered = 0
    for _ in range(100):
        badness, scores = drawn(60)
        labels = ratings(
            *((f"{score + 10} {i}", bad) for i, (bad, score) in enumerate(zip(badness, scores, strict=True)))
        )
        (agreement,) = compare([Numbers()], labels)
        covered += agreement.order.low <= truth <= agreement.order.high
    assert 88 <= covered <= 99


def test_pairs_agree_where_the_rejected_text_has_the_higher_score():
    (agreement,) = compare(
        [Numbers()], pairs(("0 a", "1 a"), ("0 b", "1 b"), ("1 c", "0 c"), ("1 d", "1 d2"), ("x", "1 e"))
    )
    assert agreement.order.mean == pytest.approx(2.5 / 4)
    assert agreement.order.low < 2.5 / 4 < agreement.order.high
    assert (agreement.num_labels, agreement.num_scored, agreement.unscored) == (5, 4, {"no number": 1})
    assert (agreement.calibration, agreement.ece) == (None, None)


def test_perfect_agreement_on_few_labels_is_not_certain():
    for labels in (
        pairs(*((f"0 {i}", f"1 {i}") for i in range(10))),
        ratings(*((f"{i % 2} {i}", i % 2) for i in range(20))),
    ):
        (agreement,) = compare([Numbers()], labels)
        assert agreement.order.mean == agreement.order.high == 1
        assert 0.6 < agreement.order.low < 0.95


def test_several_ratings_of_a_text_are_averaged():
    labels = ratings(("0 a", 0.0), ("0 a", 1.0), ("0 a", 0.5), ("1 b", 0.75), ("2 c", 1.0))
    (agreement,) = compare([Numbers()], labels)
    assert (agreement.num_labels, agreement.order.mean) == (3, 1.0)


def test_calibration_is_of_scorers_that_estimate_ratings():
    labels = ratings(("0.1 a", 0.0), ("0.1 b", 0.5), ("0.9 c", 1.0), ("0.9 d", 0.5))
    shares, numbers = compare([Shares(), Numbers()], labels)
    assert [(row.count, row.predicted, row.observed) for row in shares.calibration if row.count] == [
        (2, pytest.approx(0.1), 0.25),
        (2, pytest.approx(0.9), 0.75),
    ]
    assert shares.ece == pytest.approx(0.15)
    assert shares.bias.mean == pytest.approx(0)
    assert (numbers.calibration, numbers.ece) == (None, None)
    assert json.loads(json.dumps(numbers.to_json()))["bias"] == {"estimate": None, "low": None, "high": None}


def test_a_scorer_is_compared_with_the_first_on_the_labels_that_both_could_score():
    labels = [(f"{0.1 * (i % 8)} {i}", (i % 8) / 8) for i in range(200)]
    same, noisy, fewer = compare([Numbers(), Numbers(noise=0.5), Numbers()], ratings(*labels, ("x", 0.0)))
    assert np.isnan(same.difference.mean)
    assert noisy.difference.high < 0
    assert noisy.difference.mean == pytest.approx(noisy.order.mean - same.order.mean)
    assert fewer.difference.mean == 0
    assert noisy.num_scored == 200


def test_labels_and_scorers_that_say_nothing_are_errors():
    with pytest.raises(CorpusError, match="The ratings of 2 texts are equal"):
        compare([Numbers()], ratings(("0 a", 0.5), ("1 b", 0.5)))
    with pytest.raises(CorpusError, match=r"scored the texts of 0 of 2 labels \(no number: 2\)"):
        compare([Numbers()], ratings(("x", 0.5), ("y", 1.0)))
    with pytest.raises(CorpusError, match="raised RuntimeError: 2"):
        compare([Broken()], ratings(("x", 0.5), ("y", 1.0)))


def test_labels_that_a_reward_model_was_trained_on_are_left_out_with_those_connected_to_them(tmp_path):
    model = tmp_path / "reward"
    model.mkdir()
    (model / "reward.json").write_text("{}")
    sections = [{"class_name": "CompositeScorer", "scorers": [{"class_name": "X", "path_or_name": str(model)}]}]
    labels = Labels([Rating(f"t{i}", 0.5, None, f"d{i // 2}") for i in range(8)], "ratings")
    rest, notes = unseen(sections, labels)
    assert len(rest.labels) == 8
    assert "does not record what it was trained on" in notes[0]
    write_trained_on(model, [Rating("t0", 1.0, None, None), Rating("other", 0.0, None, None)])
    rest, notes = unseen(sections, labels)
    assert [label.text for label in rest.labels] == [f"t{i}" for i in range(2, 8)]
    assert "was trained on 2 of the 8 labels" in notes[0]
    assert unseen([{"class_name": "PEP8Scorer"}], labels) == (labels, [])
    write_trained_on(model, labels.labels)
    with pytest.raises(CorpusError, match=r"No label is left to compare on\. .*Use labels of other texts"):
        unseen(sections, labels)


def phf(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def test_on_the_command_line(tmp_path):
    path = tmp_path / "labels.jsonl"
    lines = [{"text": f"0.{i % 5} {i}", "rating": i % 5, "scale": [0, 4], "higher_is_worse": True} for i in range(50)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    shares, numbers = f"{{class_name: '{__name__}:Shares', noise: 0.1}}", f"{__name__}:Numbers"
    result = phf("reward", path, "--compare", shares, "--compare", numbers, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "out" / "agreement.json").read_text())
    first, second = written["scorers"]
    assert second["order"]["estimate"] == 1
    assert second["difference"]["low"] > 0
    assert first["calibration"][0]["count"] > 0
    assert written["labels"] == {"kind": "ratings", "count": 50, "annotators": 0}
    assert "Calibration of" in result.output
    for_scripts = phf("reward", path, "--compare", shares, "--compare", numbers, "--json")
    assert json.loads(for_scripts.stdout)["agreement"] == written
    again = phf("reward", path, "--compare", numbers, "--output", tmp_path / "out")
    assert again.exit_code == 0, "its own folder is written again"
    refused = phf("reward", path, "--compare", numbers, "--output", tmp_path)
    assert refused.exit_code == 2
    assert "is not empty and was not made by phf reward --compare: it has labels.jsonl" in refused.output
    assert not (tmp_path / "agreement.json").exists()
    assert "[" not in result.output.replace(str(tmp_path), "").partition("Order as people")[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--base is missing"),
        (("--compare", "PEP8Scorer", "--epochs", "3"), "--epochs has no effect with --compare"),
        (("--compare", "PEP8Scorer", "--base", "x"), "--base has no effect with --compare"),
        (("--compare", "PEP9Scorer"), "There is no scorer called 'PEP9Scorer'"),
        (("--compare", "{class_name"), "is not valid YAML"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments, message, tmp_path):
    (tmp_path / "labels.jsonl").write_text('{"chosen": "a", "rejected": "b"}\n{"chosen": "c", "rejected": "d"}\n')
    result = phf("reward", tmp_path / "labels.jsonl", *arguments)
    assert result.exit_code != 0
    assert message in " ".join(result.output.split())


def test_a_scorer_with_the_opposite_order_has_its_own_warning(tmp_path):
    rows = [{"chosen": f"1 {i}", "rejected": f"0 {i}"} for i in range(40)]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = phf("reward", tmp_path / "labels.jsonl", "--compare", f"{__name__}:Numbers")
    said = " ".join(result.output.split())
    assert "its order is the opposite of people's on these labels" in said
    assert "distinguished from chance" not in said


def test_a_scorer_not_better_than_chance_is_reported(tmp_path):
    rows = [{"chosen": f"{i % 2} {i}", "rejected": f"{(i + 1) % 2} {i}"} for i in range(40)]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = phf("reward", tmp_path / "labels.jsonl", "--compare", f"{__name__}:Numbers")
    assert "cannot be distinguished from chance" in " ".join(result.output.split())
