"""`phf annotate`: workers are started while its command line is still being checked."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from phf.cli.app import app
from phf.workers import child

LINE = ["annotate", "corpus.jsonl", "--scorer", "PEP8Scorer", "--output", "out"]


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ([], 1),  # there may be a single CPU
        (["--workers", "2"], 2),
        (["--workers", "64"], 2),
        (["--workers", "1"], 1),  # so that a document that hangs can be left unscored
        (["--workers", "1", "--time-limit", "0"], 0),  # in this process
        (["--backend", "ray", "--workers", "2"], 0),
        (["--workers", "2", "--help"], 0),
        (["--workers", "many"], 0),
    ],
)
def test_workers_are_started_before_the_corpus_is_looked_at_and_end_with_the_command(
    more, count, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.jsonl").write_text("")
    # a cluster takes 20 s to start; tests/tokens start one as the commands do
    monkeypatch.setattr("phf.annotate.backends.ray_cluster.score_on_ray", lambda *settings: iter(()))
    started, start = [], child._start
    monkeypatch.setattr(child, "_start", lambda *args: started.append(start(*args)) or started[-1])
    result = CliRunner().invoke(app, [*LINE, *more])
    assert result.exit_code == (0 if "--help" in more else 2), result.output
    assert len(started) == count
    assert all(process.poll() is not None for process in started)


def test_the_process_that_deals_out_work_loads_neither_numpy_nor_arrow(tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"text": "x=1"}\n{"text": "x=1"}\n')
    code = (
        "import sys; from phf.cli.app import app; app(sys.argv[1:], standalone_mode=False); "
        "print(sorted({'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, *LINE, "--workers", "2"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "2 documents, 2 segments" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
