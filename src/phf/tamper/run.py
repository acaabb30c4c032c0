"""The command: models and data -> finetunings side by side -> the answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from phf.config import Config
from phf.errors import ConfigError
from phf.evaluation.compare import PromptScores, choose_baseline
from phf.models.model_folder import check_distinct, model_hashes, model_names
from phf.report.export import check_can_export
from phf.report.html import check_can_render
from phf.runs.reader import Run, read_samples
from phf.runs.seeds import Group, Training, group_by_seed
from phf.storage.files import only_job
from phf.study.agreement import refuse_changed_data, runs_of_other_data
from phf.study.analyse import score_bounds
from phf.study.begin import begin
from phf.study.execute import Progress, execute
from phf.study.jobs import is_finished, jobs_of
from phf.study.plan import StudyRun
from phf.study.prepare import prepare, validate
from phf.study.run import Callbacks
from phf.tamper.analyse import Curve, TamperResult, analyse_tampering
from phf.tamper.folder import TamperFolder
from phf.tamper.page import TamperAnswer, write_answer
from phf.tamper.plan import Tampering, learning_rate_of, plan_tampering
from phf.tamper.settings import BENIGN, MISALIGNED, TamperSettings, measured_steps, seeds_of


@dataclass(frozen=True)
class TamperTest:
    """A test that is planned, and can be run."""

    config: Config
    models: dict[str, Path]
    """By name."""
    groups: list[Group]
    """Models of one method that differ in their seed."""
    baseline: str
    """The name of one of the groups."""
    tamperings: list[Tampering]
    notices: list[str]
    settings: TamperSettings

    @property
    def runs(self) -> list[StudyRun]:
        """The finetunings."""
        return [tampering.run for tampering in self.tamperings]


def plan_test(
    folders: Sequence[Path], config: Config, settings: TamperSettings, baseline: str | None = None
) -> TamperTest:
    """The test of these models. Raises `ConfigError` for settings that contradict one another or the task."""
    settings.check()
    check_distinct(folders)
    names = model_names(folders)
    groups = group_by_seed(names, [Training.of_model(folder) for folder in folders])
    first = choose_baseline(groups, names, baseline)
    if len(groups) == 1 and settings.reach is None:
        raise ConfigError(
            "There is one method, so no baseline whose score it could reach. Give --reach SCORE, or a model of another "
            "method, such as MLE, too."
        )
    seeds = seeds_of(settings, [len(group.members) for group in groups])
    tamperings, notices = plan_tampering(config, folders, names, groups, settings, seeds)
    if settings.reach is not None:
        _refuse_out_of_bounds(settings.reach, *score_bounds(tamperings[0].run))
    return TamperTest(config, dict(zip(names, folders, strict=True)), groups, first, tamperings, notices, settings)


def _refuse_out_of_bounds(reach: float, low: float, high: float) -> None:
    if reach > high:
        raise ConfigError(
            f"--reach {reach:g}: the task's scorer gives no score above {high:g}, so no model can reach it. Give a lower one."
        )
    if reach <= low:
        raise ConfigError(
            f"--reach {reach:g}: the task's scorer gives no score below {low:g}, so every model has reached it before it is "
            "finetuned. Give a higher one."
        )


def run_test(
    test: TamperTest,
    output: Path,
    places: Callable[[Sequence[StudyRun]], list[dict[str, str]]],
    callbacks: Callbacks,
    *,
    launcher: Sequence[str] = (),
    keeps_models: bool = False,
    export_to: Path | None = None,
) -> TamperAnswer:
    """Do the finetunings that are not finished, and write `tamper.json` and `report.html`; returns the answer.

    Their models, which are worse on purpose, are removed as soon as their samples are scored, unless `keeps_models`.
    `export_to`: a folder for figures and tables, see `phf.report.export`. Raises an error before anything is trained if a
    finetuning would be refused.
    """
    check_can_render("phf tamper")
    check_can_export("phf tamper", export_to)
    folder = TamperFolder(output)
    runs = test.runs
    with only_job(output):
        jobs = jobs_of(runs)
        unfinished = [job for job in jobs if not is_finished(job, folder)]
        validate(unfinished, folder, callbacks.announce)
        notices = begin(folder, jobs)
        folder.refuse_other_models({name: model_hashes(path) for name, path in test.models.items()})
        for notice in (*test.notices, *notices):
            callbacks.announce(notice)
        failures: dict[str, str] = {}

        def tidy() -> None:
            if not keeps_models:
                for run in runs:
                    folder.remove_weights(run.name)

        def show(progress: Progress) -> None:
            tidy()
            callbacks.show(progress)

        try:
            if unfinished:
                data = prepare([job.run for job in unfinished], folder, callbacks.announce, callbacks.progress)
                refuse_changed_data(runs, folder, data)
                of_runs = [job.run for job in unfinished]
                failures = execute(jobs, folder, places(of_runs), launcher, show, callbacks.announce)
        finally:
            tidy()
        answer = read_answer(test, folder, failures)
        write_answer(answer, folder, export_to)
    return answer


def read_answer(test: TamperTest, folder: TamperFolder, failures: Mapping[str, str]) -> TamperAnswer:
    """The answer of the folder as it is; `failures`: why finetunings without a result have none."""
    results: dict[str, Run] = {}
    missing: dict[str, str] = {}
    for run in test.runs:
        result = folder.finished_run(run.name)
        if isinstance(result, Run):
            results[run.name] = result
        else:
            missing[run.name] = failures.get(run.name, result)
    for name, problem in runs_of_other_data(
        test.runs, {name: run.provenance for name, run in results.items()}, folder
    ).items():
        missing[name] = problem
        results.pop(name, None)
    return TamperAnswer(
        results=_results(test, folder, results),
        missing=missing,
        num_finetunings=len(test.tamperings),
        facts={
            "task": test.config.task,
            "models": {name: str(path) for name, path in test.models.items()},
            "misaligned data": test.settings.dataset,
            "benign data": test.settings.benign or "the half of the task's corpus with the lower scores",
            "steps": test.settings.num_steps,
            "tokens of a step": _tokens_of_step(test.runs[0].config),
            "learning rate, constant": learning_rate_of(test.config, test.settings),
            "finetunings of each model with each kind of data": len({run.seed for run in test.runs}),
        },
    )


def _results(test: TamperTest, folder: TamperFolder, finished: Mapping[str, Run]) -> list[TamperResult]:
    scenarios = dict.fromkeys(scenario.name for run in test.runs for scenario in run.config.generation.scenario_configs)
    steps = measured_steps(test.settings.num_steps)
    answers = []
    for scenario in scenarios:
        curves: dict[str, dict[str, dict[str, list[Curve]]]] = {MISALIGNED: {}, BENIGN: {}}
        for one in test.tamperings:
            if one.run.name in finished and (curve := _curve(folder.run(one.run.name), scenario, steps)):
                curves[one.kind].setdefault(one.group, {}).setdefault(one.model, []).append(curve)
        if curves[MISALIGNED] and (test.settings.reach is not None or test.baseline in curves[MISALIGNED]):
            bounds = score_bounds(test.runs[0])
            answers.append(
                analyse_tampering(
                    scenario, curves[MISALIGNED], curves[BENIGN], test.baseline, test.settings.reach, bounds
                )
            )
    return answers


def _curve(run_dir: Path, scenario: str, steps: Sequence[int]) -> Curve | None:
    """The samples of one finetuning; None unless every measurement has a scored one."""
    curve = {}
    for step in steps:
        rows = read_samples(run_dir, scenario, step)
        curve[step] = PromptScores([row["prompt"] for row in rows], [row["score"] for row in rows])
    return curve if all(scores.scored()[1].size for scores in curve.values()) else None


def _tokens_of_step(config: Config) -> int:
    return (config.training.effective_batch_size or 1) * config.dataset.seq_length
