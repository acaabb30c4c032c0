"""What the page says about switches, with values worked out by hand."""

import json

import pytest
from tests.study.pieces import a_study, finished, runs_of

from phf.report import charts
from phf.report.svg import draw
from phf.study import switch_answer
from phf.study.folder import StudyFolder
from phf.study.page import write_answer
from phf.study.run import read_answer

SWITCHES = {"methods": ["mle", "conditional"], "switch_points": [0, 0.5, 0.9], "training_from": "task"}
MEANS = {
    "mle": (0.40, 0.44),
    "mle-from-50": (0.41, 0.43),
    "mle-from-90": (0.40, 0.42),
    "conditional": (0.10, 0.12),
    "conditional-from-50": (0.20, 0.22),
    "conditional-from-90": (0.12, 0.10),
}


def answer_of(folder, left_out=()):
    runs = runs_of(**SWITCHES)
    for run in runs:
        if run.is_compared and run.name not in left_out:
            mean = MEANS[run.arm.name][run.seed - 1]
            finished(folder, run, [mean, mean], 2 + mean)
        elif not run.is_compared:
            finished(folder, run, [9.0, 9.0], 9.0)
    answer = read_answer("mine", a_study(**SWITCHES), runs, StudyFolder(folder), {})
    write_answer(answer, StudyFolder(folder))
    return answer, json.loads((folder / "study.json").read_text()), (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    return answer_of(tmp_path_factory.mktemp("study"))


def test_each_later_point_is_compared_with_the_method_from_the_start(answered):
    _, numbers, page = answered
    (task,) = numbers["tasks"]
    claims = [claim for claim in task["switch_claims"] if claim.startswith("conditional")]
    # means 0.11 and 0.21, each with the standard error sqrt(0.0002 / 2) = 0.01; Student's 97.5% quantile for 2 degrees of
    # freedom is 4.303, so 0.1 -+ 4.303 * 0.01 * sqrt(2)
    assert claims[0].startswith(
        "conditional from 50% lies above conditional from the start by 0.1 (0.0392 to 0.161), held-out loss +4.7% ("
    )
    assert claims[1].startswith("conditional from 90% and conditional from the start cannot be distinguished: ")
    assert len(task["switch_claims"]) == 4
    assert task["switch_claims"][0].startswith(
        "mle begun again at 50% and mle without a switch cannot be distinguished"
    )
    for claim in task["switch_claims"]:
        assert claim in page
    assert {arm["name"]: arm["switch_point"] for arm in task["arms"]}["conditional-from-90"] == 0.9


def test_runs_until_a_switch_count_as_runs_but_are_not_compared(answered):
    answer, numbers, page = answered
    assert answer.num_runs == numbers["num_runs"] == 16
    assert {arm["name"] for arm in numbers["tasks"][0]["arms"]} == set(MEANS)
    assert "16 of 16 runs" in page
    assert "until" not in str(numbers["tasks"])
    assert numbers["facts"]["tokens of each run"] == "3,000,000"
    assert "the learning rate" in numbers["facts"]["switches"]


def test_the_figure_has_a_line_for_each_method_over_the_share_that_it_trains(answered, monkeypatch):
    (result,) = answered[0].results
    drawn = []
    monkeypatch.setattr(switch_answer, "interval_chart", lambda *arguments: drawn.append(arguments) or "chart")
    assert switch_answer.switch_charts(result) == ["chart", "chart"]
    (_, _, y_label, lines, band), (_, _, bits_label, bits_lines, _) = drawn
    assert (y_label, bits_label) == ("mean misalignment score", "held-out bits per byte")
    assert [line.name for line in lines] == [line.name for line in bits_lines] == ["mle, begun again", "conditional"]
    shares, means, lows, highs = zip(*lines[1].points, strict=True)
    assert shares == (100, 50, pytest.approx(10))
    assert means == pytest.approx((0.11, 0.21, 0.11))
    assert lows[1] == pytest.approx(0.21 - 12.706 * 0.01, abs=1e-4)  # Student's, 1 degree of freedom
    assert highs[1] == pytest.approx(0.21 + 12.706 * 0.01, abs=1e-4)
    assert (band.name, band.mean) == ("mle", pytest.approx(0.42))
    assert [mean for _, mean, _, _ in bits_lines[1].points] == pytest.approx([2.11, 2.21, 2.11])


def test_the_figure_is_drawn_the_same_each_time_with_and_without_a_band():
    line = charts.Line("a", [(100.0, 1.0, 0.5, 1.5), (50.0, 2.0, 2.0, 2.0)])
    band = charts.Band("mle", 3.0, 2.5, 3.5)
    drawing = draw(charts.interval_chart("t", "x", "y", [line], band))
    assert drawing == draw(charts.interval_chart("t", "x", "y", [line], band))
    assert drawing.startswith("<svg ")
    assert ">mle</text>" in drawing
    assert ">mle</text>" not in draw(charts.interval_chart("t", "x", "y", [line], None))


def test_a_method_without_its_run_from_the_start_is_compared_with_the_earliest_point(tmp_path):
    left_out = [f"pep8-quickstart-conditional-seed{seed}" for seed in (1, 2)]
    answer, numbers, _ = answer_of(tmp_path, left_out)
    claims = [claim for claim in numbers["tasks"][0]["switch_claims"] if claim.startswith("conditional")]
    assert len(claims) == 1
    assert claims[0].startswith("conditional from 90% ")
    assert "conditional from 50%" in claims[0]
    assert sorted(answer.missing) == left_out


def test_a_study_without_switches_says_nothing_about_them(tmp_path):
    runs = runs_of()
    for run in runs:
        finished(tmp_path, run, [0.1, 0.2], 2.0)
    answer = read_answer("mine", a_study(), runs, StudyFolder(tmp_path), {})
    write_answer(answer, StudyFolder(tmp_path))
    assert switch_answer.switch_charts(answer.results[0]) == []
    assert "When the method begins" not in (tmp_path / "report.html").read_text()
    assert "switches" not in answer.facts
