"""A command that is killed at any moment, and run again, ends with the same files as one that was not."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.test_folder import export
from tests.faults.counts import FULL, num_cases
from tests.forked import Forked
from tests.redteam.attack import attack_config, write_model
from tests.tiny import tiny_config, tiny_corpus

from phf.config import dump_config

TIMEOUT = 600
PROGRAM = """
import time
from phf.scorers import Scorer

class Slow(Scorer):
    segmenter = "lines"

    def score_texts(self, texts):
        time.sleep(0.002 * len(texts))
        return [text.count("e") / max(len(text), 1) for text in texts]

def slow(function):
    def slowly(*arguments, **settings):
        time.sleep(0.05)
        answer = function(*arguments, **settings)
        time.sleep(0.05)
        return answer
    return slowly

if __name__ == "__main__":
    from phf.cli.app import main
    from phf.training.checkpoints import write
    from phf.training.preemption import Preemption
    from phf.training.trainer import ObjectiveTrainer

    Preemption.on_step_end = slow(Preemption.on_step_end)
    ObjectiveTrainer._save_optimizer_and_scheduler = slow(ObjectiveTrainer._save_optimizer_and_scheduler)
    write.write_file_list = slow(write.write_file_list)
    main()
"""
"""`phf`, with a scorer, steps and checkpoints that take their time; named `program`, so that the scorer is `program:Slow`."""
TIMED = re.compile(r"per_second|seconds_left|utilization|memory|wait_share|^started$")
"""Keys of what differs from run to run."""


@dataclass(frozen=True)
class Job:
    """A command that is killed.

    Args:
        arguments: of Python.
        result: folder in which it ran -> what must be the same.
        phases: what it does -> pattern of files that it has written by then, in their order.
        again: more arguments for a run that was begun.
        short: one of the phases, in which every third case is killed, because moments drawn from the whole time would miss it.
    """

    arguments: list[str]
    result: Callable[[Path], Any]
    phases: Mapping[str, str]
    again: tuple[str, ...] = ()
    short: str | None = None

    def start(self, folder: Path, cache: Path) -> Forked:
        again = self.again if (folder / "run" / "config.yaml").exists() else ()
        with (folder / "output.txt").open("a") as output:
            return Forked(
                [sys.executable, *self.arguments, *again],
                cwd=folder,
                env={**os.environ, "PHF_CACHE": str(cache)},
                stdout=output,
                stderr=output,
            )

    def finish(self, folder: Path, cache: Path) -> None:
        status = self.start(folder, cache).wait(timeout=TIMEOUT)
        said = (folder / "output.txt").read_text()
        assert status == 0, said[-3000:]
        assert "Traceback" not in said

    def phase(self, folder: Path, since: float) -> str:
        """What it does, by what it has written since a time."""
        latest = "starting"
        for phase, pattern in self.phases.items():
            if any(is_newer(path, since) for path in folder.glob(pattern)):
                latest = phase
        return latest

    def wait_for_short(self, folder: Path, process: Forked, since: float, draw: random.Random) -> None:
        """Wait until what `short` names has begun for the first, second or third time, and a moment more."""
        assert self.short is not None
        begun: set[Path] = set()
        times = draw.randint(1, 3)
        while process.poll() is None and len(begun) < times:
            begun |= {path for path in folder.glob(self.phases[self.short]) if is_newer(path, since)}
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.25))


def is_newer(path: Path, since: float) -> bool:
    try:
        return path.stat().st_mtime > since
    except FileNotFoundError:  # a worker that ends later than the command has removed it
        return False


def killed(job: Job, kills: int, tmp_path: Path, draw: random.Random) -> tuple[int, str]:
    """Kill a command, twice or once before it may finish, until so many kills have met it running. Returns their number, and
    what it did then. In a third of the cases its cache is empty, in the full form."""
    (tmp_path / "first").mkdir()
    # so that what all processes are forked from is not started within the time of the first one
    assert Forked([sys.executable, job.arguments[0], "--version"], cwd=tmp_path / "first").wait(timeout=TIMEOUT) == 0
    filled, seconds, wholes = tmp_path / "cache", [], []
    for name in ("empty", "filled") if FULL else ("empty",):
        folder = tmp_path / name
        folder.mkdir()
        start = time.monotonic()
        job.finish(folder, filled)
        seconds.append(time.monotonic() - start)
        wholes.append(job.result(folder))
    assert wholes[0] == wholes[-1]
    met: Counter[str] = Counter()
    number = 0
    while met.total() < kills:
        folder, is_filled = tmp_path / str(number), not FULL or number % 3 != 1
        folder.mkdir()
        cache = filled if is_filled else folder / "cache"
        longest = seconds[-1 if is_filled else 0]
        for attempt in range(2 - number % 2):
            moment, since, start = draw.uniform(0, longest), time.time(), time.monotonic()
            process = job.start(folder, cache)
            if job.short is not None and attempt == 0 and number % 3 == 0:
                job.wait_for_short(folder, process, since, draw)
                moment = 0
            try:
                assert process.wait(timeout=moment) == 0, (folder / "output.txt").read_text()[-3000:]
            except subprocess.TimeoutExpired:
                process.kill()
            if process.wait(timeout=TIMEOUT) != -signal.SIGKILL:
                if longest == seconds[-1 if is_filled else 0]:  # the machine is less busy than when it was timed
                    seconds[-1 if is_filled else 0] = time.monotonic() - start
                break
            met[job.phase(folder, since)] += 1
            longest = max(longest - (time.monotonic() - start), longest / 3)
        job.finish(folder, cache)
        assert job.result(folder) == wholes[0], folder
        shutil.rmtree(folder)
        number += 1
    order = ("starting", *job.phases)
    return met.total(), "; ".join(f"{met[phase]} while {phase}" for phase in order if met[phase])


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return str(path)


def files_of(folder, *names):
    """Path in the folder -> content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for name in names for path in sorted(folder.glob(name))
    }


