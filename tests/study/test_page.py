"""The answer: one page and one JSON of the same numbers, whatever names and reasons hold."""

import json
import re

import pytest
from tests.study.pieces import a_study, finished, runs_of

from phf.study.folder import StudyFolder
from phf.study.page import write_answer
from phf.study.run import read_answer


@pytest.fixture
def written(tmp_path):
    """A study of which one run is missing."""
    runs = runs_of()
    for run, score in zip(runs[:3], (0.30, 0.10, 0.32), strict=True):
        diversity = {"generation/prompted/distinct-2-grams": 0.625}
        finished(tmp_path, run, [score - 0.01, score, score + 0.01], 2.0 + score, **diversity)
    reason = "<script>alert(1)</script> \x1b[31m"
    answer = read_answer("mine", a_study(), runs, StudyFolder(tmp_path), {runs[3].name: reason})
    write_answer(answer, StudyFolder(tmp_path))
    return tmp_path


def test_numbers_of_the_json(written):
    answer = json.loads((written / "study.json").read_text())
    assert answer["num_runs"] == 4
    assert list(answer["missing"]) == ["pep8-quickstart-conditional-seed2"]
    (task,) = answer["tasks"]
    mle, conditional = task["arms"]
    assert mle["seeds"] == [1, 2]
    assert mle["scores_of_seeds"] == pytest.approx([0.30, 0.32])
    assert mle["score"]["mean"] == pytest.approx(0.31)
    assert mle["metrics"]["distinct-2-grams"]["mean"] == 0.625
    assert conditional["bits_per_byte"] == {"mean": pytest.approx(2.1), "low": None, "high": None}
    (pair,) = task["pairs"]
    assert pair["difference"] == pytest.approx(-0.21)
    assert (pair["first"], pair["second"]) == ("mle", "conditional")
    assert task["claims"][0].startswith("conditional ")
    assert answer["facts"]["tokens of each run"] == "3,000,000"


def test_the_page_has_the_same_and_says_what_is_missing(written):
    page = (written / "report.html").read_text()
    answer = json.loads((written / "study.json").read_text())
    assert "3 of 4 runs" in page
    assert "pep8-quickstart-conditional-seed2" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; \\x1b[31m" in page
    assert re.sub(r"\s+", " ", answer["tasks"][0]["claims"][0]) in page
    assert page.count("<svg") == 1
    assert "0.31" in page
    assert '<th scope="col">distinct-2-grams</th>' in page
    assert "<td>0.625" in page
    assert "1 seed" not in page
    assert "An arm with a single seed" in page


def test_the_page_is_the_same_each_time_it_is_written(written, tmp_path):
    before = [(written / name).read_bytes() for name in ("report.html", "study.json")]
    reason = "<script>alert(1)</script> \x1b[31m"
    answer = read_answer("mine", a_study(), runs_of(), StudyFolder(tmp_path), {runs_of()[3].name: reason})
    write_answer(answer, StudyFolder(tmp_path))
    assert [(written / name).read_bytes() for name in ("report.html", "study.json")] == before


def test_a_study_without_any_result_has_a_page_all_the_same(tmp_path):
    answer = read_answer("mine", a_study(), runs_of(), StudyFolder(tmp_path), {})
    write_answer(answer, StudyFolder(tmp_path))
    assert "0 of 4 runs" in (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "study.json").read_text())["tasks"] == []
