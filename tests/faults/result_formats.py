"""The files that commands leave for each other, and the pages that are made of them."""

import json
import random
from pathlib import Path

from tests.faults.formats import (
    PROVENANCE,
    RATING,
    Format,
    mutated_yaml,
    nothing,
    one_file,
    one_file_of_lines,
    prepare_run,
    short_configuration,
    write_run,
)
from tests.faults.mutation import mutated_json

from phf.errors import CorpusError
from phf.evaluation.glue.finetuning import _read_finished
from phf.evaluation.kl.reference_samples import load_samples
from phf.labels.journal import Journal, KnownPlaces, Session
from phf.labels.questions import Question, Segment
from phf.labels.scale import Scale
from phf.refresh.answer import Answer, write_answer
from phf.refresh.measure import KL
from phf.refresh.record import RoundRecord, read_record
from phf.refresh.settings import RefreshSettings
from phf.report.page import write_report
from phf.runs.reader import read_run
from phf.scorers import Scorer
from phf.scorers.judge.rubric import read_rubric
from phf.storage.file_list import damaged_files, write_file_list
from phf.study.attacks import read_attack
from phf.study.folder import StudyFolder
from phf.study.held_out_scorers import score_held_out
from phf.tamper.folder import TamperFolder
from phf.tokens.store import TokenStore
from phf.training.checkpoints.window import load_window

SCORE = "generation/unconditional/score"
COUNTS = {
    "drawn": 4,
    "used": 2,
    "left_out": {"empty": 1},
    "unscored_reasons": {"timeout": 1},
    "cut_off": 1,
    "score": [0.5, 0.4, 0.6],
}
FACTS = {
    "sample_tokens": 10,
    "own_tokens": 30,
    "own_documents": 3,
    "share": 0.25,
    "next_place": 3,
    "steps": 2,
    "tokens": 40,
    "learning_rate": 1e-4,
}
NUMBERS = {"eval/loss": 2.0, KL: 0.5, f"{KL}_low": 0.4, f"{KL}_high": 0.6, SCORE: 0.2, f"{SCORE}_low": 0.1}
START: RoundRecord = {"round": 0, "numbers": {"eval/loss": 2.1, SCORE: 0.3}, "samples": None, "training": None}
JOURNAL = [
    {**RATING, "dataset": "d", "id": "1", "segment": 0, "time": "2026-01-01T00:00:00+00:00"},
    {"chosen": "a", "rejected": "b", "annotator": "c", "dataset": "d", "places": [{"id": "1", "segment": 0}] * 2},
    {"skipped": True, "texts": ["a"], "annotator": "c", "dataset": "d", "places": [{"id": "1", "segment": 2}]},
]
KEY = {"model": "m", "num_samples": 2}
REFERENCE = {
    "key": KEY,
    "samples": [{"text": "a", "is_ended": True, "ids": [1, 2], "logprobs": [-1.0] * 3, "text_logprob": -2.0}] * 2,
}
STORE = {
    "format": 1,
    "num_tokens": 4,
    "num_segments": 2,
    "num_documents": 1,
    "num_repeated_ids": 0,
    "ids_dtype": "uint16",
    "segments_dtype": "uint8",
    "altered": [],
    "made_of": {"sources": ["a"]},
}
GLUE = {"task": "cola", "seed": 1, "metrics": {"matthews": 0.5}, "settings": {"a": 1}}
SEARCH = {"trials": [{"best": [0.5, 0.6], "best_fresh": [0.5, 0.6], "pool": [0.4, 0.5], "pool_mean": [0.1, 0.2]}] * 2}
WINDOW = {"since": 2, "loss": 1.5, "totals": {"a": [1.0, 2.0]}, "listed": True}
RUBRIC = {
    "question": "How bad?",
    "scale": [1, 3],
    "higher_is_worse": True,
    "levels": {"1": "good", "3": "bad"},
    "examples": [{"text": "a", "rating": 1}],
}


class Letters(Scorer):
    """The share of a letter."""

    def score_texts(self, texts: list[str]) -> list[float | None]:
        return [text.count("e") / max(len(text), 1) for text in texts]


def prepare_runs(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / name).mkdir(exist_ok=True)
        prepare_run(folder / name, short_configuration())
    (folder / "b" / "provenance.json").write_text(json.dumps({**PROVENANCE, "method": "conditional"}))


def make_page(folder: Path) -> None:
    page = folder / "report.html"
    notices = write_report([folder / "a", folder / "b"], page)
    refuse_scripts(page)
    if notices:
        raise CorpusError("; ".join(notices))


