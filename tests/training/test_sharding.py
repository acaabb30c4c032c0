"""FSDP and DeepSpeed: what is refused, and what has not been tested and says so."""

import importlib.machinery
import json
from pathlib import Path

import pytest

from phf.errors import CheckpointError, ConfigError
from phf.training.checkpoints.find import refuse_another_number_of_processes
from phf.training.settings import sharding
from phf.training.settings.sharding import check_sharding


@pytest.fixture
def deepspeed(monkeypatch):
    """As if it were installed."""
    spec = importlib.machinery.ModuleSpec("deepspeed", None)
    monkeypatch.setattr(sharding.importlib.util, "find_spec", lambda name: spec)


@pytest.fixture
def accelerator(monkeypatch):
    """As if there were one."""
    monkeypatch.setattr(sharding.torch.accelerator, "is_available", lambda: True)


def test_without_sharding_and_with_fsdp_2_there_is_nothing_to_say(accelerator):
    assert check_sharding({}) == []
    assert check_sharding({"fsdp": True}) == []
    assert check_sharding({"fsdp": True, "fsdp_config": {"version": 2, "activation_checkpointing": True}}) == []


def test_fsdp_on_cpus_says_that_it_divides_nothing(accelerator, monkeypatch):
    expected = ["training.fsdp divides nothing on CPUs: each process keeps the whole model."]
    assert check_sharding({"fsdp": True, "use_cpu": True}) == expected
    monkeypatch.setattr(sharding.torch.accelerator, "is_available", lambda: False)
    assert check_sharding({"fsdp": True}) == expected
    assert check_sharding({"fsdp": False}) == []


@pytest.mark.parametrize("version", [1, "1", 3])
@pytest.mark.parametrize("is_file", [False, True])
def test_fsdp_1_is_refused_also_in_a_file(accelerator, tmp_path, version, is_file):
    settings = {"version": version}
    (tmp_path / "fsdp.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=r"version is '?[13]'?: only FSDP 2 is supported.*Leave version out"):
        check_sharding({"fsdp": True, "fsdp_config": str(tmp_path / "fsdp.json") if is_file else settings})


def test_deepspeed_says_that_it_is_not_tested(deepspeed):
    (said,) = check_sharding({"deepspeed": {"zero_optimization": {"stage": 2}}})
    assert "not covered by phf's tests. Use training.fsdp: true" in said


@pytest.mark.parametrize("is_file", [False, True])
def test_zero_3_is_refused_also_in_a_file(deepspeed, tmp_path, is_file):
    settings = {"zero_optimization": {"stage": 3}}
    (tmp_path / "ds.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=r"stage 3 is not supported\. Use training\.fsdp: true"):
        check_sharding({"deepspeed": str(tmp_path / "ds.json") if is_file else settings})


def test_a_damaged_file_is_named(deepspeed, tmp_path):
    (tmp_path / "ds.json").write_text("{")
    with pytest.raises(ConfigError, match=r"ds\.json: is not valid JSON.*training\.deepspeed"):
        check_sharding({"deepspeed": str(tmp_path / "ds.json")})


def checkpoint_of(folder: Path, num_processes: int, state: str) -> Path:
    (folder / state).mkdir(parents=True)
    for process in range(num_processes):
        (folder / f"log_window_{process}.json").touch()
    return folder


def test_only_deepspeed_minds_how_many_processes_wrote_a_checkpoint(tmp_path):
    deepspeed = checkpoint_of(tmp_path / "checkpoint-2", 2, "global_step2")
    refuse_another_number_of_processes(deepspeed, 2)
    with pytest.raises(CheckpointError, match=r"by DeepSpeed in 2 processes.*this command has 4"):
        refuse_another_number_of_processes(deepspeed, 4)
    refuse_another_number_of_processes(checkpoint_of(tmp_path / "checkpoint-3", 2, "optimizer_0"), 1)
