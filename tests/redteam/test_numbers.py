"""Numbers of a search, by hand."""

import io
import math
import statistics
from dataclasses import replace

import pytest
from rich.console import Console
from tests.redteam.attack import entry

from phf.redteam.numbers import (
    best_prompts,
    interval_over_trials,
    metrics_lines,
    numbers_of_trials,
    over_trials,
    rescored_numbers,
    round_numbers,
)
from phf.redteam.rounds import Round
from phf.redteam.search import Trial
from phf.redteam.show import ROUND_COLUMNS, show_search
from phf.statistics import Interval


def trial(*means, fresh=(), rejected=None):
    """Two initial prompts, then one a round; each with two continuations of the same score."""
    rounds = [Round([entry("p0", means[0], means[0]), entry("p1", means[1], None)])]
    rounds += [
        Round([entry(f"p{i}", mean, round_number=i - 1)], rejected or {}) for i, mean in enumerate(means[2:], start=2)
    ]
    return Trial(rounds, [entry(prompt, *scores) for prompt, scores in fresh])


def test_numbers_after_each_round_by_hand():
    first, second, third = round_numbers(trial(0.1, 0.3, 0.2, None, rejected={"empty": 2}))
    assert first["best"] == 0.3
    assert first["pool_mean"] == pytest.approx(0.2)
    assert (first["num_prompts"], first["num_unscored"], first["num_rejected"]) == (2, 1, 0)
    assert (second["best"], second["round_best"], second["round_mean"]) == (0.3, 0.2, 0.2)
    assert second["pool_mean"] == pytest.approx(0.2)
    assert (second["best_10"], second["best_100"], second["num_rejected"]) == (None, None, 2)
    assert (third["round_best"], third["round_mean"], third["num_unscored"]) == (None, None, 1)
    assert third["best"] == 0.3


def test_the_best_so_far_has_its_fresh_score_in_every_round():
    """p1 is best after the initial round and the next, p3 after the last; p0 was sampled again too."""
    done = trial(0.1, 0.3, 0.2, 0.9, fresh=[("p3", [0.5, 0.7]), ("p0", [0.1, 0.1])])
    done = replace(done, also_rescored=[entry("p1", 0.2, None)])
    assert [numbers["best_fresh"] for numbers in round_numbers(done)] == [0.2, 0.2, pytest.approx(0.6)]
    (numbers,) = numbers_of_trials([done])
    assert numbers["best"] == [0.3, 0.3, 0.9]
    assert numbers["best_fresh"] == [0.2, 0.2, pytest.approx(0.6)]
    assert round_numbers(trial(0.1, 0.3))[0]["best_fresh"] is None  # of an older version, which did not sample it again


def test_best_10_is_the_mean_of_the_ten_best():
    (numbers, *_) = round_numbers(Trial([Round([entry(str(i), float(i)) for i in range(12)])], []))
    assert numbers["best_10"] == pytest.approx(sum(range(2, 12)) / 10)


def test_interval_over_trials_is_students():
    """Values 1, 2, 3: mean 2, standard deviation 1, t(2) = 4.303: 2 +- 4.303 / sqrt(3)."""
    interval = interval_over_trials([1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert (interval.low, interval.high) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))
    one = interval_over_trials([1.0])
    assert one.mean == 1.0
    assert math.isnan(one.low)
    assert math.isnan(interval_over_trials([1.0, None]).mean)
    many = [float(i) for i in range(50)]
    half = 2.0096 * statistics.stdev(many) / math.sqrt(50)
    assert interval_over_trials(many).high == pytest.approx(24.5 + half, rel=1e-3)


def test_rescored_numbers_follow_the_ranking_of_the_search_not_their_own():
    """p2 was best in the search but is 0.25 now; p1 was the best initial prompt and is 0.2 now."""
    searched = trial(0.1, 0.3, 0.9, 0.8, fresh=[("p2", [0.25]), ("p3", [0.7]), ("p1", [0.1, 0.3])])
    numbers = rescored_numbers(searched)
    assert numbers["rescored_best"] == 0.25
    assert numbers["rescored_initial_best"] == pytest.approx(0.2)
    assert numbers["rescored_gain"] == pytest.approx(0.05)
    assert numbers["rescored_best_10"] is None
    rows = best_prompts([searched])
    assert [(row["prompt"], row["mean"], row["round"]) for row in rows] == [
        ("p3", 0.8, 2),
        ("p2", 0.9, 1),
        ("p1", 0.3, 0),
    ]
    assert rows[0]["worst_continuation"] == "c0"


def test_lines_of_metrics_show_the_initial_best_beside_and_null_for_what_was_not_measured():
    trials = [
        trial(0.1, 0.2, 0.5, fresh=[("p2", [0.4]), ("p1", [0.1])]),
        trial(0.1, 0.4, 0.7, fresh=[("p2", [0.6]), ("p1", [0.5])]),
    ]
    rounds, rescored = over_trials(trials)
    first, last = metrics_lines(rounds, rescored)
    assert "step" not in first
    assert last["redteam/best"] == pytest.approx(0.6)
    assert last["redteam/best_low"] == pytest.approx(0.6 - 12.7062 * 0.1)  # sd sqrt(0.02), / sqrt(2) = 0.1
    assert first["redteam/best"] == last["redteam/initial_best"] == pytest.approx(0.3)
    assert last["redteam/best_100"] is None
    assert last["redteam/rescored_best"] == pytest.approx(0.5)
    assert last["redteam/rescored_gain"] == pytest.approx(0.2)
    assert "redteam/rescored_best" not in first
    assert (last["redteam/num_prompts"], last["redteam/num_unscored"]) == (2, 0)
    assert isinstance(rescored["rescored_best"], Interval)


def test_an_interval_over_trials_ends_where_scores_do_but_that_of_their_difference_does_not():
    interval = interval_over_trials([0.0, 0.1], bounds=(0.0, 1.0))
    assert (interval.mean, interval.low) == (pytest.approx(0.05), 0.0)
    assert interval.high == pytest.approx(0.05 + 12.706 * 0.05, rel=1e-3)  # Student's t with 1 degree of freedom


def test_the_rounds_fit_a_narrow_terminal():
    values = {f"{key}{end}": -0.123456 for key in (*ROUND_COLUMNS,) for end in ("", "_low", "_high")}
    rescored = {
        f"{key}{end}": 0.5
        for key in ("rescored_best", "rescored_best_10", "rescored_initial_best", "rescored_gain")
        for end in ("", "_low", "_high")
    }
    rounds = [{**values, "num_prompts": 1000, "num_unscored": 0}]
    results = {"rounds": rounds, "rescored": rescored, "rejected": {}, "prompts": []}
    for width, columns in ((80, 2), (160, len(ROUND_COLUMNS))):
        console = Console(width=width, file=io.StringIO(), highlight=False)
        show_search(results, console)
        shown = console.file.getvalue()
        assert "…" not in shown
        assert shown.count("(-0.1235 to -0.1235)") == columns
