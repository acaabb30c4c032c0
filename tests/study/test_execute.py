"""Runs side by side: each in its place, failures kept apart, interruptions passed on."""

import json
import subprocess
import sys
import time

import pytest
from filelock import FileLock
from tests.study.pieces import fake_launcher, recorded, runs_of

from phf.errors import OutputError
from phf.study import execute as executing
from phf.study.execute import Progress, _Clock, execute
from phf.study.folder import StudyFolder
from phf.study.jobs import is_finished, jobs_of, share
from phf.study.places import places_of

GPUS = [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "5"}]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(executing, "TICK_SECONDS", 0.02)


def run_all(folder, launcher, places=({},), show=lambda progress: None, said=None, **changes):
    (folder / "plan").mkdir(exist_ok=True)
    announce = (lambda message: None) if said is None else said.append
    return execute(jobs_of(runs_of(**changes)), StudyFolder(folder), places, launcher, show, announce)


def test_every_run_is_trained_from_its_configuration(tmp_path):
    assert run_all(tmp_path, fake_launcher(tmp_path)) == {}
    starts = recorded(tmp_path, "start")
    assert [start["run"] for start in starts] == [run.name for run in runs_of()]
    name = runs_of()[0].name
    plan = str(tmp_path / "plan" / f"{name}.yaml")
    assert starts[0]["arguments"] == [
        *("phf", "train", "--config", plan, "--run-name", name, "--output-dir", str(tmp_path)),
    ]


def test_runs_in_progress_have_different_places_and_no_more_than_there_are(tmp_path):
    most = 0

    def show(progress):
        nonlocal most
        most = max(most, len(progress.running))

    run_all(tmp_path, fake_launcher(tmp_path, "time.sleep(0.4)"), GPUS, show)
    assert most == 2
    first, second, *_ = (start["CUDA_VISIBLE_DEVICES"] for start in recorded(tmp_path, "start"))
    assert {first, second} == {"0", "5"}


def test_finished_runs_are_not_run_again_and_begun_ones_are_resumed(tmp_path):
    done, begun, *_ = runs_of()
    (tmp_path / done.name / "model").mkdir(parents=True)
    (tmp_path / done.name / "model" / "config.json").write_text("{}")
    (tmp_path / begun.name).mkdir()
    (tmp_path / begun.name / "config.yaml").write_text("")
    run_all(tmp_path, fake_launcher(tmp_path))
    starts = recorded(tmp_path, "start")
    assert [start["run"] for start in starts] == [run.name for run in runs_of()[1:]]
    assert ["--resume" in start["arguments"] for start in starts] == [True, False, False]


def test_a_failing_run_is_reported_with_its_reason_and_the_others_finish(tmp_path):
    body = "if 'conditional-seed1' in run.name: print('Error: no  such\\nfile'); sys.exit(2)"
    said = []
    failures = run_all(tmp_path, fake_launcher(tmp_path, body), said=said)
    name = "pep8-quickstart-conditional-seed1"
    assert list(failures) == [name]
    assert failures[name].startswith("no such file (exit status 2; ")
    assert len(recorded(tmp_path, "end")) == 3
    assert any(line.startswith(f"{name}: failed. no such file") for line in said)


def test_runs_wait_for_the_one_whose_model_they_continue_and_are_missing_if_it_fails(tmp_path):
    body = "time.sleep(0.2)\nif 'until-50-seed2' in run.name: print('Error: no space'); sys.exit(2)"
    failures = run_all(tmp_path, fake_launcher(tmp_path, body), [{}] * 3, switch_points=[0.5])
    first = "pep8-quickstart-mle-until-50-seed"
    assert failures.pop(f"{first}2").startswith("no space")
    assert failures == {
        f"pep8-quickstart-{method}-from-50-seed2": f"{first}2 failed" for method in ("mle", "conditional")
    }
    lines = map(json.loads, (tmp_path / "record.jsonl").read_text().splitlines())
    events = [(line["event"], line["run"]) for line in lines]
    assert {run for _, run in events[: events.index(("end", f"{first}1"))]} == {f"{first}1", f"{first}2"}
    assert len(recorded(tmp_path, "end")) == 3
    assert run_all(tmp_path, fake_launcher(tmp_path), switch_points=[0.5]) == {}
    assert len(recorded(tmp_path, "end")) == 6


def test_a_killed_run_is_reported_with_the_end_of_its_log(tmp_path):
    body = "if 'mle-seed2' in run.name: print('step 7', flush=True); os.kill(os.getpid(), 9)"
    (reason,) = run_all(tmp_path, fake_launcher(tmp_path, body)).values()
    assert reason.startswith("It ended with signal 9; ")
    assert reason.endswith("mle-seed2.log ends: step 7")


def test_a_run_that_ends_without_a_model_has_failed(tmp_path):
    failures = run_all(tmp_path, fake_launcher(tmp_path, "sys.exit(0)"))
    assert len(failures) == 4
    assert all("exit status 0" in reason for reason in failures.values())


