"""Which folders are runs: whatever lies around, `phf report runs/*` reads what it can and says what it skipped."""

import json
import shutil

import pytest
from tests.report.test_page import make_run, page

from phf.errors import CorpusError
from phf.report.page import write_report
from phf.runs.reader import find_runs


@pytest.fixture
def runs(tmp_path):
    """What a folder of runs holds after some weeks."""
    folder = tmp_path / "runs"
    make_run(folder / "mle")
    make_run(folder / "quickstart" / "mle")
    make_run(folder / "quickstart" / "conditional", "conditional")
    for name in ("a", "b"):
        make_run(folder / "evaluate" / name, name)
    (folder / "evaluate" / "comparison.json").write_text("{}")
    (folder / "empty").mkdir()
    (folder / "failed").mkdir()
    (folder / "failed" / "config.yaml").write_text("dataset: {}\n")
    (folder / "report.html").write_text("<p>")
    damaged = make_run(folder / "damaged")
    (damaged / "metrics.jsonl").write_text("{\n{}\n")
    half = make_run(folder / "half")
    (half / "provenance.json").write_text('{"method')
    search = folder / "redteam-mle"
    search.mkdir()
    lines = [
        {"step": step, "tokens_seen": 0, "redteam/best": 0.5, "redteam/num_prompts": 10, "redteam/rescored_best": best}
        for step, best in ((0, None), (1, 0.4375))
    ]
    (search / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (search / "provenance.json").write_text(json.dumps({"method": "mle", "model": "runs/mle/model"}))
    replay = folder / "replay-mle"
    replay.mkdir()
    line = {
        "step": 0,
        "tokens_seen": 0,
        "replay/overall": 0.125,
        "replay/overall_low": 0.0625,
        "replay/overall_high": 0.25,
    }
    (replay / "metrics.jsonl").write_text(json.dumps({**line, "replay/num_prompts": 20}) + "\n")
    (folder / "unfinished-redteam" / "rounds").mkdir(parents=True)
    return folder


def test_a_folder_of_all_kinds_of_folders_is_read(runs, tmp_path):
    read, notices = find_runs(sorted(runs.iterdir()))
    names = [run.name for run in read]
    both = ["evaluate/a", "evaluate/b", "mle", "quickstart/conditional", "quickstart/mle", "redteam-mle", "replay-mle"]
    assert sorted(names) == both
    skipped = ["damaged", "empty", "failed", "half", "report.html", "unfinished-redteam"]
    assert len(notices) == len(skipped)
    for name in skipped:
        assert sum(name in notice for notice in notices) == 1
    parsed = page(sorted(runs.iterdir()), tmp_path)[1]
    text = " ".join(parsed.text.split())
    assert "Red team" in text
    assert "best prompt, sampled again0.4375" in text
    assert "now - then0.125 0.0625 to 0.25" in text.replace("0.1250.0625", "0.125 0.0625")
    assert "redteam/best" not in text
    assert "Skipped: " in text


def test_a_run_that_is_named_twice_is_read_once(runs):
    read, notices = find_runs([runs / "evaluate", runs / "evaluate" / "a", runs / "evaluate" / "a"])
    assert [run.name for run in read] == ["evaluate/a", "evaluate/b"]
    assert notices == []


def test_a_red_team_alone_makes_a_page_without_an_empty_table(runs, tmp_path):
    parsed = page([runs / "redteam-mle"], tmp_path)[1]
    assert "Held-out" not in parsed.text
    assert "20" in parsed.text  # prompts of both rounds


def test_without_a_single_run_the_reason_is_the_error(runs, tmp_path):
    with pytest.raises(CorpusError, match=r"empty is not a run folder: it has no metrics\.jsonl"):
        write_report([runs / "empty", runs / "report.html"], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_a_folder_that_went_away_is_skipped(runs, tmp_path):
    shutil.rmtree(runs / "mle")
    notices = write_report([runs / "mle", runs / "quickstart"], tmp_path / "r.html")
    assert len(notices) == 1
    assert "mle is not a run folder" in notices[0]
