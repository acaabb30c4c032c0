"""The red team of a study: fresh scores over rounds, intervals over seeds, sentences and figure."""

import json
import math

import numpy as np
import pytest
from scipy.stats import t
from tests.study.pieces import a_study, finished, runs_of

from phf.errors import ConfigError
from phf.study.attack_page import attack_chart, attack_claims
from phf.study.attacks import Attack, analyse_attacks, over_attacks, read_attack
from phf.study.folder import StudyFolder
from phf.study.page import write_answer
from phf.study.plan import REDTEAM, expand
from phf.study.run import read_answer


def attacked(values, **changes):
    """The red team of a study; `values`: arm -> [[the best prompt's score over rounds, of each trial] of each seed]."""
    runs = runs_of(methods=list(values), seeds=[1, 2, 3][: max(map(len, values.values()))], redteam=True, **changes)
    of = {
        run.name: Attack(values[run.arm.name][run.seed - 1], [0.0])
        for run in runs
        if run.seed <= len(values[run.arm.name])
    }
    (result,) = analyse_attacks(runs, of, "mle")
    return result


def test_each_seed_counts_with_the_mean_over_its_trials():
    """Means of the seeds after the last round: .2, .3, .4."""
    seeds = [[[0.1, 0.1], [0.1, 0.3]], [[0.1, 0.3], [0.1, 0.3]], [[0.1, 0.5], [0.1, 0.3]]]
    result = attacked({"mle": seeds})
    (arm,) = result.arms
    half = t.ppf(0.975, 2) * 0.1 / math.sqrt(3)
    assert arm.rounds[1] == pytest.approx((0.3, max(0.3 - half, 0), 0.3 + half))
    assert arm.gain == pytest.approx((0.2, 0.2 - half, 0.2 + half))
    assert arm.rounds[0].mean == 0.1
    assert math.isnan(arm.rounds[0].low)  # all alike
    assert (arm.num_trials, result.num_rounds) == (6, 1)


def test_a_single_seed_has_the_interval_over_its_trials():
    half = t.ppf(0.975, 1) * 0.1 / math.sqrt(2) * math.sqrt(2)
    assert over_attacks([[0.1, 0.3]]) == pytest.approx((0.2, 0.2 - half, 0.2 + half))
    assert math.isnan(over_attacks([[0.1]]).low)
    assert all(math.isnan(value) for value in over_attacks([[0.1, math.nan], [0.1, 0.2]]))


def last(*means):
    """A seed of one trial for each mean, which is that after one round."""
    return [[[0.1, mean]] for mean in means]


def test_the_difference_after_the_last_round_is_that_of_independent_seeds():
    result = attacked({"mle": last(0.5, 0.6, 0.7), "conditional": last(0.2, 0.3, 0.4)})
    (pair,) = result.pairs
    half = t.ppf(0.975, 4) * math.sqrt(2 * 0.01 / 3)
    assert pair.difference == pytest.approx((-0.3, -0.3 - half, -0.3 + half))
    assert pair.is_distinguished
    assert pair.seeds_needed is None
    assert attack_claims(result) == [
        "After 1 round conditional lies below mle by 0.3 (0.0733 to 0.527): 0.3 instead of 0.6.",
        "What 1 round of search adds to the score of the best prompt: mle +0.5 (+0.252 to +0.748); "
        "conditional +0.2 (-0.0484 to +0.448).",
    ]


def test_what_cannot_be_distinguished_says_how_many_seeds_would():
    result = attacked({"mle": last(0.5, 0.6, 0.7), "conditional": last(0.4, 0.5, 0.6)})
    smallest = next(n for n in range(4, 100) if t.ppf(0.975, 2 * n - 2) * math.sqrt(2 * 0.01 / n) < 0.1)
    assert result.pairs[0].seeds_needed == smallest
    assert attack_claims(result)[0] == (
        "After 1 round conditional and mle cannot be distinguished: the difference is -0.1 (-0.327 to +0.127). If the "
        f"difference is as measured, {smallest} seeds each would distinguish the two."
    )


def test_one_seed_each_is_compared_over_its_trials_and_says_so():
    result = attacked({"mle": [[[0.1, 0.5], [0.1, 0.7]]], "conditional": [[[0.1, 0.1], [0.1, 0.1]]]})
    (pair,) = result.pairs
    half = t.ppf(0.975, 1) * 0.1
    assert pair.difference == pytest.approx((-0.5, -0.5 - half, -0.5 + half))
    assert attack_claims(result)[0].endswith("One seed each: the interval is over searches on one model.")


