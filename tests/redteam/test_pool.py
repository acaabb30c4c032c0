"""The pool: means, drawing, and the file it is saved in."""

import json
import math
from collections import Counter

import pytest
from tests.redteam.attack import entry

from phf.errors import CorpusError
from phf.redteam.pool import PoolEntry, best_entries, draw_examples, pool_lines, read_pool


def test_means_leave_out_and_count_what_is_unscored():
    scored = entry("a", 0.5, None, 1.5, None)
    assert (scored.mean, scored.num_unscored) == (1.0, 2)
    assert scored.worst_continuations(1) == ["c2"]
    assert entry("b", None).mean is None
    assert [e.prompt for e in best_entries([entry("b", None), scored, entry("c", 3.0)], 5)] == ["c", "a"]


def test_examples_are_drawn_in_proportion_to_exp_of_score_over_temperature():
    """Scores 0, T ln 2, T ln 5 weigh 1, 2, 5: the first draw is each with probability 1/8, 2/8, 5/8."""
    pool = [entry("a", 0.0), entry("b", 0.1 * math.log(2)), entry("c", 0.1 * math.log(5)), entry("never", None)]
    draws = [draw_examples(pool, 2, 0.1, seed) for seed in range(8000)]
    first = Counter(drawn[0].prompt for drawn in draws)
    assert first["a"] / 8000 == pytest.approx(1 / 8, abs=0.015)
    assert first["b"] / 8000 == pytest.approx(2 / 8, abs=0.02)
    assert first["c"] / 8000 == pytest.approx(5 / 8, abs=0.02)
    # after c, the others keep their weights: 1 to 2
    second = Counter(drawn[1].prompt for drawn in draws if drawn[0].prompt == "c")
    assert second["a"] / (second["a"] + second["b"]) == pytest.approx(1 / 3, abs=0.03)


def test_drawing_is_without_replacement_seeded_and_never_underflows():
    pool = [entry("a", -1e6), entry("b", 0.0), entry("c", 1e6)]
    drawn = draw_examples(pool, 5, 1e-3, 7)
    assert [e.prompt for e in drawn] == ["c", "b", "a"]
    assert draw_examples(pool, 2, 1e9, 3) == draw_examples(pool, 2, 1e9, 3)


def test_an_assumed_score_decides_the_drawing_and_nothing_else():
    assumed = PoolEntry("a", 0, 0, [], [], 0.0, assumed_score=1e-3)
    assert (assumed.mean, assumed.drawing_score) == (None, 1e-3)
    assert best_entries([assumed], 1) == []
    assert draw_examples([assumed], 1, 0.1, 0) == [assumed]


def test_a_pool_survives_its_file(tmp_path):
    hostile = PoolEntry("\x1b[31m\u2028<|aligned|>", 1, 2, ["\u202e\x00", "b"], [None, 0.25], None)
    pool = [hostile, PoolEntry("a", 0, 0, [], [], 0.0, assumed_score=1e-3)]
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(pool_lines(pool)))
    assert read_pool(path) == pool
    line = json.loads(path.read_text().split("\n")[0])
    assert (line["mean"], line["num_unscored"], line["round"], line["trial"]) == (0.25, 1, 2, 1)


GOOD = '{"prompt": "a", "trial": 0, "round": 0, "continuations": ["x"], "scores": [0.5]}\n'


def test_a_pool_whose_continuations_are_called_completions_is_read(tmp_path):
    """As in files of earlier versions."""
    path = tmp_path / "pool.jsonl"
    path.write_text(GOOD.replace("continuations", "completions") + GOOD)
    assert [entry.continuations for entry in read_pool(path)] == [["x"], ["x"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + GOOD[:30], r"line 2: is not valid JSON.*The file ends inside this line: was its writer interrupted"),
        (GOOD + '{"text": "a"}\n', r"line 2: 'prompt' is missing. Give a pool.jsonl"),
        (GOOD.replace("[0.5]", '"0.5"'), r"line 1: 'scores' is '0.5'; a list was expected"),
        (GOOD.replace("[0.5]", "[0.5, 1]"), r"has 1 continuation and 2 scores"),
        (GOOD.replace("[0.5]", '["high"]'), r"'scores.0' is 'high'; a finite number was expected"),
        ("", r"contains no prompts"),
        ("[]\n", r"is a JSON list"),
    ],
)
def test_a_damaged_pool_names_file_and_line(content, message, tmp_path):
    path = tmp_path / "pool.jsonl"
    path.write_text(content)
    with pytest.raises(CorpusError, match=message):
        read_pool(path)


def test_a_missing_pool_is_named(tmp_path):
    with pytest.raises(CorpusError, match=r"--replay .*none.jsonl: there is no such file"):
        read_pool(tmp_path / "none.jsonl")
