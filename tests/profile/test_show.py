"""What reaches the terminal and the disk, whatever is in the corpus."""

import json
import sys

import pytest
from rich.console import Console
from typer.testing import CliRunner

from phf.cli.app import app
from phf.corpus.dataset import read_annotated, write_shard
from phf.corpus.sources.documents import AnnotatedDocument

HOSTILE = "\x1b[31m[bold red]red[/]\x07\x00\u202etxt\x85\u2028\r\n"


def profile(*arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("phf.cli.profile.results", Console(width=200, highlight=False, emoji=False))
        result = CliRunner().invoke(app, ["profile", *map(str, arguments)])
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
    assert "1 document, 2 segments" in output
    assert "Characters are counted instead of tokens" in output
    row = next(line for line in output.splitlines() if line.startswith("at or below"))
    assert row.split()[3:] == ["100.00%", "50.00%", f"{5 / (5 + len(HOSTILE)):.2%}"]  # the average is 0.25
    row = next(line for line in output.splitlines() if line.startswith("p50 "))
    assert row.split()[:4] == ["p50", "documents", "0.25", "100.00%"]
    content = json.loads((dataset / "profile.json").read_text())
    assert content["levels"]["document"]["percentiles"][0]["threshold"] == 0.25
    assert content["levels"]["segment"]["percentiles"] == []
    assert (dataset / "profile.png").read_bytes().startswith(b"\x89PNG")
    # what is written next to the shards is not part of the dataset
    assert len(list(read_annotated(str(dataset)))) == 1


def test_an_unfinished_annotation_is_reported_as_unfinished(dataset):
    assert "not finished" not in profile(dataset)
    (dataset / "job.json").write_text("{}")
    assert "The annotation of this folder is not finished" in profile(dataset)


def test_output_goes_where_it_is_told(dataset, tmp_path):
    profile(dataset, "--output", tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "profile.json").is_file()
    assert not (dataset / "profile.json").exists()
    assert "use --output" in profile(dataset / "a.parquet")
    profile(dataset, "--output", tmp_path / "elsewhere")  # its own folder is written again
    profile(dataset, "--output", dataset)  # the default, written out


@pytest.mark.parametrize("mistake", ["a folder of others", "a file", "a folder below a file"])
def test_output_that_belongs_to_others_is_refused_before_anything_is_read(dataset, tmp_path, mistake, monkeypatch):
    monkeypatch.setattr("phf.profile.measure.profile_dataset", lambda *_, **__: pytest.fail("was read"))
    monkeypatch.setattr("phf.profile.estimate.estimate_corpus", lambda *_, **__: pytest.fail("was read"))
    taken = tmp_path / "mine"
    if mistake != "a folder of others":
        taken.write_text("mine")
        taken = taken if mistake == "a file" else taken / "out"
    else:
        taken.mkdir()
        (taken / "config.yaml").write_text("mine")
    for more in ((), ("--estimate", "--scorer", "PEP8Scorer")):
        result = CliRunner().invoke(app, ["profile", str(dataset), "--output", str(taken), *more])
        assert result.exit_code == 2
        said = (
            "is a file, not a folder"
            if mistake != "a folder of others"
            else "was not made by phf profile: it has config.yaml"
        )
        assert said in " ".join(result.output.split())
    assert mistake != "a folder of others" or [path.name for path in taken.iterdir()] == ["config.yaml"]
    assert mistake == "a folder of others" or (tmp_path / "mine").read_text() == "mine"


def test_without_matplotlib_everything_but_the_chart_is_there(dataset, monkeypatch):
    for name in ("matplotlib", "matplotlib.backends.backend_agg", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "pip install 'phf[report]'" in profile(dataset)
    assert (dataset / "profile.json").is_file()
    assert not (dataset / "profile.png").exists()
    assert (dataset / "profile.html").is_file()


def test_wrong_options_say_what_is_wanted(dataset):
    for arguments, message in (
        (["--level", "word"], "it must be document or segment"),
        (["--estimate"], "--estimate needs --scorer"),
        (["--threshold", "nan"], "it must be a finite number"),
    ):
        result = CliRunner().invoke(app, ["profile", str(dataset), *arguments])
        assert result.exit_code != 0
        assert message in result.output + str(result.exception)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_numbers_are_whole_in_any_terminal_and_bars_keep_their_proportion(tmp_path, columns):
    meta = {"source": "a name that is far too long for a terminal of eighty columns/" * 2}
    documents = [AnnotatedDocument(str(i), ["word " * 50] * 1234, [0.0123456 * i] * 1234, meta) for i in (1, 2, 2, 2)]
    write_shard(tmp_path / "a.parquet", documents)
    arguments = ["profile", str(tmp_path), "--percentile", "50"]
    output = CliRunner().invoke(app, arguments, env={"COLUMNS": str(columns)}, terminal_width=columns).output
    lines = output.splitlines()
    (group,) = (line.split() for line in lines if "4,936" in line and "100.00%" in line and "documents," not in line)
    assert group[-6:] == ["4", "4,936", "0", "0.0216", "100.00%", "100.00%"]
    assert ["p50", "segments", "0.0246912", "100.00%", "100.00%"] in [line.split() for line in lines]
    bars = [line.count("█") for line in lines if "█" in line]
    assert len(bars) == 4  # one line each: two values at each level
    assert max(bars) <= 40
    assert min(bars) == round(max(bars) / 3)


def test_a_hostile_manifest_reaches_the_terminal_as_escapes_and_reasons_say_whose_they_are(dataset):
    scorer = {"class_name": HOSTILE, "version": "\x1b[2J", "settings": {}}
    manifest = {
        "phf_version": "0", "scorer": scorer, "scorers": {"scores": scorer, "b_scores": scorer}, "segmenter": "lines",
        "sources": ["x"], "fingerprint": "", "num_documents": 1, "num_segments": 2, "num_unscored": 3,
        "unscored_reasons": {"too long": 3},
    }  # fmt: skip
    (dataset / "manifest.json").write_text(json.dumps(manifest))
    output = profile(dataset)
    assert set(output) & {chr(code) for code in range(32)} == {"\n"}
    assert r"\x1b[2J" in output
    assert "Reasons, over all 2 columns of scores:\n  3: too long" in output


def test_backslashes_of_names_are_escaped_once(dataset):
    assert r"\\x1b" not in profile(dataset)


def test_documents_without_text_are_counted_whether_they_have_a_score_or_not(tmp_path):
    write_shard(tmp_path / "a.parquet", [AnnotatedDocument("a", [""], [0.0]), AnnotatedDocument("b", ["b"], [None])])
    assert "1 document has one, 1 has no score at all; 1 document is empty" in profile(tmp_path)


def test_scores_that_differ_in_late_digits_have_distinct_bins(tmp_path):
    write_shard(tmp_path / "a.parquet", [AnnotatedDocument("a", ["a"] * 3, [1000.0, 1000.25, 1000.5])])
    names = [line.split("  ")[0] for line in profile(tmp_path).splitlines() if " to " in line and "%" in line]
    assert len(set(names)) == len(names) > 2


def test_the_chart_says_what_its_colours_mean(dataset, monkeypatch):
    from matplotlib.figure import Figure

    figures = []
    real = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **kw: (figures.append(figure), real(figure, *args, **kw))
    )
    profile(dataset, "--threshold", 0.25)
    ((legend,),) = (figure.legends for figure in figures)
    assert [text.get_text() for text in legend.get_texts()] == ["bin ends at or below 0.25", "bin ends above 0.25"]
