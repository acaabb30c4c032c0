"""The reasons of unscored segments add up to their number, for every scorer and way to fail."""

import importlib.util
import json

import pytest

from phf.annotate import pieces
from phf.annotate.runner import annotate
from phf.scorers import Scorer
from phf.scorers.base import fitted_reasons

NEEDS = {
    "PIIScorer": "scrubadub",
    "PresidioScorer": "presidio_analyzer",
    "RuffScorer": "ruff",
    "ProfanityScorer": "profanity_check",
}
TEXTS = ["if b:\n    x = 1\nu  ", "fine\n", "\ud800\ny\n", "raise\nit\n", "x = (\n" * 3, "silent\na\n", "loud\nb\n"]


class MoodyScorer(Scorer):
    """Raises, is silent about what it leaves out, or counts too much."""

    segmenter = "lines"

    def score_texts(self, texts: list[str]) -> list[float | None]:
        if "raise\n" in texts:
            raise RuntimeError("cannot")
        self.unscored["loud"] += 3 * texts.count("loud\n")
        return [None if text in ("silent\n", "loud\n") else 0.0 for text in texts]


MOODY = {"class_name": f"{__name__}:MoodyScorer"}
PEP8 = {"class_name": "PEP8Scorer"}


@pytest.mark.parametrize(
    "scorer",
    [
        *({"class_name": name} for name in ("PEP8Scorer", "RuffScorer", "ProfanityScorer")),
        {"class_name": "PIIScorer", "spacy_model": "none"},
        pytest.param({"class_name": "PresidioScorer"}, marks=pytest.mark.slow),
        MOODY,
        {"class_name": "CompositeScorer", "scorers": [PEP8, MOODY, PEP8]},
        [PEP8, MOODY, {"class_name": "CompositeScorer", "scorers": [PEP8, PEP8], "column": "both"}],
    ],
    ids=str,
)
@pytest.mark.parametrize("segmenter", ["lines", "sentences", "document"])
def test_reasons_add_up(scorer, segmenter, tmp_path, monkeypatch):
    library = NEEDS.get(scorer["class_name"]) if isinstance(scorer, dict) else None
    if library is not None and importlib.util.find_spec(library) is None:
        pytest.skip(f"needs {library}")
    monkeypatch.setattr(pieces, "PIECE_SIZE", 1)
    monkeypatch.setattr(pieces, "LEAST_PIECE_SIZE", 1)
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    manifest = annotate([str(corpus)], scorer, segmenter, tmp_path / "out")
    assert sum(manifest.unscored_reasons.values()) == manifest.num_unscored
    assert all(count > 0 for count in manifest.unscored_reasons.values())


def test_reasons_by_hand():
    assert fitted_reasons({"a": 2, "b": 1}, 3, "none given") == {"a": 2, "b": 1}
    assert fitted_reasons({"a": 2}, 3, "none given") == {"a": 2, "none given": 1}
    assert fitted_reasons({"a": 2, "b": 2}, 3, "none given") == {"a": 2, "b": 1}
    assert fitted_reasons({"a": 2}, 0, "none given") == {}
    assert fitted_reasons({}, 0, "none given") == {}
