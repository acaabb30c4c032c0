"""Labels -> reward model -> scorer: the sign, the range, the numbers, and what is refused before anything is trained."""

import json
import math

import pytest
from typer.testing import CliRunner

from phf.cli import app as cli
from phf.errors import CorpusError, OutputError
from phf.labels.read import read_labels
from phf.labels.split import divide
from phf.reward.run import train_reward
from phf.reward.settings import RewardSettings
from phf.scorers import build_scorer
from phf.storage.files import new_folder

FAST = ("--learning-rate", "0.005", "--epochs", "4")


def phf(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def of_pairs(pairs_file, tiny_base, tmp_path_factory):
    """(folder of the reward model of the pairs, what the command printed)."""
    folder = tmp_path_factory.mktemp("reward") / "pairs"
    result = phf("reward", pairs_file, "--base", tiny_base, "--output", folder, *FAST, "--curve", "0.25")
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_labels_become_a_scorer_for_which_worse_texts_have_higher_scores(of_pairs):
    folder, output = of_pairs
    scorer = f"{{class_name: ClassifierScorer, path_or_name: {folder}}}"
    good, bad = (
        json.loads(phf("score", text, "--scorer", scorer, "--segment", "document", "--json").stdout)
        for text in ("a b c d e", "a z b z z")
    )
    scores = [explained["segments"][0]["score"] for explained in (good, bad)]
    assert 0 < scores[0] < 0.5 < scores[1] < 1
    assert "phf annotate CORPUS --scorer" in output


def test_held_out_accuracy_is_that_of_the_saved_scorer(of_pairs, pairs_file):
    folder, _ = of_pairs
    record = json.loads((folder / "reward.json").read_text())
    labels = read_labels([str(pairs_file)]).labels
    held_out = [labels[i] for i in divide(labels, 0.2, 0).held_out]
    scores = build_scorer(record["scorer"]).score_texts([text for pair in held_out for text in pair.texts])
    right = [rejected > chosen for chosen, rejected in zip(scores[::2], scores[1::2], strict=True)]
    measured = record["held_out"]
    assert measured["accuracy"] == pytest.approx(sum(right) / len(right))
    assert measured["accuracy"] > 0.9
    assert measured["accuracy_low"] > measured["baseline"] == 0.5
    assert [point["num_labels"] for point in record["curve"]] == [24, 96]
    assert record["curve"][-1]["accuracy"] == measured["accuracy"]
    assert sum(row["count"] for row in measured["calibration"]) == 24
    assert record["labels"]["count"] == 120


def test_the_same_seed_gives_the_same_model_and_leaves_nothing_else(of_pairs, pairs_file, tiny_base, tmp_path):
    folder, _ = of_pairs
    settings = RewardSettings(epochs=4, learning_rate=0.005, curve=())
    train_reward([str(pairs_file)], read_labels([str(pairs_file)]), tiny_base, tmp_path / "again", settings)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_ratings_give_the_expected_rating(ratings_file, tiny_base, tmp_path):
    settings = RewardSettings(epochs=6, learning_rate=0.005, curve=())
    labels = read_labels([str(ratings_file)])
    record = train_reward([str(ratings_file)], labels, tiny_base, tmp_path / "r", settings)
    good, bad = build_scorer(record["scorer"]).score_texts(["a b c d e f g h a b", "a z b z z c z d e f"])
    assert abs(good - 1 / 8) < 0.15  # ratings of 1 and 2 from 1 to 5
    assert abs(bad - 7 / 8) < 0.15
    assert record["held_out"]["ece"] < 0.15
    assert "share of the scale" in record["meaning"]


def test_few_equal_or_existing_is_refused_before_training(pairs_file, tiny_base, tmp_path):
    def train(path, output="out"):
        train_reward([str(path)], read_labels([str(path)]), tiny_base, tmp_path / output, RewardSettings())

    few = tmp_path / "few.jsonl"
    few.write_text("".join(pairs_file.read_text().splitlines(keepends=True)[:9]))
    with pytest.raises(CorpusError, match="Only 9 usable labels; at least 10"):
        train(few)
    equal = tmp_path / "equal.jsonl"
    row = {"rating": 3, "scale": [1, 5], "higher_is_worse": True}
    equal.write_text("".join(json.dumps({"text": f"t{i}", **row}) + "\n" for i in range(20)))
    with pytest.raises(CorpusError, match="All 20 ratings are equal"):
        train(equal)
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputError, match="there exists"):
        train(pairs_file, "there")
    with new_folder(tmp_path / "held"), pytest.raises(OutputError, match="/held is being written by another job"):
        train(pairs_file, "held")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--base", "missing"), "missing"),
        (("--scale", "5"), "--scale 5"),
        (("--eval-fraction", "1"), "--eval-fraction 1"),
        (("--curve", "2"), "--curve 2"),
        (("--max-length", "1000"), "--max-length 1000: the base model takes 24 tokens"),
    ],
)
def test_wrong_options_end_in_one_message(pairs_file, tiny_base, tmp_path, options, message):
    base = () if "--base" in options else ("--base", tiny_base)
    result = phf("reward", pairs_file, *base, "--output", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


def test_a_model_that_predicts_nothing_is_reported(pairs_file, tiny_base, tmp_path):
    lines = [json.loads(line) for line in pairs_file.read_text().splitlines()[:20]]
    for number, line in enumerate(lines):
        if number % 2:
            line["chosen"], line["rejected"] = line["rejected"], line["chosen"]
    path = tmp_path / "random.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = phf("reward", path, "--base", tiny_base, "--output", tmp_path / "r", "--epochs", "1", "--curve", "none")
    assert result.exit_code == 0, result.output
    assert "cannot be distinguished from that of a constant answer" in result.output
    assert math.isfinite(json.loads((tmp_path / "r" / "reward.json").read_text())["held_out"]["loss"])
