"""What reaches the terminal and the disk, whatever is in the corpus."""

import json
import sys

import pytest
from typer.testing import CliRunner

from phf.cli import app
from phf.data.dataset import read_annotated, write_shard
from phf.data.sources import AnnotatedDocument

HOSTILE = "\x1b[31m[bold red]red[/]\x07\x00\u202etxt\x85\u2028\r\n"


def profile(*arguments):
    result = CliRunner().invoke(app, ["profile", *map(str, arguments)], env={"COLUMNS": "200"}, terminal_width=200)
    assert result.exception is None, result.exception
    return result.output


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "dataset"
    folder.mkdir()
    meta = {"[red]key": HOSTILE}
    write_shard(folder / "a.parquet", [AnnotatedDocument(HOSTILE, [HOSTILE, "fine\n"], [0.5, 0.0], meta)])
    return folder


def test_hostile_text_reaches_the_terminal_as_escapes(dataset):
    output = profile(dataset)
    assert set(output) & {chr(code) for code in range(32)} == {"\n"}
    assert not set(output) & {"\x7f", "\x85", "\u202e", "\u2028"}
    assert r"\x1b[31m[bold red]red[/]\x07\x00\u202etxt\x85\u2028\r\n" in output
    assert "[red]key" in output


def test_lone_surrogates_are_shown_and_written_as_replacement_characters(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"id": "\\ud800", "texts": ["\\ud83d"], "scores": [0.5], "meta": {"k": "\\udc00"}}\n'
    )
    assert profile(tmp_path).count("\ufffd") >= 3
    assert json.loads((tmp_path / "profile.json").read_text())["examples"][0]["text"] == "\ufffd"


def test_numbers_by_hand_and_the_files(dataset):
    output = profile(dataset, "--percentile", 50, "--level", "document", "--threshold", 0.25)
    assert "1 documents, 2 segments" in output
    assert "Characters stand for tokens" in output
    row = next(line for line in output.splitlines() if line.startswith("at or below"))
    assert row.split()[3:] == ["100.00%", "50.00%", f"{5 / (5 + len(HOSTILE)):.2%}"]  # the average is 0.25
    row = next(line for line in output.splitlines() if line.startswith("p50 "))
    assert row.split()[:4] == ["p50", "documents", "0.25", "100.00%"]
    found = json.loads((dataset / "profile.json").read_text())
    assert found["levels"]["document"]["percentiles"][0]["threshold"] == 0.25
    assert found["levels"]["segment"]["percentiles"] == []
    assert (dataset / "profile.png").read_bytes().startswith(b"\x89PNG")
    # what is written beside the shards is no part of the dataset
    assert len(list(read_annotated(str(dataset)))) == 1


def test_an_unfinished_annotation_is_said_to_be_one(dataset):
    assert "not finished" not in profile(dataset)
    (dataset / "job.json").write_text("{}")
    assert "The annotation of this folder is not finished" in profile(dataset)


def test_output_goes_where_it_is_told(dataset, tmp_path):
    profile(dataset, "--output", tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "profile.json").is_file()
    assert not (dataset / "profile.json").exists()
    assert "name --output" in profile(dataset / "a.parquet")


def test_without_matplotlib_everything_but_the_chart_is_there(dataset, monkeypatch):
    for name in ("matplotlib", "matplotlib.backends.backend_agg", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "pip install 'phf[report]'" in profile(dataset)
    assert (dataset / "profile.json").is_file()
    assert not (dataset / "profile.png").exists()


def test_wrong_options_say_what_is_wanted(dataset):
    for arguments, message in (
        (["--level", "word"], "it must be document or segment"),
        (["--estimate"], "--estimate needs --scorer"),
    ):
        result = CliRunner().invoke(app, ["profile", str(dataset), *arguments])
        assert result.exit_code != 0
        assert message in result.output + str(result.exception)
