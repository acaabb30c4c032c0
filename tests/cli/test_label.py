"""`phf label` in the terminal, and on a page from another process."""

import json
import re
import signal
import subprocess
import sys
import urllib.request

import pytest
from tests.labels.conftest import dataset  # noqa: F401
from typer.testing import CliRunner

from phf.cli import app as cli
from phf.cli.label import label
from phf.errors import ConfigError


def phf(*arguments, typed=""):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], input=typed)


def test_labels_from_the_terminal_and_their_agreement(dataset, tmp_path):  # noqa: F811
    path = tmp_path / "labels.jsonl"
    options = ("--output", path, "--count", "4", "--terminal", "--choose", "quantiles")
    first = phf("label", dataset, "--annotator", "ann", *options, typed="1\nseven\n5\n3\nq\n")
    assert first.exit_code == 0, first.output
    assert "'seven' is not one of the answers" in first.output
    assert "3 of 4 questions answered" in first.output
    assert (
        "1 annotator, 0 questions in common; Krippendorff's alpha is not defined: there is only one annotator"
        in first.output
    )
    assert phf("label", dataset, "--annotator", "ann", *options, typed="2\n").exit_code == 0
    other = phf("label", dataset, "--annotator", "bob", *options, typed="1\n5\n3\n2\n")
    assert "4 questions in common; Krippendorff's alpha 1.000" in other.output
    assert [json.loads(line)["annotator"] for line in path.read_text().splitlines()] == ["ann"] * 4 + ["bob"] * 4
    report = ("label", dataset, "--output", path, "--report")
    shown = phf(*report).output
    assert "alpha 1.000" in shown
    assert shown.splitlines()[-1].startswith("Next: phf reward ")
    assert json.loads(phf(*report, "--json").stdout)["agreement"][0]["alpha"] == 1


def test_names_that_differ_only_in_case_are_announced(dataset, tmp_path):  # noqa: F811
    options = ("--output", tmp_path / "labels.jsonl", "--count", "2", "--terminal")
    assert "two annotators" not in phf("label", dataset, "--annotator", "Ann", *options, typed="1\n5\n").output
    again = " ".join(phf("label", dataset, "--annotator", "ann", *options, typed="1\n5\n").output.split())
    assert again.count("'Ann' and 'ann' count as two annotators") == 1
    report = phf("label", dataset, "--output", tmp_path / "labels.jsonl", "--report").output
    assert "'Ann' and 'ann' count as two annotators" in " ".join(report.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--annotator is missing"),
        (("--annotator", " "), "--annotator is missing"),
        (("--annotator", "a", "--choose", "disagreement"), "give the second one as --other-column"),
        (("--annotator", "a", "--other-column", "pii_scores"), "only with --choose disagreement"),
        (("--annotator", "a", "--scale", "bad"), "--scale bad"),
        (("--annotator", "a", "--choose", "quantiles", "--scores-column", "x_scores"), "has no 'x_scores'"),
    ],
)
def test_wrong_options_end_in_one_message(dataset, tmp_path, options, message):  # noqa: F811
    result = phf("label", dataset, "--output", tmp_path / "labels.jsonl", "--terminal", *options)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "labels.jsonl").exists()


@pytest.mark.slow
def test_the_page_is_served_until_it_is_interrupted(dataset, tmp_path):  # noqa: F811
    # what runs in the background of a shell is started without SIGINT
    start = (
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "runpy.run_module('phf', run_name='__main__', alter_sys=True)"
    )
    command = [sys.executable, "-c", start]
    command += ["label", dataset, "--annotator", "ann", "--output", tmp_path / "l.jsonl"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output = ""
        while not (url := re.search(r"Open (http://127\.0\.0\.1:\d+/\S+/)", output)):
            line = process.stdout.readline()
            assert line, output
            output += line
        page = urllib.request.urlopen(url[1], timeout=30).read().decode()
        key = re.search(r'name="question" value="(\w+)"', page)[1]
        urllib.request.urlopen(f"{url[1]}answer", f"question={key}&answer=4".encode(), timeout=30).read()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "1 of 100 questions answered" in rest
    assert "Every answer is saved" in rest
    assert json.loads((tmp_path / "l.jsonl").read_text())["rating"] == 4


@pytest.mark.parametrize("closed", ["stdin", "stdout", "stderr"])
def test_a_terminal_that_is_closed_is_found_before_the_dataset_is_read(closed, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, closed, None)
    with pytest.raises(ConfigError, match="--terminal needs standard input, output and error"):
        label("missing", annotator="a", output=tmp_path / "labels.jsonl", terminal=True)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_what_is_typed_in_another_encoding_is_a_mistake(dataset, tmp_path):  # noqa: F811
    options = ("--annotator", "a", "--terminal", "--output", tmp_path / "labels.jsonl")
    result = phf("label", dataset, *options, typed=b"\xff\n")
    assert result.exit_code == 2
    assert "What was typed is not UTF-8." in result.stderr
