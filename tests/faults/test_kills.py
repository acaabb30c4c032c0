"""A command that is killed at any moment, and run again, ends with the same files as one that was not."""

import json
import random
import re
import signal
import sys
import time

import pytest
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

if __name__ == "__main__":
    from phf.cli.app import main
    from phf.training.preemption import Preemption

    on_step_end = Preemption.on_step_end
    def slow(self, *arguments, **settings):
        time.sleep(0.1)
        on_step_end(self, *arguments, **settings)
    Preemption.on_step_end = slow
    main()
"""
"""`phf`, with a scorer and with steps that take their time; named `program`, so that the scorer is `program:Slow`."""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    (tmp_path / "first").mkdir()
    # so that what all processes are forked from is not started within the time of the first one
    assert command([str(path), "--version"], tmp_path / "first").wait(timeout=TIMEOUT) == 0
    return str(path)


def command(arguments, folder):
    with (folder / "output.txt").open("a") as output:
        return Forked([sys.executable, *arguments], cwd=folder, stdout=output, stderr=output)


def seconds_of(arguments, folder):
    """How long a command takes that nothing happens to."""
    start = time.monotonic()
    assert command(arguments, folder).wait(timeout=TIMEOUT) == 0, (folder / "output.txt").read_text()[-3000:]
    return time.monotonic() - start


def killed_then_finished(arguments, again, folder, moments):
    """Kill a command after each of these numbers of seconds, then let it finish. Returns whether each kill met it running."""
    for number, moment in enumerate(moments):
        process = command(again if number and again_is_possible(folder) else arguments, folder)
        time.sleep(moment)
        if process.poll() is not None:
            assert process.wait(timeout=TIMEOUT) == 0, (folder / "output.txt").read_text()[-3000:]
            return False
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=TIMEOUT)
    last = command(again if again_is_possible(folder) else arguments, folder)
    said = (folder / "output.txt").read_text
    assert last.wait(timeout=TIMEOUT) == 0, said()[-3000:]
    assert "Traceback" not in said()
    return True


def again_is_possible(folder):
    """Whether a run was begun that can be resumed."""
    return (folder / "run" / "config.yaml").exists()


def files_of(folder, *names):
    """Path in the folder -> content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for name in names for path in sorted(folder.glob(name))
    }


def test_annotation(program, tmp_path, counts):
    (tmp_path / "corpus").mkdir()
    for file in range(8):
        rows = [json.dumps({"text": f"{file} {i} {'e' * (i % 7)}\n" * 3}) for i in range(40)]
        (tmp_path / "corpus" / f"{file}.jsonl").write_text("\n".join(rows) + "\n")
    arguments = [program, "annotate", str(tmp_path / "corpus"), "--scorer", "program:Slow", "--output", "out"]
    arguments += ["--workers", "2"] if FULL else ["--workers", "1", "--time-limit", "0"]
    draw = random.Random(0)
    whole, seconds = None, 0.0
    kills, number = num_cases(40, 2), -1
    while number < kills:
        folder = tmp_path / f"{number}-{draw.random()}"
        folder.mkdir()
        if whole is None:
            seconds = seconds_of(arguments, folder)
            whole = files_of(folder, "out/*.parquet", "out/manifest.json")
            assert len(whole) == 8 + 1
            number = 0
            continue
        moments = [draw.uniform(0, seconds) for _ in range(1 + number % 2)]
        number += killed_then_finished(arguments, arguments, folder, moments)
        assert files_of(folder, "out/*.parquet", "out/manifest.json") == whole, folder
    counts["`phf annotate`, killed once or twice at any moment, then run again"] = (kills, "all files identical")


def test_training(program, tmp_path, counts):
    (tmp_path / "corpus").mkdir()
    changes = {
        "model.config_kwargs.resid_pdrop": 0.1,
        "training.num_tokens": 10 * 4 * 64,
        "generation.every_n_steps": 4,
    }
    config = tiny_config(tiny_corpus(tmp_path / "corpus"), "conditional", **changes)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    arguments = [program, "train", "--config", str(tmp_path / "config.yaml")]
    arguments += ["--run-name", "run", "--output-dir", "."]
    draw = random.Random(1)
    whole, seconds = None, 0.0
    kills, number = num_cases(40, 1), -1
    while number < kills:
        folder = tmp_path / f"{number}-{draw.random()}"
        folder.mkdir()
        if whole is None:
            seconds = seconds_of(arguments, folder)
            whole = result_of(folder / "run")
            number = 0
            continue
        moments = [draw.uniform(0, seconds) for _ in range(1 + number % 2)]
        number += killed_then_finished(arguments, [*arguments, "--resume"], folder, moments)
        assert result_of(folder / "run") == whole, folder
    counts["`phf train`, killed once or twice at any moment, then resumed"] = (
        kills,
        "weights, log and samples identical",
    )


def result_of(run_dir):
    """The exported weights, the samples, and the log without times."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    timed = re.compile(r"second|time|utili|share|memory|throughput|flops|wait", re.IGNORECASE)
    log = [{key: value for key, value in line.items() if not timed.search(key)} for line in lines]
    return log, files_of(run_dir, "model/*.safetensors", "samples/*.jsonl")


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
    draw = random.Random(2)
    whole, seconds = None, 0.0
    kills, number = 20, -1
    while number < kills:
        folder = tmp_path / f"{number}-{draw.random()}"
        folder.mkdir()
        if whole is None:
            seconds = seconds_of(arguments, folder)
            whole = files_of(folder, "out/*.json*", "out/samples/*")
            del whole["out/provenance.json"]
            number = 0
            continue
        number += killed_then_finished(arguments, arguments, folder, [draw.uniform(0, seconds)])
        files = files_of(folder, "out/*.json*", "out/samples/*")
        del files["out/provenance.json"]
        assert files == whole, folder
    counts["`phf redteam`, killed at any moment, then run again"] = (kills, "all files identical")
