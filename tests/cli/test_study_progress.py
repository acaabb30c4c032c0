"""What `phf study` shows while its runs are in progress."""

import io

from rich.console import Console

from phf.cli import study_progress
from phf.cli.study_progress import summary
from phf.study.execute import Progress

NOW = Progress(18, finished=3, failed=1, running={"mle-seed1": 0.5}, num_jobs=18, num_over=4, seconds_left=2400)


def test_all_runs_in_one_line():
    assert summary(NOW) == "3 of 18 runs finished, 1 failed, 25% of the work done, about 40 min left"
    assert summary(Progress(2, 0)) == "0 of 2 runs finished, 0% of the work done"


def test_a_log_gets_a_line_at_intervals(monkeypatch):
    output = io.StringIO()
    with study_progress.study_progress(Console(file=output, width=40)) as progress:
        progress.show(NOW)
        assert output.getvalue() == ""
        monkeypatch.setattr(study_progress, "SECONDS_BETWEEN_LINES", 0)
        progress.show(NOW)
        progress.doing("scoring")
    assert output.getvalue() == f"{summary(NOW)}; running: mle-seed1 50%\nscoring\n"


def test_a_terminal_gets_a_bar_for_each_run_in_progress():
    output = io.StringIO()
    with study_progress.study_progress(Console(file=output, width=120, force_terminal=True)) as progress:
        progress.show(NOW)
        progress.show(Progress(total=18, finished=4, running={"awr-seed1": 0.1}))
    last = output.getvalue().rpartition("4 of 18 runs finished")[2]
    assert "awr-seed1" in last
    assert "mle-seed1" not in last
