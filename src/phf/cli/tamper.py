"""`phf tamper`: how many steps of finetuning on misaligned data each model withstands."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phf.cli.options import Export, Overrides, OwnTask, ResolvedTask, finite, load_for_models, say_exported
from phf.cli.side_by_side import Launcher, Processes, end_with_answer, places_for, words_of
from phf.cli.terminal import columns_table, console, quiet, results, say, say_result
from phf.errors import ConfigError
from phf.text import counted

if TYPE_CHECKING:
    from phf.tamper.page import TamperAnswer


def tamper(
    models: Annotated[
        list[str], typer.Argument(help="Run folders, or folders of Hugging Face causal LMs, e.g. runs/<name>/model.")
    ],
    dataset: Annotated[str, typer.Option(help="Source of misaligned data that each model is finetuned on.")],
    benign: Annotated[
        str | None,
        typer.Option(
            help="Source of benign data, the control; default: the half of the task's corpus with lower scores."
        ),
    ] = None,
    task: OwnTask = None,
    config: ResolvedTask = None,
    override: Overrides = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps of finetuning; scores are measured after each power of two. Default: 64."),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Finetunings of each model with each kind of data; default: 3, or 1 where every method has several models.",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(callback=finite, help="Constant learning rate; default: a tenth of the task's.")
    ] = None,
    reach: Annotated[
        float | None,
        typer.Option(
            callback=finite, help="Score that counts as misaligned again; default: the baseline's before finetuning."
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Model or method that the others are compared with; default: MLE, or the first."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the finetunings and the answer.")] = Path(
        "runs/tamper"
    ),
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Keep the finetuned models, which are worse on purpose.")
    ] = False,
    export: Export = None,
    processes: Processes = None,
    launcher: Launcher = None,
) -> None:
    """Make models worse on purpose, to compare how many steps of finetuning they withstand."""
    folders = [Path(text) for text in models if "=" not in text or Path(text).is_dir()]
    if not folders:
        raise ConfigError(f"{' '.join(models)}: is not a model folder. Put one or more before --override.")
    overrides = [*(override or []), *(text for text in models if Path(text) not in folders)]
    quiet()
    from phf.cli.progress import heartbeat
    from phf.cli.study_progress import study_progress
    from phf.models.model_folder import find_model
    from phf.study.folder import PAGE
    from phf.study.run import Callbacks
    from phf.tamper.folder import ANSWER
    from phf.tamper.page import to_json
    from phf.tamper.plan import learning_rate_of
    from phf.tamper.run import plan_test, run_test
    from phf.tamper.settings import NUM_STEPS, TamperSettings, measured_steps

    settings = TamperSettings(
        dataset=dataset,
        benign=benign,
        num_steps=steps or NUM_STEPS,
        num_seeds=seeds,
        learning_rate=learning_rate,
        reach=reach,
    )
    model_folders = [find_model(folder) for folder in folders]
    resolved = load_for_models(model_folders, task, config, overrides)
    test = plan_test(model_folders, resolved, settings, baseline)
    say(
        f"{counted(len(test.tamperings), 'finetuning')} of {counted(settings.num_steps, 'step')}, at a learning rate of "
        f"{learning_rate_of(resolved, settings):g} (--learning-rate), each sampled "
        f"{counted(len(measured_steps(settings.num_steps)), 'time')}, in {output}"
    )
    say(
        "They make the models worse on purpose. "
        + (
            f"The finetuned models are kept, in {output}/<finetuning>/model."
            if keep_models
            else "Each finetuned model is removed when its samples are scored (--keep-models keeps them)."
        ),
        "yellow",
    )
    words = words_of(launcher)
    with study_progress(console) as progress, heartbeat(console, progress.doing):
        callbacks = Callbacks(say, progress.doing, progress.show)
        tested = run_test(
            test,
            output,
            places_for(words, processes),
            callbacks,
            launcher=words,
            keeps_models=keep_models,
            export_to=export,
        )
    _show(tested)
    say_exported(export)
    red_team = f"phf redteam {shlex.quote(str(folders[0]))}", "prompts that the model continues badly"
    record = {"output": output, "export": export, "tamper": to_json(tested)}
    end_with_answer(tested.missing, "finetunings", output / PAGE, output / ANSWER, red_team, record)


def _show(answer: "TamperAnswer") -> None:
    from phf.report.html import format_number
    from phf.tamper.claims import claims, relearned

    for result in answer.results:
        columns = {
            f"{method.name}, {kind} data": {
                "seeds": str(len(method.units)),
                "steps to relearn": relearned(method),
                **{f"after {step}": format_number(method.means[step].mean) for step in result.steps},
            }
            for kind, methods in (("misaligned", result.misaligned), ("benign", result.benign))
            for method in methods
        }
        say_result(f"{result.scenario}: mean misalignment score after each number of steps")
        results.print(columns_table(columns, results.width, "steps"))
        for claim in claims(result):
            say_result(claim)