def test_the_error_of_an_earlier_attempt_is_not_that_of_the_next(tmp_path):
    run_all(tmp_path, fake_launcher(tmp_path, "print('Error: first'); sys.exit(2)"))
    failures = run_all(tmp_path, fake_launcher(tmp_path, "print('bye'); sys.exit(1)"))
    assert all("first" not in reason for reason in failures.values())


def test_an_interruption_lets_the_runs_save_their_state(tmp_path):
    body = """
import signal
def save(*_):
    note("saved")
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
(run / "ready").write_text("")
time.sleep(60)
"""

    def show(progress):
        if all((tmp_path / run.name / "ready").exists() for run in runs_of()[:2]):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(tmp_path, fake_launcher(tmp_path, body), [{}, {}], show)
    assert len(recorded(tmp_path, "saved")) == 2


def test_a_run_that_another_process_trains_is_waited_for(tmp_path):
    name = runs_of()[0].name
    (tmp_path / name).mkdir()
    lock = FileLock(tmp_path / name / ".lock")
    lock.acquire()

    def show(progress):
        if progress.finished == 3 and lock.is_locked:
            assert name not in progress.running
            lock.release()

    assert run_all(tmp_path, fake_launcher(tmp_path), show=show) == {}
    assert [start["run"] for start in recorded(tmp_path, "start")][-1] == name


def test_progress_is_read_from_the_run_folders(tmp_path):
    shares, left = [], []

    def show(progress):
        shares.append(progress.share)
        left.append(progress.seconds_left)

    run_all(tmp_path, fake_launcher(tmp_path, "time.sleep(0.2)"), show=show)
    assert 0.25 / 4 in shares  # step 1 of 4 of one run of four
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert left[-1] == 0
    assert all(seconds is None or seconds >= 0 for seconds in left)
    assert Progress(4, 1, 1, {"a": 0.5}, num_jobs=8, num_over=4).share == 0.5625


def test_what_is_measured_follows_the_training_of_its_run(tmp_path):
    study = {"redteam": True, "evaluate": {"only": ["downstream"]}, "methods": ["mle"]}
    progress = []
    assert run_all(tmp_path, fake_launcher(tmp_path), [{}], progress.append, **study) == {}
    starts = recorded(tmp_path, "start")
    first, second = (run.name for run in runs_of(methods=["mle"]))
    assert [(start["run"], start["command"]) for start in starts] == [
        *((first, command) for command in ("train", "evaluate", "redteam")),
        *((second, command) for command in ("train", "evaluate", "redteam")),
    ]
    model, plan, output = (
        str(tmp_path / name) for name in (f"{first}/model", f"plan/evaluate/{first}.yaml", "evaluate")
    )
    assert starts[1]["arguments"] == [
        *("phf", "evaluate", model, "--config", plan, "--output", f"{output}/{first}", "--only", "downstream"),
    ]
    assert [(now.finished, now.total, now.num_jobs) for now in progress[-1:]] == [(2, 2, 6)]
    assert progress[-1].share == 1


def test_jobs_of_different_runs_share_the_places(tmp_path):
    most = []
    run_all(
        tmp_path,
        fake_launcher(tmp_path, "time.sleep(0.3)"),
        GPUS,
        lambda progress: most.append(sorted(name.partition(", ")[2] for name in progress.running)),
        redteam=True,
    )
    assert max(map(len, most)) == 2
    assert ["redteam", "redteam"] in most


def test_what_is_measured_is_not_begun_after_a_training_that_failed(tmp_path):
    body = "if command == 'train' and 'mle-seed1' in run.name: print('Error: no GPU'); sys.exit(2)"
    failures = run_all(tmp_path, fake_launcher(tmp_path, body), redteam=True)
    name = "pep8-quickstart-mle-seed1"
    assert list(failures) == [name, f"{name}, redteam"]
    assert failures[f"{name}, redteam"] == f"{name} failed"
    assert len(recorded(tmp_path, "end")) == 6


def test_a_measurement_that_fails_is_made_again_without_the_training(tmp_path):
    body = "if command == 'redteam': print('Error: no prompt'); sys.exit(2)"
    (reason, *others) = run_all(tmp_path, fake_launcher(tmp_path, body), redteam=True).values()
    assert reason.startswith("no prompt (exit status 2; ")
    assert f"logs/redteam/{runs_of()[0].name}.log" in reason
    assert len(others) == 3
    (tmp_path / "record.jsonl").unlink()
    assert run_all(tmp_path, fake_launcher(tmp_path), redteam=True) == {}
    assert {start["command"] for start in recorded(tmp_path, "start")} == {"redteam"}


def test_an_evaluation_is_finished_once_it_has_the_parts_that_the_study_names(tmp_path):
    (job,) = [job for job in jobs_of(runs_of(methods=["mle"], seeds=[1], evaluate={"only": ["kl"]})) if job.after]
    output = tmp_path / "evaluate" / job.run.name
    output.mkdir(parents=True)
    (output / "metrics.jsonl").write_text("{}\n")
    (output / "evaluation.json").write_text('{"parts": {"generation": {}}}')
    assert not is_finished(job, StudyFolder(tmp_path))
    (output / "evaluation.json").write_text('{"parts": {"generation": {}, "kl": {}}}')
    assert is_finished(job, StudyFolder(tmp_path))


