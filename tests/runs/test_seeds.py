"""Runs are seeds of one method where their configurations mean the same but for the seed, whichever version saved them."""

import subprocess
import sys

import pytest
import yaml

from phf.config import dump_config, load_config
from phf.runs.seeds import Training, group_by_seed

RUN = {
    "task": "t",
    "method": "awr",
    "dataset": {"datasets": ["a"]},
    "tokenizer": {"train_from_corpus": 300},
    "model": {"model_type": "gpt2", "config_kwargs": {"n_layer": 2}},
    "objective": {"name": "AWR", "alpha": 1, "beta": 1},
    "training": {"seed": 1, "learning_rate": 1},
    "generation": {"scorer_config": {"class_name": "PEP8Scorer"}, "scenario_configs": [{"name": "x"}]},
}


def of(**changes):
    return Training.of_config(yaml.safe_dump({**RUN, **changes}))


def test_what_this_version_saves_means_what_was_written(tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(RUN))
    saved = Training.of_config(dump_config(load_config(config=tmp_path / "config.yaml")[0]))
    assert saved == of()
    assert (saved.method, saved.task, saved.seed) == ("awr", "t", 1)


@pytest.mark.parametrize(
    "older",
    [
        {"training": {"seed": 2, "learning_rate": 1.0, "output_dir": "elsewhere"}},
        {"training": {"learning_rate": 1, "weight_decay": 0, "lr_scheduler_type": "linear", "max_grad_norm": "1.0"}},
        {"training": {"learning_rate": 1, "logging_steps": 10, "save_steps": 7, "dataloader_num_workers": 2}},
        {"training": {"learning_rate": 1, "activation_checkpointing": True, "num_train_epochs": 3, "fsdp": True}},
        {"dataset": {"datasets": ["a"], "num_of_sequences": 1024, "concat_token": None, "is_split_by_sentences": True}},
        {"model": {"model_type": "gpt2", "gpt2_config_kwargs": {"n_layer": 2}}},
        {"objective": {"name": "AWR", "alpha": "1.0", "beta": 1.0, "clip_weight_max": 1000}},
    ],
)
def test_settings_of_one_meaning_are_one(older):
    assert of(**older).settings == of().settings


@pytest.mark.parametrize(
    "other",
    [
        {"training": {"seed": 1, "learning_rate": 2}},
        {"objective": {"name": "AWR", "alpha": 0.5, "beta": 1}},
        {"model": {"model_type": "gpt2", "config_kwargs": {"n_layer": 3}}},
        {"method": "rwr"},
        {"task": "u"},
    ],
)
def test_other_settings_are_others(other):
    assert of(**other).settings != of().settings


def test_the_settings_of_a_run_are_read_without_the_libraries_that_train():
    program = (
        "import sys; from phf.runs.seeds import Training; "
        f"assert Training.of_config({yaml.safe_dump(RUN)!r}); print('transformers' in sys.modules, 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "False False\n"


def test_how_a_step_is_cut_matters_only_where_the_step_depends_on_it():
    sized, cut = {"seed": 1, "learning_rate": 1, "effective_batch_size": 8}, {"per_device_train_batch_size": 4}
    assert of(training={**sized, **cut}).settings == of(training=sized).settings
    normalised = {**RUN["objective"], "normalize_advantage": True}
    settings = [of(training=training, objective=normalised).settings for training in (sized, {**sized, **cut})]
    assert settings[0] != settings[1]
    sized.pop("effective_batch_size")  # then the size of a step follows from its parts
    assert of(training={**sized, **cut}).settings != of(training=sized).settings


def test_a_configuration_that_this_version_cannot_read_is_taken_as_it_is_written():
    newer = {"dataset": {"datasets": ["a"], "key_of_the_future": 1}}
    assert of(**newer).settings == of(**newer, training={"learning_rate": 1, "seed": 5}).settings
    assert of(**newer).settings != of().settings
    assert Training.of_config("dataset: [") is None
    assert Training.of_config("dataset: {}") is None


def test_seeds_of_a_method_in_a_file_are_called_by_the_name_of_the_file():
    one, other = (of(method="my/own.yml", training={"seed": seed}) for seed in (1, 2))
    (group,) = group_by_seed(["a", "b"], [one, other])
    assert (group.name, group.method, group.members) == ("own", "own", [0, 1])