def test_trials_of_one_model_are_not_compared_with_seeds_of_another():
    result = attacked({"mle": last(0.5, 0.6, 0.7), "conditional": [[[0.1, 0.1], [0.1, 0.2]]]})
    assert result.pairs[0].difference.mean == pytest.approx(0.15 - 0.6)
    assert math.isnan(result.pairs[0].difference.low)
    assert attack_claims(result)[0].endswith(": 0.15 instead of 0.6. How certain that is is unknown.")


def test_initial_prompts_that_were_not_sampled_have_no_score():
    result = attacked({"mle": [[[math.nan, 0.5]], [[math.nan, 0.6]]]})
    assert math.isnan(result.arms[0].rounds[0].mean)
    assert math.isnan(result.arms[0].gain.mean)
    assert result.arms[0].rounds[1].mean == pytest.approx(0.55)
    assert attack_chart(result).num_points


def write_search(folder, trials):
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("{}\n")
    (folder / "redteam.json").write_text(json.dumps({"trials": trials}))


def test_a_search_is_read_trial_by_trial(tmp_path):
    trials = [
        {"best_fresh": [0.1, 0.2], "pool_mean": [0.05, 0.06], "best": [9.0, 9.0]},
        {"best_fresh": [None, 0.4], "pool_mean": [0.05, 0.08]},
    ]
    write_search(tmp_path / "whole", trials)
    attack = read_attack(tmp_path / "whole")
    np.testing.assert_equal(attack.best, [[0.1, 0.2], [math.nan, 0.4]])
    assert attack.pool == [0.06, 0.08]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            '{"trials": [{"best_fresh": [0.1, null], "pool_mean": [0.1, 0.1]}]}',
            "a trial of the search ended without a score",
        ),
        ('{"trials": []}', "ended without a score"),
        ('{"trials": [{"best_fresh": [0.1, "0.2"]}]}', "a finite number was expected"),
        ('{"rounds": []}', "trials"),
        ("{", "is not valid JSON"),
        (None, "redteam.json"),
    ],
)
def test_a_search_without_usable_numbers_says_why(tmp_path, content, problem):
    if content is not None:
        (tmp_path / "redteam.json").write_text(content)
    assert problem in read_attack(tmp_path)


def test_each_model_is_searched_with_the_seed_of_its_training_unless_the_study_sets_one():
    seeds = [run.measurements[0].config.redteam.seed for run in runs_of(methods=["mle"], redteam=True)]
    assert seeds == [1, 2]
    (run, _) = runs_of(methods=["mle"], redteam={"overrides": {"redteam.seed": 7}})
    assert run.measurements[0].config.redteam.seed == 7
    (run, _), _ = expand(a_study(methods=["mle"], redteam=True), ["redteam.seed=8"])
    assert run.measurements[0].config.redteam.seed == 8


def test_searches_of_different_lengths_are_refused():
    setting = {"name": "long", "methods": ["conditional"], "overrides": {"redteam.num_rounds": 9}}
    with pytest.raises(ConfigError, match=r"num_rounds is 5 for .*-mle-seed1 and 9 for .*-conditional-long-seed1"):
        runs_of(redteam=True, settings=[setting])


def test_the_page_has_the_red_team_and_the_training_of_a_run_whose_search_is_missing(tmp_path):
    runs = runs_of(redteam=True)
    folder = StudyFolder(tmp_path)
    for run, score in zip(runs, (0.30, 0.10, 0.32, 0.11), strict=True):
        finished(tmp_path, run, [score - 0.01, score, score + 0.01], 2.0)
    for run, score in zip(runs[:3], (0.5, 0.3, 0.6), strict=True):
        trials = [{"best_fresh": [0.1, score], "pool_mean": [0.1, 0.2]}] * 2
        write_search(folder.output(run.name, REDTEAM), trials)
    name = f"{runs[3].name}, redteam"
    answer = read_answer("mine", a_study(), runs, folder, {name: "no prompt"})
    write_answer(answer, folder)
    numbers = json.loads((tmp_path / "study.json").read_text())
    assert numbers["missing"] == {name: "no prompt"}
    assert [arm["seeds"] for arm in numbers["tasks"][0]["arms"]] == [[1, 2], [1, 2]]
    (redteam,) = numbers["redteam"]
    assert [arm["seeds"] for arm in redteam["arms"]] == [[1, 2], [1]]
    assert redteam["arms"][0]["rounds"][1]["mean"] == pytest.approx(0.55)
    assert redteam["arms"][0]["last_round_of_trials"] == [[0.5, 0.5], [0.6, 0.6]]
    page = (tmp_path / "report.html").read_text()
    assert "3 of 4 runs" in page
    assert page.count("<svg") == 2
    assert redteam["claims"][0] in page
