"""Run folders that are unfinished, empty, old or damaged: what can be shown is shown, the rest is said."""

import json
import os

import pytest
from tests.report.test_page import make_run, page
from tests.report.test_verdicts import trained

from phf.errors import CorpusError
from phf.report.page import write_report
from phf.runs.reader import read_run


def beside_a_good_run(bad, tmp_path):
    """The page of a good run and another one; returns its text."""
    return " ".join(page([trained_folder(tmp_path / "good"), bad], tmp_path)[1].text.split())


def trained_folder(folder):
    trained(folder, "mle", 0.3)
    return folder


@pytest.mark.parametrize("name", ["samples", "config.yaml", "provenance.json"])
def test_any_file_but_the_metrics_may_be_missing(name, tmp_path):
    run = trained_folder(tmp_path / "run")
    path = run / name
    if path.is_dir():
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    else:
        path.unlink()
    text = beside_a_good_run(run, tmp_path)
    assert "Provenance" in text
    assert "2 runs: good, run" in text


def test_only_the_metrics_are_needed(tmp_path):
    run = make_run(tmp_path / "run")
    for file in [*(run / "samples").iterdir(), run / "config.yaml", run / "provenance.json"]:
        file.unlink()
    text = page([run], tmp_path)[1].text
    assert "Misalignment against held-out loss" in text  # its numbers are in the metrics
    assert "Distribution of scores" not in text


@pytest.mark.parametrize("content", ["", '{"step": 3, "tok', '{"step": 1, "tokens_seen": 64}\n'])
def test_a_run_without_a_number_is_on_the_page(content, tmp_path):
    run = trained_folder(tmp_path / "run")
    (run / "metrics.jsonl").write_text(content)
    (run / "samples" / "prompted.jsonl").unlink()
    text = beside_a_good_run(run, tmp_path)
    assert "2 runs: good, run" in text
    assert ("cut off in its last line" in text) == content.endswith("tok")
    assert "It has no samples, or they are not in its folder." in text


def test_half_written_last_lines_of_metrics_and_samples_are_left_out_and_noted(tmp_path):
    run = make_run(tmp_path / "run")
    for file in (run / "metrics.jsonl", run / "samples" / "unconditional.jsonl"):
        with file.open("a") as open_file:
            open_file.write('{"step": 3, "tokens_seen": 192, "train/lm')
    text = page([run], tmp_path)[1].text
    assert "metrics.jsonl was cut off in its last line." in text
    assert "unconditional.jsonl was cut off in its last line." in text


def with_numbers(folder):
    """A run that counts its 30 samples of step 2, as `phf` does."""
    trained(folder, "conditional", 0.1, numbers={"generation/prompted/num_samples": 30})
    return folder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda lines: lines[:7],
            "lost samples: samples/prompted.jsonl has 7 of step 2, where metrics.jsonl counts 30",
        ),
        (lambda lines: lines + lines[:1], "has 31 of step 2, where metrics.jsonl counts 30"),
        (lambda lines: [line.replace('"step": 2', '"step": 1') for line in lines], "has 0 of step 2"),
        (
            lambda lines: [line.replace('"score": 0', '"score": 7') for line in lines],
            "has other samples than it measured",
        ),
    ],
)
def test_samples_that_are_not_those_of_the_numbers_are_noted_and_not_compared(change, said, tmp_path):
    run = with_numbers(tmp_path / "run")
    assert read_run(run).problem is None
    text = beside_a_good_run(run, tmp_path)
    assert "Better aligned." in text
    path = run / "samples" / "prompted.jsonl"
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))
    text = " ".join(page([tmp_path / "good", run], tmp_path)[1].text.split())
    assert said in text
    assert "Better aligned." not in text


def test_samples_of_an_evaluation_that_is_not_logged_yet_are_shown(tmp_path):
    run = with_numbers(tmp_path / "run")
    path = run / "samples" / "prompted.jsonl"
    path.write_text(path.read_text() + path.read_text().splitlines(keepends=True)[0].replace('"step": 2', '"step": 3'))
    assert read_run(run).problem is None


