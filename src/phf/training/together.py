"""Runs that are trained in parallel, each in a process with its share of the cores: `python -m phf.training.together`.

A small model's operations are too short to be worth splitting: on few cores two processes of one thread each train
faster than one after the other on all threads, and do not wait for each other if something else uses a core.

The child is sent `{"config": YAML, "run_dir": ...}` and answers `{"announce": text}`, `{"doing": text}` with what takes a
while besides steps ("" when it is over), `{"show": [step, max_steps, numbers]}`, and finally `{"done": true}` or
`{"error": ...}`; see `phf.workers.parent`.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from phf.config import Config, dump_config, load_config
from phf.errors import PhfError
from phf.workers.activity import watching
from phf.workers.child import Child, ready
from phf.workers.cpus import available_cpus
from phf.workers.parent import Parent

Events = Callable[[str, dict[str, Any]], None]
"""Called with (name of the run, message) for `announce`, `doing` and `show`."""
TICK_SECONDS = 0.5
SECONDS_BETWEEN_ACTIVITIES = 5.0


def train_together(jobs: Mapping[str, tuple[Config, Path]], on_event: Events) -> None:
    """Train all runs at once, resuming unfinished ones; `jobs`: name -> configuration and run folder.

    Raises the first error of any; the others are then ended, as they are when this process is, and can be resumed.
    """
    threads = {"OMP_NUM_THREADS": str(max(1, available_cpus() // len(jobs)))}
    children: dict[Child, str] = {}
    try:
        for name, (config, run_dir) in jobs.items():
            child = Child("phf.training.together", threads, echo=False)
            children[child] = name
            child.send({"config": dump_config(config), "run_dir": str(run_dir)})
        unfinished = list(children)
        while unfinished:
            for child in ready(unfinished, TICK_SECONDS):
                if _is_done(child, children[child], on_event):
                    unfinished.remove(child)
            for child in unfinished:
                if (status := child.exit_status()) is not None:
                    raise PhfError(
                        f"The process that trained {children[child]} ended ({status}). Run again to resume. Its output:\n"
                        f"{child.last_output}"
                    )
    finally:
        for child in children:
            child.stop()


def _is_done(child: Child, name: str, on_event: Events) -> bool:
    """Pass on what a child has answered; whether its run is finished."""
    try:
        answers = child.read()
    except PhfError as error:
        error.args = (f"{name}: {error}",)
        raise
    for answer in answers:
        if "done" in answer:
            return True
        on_event(name, answer)
    return False


def main() -> None:
    """Train the run that the parent describes."""
    parent = Parent()
    job, _ = parent.receive()
    from phf.training.run import train

    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "config.yaml"
            path.write_text(job["config"], encoding="utf-8")
            config, _ = load_config(config=path)
        with watching(_reporter(parent), SECONDS_BETWEEN_ACTIVITIES):
            train(
                config,
                Path(job["run_dir"]),
                resume=True,
                announce=lambda text: parent.send(announce=text),
                show=lambda step, max_steps, numbers: parent.send(show=[step, max_steps, numbers]),
                progress=lambda what: parent.send(doing=what),
            )
    except PhfError as error:
        parent.send_error(error)
    else:
        parent.send(done=True)


def _reporter(parent: Parent) -> Callable[[str | None], None]:
    """A function that tells the parent the current activity, and once that there is none any more."""
    last: list[str] = [""]

    def report(text: str | None) -> None:
        if text or last[0]:
            last[0] = text or ""
            parent.send(doing=last[0])

    return report


if __name__ == "__main__":
    main()
