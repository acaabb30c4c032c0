"""`--export`: each figure of a page as CSV, SVG and PNG, each table as CSV."""

import csv
from xml.etree import ElementTree

import pytest
from tests.report.kinds_of_pages import WITH_FIGURES, study
from tests.report.test_verdicts import trained
from typer.testing import CliRunner

from phf.cli.app import app
from phf.errors import OutputError
from phf.report.charts import Chart, Point, Series
from phf.report.export import csv_text, export
from phf.report.page import write_report


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_figure_and_table_is_written(tmp_path):
    for name, mean in (("mle", 0.3), ("ul", 0.1)):
        trained(tmp_path / "runs" / name, name, mean)
    arguments = [
        "report",
        str(tmp_path / "runs"),
        "--output",
        str(tmp_path / "r.html"),
        "--export",
        str(tmp_path / "out"),
    ]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert f"Figures and tables: {tmp_path / 'out'}" in result.output.replace("\n", "")
    page = (tmp_path / "r.html").read_text()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    for figure in ("misalignment-against-held-out-loss", "distribution-of-scores"):
        assert {f"{figure}.csv", f"{figure}.svg", f"{figure}.png"} <= names
        ElementTree.parse(tmp_path / "out" / f"{figure}.svg")
        assert (tmp_path / "out" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    assert len([name for name in names if name.endswith(".svg")]) == page.count("<svg")
    trade_off = rows_of(tmp_path / "out" / "misalignment-against-held-out-loss.csv")
    assert [(row["series"], row["held-out bits per byte"]) for row in trade_off] == [
        ("pep8/mle", "2.0"),
        ("pep8/ul", "2.0"),
    ]
    assert [row["verdict"] for row in rows_of(tmp_path / "out" / "verdicts.csv")] == ["Baseline", "Better aligned"]
    assert [row["method"] for row in rows_of(tmp_path / "out" / "numbers.csv")] == ["pep8/mle", "pep8/ul"]


@pytest.mark.parametrize("name", ["=1+1", "+a", "-a", "@a", "\ta", "a\nb", 'a"b,c', "a\x1b[31m", "../../x", ""])
def test_hostile_names_are_neither_formulas_nor_paths(name, tmp_path):
    chart = Chart(name, "x", "y", [Series(name, [Point(1, 2, 1.5, 2.5)])])
    assert (
        export([(name, chart), (name, chart)], [(name, [{"name": name, "value": float("nan")}])], tmp_path / "out") == 7
    )
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert all(file.parts[0] == "out" and len(file.parts) == 2 for file in files)
    assert len(files) == 7
    for file in files:
        if file.suffix == ".csv":
            for row in rows_of(tmp_path / file):
                for cell in row.values():
                    assert not cell.startswith(("=", "+", "-", "@", "\t"))
                    assert "\x1b" not in cell
    assert csv_text([]) == "\n" or csv_text([]) == ""


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match="file"):
            write_report([tmp_path / "no-runs"], tmp_path / "r.html", export_to=folder)


def test_all_points_of_a_long_line_are_exported(tmp_path):
    chart = Chart("Long", "x", "y", [Series("a", [Point(x, x % 7) for x in range(5000)])])
    export([("Long", chart)], [], tmp_path)
    assert len(rows_of(tmp_path / "long.csv")) == 5000


@pytest.mark.parametrize("kind", WITH_FIGURES, ids=lambda kind: kind.__name__)
def test_pages_of_every_kind_export_what_they_draw(kind, tmp_path):
    page = kind(tmp_path, tmp_path / "out").read_text()
    files = {path.name for path in (tmp_path / "out").iterdir()}
    drawn = {name.removesuffix(".svg") for name in files if name.endswith(".svg")}
    assert len(drawn) == page.count("<svg") > 0
    assert {f"{name}{end}" for name in drawn for end in (".csv", ".png")} <= files
    tables = {name: rows_of(tmp_path / "out" / name) for name in files if name.endswith(".csv")}
    assert len(tables) > len(drawn)
    assert all(tables.values())
    assert not [cell for rows in tables.values() for row in rows for cell in row.values() if "\x1b" in cell]


def test_a_study_exports_each_interval_as_three_columns(tmp_path):
    study(tmp_path, tmp_path / "out")
    methods = rows_of(tmp_path / "out" / "methods-pep8-quickstart-prompted.csv")
    conditional = next(row for row in methods if row["method"] == "conditional")
    assert float(conditional["score"]) == pytest.approx(0.11)
    # two seeds with means 0.10 and 0.12: Student's 97.5% quantile for 1 degree of freedom is 12.706, times 0.01
    assert float(conditional["score_high"]) == pytest.approx(0.11 + 12.706 * 0.01, abs=1e-4)
    seeds = rows_of(tmp_path / "out" / "seeds-pep8-quickstart-prompted.csv")
    assert [row["score"][:4] for row in seeds if row["method"] == "conditional"] == ["0.1", "0.12"]
    pairs = rows_of(tmp_path / "out" / "differences-pep8-quickstart-prompted.csv")
    assert len(pairs) == 15
    assert {row["is_distinguished"] for row in pairs} == {"True", "False"}


@pytest.mark.parametrize("arguments", [["study", "objectives"], ["profile", "no-such-dataset"]])
def test_every_command_refuses_a_folder_that_cannot_be_made_before_any_work(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    result = CliRunner().invoke(app, [*arguments, "--export", str(tmp_path / "file" / "below")])
    assert result.exit_code == 2
    assert "file" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_an_estimate_has_no_figures(tmp_path):
    result = CliRunner().invoke(app, ["profile", "corpus.txt", "--estimate", "--export", str(tmp_path)])
    assert result.exit_code == 2
    assert "--export has no effect with --estimate" in result.output
