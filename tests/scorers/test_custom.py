"""A user's own scorer: the example of docs/custom-scorer.md, and plain objects in general."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import yaml

from phf.annotate.runner import annotate
from phf.corpus.dataset import read_annotated
from phf.errors import ConfigError, ScorerError
from phf.registry.names import SCORERS
from phf.scorers import Scorer, build_scorer, checked_scores

PAGE = Path(__file__).parents[2] / "docs" / "custom-scorer.md"


def block(language: str, number: int = 0) -> str:
    """The fenced block of the page that is written in `language`, from 0."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[number]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Folder on the Python path, as if installed."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.split(".")[0] in ("my_package", "my_scorer")]:
        del sys.modules[name]


@pytest.fixture
def example(package):
    (package / "my_package").mkdir()
    (package / "my_package" / "__init__.py").touch()
    (package / "my_package" / "shouting.py").write_text(block("python"))
    return package


def test_the_example_is_ten_lines():
    assert len(block("python").strip().splitlines()) <= 10


def test_the_example_is_named_by_module_and_class(example, tmp_path):
    config = yaml.safe_load(block("yaml"))["generation"]["scorer_config"]
    scorer = build_scorer(config)
    # 4 of 5 letters, 0 of 5, none to count
    assert scorer.score_texts(["HELLo", "hello", "1 + 1"]) == [0.8, 0.0, None]
    assert scorer.score_documents([["HELLO ", "you."], [], ["A"]]) == [[1.0, 0.0], [], [None]]
    assert scorer.describe() == {
        "class_name": "my_package.shouting:ShoutingScorer",
        "version": "0",
        "settings": {"min_letters": 3},
    }


def test_the_example_annotates_a_corpus(example, tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"text": "HELLO you. How ARE you?"}\n')
    config = {"class_name": "my_package.shouting:ShoutingScorer"}
    manifest = annotate([str(tmp_path / "corpus.jsonl")], config, None, tmp_path / "out")
    (document,) = read_annotated(str(tmp_path / "out"))
    assert document.scores == pytest.approx([5 / 8, 4 / 9])
    assert manifest.scorer["class_name"] == "my_package.shouting:ShoutingScorer"


def test_the_example_as_an_entry_point(example):
    (example / "my_package-1.0.dist-info").mkdir()
    (example / "my_package-1.0.dist-info" / "METADATA").write_text("Name: my-package\nVersion: 1.0\n")
    group, line = re.findall(r'entry-points\."(.*)"\]\n(.*)', block("toml"))[0]
    name, target = re.findall(r'(\w+) = "(.*)"', line)[0]
    (example / "my_package-1.0.dist-info" / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    importlib.invalidate_caches()
    assert SCORERS.describe()[name] == f"plugin: {target}"
    scorer = build_scorer({"class_name": name})
    assert scorer.score_texts(["HELLo"]) == [0.8]
    assert scorer.describe()["class_name"] == name


PLAIN = """
import numpy as np

class Minimal:
    def score_texts(self, texts):
        return np.array([len(text) for text in texts], dtype=np.float32)

class InContext(Minimal):
    version = 7
    segmenter = "lines"

    def score_document(self, segments):
        return [len(segments)] * len(segments)

class NoScorer:
    def score(self, texts):
        return []
"""


@pytest.fixture
def plain(package):
    (package / "my_scorer.py").write_text(PLAIN)


def test_an_object_with_score_texts_is_a_scorer(plain):
    scorer = build_scorer({"class_name": "my_scorer:Minimal"})
    assert isinstance(scorer, Scorer)
    assert (scorer.version, scorer.segmenter, scorer.name) == ("0", "sentences", "my_scorer:Minimal")
    scores = checked_scores(scorer, scorer.score_document(["a", "bbb"]), 2)
    assert scores == [1.0, 3.0]
    assert [type(score) for score in scores] == [float, float]  # what JSON can hold
    assert scorer.score_documents([["a"], ["bb", "ccc"]]) == [[1.0], [2.0, 3.0]]


def test_what_else_the_object_has_is_used(plain):
    scorer = build_scorer({"class_name": "my_scorer:InContext"})
    assert (scorer.version, scorer.segmenter) == ("7", "lines")
    assert scorer.score_documents([["a"], ["bb", "ccc"]]) == [[1], [2, 2]]
    assert list(scorer.score_texts(["bb"])) == [2]


def test_an_object_without_score_texts_is_refused(plain):
    with pytest.raises(
        ConfigError,
        match=r"'my_scorer:NoScorer' is not a class with the method score_texts\(texts\), so it is not called",
    ):
        build_scorer({"class_name": "my_scorer:NoScorer"})


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("(0.0 for _ in texts)", "my_scorer:Own returned a generator; it must return a list of 2 scores"),
        ("None", "my_scorer:Own returned a NoneType; it must return a list of 2 scores"),
        ("[0.0]", "my_scorer:Own returned 1 scores for 2 texts"),
    ],
)
def test_an_answer_that_is_not_a_list_of_scores_is_refused(package, returned, message):
    source = f"class Own:\n    def score_texts(self, texts):\n        return {returned}\n"
    (package / "my_scorer.py").write_text(source)
    scorer = build_scorer({"class_name": "my_scorer:Own"})
    with pytest.raises(ScorerError, match=message):
        scorer.score_documents([["a"], ["b"]])


@pytest.mark.parametrize(
    ("returned", "message"),
    [("None", "returned a NoneType for 2 documents"), ("[[0.0]]", "returned 1 lists for 2 documents")],
)
def test_an_answer_that_is_not_a_list_of_lists_of_scores_is_refused(package, returned, message):
    (package / "my_scorer.py").write_text(
        f"class Own:\n    def score_texts(self, texts): ...\n    def score_documents(self, documents): return {returned}\n"
    )
    with pytest.raises(ScorerError, match=f"my_scorer:Own: score_documents {message}"):
        build_scorer({"class_name": "my_scorer:Own"}).score_documents([["a"], ["b"]])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "no_such_module:Own",
            "No module named 'no_such_module'. Is its package installed, or its folder in PYTHONPATH",
        ),
        ("my_scorer:Missing", "has no attribute 'Missing'"),
        (
            "my_scorer:instance",
            r"'my_scorer:instance' is a Minimal; it must be a class with the method score_texts\(texts\), or a function",
        ),
        ("my_scorer:3", "is not named as 'package.module:ClassName'"),
        (":Own", "is not named as"),
        (".my_scorer:Minimal", "is not named as"),
        ("broken_syntax:Own", "cannot be imported: .*broken_syntax.py, line 1"),
        ("broken_import:Own", "cannot be imported: cannot import name 'nothing'"),
    ],
)
def test_names_that_lead_nowhere(plain, package, name, message):
    with (package / "my_scorer.py").open("a") as file:
        file.write("instance = Minimal()\n")
    (package / "broken_syntax.py").write_text("def (:\n")
    (package / "broken_import.py").write_text("from os import nothing as Own\n")
    with pytest.raises(ConfigError, match=message):
        build_scorer({"class_name": name})


@pytest.mark.parametrize("score", ["0.5", [0.5], float("nan")])
def test_a_score_that_is_not_a_number_is_refused(plain, score):
    scorer = build_scorer({"class_name": "my_scorer:Minimal"})
    with pytest.raises(ScorerError, match=r"my_scorer:Minimal returned .* for text 1 of 2"):
        checked_scores(scorer, [None, score], 2)
