"""The verbs, in pipeline order. Parses and calls; what a verb does is in the folder of its name."""

import json
import math
import os
import shlex
import sys
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from typer.core import TyperGroup

from phf.cli.blame import set_by
from phf.cli.progress import TrainingProgress, heartbeat, redteam_progress, scoring_progress, training_progress
from phf.errors import ConfigError, PhfError
from phf.text import visible_text
from phf.workers.interruption import Terminated, ending_on_signals, exit_status

if TYPE_CHECKING:
    from phf.config import Config

console = Console(highlight=False, emoji=False)
errors = Console(highlight=False, emoji=False, stderr=True)

SCORER_FORM = "Write it like {class_name: NAME, key: value}."


AGAIN = "Run the same command again to continue."
KEPT = {
    "annotate": f"Finished shards are kept. {AGAIN}",
    "train": "Checkpoints are kept. Add --resume to continue from the last one.",
    "evaluate": f"Finished parts are kept. {AGAIN}",
    "redteam": f"Finished rounds are kept. {AGAIN}",
    "quickstart": f"What is finished is kept. {AGAIN}",
    "profile": "Run the same command again.",
    "report": "Run the same command again.",
}
"""Verb -> what an interruption leaves behind."""


class Verbs(TyperGroup):
    """The verbs in the order of this file. A user's mistake ends in one message and its status; an interruption in a
    message and 130, or 143 for SIGTERM."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As of any group; an option that is given twice, of which all but the last would be ignored, is refused."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            parser = command.make_parser(command.context_class(command, info_name=name, parent=ctx))
            _, _, given = parser.parse_args(args=list(rest))
            parameter: Any
            for parameter in given:
                takes_one = parameter.param_type_name == "option" and not parameter.multiple and not parameter.is_flag
                if takes_one and given.count(parameter) > 1:
                    ctx.fail(f"{parameter.opts[0]} is given {given.count(parameter)} times; it takes one value.")
        ctx.obj = tuple(rest)  # the list itself is used up by parsing
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except PhfError as error:
            message = str(error) + set_by(str(error), ctx.obj or ())
            errors.print(f"[bold red]Error:[/] {escape(visible_text(message))}", soft_wrap=True)
            raise typer.Exit(error.exit_status) from None
        except KeyboardInterrupt as error:
            if os.environ.get("RANK", "0") == "0":  # of the processes of a launcher one speaks
                how = "Ended by SIGTERM" if isinstance(error, Terminated) else "Interrupted"
                errors.print(f"{how}. {KEPT.get(ctx.invoked_subcommand or '', AGAIN)}", soft_wrap=True)
            raise typer.Exit(exit_status(error)) from None


app = typer.Typer(
    cls=Verbs,
    name="phf",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Task = Annotated[str | None, typer.Option(help="Shipped task (pep8 is pep8/pretrain) or a YAML file.")]
Method = Annotated[str | None, typer.Option(help="Shipped method (mle, conditional, ...) or a YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--override", help="section.key=value; repeat it or list several.")
]
OwnTask = Annotated[
    str | None, typer.Option(help="Shipped task (pep8 is pep8/pretrain) or a YAML file; default: that of the run.")
]
MoreOverrides = Annotated[list[str] | None, typer.Argument(hidden=True)]


def _show_version(is_asked: bool) -> None:
    if is_asked:
        import phf

        _say(f"phf {phf.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version, and stop.")
    ] = False,
) -> None:
    """Pretraining language models with human feedback: score a corpus, train on the scores, show the evidence."""


@app.command()
def annotate(
    sources: Annotated[list[str], typer.Argument(help="Corpora: files, folders, globs, Hub names, python-stdlib.")],
    scorer: Annotated[
        list[str], typer.Option(help="Scorer (phf list scorers), or {class_name: ..., key: value}. Repeat it for more.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the annotated dataset.")],
    segment: Annotated[
        str | None,
        typer.Option(help="lines, sentences (or sentences:de, ...) or document; default: the first scorer's own."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes, or actors on Ray; default: one a core, or one a GPU.")
    ] = None,
    backend: Annotated[str, typer.Option(help="local: processes of this machine; ray: a Ray cluster.")] = "local",
    ray_address: Annotated[str | None, typer.Option(help="Existing Ray cluster; default: a local one.")] = None,
    time_limit: Annotated[
        float, typer.Option(min=0, help="Seconds until a document that hangs is left unscored; 0: none.")
    ] = 600,
    push_to_hub: Annotated[
        str | None, typer.Option(help="Upload the dataset to this private Hub repository; needs HF_TOKEN.")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column of the text; default: text, texts, content or raw_content.")
    ] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Column to keep in meta; repeat it for more.")] = None,
    on_error: Annotated[
        str, typer.Option(help="At a row or file that cannot be read: stop, or skip and count it.")
    ] = "stop",
) -> None:
    """Score every segment of a corpus."""
    from phf.annotate.checks import notices
    from phf.annotate.hub import check_push, push_dataset
    from phf.annotate.runner import annotate as run
    from phf.corpus.formats.row_policy import ReadOptions

    if backend not in ("local", "ray"):
        raise ConfigError(f"--backend {backend}: it must be local or ray.")
    if on_error not in ("stop", "skip"):
        raise ConfigError(f"--on-error {on_error}: it must be stop or skip.")
    if push_to_hub is not None:
        check_push(push_to_hub)
    announced: list[str] = []

    def announce(message: str) -> None:
        announced.append(message)
        _say(message, "yellow")

    with scoring_progress(console, "Scoring") as show:
        manifest = run(
            sources,
            [_scorer_section(text) for text in scorer],
            segment,
            output,
            workers,
            show,
            backend=backend,  # type: ignore[arg-type]
            ray_address=ray_address,
            time_limit=time_limit or None,
            options=ReadOptions(text_column, tuple(keep or ())),
            on_error=on_error,  # type: ignore[arg-type]
            announce=announce,
        )
    _say(
        f"{manifest.num_documents:,} documents, {manifest.num_segments:,} segments, unscored: {manifest.num_unscored:,}. "
        f"Dataset: {output}"
    )
    for reason, count in manifest.unscored_reasons.items():
        _say(f"Unscored: {count:,} segments, {reason}", "yellow")
    for notice in notices(manifest):
        if notice not in announced:
            _say(notice, "yellow")
    override = shlex.quote(f"dataset.datasets=[{json.dumps(str(output), ensure_ascii=False)}]")
    _say(f"Next: phf profile {shlex.quote(str(output))}  (its scores and thresholds),")
    _say(f"      phf train --task TASK --method METHOD --override {override}")

    if push_to_hub is not None:
        _say(f"Uploaded to {push_dataset(output, push_to_hub)}")


@app.command()
def score(
    text: Annotated[str, typer.Argument(help="The text; - reads it from standard input, in UTF-8.")],
    scorer: Annotated[str, typer.Option(help="Scorer (phf list scorers), or {class_name: ..., key: value}.")],
    segment: Annotated[
        str | None, typer.Option(help="lines, sentences (or sentences:zh, ...) or document; default: the scorer's own.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """See the score of a text, segment by segment, and what the scorer found in it."""
    _quiet()
    from phf.corpus.segmenting.segment import segmenter
    from phf.scorers import build_scorer
    from phf.scorers.explain import explain
    from phf.scorers.show import json_text, show_explanation

    if segment is not None:
        segmenter(segment)
    if text == "-":
        try:
            text = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"Standard input is not UTF-8: {error}.") from error
    explanation = explain(build_scorer(_scorer_section(scorer), "--scorer"), text, segment)
    if as_json:
        typer.echo(json_text(explanation))
    else:
        show_explanation(explanation, console)


@app.command()
def profile(
    dataset: Annotated[str, typer.Argument(help="Annotated dataset; with --estimate, a raw corpus.")],
    scores_column: Annotated[str, typer.Option(help="Column that holds the scores.")] = "scores",
    threshold: Annotated[float, typer.Option(help="Show what is on each side of this score.")] = 0.0,
    percentile: Annotated[
        list[float] | None,
        typer.Option(min=0, max=100, help="Show the threshold of this percentile; repeat it for more."),
    ] = None,
    level: Annotated[str | None, typer.Option(help="Whose percentiles: document or segment; default: both.")] = None,
    by: Annotated[
        str | None, typer.Option(help="Key of meta to group by; default: the only one, or else files.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Tokenizer to count tokens with, instead of characters.")
    ] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Predict what annotating a raw corpus takes.")] = False,
    scorer: Annotated[str | None, typer.Option(help="With --estimate: the scorer; see phf list scorers.")] = None,
    segment: Annotated[
        str | None, typer.Option(help="With --estimate: lines, sentences or document; default: the scorer's own.")
    ] = None,
    sample: Annotated[int, typer.Option(min=2, help="With --estimate: documents to score.")] = 200,
    text_column: Annotated[str | None, typer.Option(help="With --estimate: column of the text.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the files; default: the dataset's own.")] = None,
) -> None:
    """See the scores of an annotated dataset, or what annotating a corpus will take."""
    _quiet()
    from phf.corpus.formats.row_policy import ReadOptions
    from phf.profile.estimate import estimate_corpus
    from phf.profile.files import write_estimate, write_profile
    from phf.profile.measure import LEVELS, profile_dataset
    from phf.profile.show import show_estimate, show_profile

    if estimate:
        if scorer is None:
            raise ConfigError("--estimate needs --scorer; see phf list scorers.")
        with console.status("Scoring a sample..."):
            prediction = estimate_corpus(dataset, _scorer_section(scorer), segment, sample, ReadOptions(text_column))
        show_estimate(prediction, console)
        if output is not None:
            _say(f"Written to {write_estimate(prediction, output)}")
        return
    if not math.isfinite(threshold):
        raise ConfigError(f"--threshold {threshold}: it must be a finite number.")
    if level not in (None, *LEVELS):
        raise ConfigError(f"--level {level}: it must be document or segment.")
    with console.status("Reading...") as status:
        found = profile_dataset(
            dataset,
            scores_column=scores_column,
            threshold=threshold,
            percentiles=percentile or (),
            levels=LEVELS if level is None else (level,),
            by=by,
            tokenizer=tokenizer,
            progress=lambda documents, chars: status.update(
                f"Read {documents:,} documents, {chars / 1e6:,.1f} M characters"
            ),
        )
    show_profile(found, console)
    folder, note = write_profile(found, output)
    if note is not None:
        _say(note, "yellow")
    if folder is not None:
        _say(f"Written to {folder}")


@app.command()
def train(
    more: MoreOverrides = None,
    task: Task = None,
    method: Method = None,
    config: Annotated[Path | None, typer.Option(help="A resolved configuration, instead of task and method.")] = None,
    override: Overrides = None,
    run_name: Annotated[str | None, typer.Option(help="Name of the run folder; default: task-method.")] = None,
    output_dir: Annotated[Path, typer.Option(help="Where run folders go.")] = Path("runs"),
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last complete checkpoint.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Validate, print the plan, and stop.")] = False,
) -> None:
    """Train a model with a method on a task."""
    resolved = _load(task, method, config, [*(override or []), *(more or [])])
    name = run_name or "-".join(map(_short, filter(None, (resolved.task, resolved.method)))) or "run"
    _quiet()
    from phf.config import dump_config
    from phf.training.data import percentile_notes
    from phf.training.run import plan_run

    plan = plan_run(resolved, output_dir / name)
    is_main = plan.arguments.process_index == 0
    for warning in plan.warnings if is_main else ():
        _say(warning, "yellow")
    if dry_run:
        from phf.training.settings.outlook import outlook

        found = outlook(plan)
        _say(dump_config(resolved))
        for note in percentile_notes(resolved):
            _say(note)
        _print_arithmetic(plan.arithmetic)
        for note in found.notes:
            _say(note)
        for warning in found.warnings:
            _say(warning, "yellow")
        return
    numbers = _train(name, resolved, output_dir / name, resume)
    if is_main:
        _say_result(numbers, output_dir / name)


@app.command()
def evaluate(
    models: Annotated[
        list[str], typer.Argument(help="Run folders, or folders of Hugging Face causal LMs, e.g. runs/<name>/model.")
    ],
    task: OwnTask = None,
    override: Overrides = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Measure only this: generation, diversity, held-out, kl, downstream, glue. Repeat it for more."
        ),
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Leave this out; repeat it for more.")] = None,
    glue: Annotated[bool, typer.Option("--glue", help="Finetune on GLUE too.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for the results; default: runs/evaluate-<name>, of several runs/evaluate."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Model or method that the others are compared with; default: MLE, else the first."),
    ] = None,
) -> None:
    """Measure how aligned and how capable models are, and compare them."""
    folders = [Path(text) for text in models if "=" not in text or Path(text).is_dir()]
    if not folders:
        raise ConfigError(f"{' '.join(models)}: does not name a model folder. Put one or more before --override.")
    overrides = [*(override or []), *(text for text in models if Path(text) not in folders)]
    _quiet()
    from phf.evaluation.run import chosen_parts, evaluate_folders
    from phf.models.model_folder import find_model, model_name, processes

    folders = [find_model(folder) for folder in folders]
    resolved = _load_for_models(folders, task, overrides)
    parts = chosen_parts(only or (), skip or (), glue, resolved)
    if output is None:
        output = Path("runs") / (f"evaluate-{model_name(folders[0])}" if len(folders) == 1 else "evaluate")
    is_main = processes().is_main_process
    with console.status("Measuring...") as status:

        def announce(message: str) -> None:
            if is_main:
                _say(message)

        with heartbeat(console, lambda text: status.update(escape(visible_text(text)))) if is_main else nullcontext():
            found = evaluate_folders(folders, resolved, output, parts, announce, baseline)
    if not is_main:
        return
    names = (escape(visible_text(name)) for name in found.numbers)
    table = Table(Column("metric", no_wrap=True), *names)
    for key in dict.fromkeys(key for numbers in found.numbers.values() for key in numbers):
        values = (numbers.get(key) for numbers in found.numbers.values())
        cells = ("" if value is None else _number(value) for value in values)
        table.add_row(escape(visible_text(key)), *cells)
    console.print(table)
    for comparison in found.comparisons:
        _say(comparison.describe())
    _say(f"Samples and numbers are in {output}. Next: phf report {shlex.quote(str(output))}")


@app.command()
def redteam(
    model_dir: Annotated[
        Path, typer.Argument(help="A run folder, or the folder of a Hugging Face causal LM, e.g. runs/<name>/model.")
    ],
    task: OwnTask = None,
    more: MoreOverrides = None,
    override: Overrides = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the results; default: runs/redteam-<name> or runs/replay-<name>.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(help="Instead of searching, complete the prompts of this saved pool.jsonl.")
    ] = None,
    fail_above: Annotated[
        float | None, typer.Option(help="With --replay: end with status 1 if scores surely rose by more than this.")
    ] = None,
) -> None:
    """Search for prompts that a model continues badly, or replay those of an earlier search."""
    _quiet()
    from phf.models.model_folder import find_model, model_name

    model_dir = find_model(model_dir)
    resolved = _load_for_models([model_dir], task, [*(override or []), *(more or [])])
    output = output or Path("runs") / f"{'redteam' if replay is None else 'replay'}-{model_name(model_dir)}"
    if replay is None:
        from phf.redteam.folder import redteam_folder
        from phf.redteam.show import show_search

        if fail_above is not None:
            raise ConfigError("--fail-above compares with a saved pool: name one with --replay.")
        with redteam_progress(console, resolved) as show_round, heartbeat(console):
            show_search(redteam_folder(model_dir, resolved, output, show_round), console)
        _say(f"Pool, samples and numbers are in {output}")
        return
    from phf.redteam.replay import is_worse, replay_folder
    from phf.redteam.show import show_replay

    with console.status("Replaying...") as status, heartbeat(console):
        found = replay_folder(
            model_dir,
            resolved,
            replay,
            output,
            lambda done, all_: status.update(f"Replayed {done:,} of {all_:,} prompts"),
        )
    for note in found["notes"]:
        _say(note, "yellow")
    show_replay(found, console)
    _say(f"Completions and numbers are in {output}")
    if fail_above is not None and is_worse(found, fail_above):
        _say(f"Worse than then by more than {fail_above:g}.", "bold red")
        raise typer.Exit(1)


@app.command()
def report(
    run_dirs: Annotated[
        list[Path], typer.Argument(help="Folders of phf train, evaluate, redteam or quickstart; others are skipped.")
    ],
    output: Annotated[Path, typer.Option(help="The HTML page.")] = Path("report.html"),
    baseline: Annotated[
        str | None, typer.Option(help="Method or run that the others are compared with; default: MLE, else the first.")
    ] = None,
) -> None:
    """Put runs on one page."""
    from phf.report.page import write_report

    for notice in write_report(run_dirs, output, baseline):
        _say(notice, "yellow")
    _say(f"Report: {output}")


@app.command("list")
def list_(
    what: Annotated[
        str | None,
        typer.Argument(help="scorers, objectives, metrics, red-lms, tasks or methods; default: all of them."),
    ] = None,
) -> None:
    """List what can be named."""
    from phf.config import shipped_files
    from phf.registry.names import METRICS, OBJECTIVES, RED_LMS, SCORERS, did_you_mean

    registries = {"scorers": SCORERS, "objectives": OBJECTIVES, "metrics": METRICS, "red-lms": RED_LMS}
    found = {kind: registry.describe() for kind, registry in registries.items()} | shipped_files()
    if what not in (None, *found):
        raise ConfigError(f"There is no list of '{what}'. {did_you_mean(what or '', found)}")
    for kind in found if what is None else [what or ""]:
        if what is None:
            _say(kind)
        table = Table(show_header=False, box=None, padding=(0, 1, 0, 0 if what else 2))
        for name, summary in found[kind].items():
            table.add_row(f"[bold]{escape(visible_text(name))}[/]", escape(visible_text(summary)))
        console.print(table)


@app.command()
def quickstart(
    output_dir: Annotated[Path, typer.Option(help="Where its runs and report go.")] = Path("runs/quickstart"),
    minutes: Annotated[
        float | None, typer.Option(min=0.5, help="Time to take; default: a fixed number of tokens.")
    ] = None,
) -> None:
    """See the whole idea work on the Python standard library."""
    _quiet()
    from phf.quickstart.run import conclusions, run_quickstart
    from phf.report.page import format_number

    rows = run_quickstart(output_dir, minutes, _train_together, _say)
    table = Table("model, prefix", "misalignment score (95% interval)", "held-out bits/byte", "samples/s", "samples")
    for row in rows:
        interval = f"{format_number(row['score'])} ({format_number(row['low'])} to {format_number(row['high'])})"
        others = (format_number(row[key]) for key in ("bits_per_byte", "samples_per_second", "num_samples"))
        table.add_row(escape(row["name"]), interval, *others)
    console.print(table)
    for holds, sentence in conclusions(rows):
        _say(sentence, "green" if holds else "bold red")
    _say("One seed each; intervals are over samples. Lower is better in both columns.")
    _say(f"Report: {output_dir / 'report.html'}")


def _scorer_section(text: str) -> dict[str, Any]:
    """A scorer's name, or its section of a configuration written inline."""
    if not text.lstrip().startswith("{"):
        return {"class_name": text}
    from phf.storage.plain_yaml import parse_yaml

    section = parse_yaml(text, f"--scorer {text}", ConfigError, SCORER_FORM)
    if not isinstance(section, dict) or not all(isinstance(key, str) for key in section):
        raise ConfigError(f"--scorer {text}: is not a YAML mapping. {SCORER_FORM}")
    return section