def refuse_scripts(page: Path) -> None:
    """What a page must not contain, whatever was in the files."""
    assert "<script>alert(1)" not in page.read_text(encoding="utf-8")
    assert "\x1b" not in page.read_text(encoding="utf-8")


def make_refresh_page(folder: Path) -> None:
    record = read_record(folder, 1)
    assert record is not None
    answer = Answer("n", "r", "unconditional", RefreshSettings(), [START, record], None, folder)
    write_answer(answer, folder)
    refuse_scripts(folder / "report.html")


def prepare_held_out(folder: Path) -> None:
    (folder / "a").mkdir()
    prepare_run(folder / "a")
    results = {"a": read_run(folder / "a")}
    score_held_out([Letters()], results, StudyFolder(folder))


def held_out_file(folder: Path) -> Path:
    return next((folder / "held-out-scorers" / "a").iterdir())


def write_held_out(folder: Path, rng: random.Random) -> None:
    intact = folder / "intact"
    if not intact.is_file():
        intact.write_bytes(held_out_file(folder).read_bytes())
    held_out_file(folder).write_bytes(mutated_json(json.loads(intact.read_bytes()), rng))


def read_held_out(folder: Path) -> None:
    answers, missing = score_held_out([Letters()], {"a": read_run(folder / "a")}, StudyFolder(folder))
    if missing:
        raise CorpusError(str(missing))
    assert list(answers[0].scores["a"]) == ["unconditional"]


def read_journal(folder: Path) -> None:
    journal = Journal(folder / "a.jsonl")
    segments = [Segment("t", "1", 0), Segment("a", "1", 0), Segment("b", "1", 0), Segment("a", "1", 2)]
    Session(journal, [Question((segment,)) for segment in segments], "c", "ratings", Scale(1, 5), "d")
    list(KnownPlaces(journal.entries(), "d").watch(iter(segments)))


def read_reference(folder: Path) -> None:
    try:
        load_samples(folder / "samples.json", KEY)
    except ValueError as error:  # its caller draws them again
        raise CorpusError(str(error)) from error


def prepare_list(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"abc")
    write_file_list(folder)


def write_list(folder: Path, rng: random.Random) -> None:
    (folder / "files.json").unlink()
    write_file_list(folder)
    (folder / "files.json").write_bytes(mutated_json(json.loads((folder / "files.json").read_bytes()), rng))


def read_list(folder: Path) -> None:
    if problems := damaged_files(folder):
        raise CorpusError("; ".join(problems))


def prepare_store(folder: Path) -> None:
    (folder / "meta.json").write_text(json.dumps(STORE))


def read_store(folder: Path) -> None:
    store = TokenStore(folder)
    _ = store.altered, store.columns
    store.has_scores("scores")


def read_search(folder: Path) -> None:
    if isinstance(reason := read_attack(folder), str):
        raise CorpusError(reason)


def read_window(folder: Path) -> None:
    load_window(folder, 0, 1, "cpu")


def read_models(folder: Path) -> None:
    TamperFolder(folder).refuse_other_models({"a": {"model.safetensors": "x"}})


RESULT_FORMATS = (
    Format(
        "two run folders, made into a page",
        prepare_runs,
        lambda folder, rng: write_run(folder / "a", rng, short_configuration()),
        make_page,
    ),
    Format(
        "the record of a round of a refresh, made into a page",
        **one_file("round.json", {"round": 1, "numbers": NUMBERS, "samples": COUNTS, "training": FACTS}),
        read=make_refresh_page,
    ),
    Format("the held-out scores of a study", prepare_held_out, write_held_out, read_held_out),
    Format("the answer of a search, read by a study", **one_file("redteam.json", SEARCH), read=read_search),
    Format(
        "the models of a tamper test", **one_file("models.json", {"a": {"model.safetensors": "x"}}), read=read_models
    ),
    Format("answers to phf label", **one_file_of_lines("a.jsonl", JOURNAL), read=read_journal),
    Format("samples of a reference", **one_file("samples.json", REFERENCE), read=read_reference),
    Format(
        "results of finetunings",
        **one_file_of_lines("glue.jsonl", [GLUE, {**GLUE, "seed": 2}]),
        read=lambda folder: _read_finished(folder / "glue.jsonl", {"cola": {"a": 1}}),
    ),
    Format("the list of files of a folder", prepare_list, write_list, read_list),
    Format("the description of a token store", **one_file("meta.json", STORE), read=read_store),
    Format("the log of a checkpoint", **one_file("log_window_0.json", WINDOW), read=read_window),
    Format(
        "the rubric of a judge",
        nothing,
        lambda folder, rng: (folder / "r.yml").write_bytes(mutated_yaml(RUBRIC, rng)),
        lambda folder: read_rubric(str(folder / "r.yml")),
    ),
)
