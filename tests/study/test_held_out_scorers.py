"""Scorers that were not trained on: they score the samples of finished runs, once, and none that training used is accepted."""

import json

import pytest
from tests.study.pieces import DIGITS, DigitScorer, a_study, finished, runs_of
from typer.testing import CliRunner

from phf.cli.app import app
from phf.errors import ConfigError
from phf.study.folder import StudyFolder
from phf.study.held_out_scorers import build_held_out, distinct_names
from phf.study.page import to_json
from phf.study.plan import expand
from phf.study.run import read_answer

TRAINED = [0.4, 0.5, 0.6, 0.5]


def a_finished_study(path, *, dataset=None):
    """Two seeds of MLE, and of conditional training, which lies lower by the task's scorer but higher by the digits."""
    for run in runs_of():
        is_mle = run.arm.method == "mle"
        down = 0.0 if is_mle else 0.3
        shift = 0.01 * run.seed
        scores = [score - down + shift for score in TRAINED]
        texts = [f"{score + shift:.3f}" for score in ((0.1, 0.2, 0.3, 0.2) if is_mle else (0.7, 0.8, 0.9, 0.8))]
        finished(path, run, scores, 2.0, texts=texts, dataset=dataset)


def answer_of(path, *scorers):
    return read_answer("mine", a_study(held_out_scorers=list(scorers)), runs_of(), StudyFolder(path), {})


def test_finished_runs_are_scored_afterwards_and_not_twice(tmp_path):
    a_finished_study(tmp_path)
    DigitScorer.num_scored = 0
    answer = answer_of(tmp_path, DIGITS)
    assert DigitScorer.num_scored == 4 * 4
    again = answer_of(tmp_path, DIGITS)
    assert DigitScorer.num_scored == 4 * 4
    assert to_json(again) == to_json(answer)
    (result,) = to_json(answer)["held_out_scorers"]
    mle, conditional = result["arms"]
    assert mle["held_out_score"]["mean"] == pytest.approx(0.2 + 0.015)
    assert conditional["held_out_score"]["mean"] == pytest.approx(0.8 + 0.015)
    assert conditional["trained_on_score"]["mean"] == pytest.approx(0.2 + 0.015)
    assert result["gaps"][0]["verdict"] == "worse"
    assert result["claims"][0].startswith(
        "Warning, over-optimisation: conditional improves on mle by the trained-on PEP8"
    )


def test_other_samples_or_another_scorer_are_scored_again(tmp_path):
    a_finished_study(tmp_path)
    answer_of(tmp_path, DIGITS)
    DigitScorer.num_scored = 0
    answer = answer_of(tmp_path, {"class_name": DIGITS, "times": 0.5})
    assert DigitScorer.num_scored == 4 * 4
    assert to_json(answer)["held_out_scorers"][0]["arms"][1]["held_out_score"]["mean"] == pytest.approx(
        0.8075 / 2, 1e-2
    )
    samples = StudyFolder(tmp_path).run(runs_of()[0].name) / "samples" / "prompted.jsonl"
    samples.write_text(samples.read_text().replace("0.110", "0.990"))
    answer_of(tmp_path, DIGITS)
    assert DigitScorer.num_scored == 5 * 4


def test_samples_without_a_score_are_left_out(tmp_path):
    a_finished_study(tmp_path)
    for run in runs_of():
        samples = StudyFolder(tmp_path).run(run.name) / "samples" / "prompted.jsonl"
        first, *rest = samples.read_text().splitlines(keepends=True)
        line = json.loads(first)
        samples.write_text(json.dumps({**line, "segments": ["none"]}) + "\n" + "".join(rest))
    (result,) = answer_of(tmp_path, DIGITS).gaps
    assert result.arms[0].held_out_score.mean == pytest.approx((0.2 + 0.3 + 0.2) / 3 + 0.015)
    assert result.arms[0].trained_score.mean == pytest.approx(0.515)


