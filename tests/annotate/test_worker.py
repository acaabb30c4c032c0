"""Workers whose parent was killed end, whatever the end of their input looks like."""

import json
import os
import subprocess
import sys

import pytest

from phf.annotate.corpus_piece import CorpusPiece, Cursor
from phf.corpus.sources.documents import Document
from phf.corpus.sources.parts import Part

PARENT = """
import os, signal, subprocess, sys
worker = subprocess.Popen([sys.executable, "-m", "phf.annotate.backends.worker", str(os.getpid())], stdin=subprocess.PIPE)
os.set_blocking(worker.stdin.fileno(), True)
os.write(worker.stdin.fileno(), sys.argv[1].encode())
if sys.argv[2] == "held":  # another process of ours has the pipe too
    descriptor = worker.stdin.fileno()
    subprocess.Popen(["sleep", "60"], pass_fds=(descriptor,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
os.kill(os.getpid(), signal.SIGKILL)
"""
SETTINGS = {
    "scorers": {"scores": {"class_name": "tests.annotate.scorers_for_tests:HangingScorer"}},
    "segmenter": "lines",
    "output": "{output}",
    "options": None,
    "is_strict": True,
    "path": sys.path,
}
DOCUMENTS = '[["a", "hang\\n", {}]]'
PIECE = CorpusPiece(0, Cursor(), Cursor(1, 1), Part("a.csv", "records"), documents=[Document("a", "hang\n")]).to_json()
HOW = {"piece": PIECE, "skipped": {}, "one_by_one": False, "attached": len(DOCUMENTS)}


def lines(*messages: object) -> str:
    return "".join(json.dumps(message) + "\n" for message in messages)


@pytest.mark.parametrize(
    ("sent", "pipe"),
    [
        ("", "closed"),
        ('{"scorers": ', "closed"),
        (lines(SETTINGS), "closed"),
        (lines(SETTINGS, HOW) + '[["a", "te', "closed"),
        (lines(SETTINGS) + "not JSON\n", "closed"),
        (lines(SETTINGS, HOW) + DOCUMENTS + '{"piece"', "closed"),
        (lines(SETTINGS, HOW) + DOCUMENTS, "held"),
    ],
)
def test_a_worker_ends_with_its_parent(sent, pipe, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # the worker holds our end of its output open as long as it lives
    parent = subprocess.run(
        [sys.executable, "-c", PARENT, sent.replace("{output}", str(tmp_path)), pipe],
        stdout=subprocess.PIPE,
        env=environment,
        timeout=60,
        check=False,
    )
    assert parent.returncode == -9
