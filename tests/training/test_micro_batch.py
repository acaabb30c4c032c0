"""`per_device_train_batch_size: auto`: the most blocks that fit, and the same training as with any other number."""

import json

import pytest
import torch
from tests.tiny import losses, tiny_config, tiny_corpus, tiny_lm, tiny_tokenizer

from phf.errors import ConfigError
from phf.feedback.objectives import MLE
from phf.models import ObjectiveLM
from phf.training import micro_batch
from phf.training.micro_batch import available_memory, largest_that_fits, sizes_of
from phf.training.plan import plan_run
from phf.training.run import train

QUIET = {"generation.run_on_train_start": False, "generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}
AUTO = {"training.per_device_train_batch_size": "auto"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


def chosen(run_dir):
    return json.loads((run_dir / "provenance.json").read_text())["choices"]["per_device_train_batch_size"]


def test_sizes_are_the_divisors_of_a_share():
    assert sizes_of(12) == [1, 2, 3, 4, 6, 12]
    assert sizes_of(1) == [1]


def test_the_search_ends_where_memory_does():
    tried = []

    def fits(size):
        tried.append(size)
        if size > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return True

    assert largest_that_fits(sizes_of(24), fits) == 4
    assert tried == [1, 2, 3, 4, 6]
    assert largest_that_fits(sizes_of(24), lambda size: size <= 8) == 8
    assert largest_that_fits(sizes_of(24), lambda size: True) == 24
    with pytest.raises(ConfigError, match=r"is auto, but not even one block fits.*seq_length"):
        largest_that_fits(sizes_of(24), lambda size: False)


def test_auto_trains_as_the_same_number_does_when_it_is_written_down(source, tmp_path, monkeypatch):
    dropout = {"model.config_kwargs.resid_pdrop": 0.1}  # the search must not use up random numbers
    train(tiny_config(source, **QUIET, **dropout, **{"training.per_device_train_batch_size": 4}), tmp_path / "four")
    train(tiny_config(source, **QUIET, **dropout, **AUTO), tmp_path / "auto")
    assert chosen(tmp_path / "auto") == 4
    assert losses(tmp_path / "auto") == losses(tmp_path / "four")


def test_a_cpu_takes_fewer_blocks_if_memory_is_short_and_the_step_stays_the_same(source, tmp_path, monkeypatch):
    train(tiny_config(source, **QUIET, **AUTO), tmp_path / "much")
    monkeypatch.setattr(micro_batch, "available_memory", lambda: 0)
    train(tiny_config(source, **QUIET, **AUTO), tmp_path / "little")
    assert (chosen(tmp_path / "much"), chosen(tmp_path / "little")) == (4, 1)
    assert losses(tmp_path / "little") == pytest.approx(losses(tmp_path / "much"), rel=1e-5)


@pytest.mark.parametrize("keeps_documents", [False, True])
def test_the_activations_of_a_block_are_counted(keeps_documents):
    module = ObjectiveLM(tiny_lm("gpt2", tiny_tokenizer()), MLE())

    class Arguments:
        device, mixed_precision, gradient_checkpointing = torch.device("cpu"), "no", False

    state = torch.random.get_rng_state()
    limits = {}
    for memory in (10**6, 2 * 10**6):
        monkeypatch = pytest.MonkeyPatch()
        with monkeypatch.context() as patched:
            patched.setattr(micro_batch, "available_memory", lambda memory=memory: memory)
            limits[memory] = micro_batch._cpu_limit(module, 32, Arguments(), keeps_documents)
    # a block of 32 tokens saves at least the 2 x 4 x 16 x 32 floats of the MLPs, and less than 100 times as much
    assert 10**6 / 2 / (100 * 2 * 4 * 16 * 32 * 4) < limits[10**6] < 10**6 / 2 / (2 * 4 * 16 * 32 * 4)
    assert limits[2 * 10**6] == pytest.approx(2 * limits[10**6], abs=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in module.parameters())


def test_memory_is_that_of_the_control_group_if_that_is_less(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9000 kB\nMemAvailable:    5000 kB\n")
    assert available_memory(tmp_path, meminfo) == 5000 * 1024
    assert available_memory(tmp_path, tmp_path / "none") == micro_batch.ASSUMED_MEMORY
    assert available_memory() > 0
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert available_memory(tmp_path, meminfo) == 2_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(tmp_path, meminfo) == 5000 * 1024


def test_auto_needs_an_effective_batch_and_the_whole_model(source, tmp_path):
    with pytest.raises(ConfigError, match=r"is auto.*set training\.effective_batch_size"):
        plan_run(tiny_config(source, **AUTO, **{"training.effective_batch_size": None}), tmp_path)
    with pytest.raises(ConfigError, match=r"is auto, which is not supported.*fsdp"):
        plan_run(tiny_config(source, **AUTO, **{"training.fsdp": "full_shard"}), tmp_path)


def test_running_out_of_memory_at_a_step_says_what_to_do_and_the_run_can_be_resumed_with_less(
    source, tmp_path, monkeypatch
):
    forward = ObjectiveLM.forward
    calls = []

    def fails(self, *args, **kwargs):
        calls.append(kwargs)
        if self.training and len(calls) == 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(ObjectiveLM, "forward", fails)
    four = {"training.per_device_train_batch_size": 4}
    with pytest.raises(ConfigError) as error:
        train(tiny_config(source, **QUIET, **four), tmp_path / "run")
    message = str(error.value)
    assert message.startswith("Out of memory at step 4, with 4 blocks of 64 tokens per device. ")
    assert "training.per_device_train_batch_size to 2 or less" in message
    assert "--resume" in message
    monkeypatch.undo()
    two = {"training.per_device_train_batch_size": 2}
    train(tiny_config(source, **QUIET, **two), tmp_path / "run", resume=True)
    train(tiny_config(source, **QUIET, **four), tmp_path / "whole")
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "whole"), rel=1e-5)
