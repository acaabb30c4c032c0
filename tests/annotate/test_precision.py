"""Scores of one dataset are computed in one precision."""

import json

import pytest

from phf.annotate import pieces, scoring
from phf.annotate.precision import check_precision, with_precision
from phf.annotate.runner import annotate
from phf.errors import OutputError, ScorerError
from phf.scorers import Scorer, build_scorer
from phf.scorers.base import scorer_mismatch

precision = "float32 on cpu"


class NeuralScorer(Scorer):
    """As if it had a model on whatever this machine has."""

    segmenter = "lines"

    def __init__(self) -> None:
        super().__init__()
        self.precision = precision

    def score_texts(self, texts: list[str]) -> list[float | None]:
        return [1.0] * len(texts)


SCORER = {"class_name": f"{__name__}:NeuralScorer"}
COMPOSITE = {"class_name": "CompositeScorer", "scorers": [SCORER, {"class_name": "PEP8Scorer"}]}


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": f"line {i}\n"}) + "\n" for i in range(4)))
    return str(path)


@pytest.mark.parametrize("scorer", [SCORER, COMPOSITE])
def test_the_manifest_says_the_precision_and_an_interrupted_job_does_not_resume_in_another(
    scorer, corpus, tmp_path, monkeypatch
):
    manifest = annotate([corpus], scorer, None, tmp_path / "out")
    assert "float32 on cpu" in json.dumps(manifest.scorer)
    (tmp_path / "out" / "manifest.json").unlink()
    monkeypatch.setattr(f"{__name__}.precision", "bfloat16 on cuda")
    with pytest.raises(OutputError, match=r"float32 on cpu.*bfloat16 on cuda"):
        annotate([corpus], scorer, None, tmp_path / "out")


def test_workers_that_differ_end_the_job(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_SIZE", 1)
    monkeypatch.setattr(pieces, "LEAST_PIECE_SIZE", 1)
    precisions = iter(["float32 on cpu", "bfloat16 on cuda"] * 10)
    monkeypatch.setattr(scoring, "joined_precision", lambda scorers: next(precisions))
    with pytest.raises(ScorerError, match="Some workers score in float32 on cpu, others in bfloat16 on cuda"):
        annotate([corpus], SCORER, None, tmp_path / "out")


def test_a_shard_of_another_precision_is_scored_again(corpus, tmp_path):
    annotate([corpus], SCORER, None, tmp_path / "out")
    counts = next((tmp_path / "out").glob("shard-*.json"))
    before = json.loads(counts.read_text())
    assert before["precision"] == "float32 on cpu"
    counts.write_text(json.dumps({**before, "precision": "bfloat16 on cuda"}))
    (tmp_path / "out" / "manifest.json").unlink()
    annotate([corpus], SCORER, None, tmp_path / "out")
    assert json.loads(counts.read_text()) == before


def test_a_description_says_it_only_where_it_matters():
    assert build_scorer(SCORER).describe()["precision"] == "float32 on cpu"
    assert "precision" not in build_scorer({"class_name": "PEP8Scorer"}).describe()
    described = build_scorer(COMPOSITE).describe()
    assert described["settings"]["scorers"][0]["precision"] == "float32 on cpu"
    changed = with_precision(described, "bfloat16 on cuda")
    assert changed["settings"]["scorers"][0]["precision"] == "bfloat16 on cuda"
    assert with_precision(changed, "float32 on cpu") == described
    check_precision("", "")


def test_a_difference_in_precision_is_reported_as_such():
    described = build_scorer(SCORER).describe()
    other = {**described, "precision": "bfloat16 on cuda"}
    assert "differ by rounding" in scorer_mismatch(described, other)
    older = {key: value for key, value in described.items() if key != "precision"}
    assert scorer_mismatch(older, other) is None