def _short(source: str) -> str:
    """A task or method in the name of a run: pep8-pretrain for pep8/pretrain, my_task for configs/my_task.yml."""
    path = Path(source)
    return path.stem if path.suffix in (".yml", ".yaml") else source.replace("/", "-")


def _load(task: str | None, method: str | None, config: Path | None, overrides: list[str]) -> "Config":
    from phf.config import load_config

    resolved, warnings = load_config(task=task, method=method, config=config, overrides=overrides)
    for warning in warnings:
        _say(warning, "yellow")
    return resolved


def _load_for_models(models: list[Path], task: str | None, overrides: list[str]) -> "Config":
    """The task that is put to models: the one named, else that of the first one's own run."""
    from phf.config import load_config
    from phf.models.model_folder import own_task, processes

    config = None
    if task is None:
        config = next(filter(None, map(own_task, models)), None)
        if config is None:
            raise ConfigError(
                f"{models[0]} is not the model of a run, which would name its task. Choose one with --task."
            )
        if processes().is_main_process:
            _say(f"Task: that of {config.parent}")
    resolved, warnings = load_config(task=task, config=config, overrides=overrides, for_models=True)
    for warning in warnings:
        _say(warning, "yellow")
    return resolved


def _train(name: str, config: "Config", run_dir: Path, resume: bool) -> dict[str, float]:
    from phf.training.run import train as run

    with training_progress(console) as progress, _details(name, progress):
        return run(
            config,
            run_dir,
            resume=resume,
            announce=_say,
            show=lambda *numbers: progress.show(name, *numbers),
            progress=lambda what: progress.doing(name, what),
        )


