"""`phf annotate` against the same work in `datasets.map` and in datatrove's local executor, with a scorer that costs nothing.

    python benchmarks/runner.py [--rounds 5] [--megabytes 100] [--datatrove PYTHON]

The corpus is JSON Lines in three files: documents of the standard library's lines, each with an id. All cut documents into
lines, give every line the score 0 and write Parquet with texts, scores and their mean, in two processes. Every run is a
separate process, so start-up is included; rounds alternate. `phf annotate` also writes shards atomically, hashes
them, waits for the disk and writes a manifest. Texts and scores of all are compared. The first round, which is not counted,
also compiles the modules of all of them, as installing a package does, even where Python is set to keep no byte code.
Processor seconds leave out processes that a program does not wait for, which are most of datatrove's.

`--datatrove`: a Python in which datatrove is installed (`python -m venv v && v/bin/pip install datatrove pyarrow orjson`);
without one it is left out.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from machine import describe_machine
from phf.corpus.sources.documents import read_documents

NUM_FILES = 3
BYTE_CODE = "byte-code"
PHF = """
import sys
sys.path.insert(0, sys.argv[3])
from phf.cli.app import app
scorer = "{class_name: 'free:FreeScorer'}"
sources = sorted(str(path) for path in __import__("pathlib").Path(sys.argv[1]).glob("*.jsonl"))
app(["annotate", *sources, "--scorer", scorer, "--output", sys.argv[2], "--workers", "2", "--segment", "lines"])
"""
DATASETS = """
import io, sys
from pathlib import Path
import datasets

def annotate(text):
    texts = io.StringIO(text, newline="").readlines()
    scores = [0.0] * len(texts)
    return {"texts": texts, "scores": scores, "avg_score": sum(scores) / len(scores) if scores else None}

if __name__ == "__main__":
    datasets.disable_progress_bars()
    files = sorted(str(path) for path in Path(sys.argv[1]).glob("*.jsonl"))
    rows = datasets.load_dataset("json", data_files=files, split="train", cache_dir=sys.argv[2] + "-cache", num_proc=2)
    rows = rows.map(annotate, input_columns="text", remove_columns="text", num_proc=2)
    Path(sys.argv[2]).mkdir()
    rows.to_parquet(sys.argv[2] + "/all.parquet")
"""
DATATROVE = """
import io, sys
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import ParquetWriter

def annotate(data, rank=0, world_size=1):
    for document in data:
        texts = io.StringIO(document.text, newline="").readlines()
        scores = [0.0] * len(texts)
        document.metadata = {"texts": texts, "scores": scores, "avg_score": sum(scores) / len(scores) if scores else None}
        yield document

def row(writer, document):
    return {"id": document.id, **document.metadata}

if __name__ == "__main__":
    pipeline = [
        JsonlReader(sys.argv[1], glob_pattern="*.jsonl"),
        annotate,
        ParquetWriter(sys.argv[2], output_filename="${rank}.parquet", adapter=row, compression="zstd"),
    ]
    LocalPipelineExecutor(pipeline, tasks=3, workers=2, logging_dir=sys.argv[2] + "-logs").run()
"""


def write_corpus(folder: Path, megabytes: float) -> None:
    """Modules of the standard library, cut into documents of about 4,000 characters, repeated."""
    texts = [
        document.text[start : start + 4000]
        for document in read_documents("python-stdlib")
        for start in range(0, len(document.text), 4000)
    ]
    numbered = enumerate(itertools.cycle(texts))
    for file in range(NUM_FILES):
        left = megabytes * 1e6 / NUM_FILES
        with (folder / f"{file}.jsonl").open("w", encoding="utf-8") as out:
            while left > 0:
                number, text = next(numbered)
                line = json.dumps({"id": str(number), "text": text}) + "\n"
                out.write(line)
                left -= len(line)


def run(python: str, code: str, folder: Path, corpus: Path, output: Path) -> tuple[float, float]:
    """(wall-clock seconds, processor seconds) of a fresh process and its children."""
    script = folder / "script.py"
    script.write_text(code)
    command = [python, str(script), str(corpus), str(output), str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(corpus.with_name(BYTE_CODE))}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    start, before = time.perf_counter(), os.times()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    seconds, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise SystemExit(done.stdout[-1000:] + done.stderr[-3000:])
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, cpu


def rows(output: Path) -> Iterator[tuple[list[str], list[float]]]:
    """(texts, scores) of each document, in the order of the files' names."""
    for path in sorted(output.glob("*.parquet")):
        table = pq.read_table(path, columns=["texts", "scores"])
        yield from zip(table["texts"].to_pylist(), table["scores"].to_pylist(), strict=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--datatrove", help="Python in which datatrove is installed")
    arguments = parser.parse_args()
    console = Console()
    console.print(describe_machine())
    ways = {"phf annotate": (sys.executable, PHF), "datasets.map": (sys.executable, DATASETS)}
    if arguments.datatrove:
        ways["datatrove"] = (arguments.datatrove, DATATROVE)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = folder / "corpus"
        corpus.mkdir()
        write_corpus(corpus, arguments.megabytes)
        for number in range(arguments.rounds + 1):
            outputs = {way: folder / f"{way.replace(' ', '-')}-{number}" for way in ways}
            for way, (python, code) in ways.items():
                clock_and_cpu = run(python, code, folder, corpus, outputs[way])
                seconds[way] += [clock_and_cpu] * (number > 0)  # the first round warms up
            if number == 0:
                for way in ways:
                    same = all(a == b for a, b in zip(rows(outputs["phf annotate"]), rows(outputs[way]), strict=True))
                    assert same, f"{way} gives other texts or scores"
            for path in folder.iterdir():
                if path not in (corpus, folder / "script.py", folder / BYTE_CODE):
                    shutil.rmtree(path)
    table = Table("way", "seconds (median)", "range", "against phf annotate", "processor seconds")
    ours = [clock for clock, _ in seconds["phf annotate"]]
    for way, of_rounds in seconds.items():
        clock, cpu = zip(*of_rounds, strict=True)
        ratio = statistics.median(theirs / own for theirs, own in zip(clock, ours, strict=True))
        spread = f"{min(clock):.2f} to {max(clock):.2f}"
        table.add_row(way, f"{statistics.median(clock):.2f}", spread, f"{ratio:.2f}x", f"{statistics.median(cpu):.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
