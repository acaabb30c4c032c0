"""A run says so where its data was scored by another scorer than its samples are."""

import json

import pytest
from tests.tiny import tiny_config

from phf.annotate.runner import annotate
from phf.corpus.sources.listing import MANIFEST
from phf.training.plan import plan_run


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


def test_another_scorer_is_named(dataset):
    pytest.importorskip("profanity_check")
    (line,) = warnings(dataset, **{"generation.scorer_config.class_name": "ProfanityScorer"})
    assert "scored by PEP8Scorer" in line
    assert "scored by ProfanityScorer" in line