def _details(name: str, progress: TrainingProgress) -> AbstractContextManager[None]:
    """In a terminal, how far sampling and the like are; the lines of a log have it of themselves."""
    return heartbeat(console, lambda text: progress.doing(name, text)) if console.is_terminal else nullcontext()


def _number(value: float | None) -> str:
    """Four significant digits, large numbers whole; a dash for what was not measured."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _say_result(numbers: dict[str, float], run_dir: Path) -> None:
    """The numbers of a run's last evaluation, where it is, and what to do next."""
    table = Table("metric", "last value")
    for key, value in numbers.items():
        if not key.endswith("_per_second"):
            table.add_row(escape(visible_text(key)), _number(value))
    if numbers:
        console.print(table)
    _say(f"Model, metrics and samples are in {run_dir}")
    run = shlex.quote(str(run_dir))
    _say(f"Next: phf evaluate {run}  (more samples and parts),")
    _say(f"      phf report {run}  (a page of its curves and samples)")


def _train_together(jobs: "dict[str, tuple[Config, Path]]") -> None:
    from phf.training.together import train_together

    with training_progress(console) as progress:

        def on_event(name: str, message: dict[str, Any]) -> None:
            if "announce" in message:
                _say(f"{name}: {message['announce']}")
            else:
                progress.show(name, *message["show"])

        train_together(jobs, on_event)