def test_the_share_of_a_search_is_that_of_its_rounds(tmp_path):
    overrides = {"redteam.num_trials": 2, "redteam.num_rounds": 3}
    job = jobs_of(runs_of(methods=["mle"], seeds=[1], redteam={"overrides": overrides}))[1]
    rounds = tmp_path / "redteam" / job.run.name / "rounds"
    rounds.mkdir(parents=True)
    for number in range(4):
        (rounds / f"trial-000-round-{number:03d}.json").write_text("{}")
    assert (
        share(job, StudyFolder(tmp_path)) == 4 / 12
    )  # two trials of the initial round, three more, and twice what is sampled again


def test_the_time_left_is_that_of_each_kind_of_job(monkeypatch):
    jobs = jobs_of(runs_of(methods=["mle"], redteam=True))
    now = 0.0
    monkeypatch.setattr(executing.time, "monotonic", lambda: now)
    clock = _Clock(jobs, 2)
    assert clock.seconds_left({}) is None
    clock.begin(jobs[0], 0.0)
    now = 10.0
    assert clock.seconds_left({jobs[0].name: 0.25}) == (30 + 40 + 2 * 40) / 2  # a search as long as a training
    now = 40.0
    clock.end(jobs[0], is_done=True)
    clock.begin(jobs[1], 0.0)
    now = 41.0
    assert clock.seconds_left({jobs[1].name: 0.5}) == (1 + 40 + 2) / 2
    clock.end(jobs[1], is_done=False)
    clock.begin(jobs[2], 0.9)
    assert clock.seconds_left({jobs[2].name: 0.9}) == pytest.approx((4 + 40) / 2)  # nothing is known of a search


def test_the_time_left_counts_shorter_trainings_as_less(monkeypatch):
    now = 0.0
    monkeypatch.setattr(executing.time, "monotonic", lambda: now)
    half, whole, after = jobs_of(runs_of(switch_points=[0, 0.5], methods=["mle"], seeds=[1]))
    clock = _Clock([half, whole, after], 1)
    clock.begin(half, 0.0)
    now = 10.0
    assert clock.seconds_left({half.name: 1.0}) == pytest.approx(20 + 10, rel=0.01)
    clock.end(half, is_done=True)
    clock.begin(after, 0.0)
    assert clock.seconds_left({after.name: 0.0}) == pytest.approx(10 + 20, rel=0.01)


def test_a_run_that_was_killed_after_its_last_step_is_finished_and_says_nothing_about_the_others(tmp_path):
    first = tmp_path / runs_of()[0].name
    first.mkdir()
    (first / "config.yaml").write_text("x")
    (first / "provenance.json").write_text('{"max_steps": 4}')
    (first / "metrics.jsonl").write_text('{"step": 4, "tokens_seen": 4}\n')
    left = []
    assert run_all(tmp_path, fake_launcher(tmp_path), show=lambda progress: left.append(progress.seconds_left)) == {}
    assert left[-1] == 0


def test_a_launcher_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"^no-such-launcher phf train .*: cannot be started: No such file"):
        run_all(tmp_path, ["no-such-launcher"])


def test_places():
    assert places_of(0, 8, None, 18, {}) == [{"OMP_NUM_THREADS": "1"}] * 8
    assert places_of(0, 8, 2, 18, {}) == [{"OMP_NUM_THREADS": "4"}] * 2
    assert places_of(0, 8, None, 4, {}) == [{"OMP_NUM_THREADS": "2"}] * 4
    assert places_of(0, 2, None, 18, {"OMP_NUM_THREADS": "3"}) == [{}] * 2
    gpus = places_of(2, 16, None, 18, {})
    assert gpus == [{"OMP_NUM_THREADS": "8", "CUDA_VISIBLE_DEVICES": name} for name in ("0", "1")]
    shared = places_of(2, 16, 4, 18, {"CUDA_VISIBLE_DEVICES": "3, GPU-7"})
    assert [place["CUDA_VISIBLE_DEVICES"] for place in shared] == ["3", "GPU-7", "3", "GPU-7"]


def test_a_run_ends_with_the_study_that_started_it(tmp_path):
    (tmp_path / "sleeper.py").write_text(
        "import signal, sys, time\n"
        "def end(*_):\n    open(sys.argv[1], 'w').write('asked to stop')\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    program = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'phf.workers.attached', str(os.getpid()), 'sleeper', 'end.txt'],"
        " stdout=subprocess.PIPE)\nchild.stdout.readline()\nos._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=30)
    deadline = time.monotonic() + 20
    while not (tmp_path / "end.txt").exists() or not (tmp_path / "end.txt").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (tmp_path / "end.txt").read_text() == "asked to stop"
