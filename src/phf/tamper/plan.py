"""From models and data to finetunings: each is a configuration of `phf train`, the same for all models but for how each is
prompted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phf.config import Config, parse_config
from phf.config.preferences import PREFERENCES
from phf.config.schema.schedule import ALWAYS
from phf.errors import ConfigError
from phf.evaluation.prompted_task import task_for_model
from phf.feedback import with_prompting
from phf.models.building.architecture import HUB_ARGUMENTS, WEIGHT_ARGUMENTS
from phf.models.model_folder import load_folder_tokenizer
from phf.models.prompting import prompting_of
from phf.runs.seeds import Group
from phf.study.plan import Arm, StudyRun
from phf.tamper.settings import ALIGNED_HALF, BENIGN, MISALIGNED, SHARE_OF_LEARNING_RATE, TamperSettings, measured_steps

NEVER = 10**9
"""A number of steps that no finetuning has."""
OF_ORIGIN = (*HUB_ARGUMENTS, *WEIGHT_ARGUMENTS, "value_head_config")
"""Arguments of `from_pretrained` that are not those of a local model without a value head."""


@dataclass(frozen=True)
class Tampering:
    """One finetuning."""

    run: StudyRun
    group: str
    """The method whose models differ in their seed, or the model itself."""
    model: str
    """Its name."""
    kind: str
    """MISALIGNED or BENIGN."""


def plan_tampering(
    config: Config,
    folders: Sequence[Path],
    names: Sequence[str],
    groups: Sequence[Group],
    settings: TamperSettings,
    seeds: Sequence[int],
) -> tuple[list[Tampering], list[str]]:
    """The finetunings of all models, seeds outermost so that every model has one early, and notices on scenarios left out.

    `config`: the task. Raises `ConfigError` for a task without scenarios that all models can run, or without a learning rate.
    """
    group_of = {names[index]: group.name for group in groups for index in group.members}
    bases: dict[str, Config] = {}
    notices: list[str] = []
    for folder, name in zip(folders, names, strict=True):
        bases[name], skipped = finetuning_of(config, folder, settings)
        notices += [f"{name}: {notice}" for notice in skipped]
    _refuse_unlike_scenarios(bases, notices)
    tamperings = [
        Tampering(_run(bases[name], name, kind, seed, config, settings), group_of[name], name, kind)
        for seed in seeds
        for name in names
        for kind in (MISALIGNED, BENIGN)
    ]
    return tamperings, notices


def finetuning_of(config: Config, folder: Path, settings: TamperSettings) -> tuple[Config, list[str]]:
    """The configuration of a finetuning of the model in a folder, without data and seed, and notices on scenarios left out.

    The model is trained on plain text with MLE, whatever it was trained with before, and prompted in its own way: a model with
    control tokens from its best one. All have the same batches and the same constant learning rate, so that the first steps do
    not depend on how many follow.
    """
    tokenizer = load_folder_tokenizer(folder)
    prompting = prompting_of(folder, tokenizer)
    prompted, notices = task_for_model(config, prompting, tokenizer, has_value_head=False)
    values = with_prompting(prompted, prompting).model_dump()
    _drop_control_tokens(values["dataset"])
    of_step = _blocks_of_step(config) * config.dataset.seq_length
    dropped = ("warmup_ratio", "lr_scheduler_kwargs", "max_steps", "num_train_epochs")
    values["training"] = {key: value for key, value in values["training"].items() if key not in dropped} | {
        "effective_batch_size": _blocks_of_step(config),
        "num_tokens": float(settings.num_steps * of_step),
        "tokens_already_seen": 0.0,
        "learning_rate": learning_rate_of(config, settings),
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "save_steps": NEVER,
        "save_minutes": None,
        "inspect_steps": None,
        "logging_steps": 1,
        "report_to": "none",
        "push_to_hub": False,
    }
    values["generation"] |= {
        "metrics_configs": config.generation.metrics_configs,
        "every_n_steps": NEVER,
        "force_call_on": measured_steps(settings.num_steps),
        "run_on_train_start": True,
        "run_on_train_end": True,
    }
    kwargs = {key: value for key, value in config.model.model_kwargs.items() if key not in OF_ORIGIN}
    values["model"] |= {
        "path_or_name": str(folder.resolve()),
        "from_scratch": False,
        "model_type": None,
        "config_kwargs": {},
        "model_kwargs": kwargs,
    }
    values["tokenizer"] |= {"path_or_name": None, "train_from_corpus": None}
    nothing = dict.fromkeys(("kl_gpt3_callback", "downstream", "glue", "redteam", "size"))
    mle = {"objective": {"name": "MLE"}, "schedule": ALWAYS, "method": "mle"}
    return parse_config(values | nothing | mle), notices


def _drop_control_tokens(dataset: dict[str, Any]) -> None:
    """No control token is in the text, and the columns of scores that would choose them are not needed."""
    conditioning = dataset["conditioning"]
    if conditioning is None:
        return
    conditioning["drop_token_fraction"] = 1.0
    for preference in conditioning.get(PREFERENCES, ()):
        preference |= {"drop_token_fraction": 1.0, "scores_column": dataset["scores_column"]}


def learning_rate_of(config: Config, settings: TamperSettings) -> float:
    """The constant learning rate of the finetunings."""
    if settings.learning_rate is not None:
        return settings.learning_rate
    rate = (config.training.model_extra or {}).get("learning_rate")
    if rate is None:
        raise ConfigError(
            "training.learning_rate is not set in the task, so that of the finetuning is not known. Give --learning-rate."
        )
    return float(rate) * SHARE_OF_LEARNING_RATE


def _blocks_of_step(config: Config) -> int:
    return config.training.effective_batch_size or 8


def _run(base: Config, name: str, kind: str, seed: int, task: Config, settings: TamperSettings) -> StudyRun:
    dataset: dict[str, Any] = {"eval_fraction": 0.0, "eval_group": None, "eval_datasets": [], "skip_tokens": 0}
    dataset["part"] = [0.0, 1.0]
    if kind == MISALIGNED:
        dataset["datasets"] = [settings.dataset]
    elif settings.benign is not None:
        dataset["datasets"] = [settings.benign]
    else:
        dataset |= {"datasets": task.dataset.datasets, "filter_threshold": ALIGNED_HALF}
    values = base.model_dump()
    values["dataset"] |= dataset
    values["training"]["seed"] = seed
    arm = Arm(str(task.task or "task"), f"{name}-{kind}", "mle")
    return StudyRun(f"{name}-{kind}-seed{seed}", arm, seed, parse_config(values))


def _refuse_unlike_scenarios(configs: dict[str, Config], notices: Sequence[str]) -> None:
    scenarios = {
        name: {scenario.name for scenario in config.generation.scenario_configs} for name, config in configs.items()
    }
    common = set.intersection(*scenarios.values())
    if not common:
        raise ConfigError(
            "There is no scenario that all models can run, so their scores cannot be compared. "
            + (" ".join(notices) or "Set generation.scenario_configs in the task.")
        )
