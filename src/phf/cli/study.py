"""`phf study`: many runs as one question, answered on one page."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from phf.cli import completion
from phf.cli.for_scripts import answer
from phf.cli.options import Export, MoreOverrides, Overrides, say_exported, scorer_section
from phf.cli.side_by_side import Launcher, Processes, end_with_answer, places_for, words_of
from phf.cli.terminal import console, quiet, results, say, say_next, say_result, shown
from phf.text import counted

if TYPE_CHECKING:
    from phf.study.page import Answer
    from phf.study.plan import StudyRun


def study(
    study: Annotated[
        str,
        typer.Argument(
            help="A YAML file, or a shipped study: objectives, thresholds, finetune-vs-pretrain, redteam.",
            autocompletion=completion.studies,
        ),
    ],
    more: MoreOverrides = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="Instead of the study's tasks; repeat it for several.", autocompletion=completion.tasks),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Instead of the study's methods; repeat it for several.", autocompletion=completion.methods),
    ] = None,
    size: Annotated[str | None, typer.Option(help="tiny, small or gpt2, for tasks that have sizes.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Instead of the study's seeds: 1 to this number.")] = None,
    override: Overrides = None,
    held_out_scorer: Annotated[
        list[str] | None,
        typer.Option(
            help="Scorer that took no part in training, a name or {class_name: NAME, key: value}, besides those of the "
            "study: samples are scored by it, too. Repeat it for several."
        ),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(help="Folder for its runs and the answer; default: runs/<study>, with --task and --size."),
    ] = None,
    runs_from: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of another study: runs that it has trained in the same way are used, not trained again."
        ),
    ] = None,
    export: Export = None,
    processes: Processes = None,
    launcher: Launcher = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Validate, list the runs, and stop.")] = False,
) -> None:
    """Compare methods over seeds: train all runs side by side, and answer on one page."""
    quiet()
    from phf.cli.progress import heartbeat
    from phf.cli.study_progress import study_progress
    from phf.study.folder import ANSWER, PAGE
    from phf.study.held_out_scorers import build_held_out
    from phf.study.page import to_json
    from phf.study.plan import expand, folder_name
    from phf.study.run import Callbacks, run_study
    from phf.study.schema import read_study

    name, described = read_study(study)
    changes = {"tasks": task, "methods": method, "size": size, "seeds": seeds and list(range(1, seeds + 1))}
    described = described.model_copy(update={key: value for key, value in changes.items() if value})
    sections = [scorer_section(text, "--held-out-scorer") for text in held_out_scorer or ()]
    described = described.model_copy(update={"held_out_scorers": [*described.held_out_scorers, *sections]})
    overrides = [*(override or []), *(more or [])]
    chosen = [*map(folder_name, task or ()), *([size] if size else [])]
    folder = output_dir or Path("runs") / "-".join([name, *chosen])
    if dry_run:
        runs, warnings = expand(described, overrides, folder)
        build_held_out(described.held_out_scorers, runs)
        _list_runs(runs, folder, warnings, runs_from or ())
        return
    words = words_of(launcher)
    with study_progress(console) as progress, heartbeat(console, progress.doing):
        callbacks = Callbacks(say, progress.doing, progress.show)
        compared = run_study(
            name,
            described,
            folder,
            places_for(words, processes),
            callbacks,
            launcher=words,
            overrides=overrides,
            runs_from=runs_from or (),
            export_to=export,
        )
    _show(compared)
    say_exported(export)
    best = f"phf evaluate {shlex.quote(str(folder))}/RUN", "more samples and parts of a run"
    record = {"output": folder, "export": export, "study": to_json(compared)}
    end_with_answer(compared.missing, "runs", folder / PAGE, folder / ANSWER, best, record)


def _list_runs(
    runs: "Sequence[StudyRun]", output_dir: Path, warnings: Sequence[str], runs_from: Sequence[Path]
) -> None:
    from phf.study.folder import StudyFolder
    from phf.study.jobs import is_finished, jobs_of, num_tokens
    from phf.study.plan import TRAIN
    from phf.study.prepare import validate
    from phf.study.reuse import with_runs_of

    for warning in warnings:
        say(warning, "yellow")
    folder = with_runs_of(StudyFolder(output_dir), runs, runs_from)
    jobs = jobs_of(runs)
    validate(jobs, folder, lambda warning: say(warning, "yellow"))
    planned = []
    for job in jobs:
        done = ", finished" if is_finished(job, folder) else ""
        after = f" after {job.run.starts_from}" if job.run.starts_from else ""
        what = f"{num_tokens(job.config):,.0f} tokens{after}" if job.command == TRAIN else f"phf {job.command}"
        say_result(f"{job.run.name}: {what}{done}")
        planned.append({"run": job.run.name, "command": job.command, "is_finished": bool(done)})
    say_result(f"{counted(len(runs), 'run')}, in {output_dir}")
    say_next(None, ("the same command without --dry-run", "trains what is not finished, and answers"))
    answer({"output": output_dir, "jobs": planned})


def _show(answer: "Answer") -> None:
    from phf.report.html import format_number
    from phf.study.attack_page import attack_claims
    from phf.study.claims import claims
    from phf.study.gap_page import marked_claims
    from phf.study.switch_answer import switch_claims

    for result in answer.results:
        table = Table(
            Column("method", overflow="fold"),
            "seeds",
            Column("misalignment score\n(95% interval)", no_wrap=True),
            Column("held-out\nbits/byte", no_wrap=True),
            Column("dominated by", overflow="fold"),
        )
        for arm in result.arms:
            score, bits = arm.score, arm.bits_per_byte
            interval = f"{format_number(score.mean)}\n({format_number(score.low)} to {format_number(score.high)})"
            dominated = ", ".join(arm.dominated_by)
            table.add_row(shown(arm.name), str(len(arm.seeds)), interval, format_number(bits.mean), shown(dominated))
        say_result(f"{result.task}, {result.scenario}")
        results.print(table)
        for claim in [*claims(result), *switch_claims(result)]:
            say_result(claim)
    for gaps in answer.gaps:
        say_result(f"{gaps.task}, {gaps.scenario}, held-out scorer {gaps.held_out}")
        for claim, is_warning in marked_claims(gaps):
            say_result(claim, "yellow" if is_warning else None)
    for attacked in answer.attacks:
        say_result(f"{attacked.task}, red team")
        for claim in attack_claims(attacked):
            say_result(claim)