def _say(message: str, style: str | None = None) -> None:
    """One message as it is: no markup, and no line breaks of ours where a reader may copy it."""
    console.print(visible_text(message), style=style, markup=False, soft_wrap=True)


def _print_arithmetic(arithmetic: Any) -> None:
    _say(
        f"{arithmetic.max_steps:,} steps x {arithmetic.effective_batch_size:,} blocks x {arithmetic.seq_length:,} tokens = "
        f"{arithmetic.max_steps * arithmetic.tokens_per_step:,} tokens; "
        f"{arithmetic.per_device_train_batch_size} blocks a device x {arithmetic.gradient_accumulation_steps} accumulation "
        f"x {arithmetic.world_size} processes; {arithmetic.tokens_already_seen:,} tokens seen before"
    )


def _quiet() -> None:
    """Libraries speak when something is wrong, not to say that they are there."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


def main() -> None:
    """Entry point of the console script."""
    with ending_on_signals(), warnings.catch_warnings():
        show = warnings.showwarning

        def show_plainly(
            message: Warning | str, category: type[Warning], filename: str, *more: Any, **named: Any
        ) -> None:
            """Our own warnings are for the user, who has no use for the line of the source."""
            if category is UserWarning and Path(filename).is_relative_to(Path(__file__).parent):
                errors.print(visible_text(str(message)), style="yellow", markup=False, soft_wrap=True)
            else:
                show(message, category, filename, *more, **named)

        warnings.showwarning = show_plainly
        app()