def test_a_pipe_in_place_of_samples_is_skipped(tmp_path):
    run = trained_folder(tmp_path / "run")
    (run / "samples" / "prompted.jsonl").unlink()
    os.mkfifo(run / "samples" / "prompted.jsonl")
    trained_folder(tmp_path / "good")
    notices = write_report([tmp_path / "good", run], tmp_path / "report.html")
    assert "prompted.jsonl: is a FIFO, not a regular file" in notices[0]


def test_a_multibyte_character_cut_in_half_is_a_half_written_line(tmp_path):
    run = make_run(tmp_path / "run")
    with (run / "samples" / "unconditional.jsonl").open("ab") as file:
        file.write('{"step": 2, "prompt": "é'.encode()[:-1])
    assert "was cut off in its last line." in page([run], tmp_path)[1].text


def test_empty_folders_and_folders_of_something_else_are_skipped_with_a_reason(tmp_path):
    good = trained_folder(tmp_path / "good")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    notices = write_report(
        [good, *(tmp_path / name for name in ("empty", "other", "file", "nowhere"))], tmp_path / "r.html"
    )
    assert len(notices) == 4
    assert all(notice.startswith("Skipped: ") for notice in notices)
    text = (tmp_path / "r.html").read_text()
    assert text.count("Skipped: ") == 4


def test_a_damaged_run_is_skipped_and_the_others_are_shown(tmp_path):
    good, bad = trained_folder(tmp_path / "good"), trained_folder(tmp_path / "bad")
    (bad / "metrics.jsonl").write_bytes(b"\x00\xff\n{}\n")
    assert len(write_report([good, bad], tmp_path / "r.html")) == 1
    with pytest.raises(CorpusError):
        write_report([bad], tmp_path / "r.html")


def test_unfinished_runs_are_noted_and_have_what_they_measured(tmp_path):
    text = page([make_run(tmp_path / "run", max_steps=50)], tmp_path)[1].text
    assert "Unfinished: step 2 of 50." in text
    assert "Training loss" in text


def test_a_run_of_version_0_1_is_read(tmp_path):
    """Without segment spans, schedules, evaluation scorers and intervals; with keys that have other names today."""
    run = make_run(tmp_path / "run")
    line = {
        "step": 2,
        "tokens_seen": 128,
        "generation/unconditional/score": 0.25,
        "eval/loss": 3.0,
        "train/lm_loss": 4.0,
    }
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    (run / "provenance.json").write_text(json.dumps({"phf_version": "0.1.0", "scorer": {"class_name": "PEP8Scorer"}}))
    (run / "config.yaml").write_text(
        "training: {evaluation_strategy: 'no', seed: 1}\nkl_gpt3_callback: {max_tokens: 64}\n"
    )
    text = beside_a_good_run(run, tmp_path)
    assert "0.25" in text
    assert "evaluation_strategy" in text


def test_a_newer_version_with_keys_of_its_own_is_read(tmp_path):
    run = trained_folder(tmp_path / "run")
    facts = json.loads((run / "provenance.json").read_text())
    (run / "provenance.json").write_text(json.dumps({**facts, "phf_version": "9.0", "brand_new": {"a": [1]}}))
    with (run / "config.yaml").open("a") as file:
        file.write("a_section_of_the_future: {key: 1}\n")
    assert "a_section_of_the_future.key" in beside_a_good_run(run, tmp_path)


@pytest.mark.parametrize(
    "facts",
    [
        {"dataset": None},
        {"dataset": []},
        {"dataset": [{}]},
        {"evaluation_scorer": None},
        {"evaluation_scorer": "a name"},
        {"task": None},
        {"task": ""},
    ],
)
def test_provenance_may_lack_anything(facts, tmp_path):
    run = trained_folder(tmp_path / "run")
    known = json.loads((run / "provenance.json").read_text())
    (run / "provenance.json").write_text(json.dumps({**known, **facts}))
    assert "2 runs: good, run" in beside_a_good_run(run, tmp_path)
