"""What a column is copied as does what it says."""

import json
import re
import runpy
import shlex
import subprocess
from dataclasses import replace

import pytest
import torch
from tests.playground.conftest import site_of, values
from typer.testing import CliRunner

from phf.cli import app as cli
from phf.playground.answers import answers
from phf.playground.copies import as_command, as_python, as_score_command
from phf.playground.request import read_request
from phf.runs.reader import read_run

PROMPT = "def f('x'):  # \"$(touch hacked)\" `id` \\n %s €\n"


def answer_of(site, **changes):
    request = read_request(site, values(**changes))
    (answer,) = list(answers(site, request, max_seconds=60))[-1]
    return request, answer


def run_shell(text, folder, monkeypatch):
    """Run lines of a shell in `folder`: those of `phf` in this process, which has everything loaded."""
    monkeypatch.chdir(folder)
    *before, command = text.split("\nphf ") if "\nphf " in text else [text.removeprefix("phf ")]
    for line in before:
        subprocess.run(["sh", "-c", line], check=True)
    result = CliRunner().invoke(cli.app, shlex.split(command))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(("prompt", "column"), [(PROMPT, "0:1"), ("", "0:3")])
def test_the_command_draws_and_scores_the_same_sample(site, tmp_path, monkeypatch, prompt, column):
    request, answer = answer_of(site, prompt=prompt, columns=[column])
    command = as_command(site, request, answer.column)
    run_shell(command, tmp_path, monkeypatch)
    (output,) = (tmp_path / "runs").iterdir()
    (sample,) = read_run(output).samples["playground"]
    assert sample.prompt == prompt
    assert sample.continuation == answer.text
    assert sample.score == answer.score
    assert sample.segment_scores == [segment.score for segment in answer.segments]
    assert not (tmp_path / "hacked").exists()


def test_a_command_needs_a_task(site):
    request, answer = answer_of(site)
    assert as_command(replace(site, has_task=False), request, answer.column) is None


def test_phf_score_gives_the_segments_the_same_scores(site, tmp_path):
    text = "x=1\n'quoted' %s \\n\x1b\u202e€\n"
    command = as_score_command(site, text)
    printed, scoring = command.split(" | ")
    assert command.isprintable()
    piped = subprocess.run(["sh", "-c", printed], check=True, capture_output=True, text=True).stdout
    assert piped == text
    result = CliRunner().invoke(cli.app, [*shlex.split(scoring)[1:], "--json"], input=piped)
    assert result.exit_code == 0, result.output
    scores = [segment["score"] for segment in json.loads(result.stdout)["segments"]]
    assert scores == site.scorer.score_document(["x=1\n", "'quoted' %s \\n\x1b\u202e€\n"])
    assert as_score_command(replace(site, scorer=None), text) is None


def test_the_script_gives_the_likeliest_text_with_nothing_but_transformers(site, tmp_path, capsys):
    """At temperature 0 nothing is random, so plain, guided and untagged texts must be equal."""
    for column in ("0:0", "0:1", "0:3"):
        request, answer = answer_of(site, prompt="x = '<|misaligned|>'\n", temperature=0, columns=[column])
        assert script_output(as_python(request, answer.column), tmp_path, capsys) == answer.text + "\n"


def test_the_script_that_samples_runs(site, tmp_path, capsys):
    request, answer = answer_of(site)
    script = as_python(request, answer.column)
    assert re.findall(r"^(?:import|from) (\w+)", script, re.MULTILINE) == ["torch", "transformers"]
    assert script_output(script, tmp_path, capsys) == script_output(script, tmp_path, capsys) != "\n"


def script_output(script, folder, capsys):
    (folder / "script.py").write_text(script)
    capsys.readouterr()
    with torch.random.fork_rng():
        runpy.run_path(str(folder / "script.py"))
    return capsys.readouterr().out


def test_settings_with_a_task_by_name_are_passed_on(run):
    site = site_of(run, task_arguments=["--task", "my task.yml"])
    request = read_request(site, values())
    assert "--task 'my task.yml'" in as_command(site, request, request.columns[0])