def test_the_page_warns(tmp_path, monkeypatch):
    a_finished_study(tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yml").write_text("tasks: [pep8/quickstart]\nmethods: [mle, conditional]\nseeds: [1, 2]\n")
    (tmp_path / "runs" / "mine" / "plan").mkdir()
    result = CliRunner().invoke(app, ["study", "mine.yml", "--held-out-scorer", DIGITS])
    assert result.exit_code == 0, result.output
    assert "Warning, over-optimisation: conditional improves on mle" in result.output
    page = (tmp_path / "runs" / "mine" / "report.html").read_text()
    assert f"Over-optimisation: held-out scorer {DIGITS}" in page
    assert "<strong>Warning, over-optimisation: conditional improves" in page
    assert page.count("<svg") == 2
    assert "<td>0.815" in page


def test_a_failing_scorer_leaves_the_answer_and_is_named(tmp_path):
    a_finished_study(tmp_path)
    answer = answer_of(tmp_path, {"class_name": DIGITS, "times": float("inf")})
    name = f"{runs_of()[0].name}, {DIGITS}"
    assert "inf" in answer.missing[name]
    assert answer.num_whole == 0
    assert answer.results
    assert answer.gaps == []


def test_damaged_scores_are_reported_with_the_file(tmp_path):
    a_finished_study(tmp_path)
    answer_of(tmp_path, DIGITS)
    run = runs_of()[0].name
    (file,) = (tmp_path / "held-out-scorers" / run).iterdir()
    file.write_text('{"scenarios": {"prompted": {"texts_sha256": "x", "scores": ["a"]}}}')
    answer = answer_of(tmp_path, DIGITS)
    assert f"{file}: " in answer.missing[f"{run}, {DIGITS}"]
    assert "Delete it, and the samples are scored again" in answer.missing[f"{run}, {DIGITS}"]


PEP8 = {"class_name": "PEP8Scorer"}


@pytest.mark.parametrize(
    ("scorers", "message"),
    [
        ([PEP8], r"held_out_scorers\.0: PEP8Scorer scores the training data of pep8/quickstart"),
        (["phf.scorers.pep8.scorer:PEP8Scorer"], r"held_out_scorers\.0: .*PEP8Scorer scores the training data"),
        (
            [{"class_name": "CompositeScorer", "scorers": [{"class_name": DIGITS}, PEP8]}],
            r"held_out_scorers\.0: PEP8Scorer scores the training data",
        ),
        ([DIGITS, DIGITS], r"held_out_scorers\.1: .*DigitScorer with the same settings is named twice"),
        (["PIIScorr"], r"held_out_scorers\.0\.class_name: .*Did you mean 'PIIScorer'"),
        ([{"class_name": "PIIScorer", "wights": 1}], r"held_out_scorers\.0\.wights"),
        ([{"scorer": "PIIScorer"}], r"held_out_scorers\.0\.class_name is missing"),
    ],
)
def test_scorers_that_cannot_be_held_out_are_refused_before_anything_is_trained(scorers, message):
    study = a_study(held_out_scorers=scorers)
    with pytest.raises(ConfigError, match=message):
        build_held_out(study.held_out_scorers, expand(study)[0])


@pytest.mark.parametrize("scorers", [3, "PIIScorer", [3]])
def test_what_is_not_a_list_of_scorers_is_refused(scorers):
    with pytest.raises(ConfigError, match=r"study\.yml: 'held_out_scorers"):
        a_study(held_out_scorers=scorers)


def test_a_scorer_that_scored_the_data_of_a_run_is_not_held_out_from_it(tmp_path):
    scorer = {"class_name": DIGITS, "version": "0", "settings": {}}
    a_finished_study(tmp_path, dataset=[{"source": "x", "scorer": scorer}])
    answer = answer_of(tmp_path, DIGITS)
    assert "has scored the data that it was trained on" in answer.missing[f"{runs_of()[0].name}, {DIGITS}"]
    assert answer_of(tmp_path, {"class_name": DIGITS, "times": 2.0}).missing == {}


def test_a_method_with_another_preference_is_not_compared_by_the_scorer_of_that_preference(tmp_path):
    pep8, digits = ({"class_name": name, "version": "0", "settings": {}} for name in ("PEP8Scorer", DIGITS))
    a_finished_study(tmp_path, dataset=[{"source": "x", "scorer": pep8}])
    for run in runs_of(methods=["mle", "ul"]):
        if run.arm.method == "ul":
            dataset = [{"source": "x", "scorer": pep8, "scorers": {"scores": pep8, "digit_scores": digits}}]
            finished(tmp_path, run, [0.1, 0.2, 0.1, 0.2], 2.0, texts=["0.1", "0.2", "0.1", "0.2"], dataset=dataset)
    methods = ["mle", "conditional", "ul"]
    study = a_study(held_out_scorers=[DIGITS], methods=methods)
    answer = read_answer("mine", study, runs_of(methods=methods), StudyFolder(tmp_path), {})
    (result,) = to_json(answer)["held_out_scorers"]
    assert [arm["name"] for arm in result["arms"]] == ["mle", "conditional"]
    assert result["not_held_out_from"] == ["ul"]
    assert result["claims"][-1] == f"ul was trained on {DIGITS}, too, so it is not held out there."
    assert answer.missing == {}


def test_two_scorers_of_one_class_have_two_names():
    study = a_study(held_out_scorers=[DIGITS, {"class_name": DIGITS, "times": 2}])
    scorers = build_held_out(study.held_out_scorers, expand(study)[0])
    assert distinct_names(scorers) == [f"{DIGITS} (1)", f"{DIGITS} (2)"]


def test_the_option_explains_its_form(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["study", "objectives", "--held-out-scorer", "{class_name: "])
    assert result.exit_code == 2
    assert "--held-out-scorer {class_name:" in result.output
