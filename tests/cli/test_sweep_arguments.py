"""What the agent of a sweep passes to `phf train`: overrides in either form, and a run folder for each run."""

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from phf.cli import app as cli
from phf.cli import train
from phf.config import load_config
from phf.errors import ConfigError

PAGE = Path(__file__).parents[2] / "docs" / "trackers.md"


@pytest.fixture
def received(monkeypatch):
    """What `phf train` makes of its arguments, instead of training."""
    calls = []

    def load(task, method, config, overrides, *, size):
        calls.append((task, method, overrides))
        raise ConfigError("enough")

    monkeypatch.setattr(train, "load", load)
    return calls


def sweep_arguments(sweep, form):
    """As wandb.sdk.launch.sweeps.utils.create_sweep_command_args writes them."""
    values = {key: each.get("value", each.get("values", [None])[0]) for key, each in sweep["parameters"].items()}
    flags = [f"{'--' if form == 'args' else ''}{key}={value}" for key, value in values.items()]
    for word in sweep["command"][1:]:
        yield from flags if word.startswith("${args") else [word]


@pytest.mark.parametrize("form", ["args", "args_no_hyphens"])
def test_the_sweep_of_the_documents_sets_what_it_says(form, received):
    (code,) = [
        block for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL) if "program: phf" in block
    ]
    result = CliRunner().invoke(cli.app, list(sweep_arguments(yaml.safe_load(code), form)))
    assert "enough" in result.output
    ((task, method, overrides),) = received
    config, _ = load_config(task=task, method=method, overrides=overrides)
    assert config.training.model_extra["learning_rate"] == 0.0005
    assert (config.training.seed, config.training.model_extra["report_to"]) == (0, "wandb")
    assert config.generation.scenario_configs[0].num_samples == 128
    assert config.dataset.conditional_training_config.drop_token_fraction == 0.01


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1e-05, 1e-5), (True, True), ([1, 2], [1, 2]), ("a b", "a b"), ({"a": [1, "x"]}, {"a": [1, "x"]}), (0, 0)],
)
def test_values_are_written_as_python_does_and_read_as_what_they_were(value, expected, received):
    CliRunner().invoke(cli.app, ["train", "--task", "pep8", f"--model.config_kwargs.x={value}", "--method", "mle"])
    ((_, _, overrides),) = received
    assert overrides == [f"model.config_kwargs.x={value}"]
    from phf.storage.plain_yaml import parse_yaml

    assert parse_yaml(overrides[0].partition("=")[2], "", ConfigError) == expected


@pytest.mark.parametrize("argument", ["--no-such-option=3", "--training.seed", "--.seed=3", "--training..seed=3"])
def test_other_unknown_options_are_refused(argument, received):
    result = CliRunner().invoke(cli.app, ["train", "--task", "pep8", argument])
    assert result.exit_code == 2
    assert "No such option" in result.output
    assert received == []


def test_each_run_of_a_sweep_has_its_own_folder(monkeypatch):
    config, _ = load_config(task="pii/emails", method="conditional", overrides=[])
    names = []
    for run_id in ("", "a1", "b2"):
        monkeypatch.setenv("WANDB_SWEEP_ID", "s" if run_id else "")
        monkeypatch.setenv("WANDB_RUN_ID", run_id)
        names.append(train._run_name(config))
    name = names[0]
    assert names == [name, f"{name}-a1", f"{name}-b2"]
    monkeypatch.setenv("WANDB_SWEEP_ID", "")
    assert train._run_name(config) == name
