"""Every key of the `training` section is applied, said to be ignored, or refused by name."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import pytest
from transformers import TrainingArguments

from phf.config import TrainingConfig
from phf.config.trainer import CHOSEN_BY_HARDWARE, LASTING_DEFAULTS, WORKING, _default
from phf.errors import ConfigError
from phf.training.settings import keys
from phf.training.settings.arguments import training_arguments

FIELDS = {field.name for field in dataclasses.fields(TrainingArguments)}
SECTION = {"effective_batch_size": 4, "per_device_train_batch_size": 2, "max_steps": 10}


def arguments(**settings):
    config = TrainingConfig.model_validate({**SECTION, **settings})
    return training_arguments(config, 32, Path("/tmp/run"))


def test_every_key_with_a_rule_exists():
    for table in (keys.IGNORED, keys.SAME_AS_OURS, keys.REFUSED, keys.AT_LEAST, keys.ABOVE_ZERO, keys.SHARES):
        assert set(table) <= FIELDS
    assert set(keys.SAME_AS_OURS) <= set(keys.IGNORED)
    assert not set(keys.IGNORED) & set(keys.REFUSED)


@pytest.mark.parametrize("key", sorted(keys.IGNORED))
def test_a_key_without_effect_is_reported_as_ignored(key):
    field = next(field for field in dataclasses.fields(TrainingArguments) if field.name == key)
    value = {bool: not keys.SAME_AS_OURS.get(key, False), int: 7, float: 7.0, str: "x"}.get(field.type)
    value = value if value is not None else {"eval_strategy": "steps", "include_for_metrics": ["x"]}.get(key, "7")
    if key in ("greater_is_better", "hub_private_repo"):
        value = True
    if key == "disable_tqdm":
        value = False
    if key == "hub_strategy":
        value = "end"
    if key == "label_names":
        value = ["x"]
    _, _, warnings = arguments(**{key: value})
    assert [warning for warning in warnings if warning.startswith(f"training.{key} is ignored: ")]


@pytest.mark.parametrize("key", sorted(keys.SAME_AS_OURS))
def test_a_key_that_states_the_actual_behaviour_causes_no_warning(key):
    assert arguments(**{key: keys.SAME_AS_OURS[key]})[2] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"per_device_train_batch_size": 0}, "per_device_train_batch_size is 0: it must be at least 1"),
        ({"per_device_train_batch_size": -1}, "per_device_train_batch_size is -1: it must be at least 1"),
        ({"per_device_train_batch_size": 1.5}, r"per_device_train_batch_size is 1\.5: .*integer"),
        ({"learning_rate": "fast"}, r"training\.learning_rate is 'fast'"),
        ({"learning_rate": True}, r"training\.learning_rate is True: it must be a number"),
        ({"learning_rate": float("nan")}, r"training\.learning_rate is nan: it must be a finite number"),
        ({"learning_rate": -0.1}, r"training\.learning_rate is -0\.1: it must be at least 0"),
        ({"learning_rate": [1]}, r"training\.learning_rate is \[1\]"),
        ({"save_steps": -3}, r"save_steps is -3\.0: it must be above 0. For never, set save_strategy: no"),
        ({"logging_steps": 0}, "For never, set logging_strategy: no"),
        ({"save_steps": 2.5}, "must be a whole number"),
        ({"max_steps": 0}, r"training\.max_steps is 0"),
        ({"max_steps": 2.5}, r"training\.max_steps is 2\.5"),
        ({"adam_beta2": 1.0}, r"adam_beta2 is 1\.0: it must be at least 0 and below 1"),
        ({"save_total_limit": 0}, "save_total_limit is 0: it must be at least 1"),
        ({"dataloader_num_workers": -1}, "dataloader_num_workers is -1"),
        ({"dataloader_num_workers": 2**31}, "dataloader_num_workers is 2147483648: it must be at most 1024"),
        ({"dataloader_prefetch_factor": 2**31, "dataloader_num_workers": 1}, "prefetch_factor is .* at most 65536"),
        ({"dataloader_multiprocessing_context": "foo"}, r"context is 'foo': it must be one of .*spawn"),
        ({"dataloader_multiprocessing_context": "spawn", "dataloader_num_workers": 0}, "has no use without processes"),
        ({"gradient_checkpointing_kwargs": "foo"}, r"gradient_checkpointing_kwargs is 'foo': it must be a mapping"),
        ({"activation_checkpointing_kwargs": "[1]"}, r"activation_checkpointing_kwargs is \[1\]: it must be a mapping"),
        ({"activation_checkpointing_kwargs": {"a": 1}}, r"has no argument 'a'\. Known: use_reentrant"),
        ({"activation_checkpointing_kwargs": {"use_reentrant": 1}}, "use_reentrant is 1: it must be true or false"),
        ({"lr_scheduler_kwargs": "foo"}, r"training\.lr_scheduler_kwargs is 'foo': it must be a mapping"),
        ({"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": "x"}}, "transformers rejects this"),
        ({"optim_args": "foo"}, r"training\.optim_args is 'foo': it must be NAME=VALUE"),
        ({"optim_args": "a=1,b=2=3"}, r"training\.optim_args is 'a=1,b=2=3': it must be NAME=VALUE"),
        ({"log_level": "loud"}, "log_level is 'loud': it must be one of debug"),
        ({"fp16": "perhaps"}, r"training\.fp16 is 'perhaps'"),
        ({"save_strategy": "never"}, r"training\.save_strategy: transformers rejects this: never is not a valid"),
        ({"save_strategy": "best"}, "checkpoints are not compared"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "needs transformers' evaluation"),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "min_lr or min_lr_rate should be set"),
        ({"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"bad": 1}}, "unexpected keyword argument 'bad'"),
        ({"optim": "adamw_torc"}, r"training\.optim: transformers rejects this: adamw_torc"),
        ({"use_liger_kernel": True}, r"training\.use_liger_kernel cannot be set: "),
        ({"label_smoothing_factor": 0.1}, r"training\.label_smoothing_factor cannot be set: "),
        ({"eval_on_start": True}, r"set generation\.run_on_train_start"),
        ({"load_best_model_at_end": True}, "the model of the last step is exported"),
        ({"auto_find_batch_size": True}, "lower per_device_train_batch_size"),
        ({"ignore_data_skip": True}, "would train on the same blocks again"),
        ({"parallelism_config": {"tp_size": 2}}, "torchrun"),
        ({"report_to": ["wanbd"]}, "there is no tracker 'wanbd'. Did you mean 'wandb'"),
        ({"learning_rat": 1}, r"training\.learning_rat is unknown\. Did you mean 'learning_rate', '\w+' or '\w+'\?$"),
        ({"zzz": 1}, r"training\.zzz is unknown\. Did you mean '\w+', '\w+' or '\w+'\?$"),
    ],
)
def test_a_bad_key_or_value_is_refused_by_name(settings, message):
    with pytest.raises(ConfigError, match=message) as caught:
        arguments(**settings)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "settings",
    [
        {"activation_checkpointing_kwargs": {"use_reentrant": False, "determinism_check": "none"}},
        {"activation_checkpointing_kwargs": '{"use_reentrant": true}'},
        {"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": '{"num_cycles": 0.4}'},
        {"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {}},
        {"optim_args": "beta1=0.9, beta2=0.95"},
        {"optim_args": ""},
        {"dataloader_num_workers": 2, "dataloader_multiprocessing_context": "spawn"},
    ],
)
def test_arguments_that_are_passed_on_are_accepted(settings):
    assert arguments(**settings)[2] == []


@pytest.mark.parametrize("tracker", sorted(keys.TRACKERS))
def test_a_tracker_that_is_not_installed_is_named_with_its_package(tracker, monkeypatch):
    module, package = keys.TRACKERS[tracker]
    if module is None:
        return
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for written in (tracker, [tracker]):
        with pytest.raises(ConfigError, match=f"{tracker} is not installed. Install it with: pip install {package}"):
            keys.check_keys(TrainingConfig.model_validate({"report_to": written}))


@pytest.mark.parametrize("key", ["deepspeed"])
def test_an_engine_that_is_not_installed_is_named_with_its_package(key, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=f"pip install {key}"):
        keys.check_keys(TrainingConfig.model_validate({key: {"zero_optimization": {"stage": 3}}}))


@pytest.mark.parametrize("key", ["save_strategy", "logging_strategy", "eval_strategy"])
def test_the_choice_no_is_understood_though_yaml_reads_it_as_false(key):
    parsed, _, warnings = arguments(**{key: False})
    assert getattr(parsed, key).value == "no"
    assert warnings == []


def test_no_tracker_may_be_written_in_any_way():
    for nothing in (False, None, [], "none", "no"):
        assert arguments(report_to=nothing)[0].report_to == []


@pytest.mark.parametrize("value", [True, "full_shard", ["full_shard", "auto_wrap"]])
def test_fsdp_takes_the_forms_that_transformers_takes(value, monkeypatch):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    applied, warnings = keys.check_keys(TrainingConfig.model_validate({"fsdp": value}))
    assert (applied["fsdp"], warnings) == (value, [])
    assert keys.check_keys(TrainingConfig.model_validate({"fsdp": False})) == ({}, [])
    with pytest.raises(ConfigError, match=r"training\.fsdp is \{'a': 1\}"):
        keys.check_keys(TrainingConfig.model_validate({"fsdp": {"a": 1}}))


def test_values_are_of_their_types():
    parsed, arithmetic, _ = arguments(learning_rate="5e-4", per_device_train_batch_size="2", logging_steps="3", bf16=0)
    assert (parsed.learning_rate, parsed.logging_steps, arithmetic.per_device_train_batch_size) == (5e-4, 3, 2)
    assert parsed.bf16 is False


def test_a_device_batch_that_is_cut_down_is_reported():
    assert arguments(per_device_train_batch_size=16)[2] == [
        "training.per_device_train_batch_size is 16, but a step has 4 blocks for 1 process: it is lowered to 4."
    ]


def test_steps_that_tokens_override_are_reported_as_ignored():
    _, arithmetic, warnings = arguments(num_tokens=3 * 4 * 32)
    assert arithmetic.max_steps == 3
    assert warnings == ["training.max_steps is ignored: training.num_tokens determines the number of steps."]


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 0, -1])
def test_nonsense_numbers_of_tokens_are_refused(value):
    with pytest.raises(ValueError, match="num_tokens"):
        TrainingConfig.model_validate({"num_tokens": value})


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"split_batches": True}, "split_batches"), ({"gradient_accumulation_kwargs": {"num_steps": 4}}, "num_steps")],
)
def test_settings_of_accelerate_that_would_change_what_a_step_is_are_refused(settings, named, tmp_path):
    """Written into the configuration, or in a file that it names."""
    (tmp_path / "accelerator.json").write_text(json.dumps(settings))
    for given in (settings, str(tmp_path / "accelerator.json")):
        with pytest.raises(ConfigError, match=rf"training\.accelerator_config.*{named} cannot be set"):
            arguments(accelerator_config=given)
    arguments(accelerator_config={"split_batches": False, "gradient_accumulation_kwargs": {"sync_each_batch": True}})


@pytest.mark.slow  # the compiler is imported
@pytest.mark.parametrize("key", ["torch_compile_mode", "torch_compile_backend"])
def test_a_compiler_that_there_is_not_is_found_while_planning(key):
    with pytest.raises(ConfigError, match="fastest"):
        arguments(torch_compile=True, **{key: "fastest"})


@pytest.mark.parametrize(("warmup_steps", "is_said"), [(10, True), (1000, True), (9, False), (0.5, False)])
def test_a_warmup_that_never_ends_is_pointed_out(warmup_steps, is_said):
    _, _, warnings = arguments(warmup_steps=warmup_steps)
    assert any("never reaches training.learning_rate" in warning for warning in warnings) == is_said
    assert not arguments(warmup_steps=warmup_steps, lr_scheduler_type="constant")[2]


def test_the_copied_defaults_are_those_of_transformers_and_each_key_that_is_applied_has_a_place():
    given = {field.name: _default(field) for field in dataclasses.fields(TrainingArguments)}
    assert {key: given[key] for key in LASTING_DEFAULTS} == LASTING_DEFAULTS
    decided = {"max_steps", "seed", "deepspeed", "optim", "per_device_train_batch_size"}
    places = {*LASTING_DEFAULTS, *WORKING, *keys.IGNORED, *keys.REFUSED, *CHOSEN_BY_HARDWARE, *decided}
    assert given.keys() - places == set()
