"""From a study to its runs: each a name and a whole configuration, with equal tokens within a task."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from phf.config import Config, load_config
from phf.errors import ConfigError
from phf.registry.names import did_you_mean
from phf.runs.layout import MODEL
from phf.study.schema import Measurement, Setting, Study
from phf.study.switch import after_switch, percent, until_switch

BASELINE = "mle"
TRAIN, EVALUATE, REDTEAM = "train", "evaluate", "redteam"
"""The commands that a study runs."""


@dataclass(frozen=True)
class Arm:
    """One of the things that are compared on a task: a method in a setting."""

    task: str
    name: str
    """"conditional", with its setting "conditional-p10", after a switch "conditional-from-50"."""
    method: str
    switch_point: float = 0.0
    """Share of the tokens that are trained with MLE before the method."""

    @property
    def from_start(self) -> str:
        """The name of the arm that is trained with the method from the start, and otherwise in the same way."""
        return self.name.removesuffix(f"-from-{percent(self.switch_point)}") if self.switch_point else self.name


@dataclass(frozen=True)
class RunMeasurement:
    """What is measured on the model of a run after its training, by a command of its own."""

    command: str
    """EVALUATE or REDTEAM."""
    config: Config
    options: tuple[str, ...] = ()
    """Of the command."""


@dataclass(frozen=True)
class StudyRun:
    """One run: an arm with a seed."""

    name: str
    """Of its folder."""
    arm: Arm
    seed: int
    config: Config
    measurements: tuple[RunMeasurement, ...] = ()
    """In the order in which they are made."""
    starts_from: str | None = None
    """The name of the run whose model it continues."""
    is_compared: bool = True
    """Whether its numbers are on the page; not those of a run that others continue."""


def expand(study: Study, overrides: Iterable[str] = (), folder: Path = Path()) -> tuple[list[StudyRun], list[str]]:
    """The runs of a study, seeds outermost so that every method has a run early, and warnings of its configurations.

    `overrides`: `section.key=value`, after those of the study. `folder`: that of the run folders. Raises `ConfigError` for a
    study that contradicts itself or compares runs of different lengths.
    """
    overrides = list(overrides)
    _refuse_repeated(study)
    _refuse_a_seed_elsewhere(study, overrides)
    _refuse_unknown_methods(study, [short_name(method) for method in study.methods])
    runs: list[StudyRun] = []
    warnings: dict[str, None] = {}
    for seed in study.seeds:
        for task in study.tasks:
            written = [*overrides, f"training.seed={seed}"]
            firsts = _runs_until_switches(study, task, seed, written)
            runs += firsts.values()
            for method in study.methods:
                for setting in _settings_of(study, short_name(method)):
                    written_here = [*_written(study, setting), *written]
                    config, notes = _configuration(task, method, written_here, study)
                    measured, more = _measurements_of(study, task, method, written_here)
                    warnings |= dict.fromkeys([*notes, *more])
                    arm = Arm(task, _arm_name(method, setting), short_name(method))
                    whole = _run(arm, seed, config, measurements=measured)
                    runs += [_after(whole, point, firsts.get(point), folder) for point in study.switch_points]
    _refuse_equal_names(runs)
    _refuse_unequal_tokens(runs)
    _refuse_unequal_rounds(runs)
    choose_baseline(study, runs)
    return runs, list(warnings)


def arms_of(runs: Sequence[StudyRun]) -> list[Arm]:
    """Each arm that is compared once, in order."""
    return list(dict.fromkeys(run.arm for run in runs if run.is_compared))


def choose_baseline(study: Study, runs: Sequence[StudyRun]) -> str:
    """The name of the arm that the others of a task are compared with: the one asked for, MLE, or the first.

    Raises `ConfigError` for one that the study does not have.
    """
    names = list(dict.fromkeys(arm.name for arm in arms_of(runs)))
    if study.baseline is None:
        return BASELINE if BASELINE in names else names[0]
    if study.baseline not in names:
        raise ConfigError(
            f"baseline: the study has no method '{study.baseline}'. {did_you_mean(study.baseline, names)}"
        )
    return study.baseline


def short_name(method: str) -> str:
    """What a method is called: awr for awr, generic/awr and mine/awr.yml."""
    path = Path(method)
    return path.stem if path.suffix in (".yml", ".yaml") else path.name


def folder_name(task: str) -> str:
    """A task in the name of a run: pep8-pretrain for pep8/pretrain, my_task for configs/my_task.yml."""
    path = Path(task)
    return path.stem if path.suffix in (".yml", ".yaml") else task.replace("/", "-")


def _run(arm: Arm, seed: int, config: Config, **more: Any) -> StudyRun:
    of_task = folder_name(arm.task) if config.size is None else f"{folder_name(arm.task)}-{config.size}"
    return StudyRun(f"{of_task}-{arm.name}-seed{seed}", arm, seed, config, **more)


def _runs_until_switches(study: Study, task: str, seed: int, written: Sequence[str]) -> dict[float, StudyRun]:
    """Switch point -> the MLE run that ends there, which the runs of all methods continue."""
    runs = {}
    for point in filter(None, study.switch_points):
        config, _ = _configuration(task, BASELINE, [*_written(study, None), *written], study)
        arm = Arm(task, f"{BASELINE}-until-{percent(point)}", BASELINE)
        runs[point] = _run(arm, seed, until_switch(config, point), is_compared=False)
    return runs


def _after(whole: StudyRun, point: float, first: StudyRun | None, folder: Path) -> StudyRun:
    """The part of a run that comes after a switch from the run `first`; the run itself without one."""
    if first is None:
        return whole
    if whole.config.schedule:
        raise ConfigError(
            f"switch_points: {whole.arm.name} has a schedule itself. Make the switch a phase of it, or leave the method out."
        )
    config = after_switch(whole.config, first.config, folder / first.name / MODEL, point)
    arm = replace(whole.arm, name=f"{whole.arm.name}-from-{percent(point)}", switch_point=point)
    return _run(arm, whole.seed, config, starts_from=first.name, measurements=whole.measurements)


def _arm_name(method: str, setting: Setting | None) -> str:
    return short_name(method) if setting is None else f"{short_name(method)}-{setting.name}"


def _settings_of(study: Study, method: str) -> list[Setting | None]:
    own = [setting for setting in study.settings if setting.methods is None or method in setting.methods]
    return list(own) or [None]


def _written(study: Study, setting: Setting | None) -> list[str]:
    """The overrides of a run as a command line has them."""
    tokens = {} if study.num_tokens is None else {"training.num_tokens": study.num_tokens}
    overrides: Mapping[str, Any] = {**tokens, **study.overrides, **(setting.overrides if setting else {})}
    return _as_written(overrides)


def _as_written(overrides: Mapping[str, Any]) -> list[str]:
    return [f"{key}={_inline(value)}" for key, value in overrides.items()]


def _measurements_of(
    study: Study, task: str, method: str, written: Sequence[str]
) -> tuple[tuple[RunMeasurement, ...], list[str]]:
    """What is measured after a training of this configuration, and warnings."""
    measured, warnings = [], []
    for command, settings in _measurements(study).items():
        more = _as_written(settings.overrides)
        config, notes = _configuration(task, method, [*written, *more], study)
        if command == REDTEAM and not any(text.startswith("redteam.seed=") for text in (*written, *more)):
            config = _searched_by_its_seed(config)
        warnings += notes
        options = [word for part in getattr(settings, "only", ()) for word in ("--only", part)]
        measured.append(RunMeasurement(command, config, tuple(options)))
    return tuple(measured), warnings


def _searched_by_its_seed(config: Config) -> Config:
    """With the seed of the training for the red team, too: otherwise the searches on all models would share their chances."""
    if config.redteam is None:
        return config
    return config.model_copy(update={"redteam": config.redteam.model_copy(update={"seed": config.training.seed})})


def _measurements(study: Study) -> dict[str, Measurement]:
    """Command -> its settings, for what is measured after training."""
    commands = {EVALUATE: study.evaluate, REDTEAM: study.redteam}
    return {command: settings for command, settings in commands.items() if settings is not None}


def _inline(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True)
    return text.strip().removesuffix("...").strip()


def _configuration(task: str, method: str, overrides: Sequence[str], study: Study) -> tuple[Config, list[str]]:
    config, warnings = load_config(task=task, method=method, size=study.size, overrides=overrides)
    if study.training_from == "task":
        of_training = [text for text in overrides if text.lstrip().startswith("training.")]
        training = load_config(task=task, size=study.size, overrides=of_training)[0].training
        config = config.model_copy(update={"training": training})
    return config, warnings


def _refuse_unknown_methods(study: Study, names: Collection[str]) -> None:
    for setting in study.settings:
        for method in setting.methods or ():
            if method not in names:
                known = did_you_mean(method, names)
                raise ConfigError(f"settings, '{setting.name}': the study has no method '{method}'. {known}")


def _refuse_repeated(study: Study) -> None:
    lists: dict[str, list[Any]] = {"tasks": study.tasks, "seeds": study.seeds, "switch_points": study.switch_points}
    for key, values in lists.items():
        if repeated := [value for value in dict.fromkeys(values) if values.count(value) > 1]:
            raise ConfigError(f"{key}: {repeated[0]} is listed more than once; it would count as often.")
    names = [short_name(method) for method in study.methods]
    if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ConfigError(
            f"methods: two of them are called '{repeated[0]}'. List a method once, or copy its file under another name."
        )


def _refuse_a_seed_elsewhere(study: Study, overrides: Sequence[str]) -> None:
    """`seeds` decides: a seed among the overrides would be given and not used."""
    where = {
        "overrides": study.overrides,
        "--override": dict.fromkeys(text.split("=")[0].strip() for text in overrides),
    }
    where |= {f"settings, '{setting.name}'": setting.overrides for setting in study.settings}
    for place, keys in where.items():
        if "training.seed" in keys:
            raise ConfigError(
                f"{place}: training.seed is set by the study. List the seeds under `seeds`, or with --seeds."
            )


def _refuse_equal_names(runs: Sequence[StudyRun]) -> None:
    by_name: dict[str, StudyRun] = {}
    for run in runs:
        other = by_name.setdefault(run.name, run)
        if other is not run:
            what = (
                f"tasks: {other.arm.task} and {run.arm.task} would both be"
                if other.arm.task != run.arm.task
                else "settings: two of one method would be"
            )
            raise ConfigError(f"{what} called '{run.name}'. Give one of them another name.")


def _refuse_unequal_tokens(runs: Sequence[StudyRun]) -> None:
    first: dict[str, StudyRun] = {}
    for run in filter(lambda run: run.is_compared, runs):
        tokens = run.config.training.num_tokens
        if tokens is None:
            raise ConfigError(
                f"{run.name}: training.num_tokens is not set, so the runs might differ in length. Set num_tokens in the study."
            )
        other = first.setdefault(run.arm.task, run)
        if tokens != other.config.training.num_tokens:
            raise ConfigError(
                f"{run.name} would be trained on {tokens:,.0f} tokens and {other.name} on "
                f"{other.config.training.num_tokens:,.0f}: methods are compared at equal tokens. Set num_tokens in the study."
            )


def _refuse_unequal_rounds(runs: Sequence[StudyRun]) -> None:
    first: dict[str, tuple[StudyRun, int]] = {}
    for run in runs:
        for measured in run.measurements:
            if measured.command == REDTEAM and measured.config.redteam is not None:
                now = measured.config.redteam.num_rounds
                other, rounds = first.setdefault(run.arm.task, (run, now))
                if rounds != now:
                    raise ConfigError(
                        f"redteam.num_rounds is {rounds} for {other.name} and {now} for {run.name}: searches are compared "
                        "after equal numbers of rounds. Set it in the overrides of the study, not in a setting."
                    )