def without_times(value):
    """A JSON value without what differs from run to run."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if not TIMED.search(key)}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def numbers_of(folder, *names):
    """Path in the folder -> the JSON values in it, line by line where it is named so, without times."""
    contents = files_of(folder, *names)
    return {
        name: [without_times(json.loads(part)) for part in (text.splitlines() if name.endswith("l") else [text])]
        for name, text in contents.items()
    }


def test_annotation(program, tmp_path, counts):
    (tmp_path / "corpus").mkdir()
    for file in range(8):
        rows = [json.dumps({"text": f"{file} {i} {'e' * (i % 7)}\n" * 3}) for i in range(40)]
        (tmp_path / "corpus" / f"{file}.jsonl").write_text("\n".join(rows) + "\n")
    arguments = [program, "annotate", str(tmp_path / "corpus"), "--scorer", "program:Slow", "--output", "out"]
    arguments += ["--workers", "2"] if FULL else ["--workers", "1", "--time-limit", "0"]

    def result(folder):
        files = files_of(folder, "out/*.parquet", "out/manifest.json")
        assert len(files) == 8 + 1
        return files

    phases = {"scoring": "out/job.json", "scoring the rest": "out/shard-*", "ending": "out/manifest.json"}
    kills, when = killed(Job(arguments, result, phases), num_cases(40, 2), tmp_path, random.Random(0))
    counts["`phf annotate`, killed once or twice while it ran, then run again"] = (
        kills,
        f"all files identical; {when}",
    )


def test_training(program, tmp_path, counts):
    (tmp_path / "corpus").mkdir()
    changes = {
        "model.config_kwargs.resid_pdrop": 0.1,
        "training.num_tokens": 10 * 4 * 64,
        "generation.every_n_steps": 4,
    }
    config = tiny_config(tiny_corpus(tmp_path / "corpus"), "conditional", **changes)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    arguments = [program, "train", "--config", str(tmp_path / "config.yaml"), "--run-name", "run", "--output-dir", "."]
    phases = {
        "scoring the corpus": "cache/annotated/*",
        "tokenizing": "cache/tokens/*",
        "loading": "run/provenance.json",
        "training": "run/metrics.jsonl",
        "writing a checkpoint": "run/unfinished/*",
        "exporting": "run/model*",
    }
    job = Job(arguments, result_of_run, phases, again=("--resume",), short="writing a checkpoint")
    kills, when = killed(job, num_cases(40, 1), tmp_path, random.Random(1))
    outcome = f"weights, log and samples identical; {when}"
    counts["`phf train`, killed once or twice while it ran, then resumed"] = (kills, outcome)


def result_of_run(folder):
    """The exported weights, the samples, and the log without times."""
    files = files_of(folder, "run/model/*.safetensors", "run/samples/*.jsonl")
    assert len(files) == 2
    return files, numbers_of(folder, "run/metrics.jsonl")


def test_evaluation(program, tmp_path, counts):
    for seed in range(num_cases(2, 1)):
        export(tmp_path / f"model-{seed}" / "model", seed=seed)
    (tmp_path / "corpus").mkdir()
    changes = {
        "generation.scorer_config": {"class_name": "program:Slow"},
        "kl_gpt3_callback": {
            "reference": {"path_or_name": str(tmp_path / "model-0" / "model")},
            "num_samples": 4,
            "max_tokens": 12,
            "batch_size": 2,
        },
    }
    config = tiny_config(tiny_corpus(tmp_path / "corpus"), "conditional", **changes)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    arguments = [program, "evaluate", *map(str, sorted(tmp_path.glob("model-*/model")))]
    arguments += ["--config", str(tmp_path / "config.yaml"), "--output", "out"]
    arguments += [] if FULL else ["--skip", "held-out"]

    def result(folder):
        assert not FULL or (folder / "out" / "comparison.json").is_file()
        samples = files_of(folder, "out/**/samples/*", "out/**/config.yaml")
        return samples, numbers_of(folder, "out/**/*.json", "out/**/metrics.jsonl")

    phases = {
        "sampling": "out/**/config.yaml",
        "scoring held-out text": "cache/annotated/*",
        "measuring": "out/**/samples/*",
        "measuring the second model": "out/model-1/samples/*",
        "ending": "out/**/metrics.jsonl",
    }
    kills, when = killed(Job(arguments, result, phases), num_cases(30, 1), tmp_path, random.Random(3))
    counts["`phf evaluate`, killed once or twice while it ran, then run again"] = (
        kills,
        f"all files identical apart from times; {when}",
    )


@pytest.mark.skipif(not FULL, reason="part of make faults")
def test_red_teams(program, tmp_path, counts):
    write_model(tmp_path / "tiny" / "model")
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"text": f"def f{i}("}) + "\n" for i in range(6)))
    config = attack_config(prompts)
    generation = config.generation.model_copy(update={"scorer_config": {"class_name": "program:Slow"}})
    (tmp_path / "config.yaml").write_text(dump_config(config.model_copy(update={"generation": generation})))
    arguments = [program, "redteam", str(tmp_path / "tiny" / "model"), "--config", str(tmp_path / "config.yaml")]
    arguments += ["--output", "out"]

    def result(folder):
        files = files_of(folder, "out/*.json*", "out/samples/*")
        del files["out/provenance.json"]
        return files

    phases = {"attacking": "out/job.json", "attacking again": "out/rounds/*", "ending": "out/pool.jsonl"}
    kills, when = killed(Job(arguments, result, phases), 20, tmp_path, random.Random(2))
    counts["`phf redteam`, killed once or twice while it ran, then run again"] = (kills, f"all files identical; {when}")
