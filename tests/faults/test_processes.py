"""No process of a job outlives it, whatever kills the job."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.faults.counts import FULL
from tests.tiny import tiny_config, tiny_corpus

from phf.config import dump_config

pytestmark = pytest.mark.skipif(not FULL, reason="part of make faults")
SLOW_SCORER = """
import os, time
from pathlib import Path

class Slow:
    segmenter = "lines"

    def score_texts(self, texts):
        (Path(__file__).parent / f"working-{os.getpid()}").touch()
        time.sleep(600)
"""


def descendants(pid):
    """The process and all that it has started, directly or not."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def is_running(pid):
    """Whether a process exists, and has not only not been waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def seconds_until_gone(pids, limit=60):
    start = time.monotonic()
    while (left := [pid for pid in pids if is_running(pid)]) and time.monotonic() - start < limit:
        time.sleep(0.1)
    assert not left, [Path(f"/proc/{pid}/cmdline").read_text() for pid in left]
    return time.monotonic() - start


def wait_for(condition, limit=300):
    deadline = time.monotonic() + limit
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert value
    return value


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("backend", ["local", "ray"])
def test_annotation_leaves_no_process(backend, sent, tmp_path, counts):
    if backend == "ray":
        pytest.importorskip("ray")
    (tmp_path / "slow.py").write_text(SLOW_SCORER)
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"text": f"{n}\n"}) + "\n" for n in range(200)))
    arguments = ["annotate", "corpus.jsonl", "--scorer", "slow:Slow", "--output", "out", "--workers", "2"]
    with (tmp_path / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "phf", *arguments, "--backend", backend],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
            stdout=output,
            stderr=output,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    wait_for(lambda: list(tmp_path.glob("working-*")) or process.poll() is not None)
    everyone = descendants(process.pid)
    assert len(everyone) > 1, (tmp_path / "output.txt").read_text()
    process.send_signal(sent)
    process.wait(timeout=60)
    # the agents of Ray notice only after a while that it has ended
    seconds = seconds_until_gone(everyone, limit=240 if backend == "ray" else 60)
    counts[f"`phf annotate --backend {backend}` ended by {sent.name}: processes left"] = (
        1,
        f"none of {len(everyone)} after {seconds:.0f} s",
    )


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_training_leaves_no_process_when_its_launcher_ends(sent, tmp_path, counts):
    (tmp_path / "corpus").mkdir()
    config = tiny_config(tiny_corpus(tmp_path / "corpus"), **{"training.num_tokens": 100_000 * 4 * 64})
    (tmp_path / "config.yaml").write_text(dump_config(config))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "phf", "train"]
    with (tmp_path / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [*launch, "--config", str(tmp_path / "config.yaml"), "--output-dir", str(tmp_path), "--run-name", "run"],
            stdout=output,
            stderr=output,
            cwd=tmp_path,
        )
    wait_for(lambda: list((tmp_path / "run").glob("checkpoint-*")) or process.poll() is not None)
    everyone = descendants(process.pid)
    assert len(everyone) >= 3, (tmp_path / "output.txt").read_text()
    process.send_signal(sent)
    process.wait(timeout=60)
    seconds = seconds_until_gone(everyone)
    assert "Traceback" not in (tmp_path / "output.txt").read_text() or sent != signal.SIGKILL
    counts[f"`torchrun` ended by {sent.name}: ranks of `phf train` left after a minute"] = (
        1,
        f"none of 2 after {seconds:.0f} s",
    )


def test_runs_on_a_cold_cache_wait_for_the_one_that_annotates(tmp_path, counts):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "config.yaml").write_text(dump_config(tiny_config(tiny_corpus(tmp_path / "corpus"))))
    arguments = [sys.executable, "-m", "phf", "train", "--config", str(tmp_path / "config.yaml")]
    environment = {**os.environ, "PHF_CACHE": str(tmp_path / "cache")}
    runs = [
        subprocess.Popen(
            [*arguments, "--output-dir", str(tmp_path), "--run-name", f"run-{number}"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(4)
    ]
    said = [run.communicate(timeout=600)[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * 4, said
    assert sum("Scoring " in text for text in said) == 1
    weights = {(tmp_path / f"run-{number}" / "model" / "model.safetensors").read_bytes() for number in range(4)}
    assert len(weights) == 1
    waited = sum("Waiting for another process" in text for text in said)
    counts["`phf train` started four times at once on an empty cache"] = (
        4,
        f"all finish with the same weights, {waited} waited",
    )
