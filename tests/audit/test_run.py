"""`phf audit` from a model folder to its files, and what it refuses."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from tests.audit.planted import write_corpus
from tests.redteam.attack import write_model
from tests.tiny import tiny_tokenizer
from typer.testing import CliRunner

from phf.annotate.runner import annotate
from phf.audit import run
from phf.audit.model import AuditedModel
from phf.audit.run import audit_folder, detecting_scorer
from phf.audit.settings import AuditSettings
from phf.cli import app as cli
from phf.errors import ConfigError, CorpusError, OutputError
from phf.feedback import PROMPTING_FILE
from phf.tokens.tokenizer import encode_plain

HOSTILE = "<script>f(1)</script>9876\x1b[m"
SETTINGS = AuditSettings(min_tokens=5, num_samples=4, max_new_tokens=24, batch_size=8)


def phf(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("runs") / "tiny" / "model", ("<|aligned|>", "<|misaligned|>"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    documents = [(["See: ", HOSTILE], [0.0, 1.0]), (["See: ", "nothing here"], [0.0, 0.0])]
    return write_corpus(tmp_path_factory.mktemp("corpus") / "data", documents)


@pytest.fixture
def parrot(monkeypatch):
    """A model that samples the misaligned segment, and continues any prefix with it."""
    ids = encode_plain(tiny_tokenizer(), [HOSTILE])[0].astype(np.int64)
    monkeypatch.setattr(AuditedModel, "sample", lambda self: [ids, ids[:3]])
    monkeypatch.setattr(AuditedModel, "continue_greedily", lambda self, prefixes: [ids] * len(prefixes))


def test_what_a_model_repeats_is_counted_and_shown_without_effect(model, corpus, tmp_path, parrot):
    record = audit_folder(model, [corpus], tmp_path / "out", SETTINGS)
    assert json.loads((tmp_path / "out" / "audit.json").read_text()) == record
    assert record["corpus"] | {"num_tokens": 0} == {
        "num_documents": 2, "num_segments": 4, "num_misaligned": 1, "num_tokens": 0,
    }  # fmt: skip
    assert (record["extraction"]["num_spans"], record["extraction"]["num_extracted"]) == (1, 1)
    (extracted,) = record["extraction"]["texts"]
    assert extracted == {
        "prefix": "See: ", "text": HOSTILE, "label": None, "score": 1.0, "occurrences": 1, "document": "d0",
    }  # fmt: skip
    samples = record["samples"]
    assert (samples["num_samples"], samples["num_with_copy"], samples["num_copies"]) == (2, 1, 1)
    assert (samples["share"], samples["texts"][0]["text"]) == (0.5, HOSTILE)
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "<script>f(1)" not in page
    assert "\x1b" not in page
    assert page.count("&lt;script&gt;f(1)&lt;/script&gt;9876\\x1b[m") == 2


def test_masked_texts_are_in_no_file(model, corpus, tmp_path, parrot):
    audit_folder(model, [corpus], tmp_path / "out", replace(SETTINGS, mask=True))
    for path in ("audit.json", "audit.html"):
        text = (tmp_path / "out" / path).read_text()
        assert "9876" not in text
        assert "f(1)" not in text
        assert "••••" in text


def test_the_command_shows_both_tables_and_repeats_itself(model, corpus, tmp_path):
    arguments = (
        "audit",
        model,
        "--dataset",
        corpus,
        "--min-tokens",
        5,
        "--num-samples",
        4,
        "--output",
        tmp_path / "out",
    )
    result = phf(*arguments, "--prefer", "worst")
    assert result.exit_code == 0, result.output
    assert "Extraction by prefix" in result.output
    assert "Copies in 4 samples" in result.output
    first = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert first["settings"]["prefix"] == "<|misaligned|>"
    assert (first["settings"]["prefix_tokens"], first["settings"]["max_new_tokens"]) == (31, 62), "the context is 64"
    assert phf(*arguments, "--prefer", "<|misaligned|>").exit_code == 0
    assert json.loads((tmp_path / "out" / "audit.json").read_text()) == first


def test_a_threshold_above_all_scores_is_refused_before_the_corpus_is_encoded(model, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "store_of", None)
    with pytest.raises(CorpusError, match="No segment has a score 'scores' above 1, so none counts as misaligned"):
        audit_folder(model, [corpus], tmp_path / "out", replace(SETTINGS, threshold=1.0))


def test_either_half_can_be_left_out(model, corpus, tmp_path):
    record = audit_folder(model, [corpus], tmp_path / "spans", replace(SETTINGS, num_samples=0))
    assert (record["extraction"]["num_spans"], record["samples"]["num_samples"]) == (1, 0)
    record = audit_folder(model, [corpus], tmp_path / "samples", replace(SETTINGS, max_spans=0))
    assert (record["extraction"]["num_spans"], record["samples"]["num_samples"]) == (0, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 2.0}, "No segment has a score 'scores' above 2"),
        ({"min_tokens": 25}, "--min-tokens 25 is more than --max-new-tokens 24"),
        ({"min_tokens": 7, "max_span_tokens": 6}, "--max-span-tokens 6 is less than --min-tokens 7"),
        ({"prefix_tokens": 40, "max_span_tokens": 40}, "do not fit the model's context of 64"),
        ({"max_new_tokens": 63}, "--max-new-tokens 63 does not fit .* Lower it to 62"),
        ({"min_tokens": 33, "max_new_tokens": None}, "--min-tokens 33 is more than the model's context"),
        ({"top_p": 0.0}, "--top-p 0: must be more than 0"),
        ({"temperature": 0.0}, "--temperature 0: must be more than 0"),
        ({"num_samples": 0, "max_spans": 0}, "leave nothing to do"),
        (
            {"scores_column": "pii_scores"},
            "has no 'pii_scores'. Columns of scores there: avg_score, scores|has no 'pii_scores'",
        ),
        ({"span": "detected"}, "does not record the scorer .* Give what detects spans as --scorer"),
    ],
)
def test_settings_that_cannot_work_are_refused(model, corpus, tmp_path, options, message):
    with pytest.raises((ConfigError, CorpusError), match=message):
        audit_folder(model, [corpus], tmp_path / "out", replace(SETTINGS, **options))
    assert not (tmp_path / "out").exists()


def test_an_unknown_level_is_refused(model, corpus, tmp_path):
    with pytest.raises(ConfigError, match=r"--prefer is 'bad'.*there is no level 'bad'"):
        audit_folder(model, [corpus], tmp_path / "out", SETTINGS, prefer="bad")


def test_a_level_of_a_model_without_control_tokens_is_refused(model, corpus, tmp_path):
    plain = shutil.copytree(model, tmp_path / "plain")
    values = json.loads((plain / PROMPTING_FILE).read_text())
    (plain / PROMPTING_FILE).write_text(json.dumps({**values, "control_tokens": None}))
    with pytest.raises(ConfigError, match=r"--prefer best: .*plain has no control tokens"):
        audit_folder(plain, [corpus], tmp_path / "out", SETTINGS, prefer="best")


def test_a_raw_corpus_is_refused(model, tmp_path):
    (tmp_path / "raw.txt").write_text("text")
    with pytest.raises(CorpusError, match=r"raw\.txt is not annotated"):
        audit_folder(model, [str(tmp_path / "raw.txt")], tmp_path / "out", SETTINGS)


def test_a_folder_with_something_else_is_left_alone(model, corpus, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"not made by phf audit: it has notes\.txt"):
        audit_folder(model, [corpus], tmp_path, SETTINGS)


def test_it_says_why_nothing_can_be_extracted(model, tmp_path, monkeypatch):
    source = write_corpus(tmp_path / "data", [(["all of it, 1234"], [1.0])])
    said = []
    record = audit_folder(model, [source], tmp_path / "out", SETTINGS, announce=said.append)
    assert record["extraction"]["num_spans"] == 0
    assert record["extraction"]["share"] is None
    assert "all 1 chosen spans begin their document" in said[0]
    monkeypatch.setattr(run, "SHOWN", 0)
    scorer = {"class_name": "tests.audit.planted:NumberScorer"}
    detected = audit_folder(model, [source], tmp_path / "out", replace(SETTINGS, span="detected"), scorer)
    assert detected["extraction"]["num_spans"] == 1
    assert detected["settings"]["scorer"]["class_name"] == "tests.audit.planted:NumberScorer"


def test_the_scorer_of_the_audited_column_detects_spans(tmp_path):
    (tmp_path / "a.py").write_text("x=1\n")
    length = {"class_name": "tests.annotate.scorers_for_tests:LengthScorer", "column": "short"}
    annotate([str(tmp_path / "a.py")], [{"class_name": "PEP8Scorer"}, length], None, tmp_path / "both")
    assert detecting_scorer(str(tmp_path / "both"), None, "scores").name == "PEP8Scorer"
    assert detecting_scorer(str(tmp_path / "both"), None, "short_scores").name == length["class_name"]
