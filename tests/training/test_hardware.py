"""What is chosen by the hardware: one place, each choice with its reason, and overridden by the configuration."""

import json

import pytest
import torch
from tests.tiny import tiny_config, tiny_corpus

from phf.config import ModelConfig
from phf.errors import ConfigError
from phf.models.building.architecture import read_architecture
from phf.training import plan as planning
from phf.training.hardware import MIN_STEPS_TO_COMPILE, Hardware, choose, compile_choice, find_hardware
from phf.training.plan import plan_run
from phf.training.run import train

OLD_CPU = Hardware("cpu", "old", has_bfloat16=False, num_cpus=8)
NEW_CPU = Hardware("cpu", "new", has_bfloat16=True, num_cpus=8)
GPU = Hardware("cuda", "H100", has_bfloat16=True, num_cpus=16)
QUIET = {"generation.run_on_train_start": False, "generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}


def architecture(width, **settings):
    kwargs = {"n_embd": width, "n_head": 2, "n_layer": 1}
    return read_architecture(ModelConfig(model_type="gpt2", config_kwargs=kwargs, model_kwargs=settings))


WIDE, NARROW, NARROW_ON_CPU = architecture(256), architecture(254), architecture(126)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.mark.parametrize(
    ("applied", "hardware", "model", "recorded", "expected"),
    [
        ({}, GPU, WIDE, None, "bfloat16"),
        ({}, NEW_CPU, WIDE, None, "bfloat16"),
        ({}, OLD_CPU, WIDE, None, "float32"),
        ({}, NEW_CPU, architecture(128), None, "bfloat16"),
        ({}, NEW_CPU, NARROW_ON_CPU, None, "float32"),
        ({}, NEW_CPU, architecture(128), {"precision": "float32"}, "float32"),  # begun when the limit was 256 there too
        ({}, GPU, NARROW, None, "float32"),
        ({}, GPU, None, None, "float32"),
        ({}, GPU, architecture(256, dtype="bfloat16"), None, "that of the weights, bfloat16"),
        ({"bf16": False}, GPU, WIDE, None, "float32"),
        ({"fp16": False}, GPU, WIDE, None, "float32"),
        ({"bf16": True}, OLD_CPU, NARROW, None, "bfloat16"),  # with AVX-512, where it is not much slower
        ({"fp16": True}, GPU, WIDE, None, "float16"),
        ({"fp16": True}, NEW_CPU, WIDE, None, "float32"),
        ({"deepspeed": {}}, GPU, WIDE, None, "that of its configuration"),
        ({}, GPU, WIDE, {}, "float32"),  # begun by a version that trained in float32 unless asked
        ({}, GPU, NARROW, {"precision": "bfloat16"}, "bfloat16"),
        ({}, OLD_CPU, WIDE, {"precision": "bfloat16"}, "float32"),
        ({"bf16": True}, GPU, WIDE, {"precision": "float32"}, "bfloat16"),
        ({}, GPU, WIDE, {"precision": "bf16"}, "bfloat16"),  # as a launcher said it, and versions recorded it
        ({}, GPU, WIDE, {"precision": "float16"}, "float16"),
        ({}, NEW_CPU, WIDE, {"precision": "fp16"}, "float32"),
        ({}, GPU, WIDE, {"precision": "no"}, "float32"),
    ],
)
def test_precision_is_that_of_the_configuration_then_of_the_run_then_of_the_device(
    applied, hardware, model, recorded, expected, monkeypatch
):
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    monkeypatch.setattr("phf.training.hardware.cpu_has_bfloat16", lambda: True)
    choices = choose(applied, model, hardware, recorded=recorded)
    assert choices.precision.shown == expected
    chosen = {key: choices.arguments[key] for key in ("bf16", "fp16") if key in choices.arguments}
    key = {"bfloat16": "bf16", "float16": "fp16"}.get(expected)
    assert chosen == ({} if applied or key is None else {key: True})
    if not applied and recorded is None and "weights" not in expected:
        assert "training.bf16" in choices.precision.why  # what to set for another


def test_bfloat16_is_not_recorded_where_autocast_would_be_switched_off(monkeypatch):
    monkeypatch.setattr("phf.training.hardware.cpu_has_bfloat16", lambda: False)
    assert choose({"bf16": True}, WIDE, OLD_CPU).precision.shown == "float32"
    assert "AVX-512" in choose({"bf16": True}, WIDE, OLD_CPU).precision.why
    assert choose({"bf16": True}, WIDE, GPU).precision.shown == "bfloat16"


@pytest.mark.parametrize(("mixed", "expected"), [("bf16", "bfloat16"), ("fp16", "float16"), ("no", "float32")])
def test_the_precision_of_a_launcher_is_recorded_so_that_a_resumed_run_has_it_without_the_launcher(
    mixed, expected, monkeypatch
):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", mixed)
    launched = choose({}, WIDE, GPU)
    assert launched.precision.shown == expected
    assert not {"bf16", "fp16"} & launched.arguments.keys()  # transformers reads the variable itself
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION")
    resumed = choose({}, WIDE, GPU, recorded={"precision": launched.precision.shown})
    assert resumed.precision.shown == expected
    assert {"bfloat16": "bf16", "float16": "fp16"}.get(expected, "dataloader_num_workers") in resumed.arguments


@pytest.mark.parametrize(
    ("hardware", "applied", "streams", "expected"),
    [
        (NEW_CPU, {}, False, 0),
        (GPU, {}, False, 2),
        (GPU, {}, True, 1),
        (Hardware("cuda", "T4", has_bfloat16=False, num_cpus=1), {}, False, 0),
        (GPU, {"dataloader_num_workers": 7}, False, 7),
        (NEW_CPU, {"dataloader_num_workers": 1}, False, 1),
    ],
)
def test_loader_workers_are_for_gpus_with_cpus_to_spare(hardware, applied, streams, expected):
    choices = choose(applied, WIDE, hardware, streams=streams)
    assert choices.arguments["dataloader_num_workers"] == expected
    assert choices.arguments.get("accelerator_config") == (
        {"non_blocking": True} if hardware.device == "cuda" else None
    )


@pytest.mark.parametrize(
    ("asked", "why_not", "hardware", "steps", "is_sharded", "expected"),
    [
        ("auto", None, GPU, MIN_STEPS_TO_COMPILE, False, True),
        ("auto", None, GPU, MIN_STEPS_TO_COMPILE - 1, False, False),
        ("auto", None, GPU, 10**6, True, False),
        ("auto", None, NEW_CPU, 10**6, False, False),
        (True, None, NEW_CPU, 1, True, True),
        (True, "of a reason", GPU, 10**6, False, False),
        (False, None, GPU, 10**6, False, False),
    ],
)
def test_auto_compiles_on_a_gpu_in_a_run_that_is_long_enough(asked, why_not, hardware, steps, is_sharded, expected):
    choice = compile_choice(asked, why_not, hardware, steps, is_sharded)
    assert choice.value == expected
    assert ("of a reason" in choice.why) == (why_not is not None)
    assert "model.compile" in choice.why or why_not is not None


def test_processes_of_one_machine_share_its_cpus(monkeypatch):
    monkeypatch.setattr("phf.training.hardware.available_cpus", lambda: 16)
    assert find_hardware(uses_cpu=True).num_cpus == 16
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert find_hardware(uses_cpu=True).num_cpus == 2
    assert find_hardware(uses_cpu=True).device == "cpu"


@pytest.mark.skipif(torch.accelerator.is_available(), reason="of CPUs")
def test_a_wide_model_is_planned_in_bfloat16_where_the_cpu_has_it_and_adamw_is_fused(source, tmp_path, monkeypatch):
    wide = {"model.config_kwargs.n_embd": 256}
    for has_bfloat16 in (True, False):
        monkeypatch.setattr("phf.training.hardware.cpu_multiplies_bfloat16", lambda answer=has_bfloat16: answer)
        arguments = plan_run(tiny_config(source, **wide), tmp_path / "run").arguments
        assert arguments.bf16 == has_bfloat16
        assert arguments.optim == "adamw_torch_fused"
        assert not plan_run(tiny_config(source, **wide, **{"training.bf16": False}), tmp_path / "run").arguments.bf16
        assert not plan_run(tiny_config(source), tmp_path / "run").arguments.bf16


def test_processes_with_different_precisions_are_refused(source, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "gather_object", lambda mine: [*mine, "bfloat16"])
    choices = choose({}, NARROW, OLD_CPU)
    planning._refuse_different_choices(choices, 1)
    with pytest.raises(ConfigError, match=r"different precisions \(bfloat16, float32\).*Set training\.bf16"):
        planning._refuse_different_choices(choices, 2)


def test_what_was_chosen_is_announced_and_recorded_and_a_resumed_run_keeps_it(source, tmp_path):
    announced = []
    config = tiny_config(source, **QUIET)
    train(config, tmp_path / "run", announce=announced.append)
    for name in ("device", "precision", "attention", "compiled", "head", "optimizer", "micro-batch", "loader workers"):
        assert sum(message.startswith(f"{name}: ") for message in announced) == 1
    assert "micro-batch: 2 blocks of 64 tokens per device, 2 per step" in " ".join(announced)
    path = tmp_path / "run" / "provenance.json"
    provenance = json.loads(path.read_text())
    assert provenance["choices"]["precision"] == "float32"
    assert provenance["choices"]["attention"] == "sdpa"
    assert provenance["choices"]["per_device_train_batch_size"] == 2
    provenance["choices"]["precision"] = "bfloat16"
    path.write_text(json.dumps(provenance))
    precision = plan_run(config, tmp_path / "run").choices.precision
    assert precision.shown == ("bfloat16" if find_hardware().has_bfloat16 else "float32")
    assert "began" in precision.why
