"""`phf annotate`: score every segment of a corpus."""

import atexit
import gc
import json
import os
import shlex
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from phf.cli import completion
from phf.cli.for_scripts import answer
from phf.cli.options import finite, scorer_section
from phf.cli.terminal import console, say, say_next
from phf.errors import ConfigError
from phf.text import counted
from phf.workers.child import ONE_THREAD, starting_ahead

WORKER = "phf.annotate.backends.worker"
MOST_AHEAD = 2
"""Workers that are started before it is known how much there is to do, and with what."""


def workers_ahead(options: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Workers for a command line, whose `options` are known as text; they end with the block, if they are not
    wanted. They import what they need while this process checks the options and imports what it needs itself."""
    workers = str(options.get("workers") or 1)
    is_alone = workers == "1" and options.get("time_limit") == "0"
    is_local = options.get("backend", "local") == "local"
    is_whole = not options.get("help") and options.get("output") is not None and workers.isdecimal()
    num_ahead = min(int(workers), MOST_AHEAD) if is_whole and is_local and not is_alone else 0
    if num_ahead:  # this process computes nothing
        os.environ.update({**ONE_THREAD, **os.environ})
    return starting_ahead(WORKER, num_ahead)


def annotate(
    sources: Annotated[
        list[str], typer.Argument(help="Corpora: files, folders, globs, Hub names, python-stdlib, python-packages.")
    ],
    scorer: Annotated[
        list[str],
        typer.Option(
            help="Scorer (phf list scorers), or {class_name: ..., key: value}. Repeat it for more.",
            autocompletion=completion.scorers,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the annotated dataset.")],
    segment: Annotated[
        str | None,
        typer.Option(help="lines, sentences (or sentences:de, ...) or document; default: the first scorer's own."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes, or actors on Ray; default: one per CPU, or one per GPU.")
    ] = None,
    backend: Annotated[str, typer.Option(help="local: processes of this machine; ray: a Ray cluster.")] = "local",
    ray_address: Annotated[str | None, typer.Option(help="Existing Ray cluster; default: a local one.")] = None,
    time_limit: Annotated[
        float,
        typer.Option(
            min=0, callback=finite, help="Seconds after which a document that hangs is left unscored; 0: never."
        ),
    ] = 600,
    push_to_hub: Annotated[
        str | None, typer.Option(help="Upload the dataset to this private Hub repository; needs HF_TOKEN.")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column of the text; default: text, texts, content or raw_content.")
    ] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Column to keep in meta; repeat it for more.")] = None,
    shard_size: Annotated[int, typer.Option(min=1, help="Text in a file of the dataset, in megabytes.")] = 128,
    on_error: Annotated[
        str, typer.Option(help="When a row or file cannot be read: stop, or skip and count it.")
    ] = "stop",
) -> None:
    """Score every segment of a corpus."""
    if backend not in ("local", "ray"):
        raise ConfigError(f"--backend {backend}: it must be local or ray.")
    if on_error not in ("stop", "skip"):
        raise ConfigError(f"--on-error {on_error}: it must be stop or skip.")
    atexit.register(gc.freeze)  # else Python searches all modules for cycles at exit, which takes 0.07 s
    announced: list[str] = []

    def announce(message: str) -> None:
        announced.append(message)
        say(message, "yellow")

    from phf.annotate.checks import notices
    from phf.annotate.runner import annotate as run
    from phf.cli.progress import scoring_progress
    from phf.corpus.formats.row_policy import ReadOptions

    if push_to_hub is not None:
        from phf.annotate.hub import check_push, push_dataset

        check_push(push_to_hub)
    with scoring_progress(console, "Scoring") as show:
        manifest = run(
            sources,
            [scorer_section(text) for text in scorer],
            segment,
            output,
            workers,
            show,
            backend=backend,  # type: ignore[arg-type]
            ray_address=ray_address,
            time_limit=time_limit or None,
            shard_bytes=shard_size * 1_000_000,
            options=ReadOptions(text_column, tuple(keep or ())),
            on_error=on_error,  # type: ignore[arg-type]
            announce=announce,
        )
    say(
        f"{counted(manifest.num_documents, 'document')}, {counted(manifest.num_segments, 'segment')}, unscored: "
        f"{manifest.num_unscored:,}"
    )
    for reason, count in manifest.unscored_reasons.items():
        say(f"Unscored: {counted(count, 'segment')}, {reason}", "yellow")
    for notice in notices(manifest):
        if notice not in announced:
            say(notice, "yellow")
    url = None if push_to_hub is None else push_dataset(output, push_to_hub)
    if url is not None:
        say(f"Uploaded to {url}")
    override = shlex.quote(f"dataset.datasets=[{json.dumps(str(output), ensure_ascii=False)}]")
    say_next(
        f"Dataset: {output}",
        (f"phf profile {shlex.quote(str(output))}", "its scores and thresholds"),
        (f"phf train --task TASK --method METHOD --override {override}", "a model trained on it"),
    )
    answer({"output": output, "url": url, "manifest": asdict(manifest)})
