"""A run says so where its data was scored by another scorer than its samples are."""

import json

import pytest
from tests.tiny import tiny_config

from phf.annotate.runner import annotate
from phf.corpus.sources.listing import MANIFEST
from phf.training.plan import plan_run
from phf.training.sources import describe_sources


@pytest.fixture
def dataset(tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.py").write_text("x=1\n")
    annotate([str(tmp_path / "corpus")], {"class_name": "PEP8Scorer"}, None, tmp_path / "dataset")
    return tmp_path / "dataset"


def warnings(dataset, **changes):
    return plan_run(tiny_config(str(dataset), **changes), dataset.parent / "run").warnings


def test_the_same_scorer_causes_no_warning(dataset):
    assert warnings(dataset) == []
    assert warnings(dataset.parent / "corpus") == []


def test_another_version_is_one_line(dataset):
    manifest = json.loads((dataset / MANIFEST).read_text())
    del manifest["sha256"]
    for scorer in (manifest["scorer"], *manifest["scorers"].values()):
        scorer["version"] = "0+other"
    (dataset / MANIFEST).write_text(json.dumps(manifest))
    (line,) = warnings(dataset)
    assert line.startswith(
        f"{dataset}: the data was scored by PEP8Scorer with version '0+other', samples are scored by"
    )
    assert "\n" not in line


def test_provenance_names_the_scorers_of_the_columns_that_a_run_was_trained_on(tmp_path):
    (tmp_path / "a.py").write_text("x=1\n")
    length = {"class_name": "tests.annotate.scorers_for_tests:LengthScorer", "column": "short"}
    annotate([str(tmp_path / "a.py")], [{"class_name": "PEP8Scorer"}, length], None, tmp_path / "both")

    def recorded(*columns):
        (source,) = describe_sources([str(tmp_path / "both")], columns)
        of_columns = {column: scorer["class_name"] for column, scorer in source.get("scorers", {}).items()}
        return source["scorer"]["class_name"], of_columns

    assert recorded() == recorded("scores") == ("PEP8Scorer", {})
    assert recorded("short_scores") == (length["class_name"], {})
    both = {"short_scores": length["class_name"], "scores": "PEP8Scorer"}
    assert recorded("short_scores", "scores") == (length["class_name"], both)


def test_another_scorer_is_named(dataset):
    pytest.importorskip("profanity_check")
    (line,) = warnings(dataset, **{"generation.scorer_config.class_name": "ProfanityScorer"})
    assert "scored by PEP8Scorer" in line
    assert "scored by ProfanityScorer" in line
