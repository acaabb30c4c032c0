"""Runs that are trained side by side, each in a process with its share of the cores: `python -m phf.training.together`.

A small model's operations are too short to be worth splitting: on few cores two processes of one thread each train
faster than one after the other on all threads, and do not wait for each other where something else uses a core.

The child reads `{"config": YAML, "run_dir": ...}` from standard input and writes JSON lines to standard output:
`{"announce": text}`, `{"show": [step, max_steps, numbers]}`, and at last `{"done": true}` or `{"error": [class, text]}`.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from phf import errors
from phf.config import Config, dump_config, load_config
from phf.errors import PhfError

Events = Callable[[str, dict[str, Any]], None]
"""Called with (name of the run, message) for `announce` and `show`."""


def train_together(jobs: Mapping[str, tuple[Config, Path]], on_event: Events) -> None:
    """Train all runs at once, resuming those that were begun; `jobs`: name -> configuration and run folder.

    Raises the first error of any; the others are then ended, as they are when this process is, and can be resumed.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(1, cores // len(jobs))
    events: SimpleQueue[tuple[str, dict[str, Any] | None]] = SimpleQueue()
    children = {name: _Child(name, config, run_dir, threads, events) for name, (config, run_dir) in jobs.items()}
    try:
        unfinished = set(children)
        while unfinished:
            name, message = events.get()
            if message is None:
                children[name].raise_for_status()
                unfinished.discard(name)
            elif "error" in message:
                kind, text = message["error"]
                raise _as_error(kind, text, name)
            else:
                on_event(name, message)
    finally:
        for child in children.values():
            child.end()


class _Child:
    """One training process; its messages go into `events`, None when there will be no more."""

    def __init__(
        self,
        name: str,
        config: Config,
        run_dir: Path,
        threads: int,
        events: "SimpleQueue[tuple[str, dict[str, Any] | None]]",
    ) -> None:
        self.name = name
        self.is_done = False
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "phf.training.together"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            process_group=0,  # an interruption is ours to handle; the child ends when its input does
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"config": dump_config(config), "run_dir": str(run_dir)}) + "\n")
        self._process.stdin.flush()
        threading.Thread(target=self._read, args=(self._process.stdout, events), daemon=True).start()

    def _read(self, lines: IO[str], events: "SimpleQueue[tuple[str, dict[str, Any] | None]]") -> None:
        for line in lines:
            message = json.loads(line)
            if "done" in message:
                self.is_done = True
            else:
                events.put((self.name, message))
        events.put((self.name, None))

    def raise_for_status(self) -> None:
        """Called when the output has ended: an error unless the run was finished."""
        status = self._process.wait()
        if not self.is_done:
            self._stderr.seek(0)
            said = self._stderr.read()[-2000:].strip()
            raise PhfError(
                f"The process that trained {self.name} ended with status {status}. Run again to go on. It said:\n{said}"
            )

    def end(self) -> None:
        """End the process, finished or not."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait()
        self._stderr.close()


def _as_error(kind: str, text: str, name: str) -> PhfError:
    """The user's error that a child met, of its own class."""
    cls = getattr(errors, kind, PhfError)
    error = cls.__new__(cls)  # the constructor of some classes makes the message itself
    ValueError.__init__(error, f"{name}: {text}")
    return error


def main() -> None:
    """Train the run that standard input describes; end at once when standard input does."""
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the messages
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def send(**message: Any) -> None:
        messages.write(json.dumps(message) + "\n")

    from phf.training.run import train

    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "config.yaml"
            path.write_text(job["config"], encoding="utf-8")
            config, _ = load_config(config=path)
        train(
            config,
            Path(job["run_dir"]),
            resume=True,
            announce=lambda text: send(announce=text),
            show=lambda step, max_steps, numbers: send(show=[step, max_steps, numbers]),
        )
    except PhfError as error:
        send(error=[type(error).__name__, str(error)])
    else:
        send(done=True)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
