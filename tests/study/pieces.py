"""Studies and run folders small enough for tests."""

import json
import sys
import textwrap
from pathlib import Path

import numpy as np

from phf.config import dump_config
from phf.study.folder import StudyFolder
from phf.study.plan import StudyRun, expand
from phf.study.schema import Study, parse_study


def a_study(**changes) -> Study:
    """MLE and conditional training of the quickstart's task, with two seeds."""
    values = {"tasks": ["pep8/quickstart"], "methods": ["mle", "conditional"], "seeds": [1, 2]}
    return parse_study(values | changes, "study.yml")


def runs_of(**changes) -> list[StudyRun]:
    return expand(a_study(**changes))[0]


class DigitScorer:
    """The number in a text; None for one without. It counts how many texts it was asked about."""

    score_bounds = (0.0, 1.0)
    num_scored = 0

    def __init__(self, times: float = 1.0) -> None:
        self.times = times

    def score_texts(self, texts: list[str]) -> list[float | None]:
        DigitScorer.num_scored += len(texts)
        return [self.times * float(text) if text.replace(".", "").isdigit() else None for text in texts]


DIGITS = "tests.study.pieces:DigitScorer"


def finished(
    folder: Path,
    run: StudyRun,
    scores: list[float],
    bits: float,
    *,
    texts: list[str] | None = None,
    dataset: list[dict] | None = None,
    **numbers: float,
) -> None:
    """A run folder as `phf train` leaves it."""
    path = StudyFolder(folder).run(run.name)
    (path / "samples").mkdir(parents=True)
    (path / "model").mkdir()
    (path / "model" / "config.json").write_text("{}")
    (path / "config.yaml").write_text(dump_config(run.config))
    provenance = {"method": run.arm.method, "max_steps": 2, "num_parameters": 10, "dataset": dataset}
    (path / "provenance.json").write_text(json.dumps(provenance))
    line = {
        "step": 2,
        "tokens_seen": 128,
        "generation/prompted/score": float(np.mean(scores)),
        "eval/bits_per_byte": bits,
    }
    (path / "metrics.jsonl").write_text(json.dumps(line | numbers) + "\n")
    lines = [
        {"step": 2, "prompt": "", "continuation": text, "score": score, "segments": [text], "segment_scores": [score]}
        for text, score in zip(texts or ["x"] * len(scores), scores, strict=True)
    ]
    (path / "samples" / "prompted.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


FAKE = """
import json, os, sys, time
from pathlib import Path
command = sys.argv[2]
start = 3 if command == "train" else 4
options = dict(zip(sys.argv[start::2], sys.argv[start + 1::2]))
run = Path(options["--output-dir"]) / options["--run-name"] if command == "train" else Path(options["--output"])
study = run.parent if command == "train" else run.parent.parent
run.mkdir(parents=True, exist_ok=True)
record = study / "record.jsonl"
def note(event):
    with record.open("a") as file:
        place = {k: os.environ.get(k) for k in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")}
        what = {"run": run.name, "command": command, "event": event, "arguments": sys.argv[1:]}
        file.write(json.dumps({**what, **place}) + "\\n")
note("start")
if command != "train":
    BODY
    (run / "metrics.jsonl").write_text("{}\\n")
    (run / "evaluation.json").write_text('{"parts": {"downstream": {}}}')
    note("end")
    sys.exit(0)
(run / "config.yaml").write_text("x")
(run / "provenance.json").write_text(json.dumps({"max_steps": 4}))
(run / "metrics.jsonl").write_text(json.dumps({"step": 1, "tokens_seen": 1}) + "\\n")
BODY
(run / "model").mkdir()
(run / "model" / "config.json").write_text("{}")
note("end")
"""


def fake_launcher(folder: Path, body: str = "") -> list[str]:
    """Words before `phf ...` that start a stand-in for it: it records its start, does `body`, and is finished."""
    path = folder / "fake.py"
    path.write_text(FAKE.replace("    BODY", textwrap.indent(body, "    ")).replace("BODY", body))
    return [sys.executable, str(path)]


def recorded(folder: Path, event: str) -> list[dict]:
    """What the stand-ins recorded, in order."""
    path = folder / "record.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    return [line for line in lines if line["event"] == event]
