"""A model that can never be in memory is refused before it is built; one that could is not."""

from types import SimpleNamespace

import pytest
import torch
from tests.tiny import tiny_config, tiny_corpus, tiny_lm, tiny_tokenizer

from phf.config import ModelConfig
from phf.errors import ConfigError
from phf.training import host_memory
from phf.training.host_memory import check_host_memory, whole_memory
from phf.training.run import train

SCRATCH, PRETRAINED = ModelConfig(model_type="gpt2"), ModelConfig(path_or_name="m", from_scratch=False)


@pytest.fixture
def lm():
    return tiny_lm("gpt2", tiny_tokenizer(), 0)


def weights_of(lm):
    embeddings = lm.get_input_embeddings().weight
    return 4 * (sum(parameter.numel() for parameter in lm.parameters()) - embeddings.numel())  # the head is tied


def arguments(device="cpu", optim="adamw_torch"):
    return SimpleNamespace(device=torch.device(device), optim=optim)


@pytest.mark.parametrize(
    ("model", "given", "times"),
    [
        (SCRATCH, arguments(), 4),
        (PRETRAINED, arguments(), 4),
        (SCRATCH, arguments(optim="sgd"), 1),
        (SCRATCH, arguments("cuda"), 1),
        (PRETRAINED, arguments("cuda"), 0),
        (SCRATCH.model_copy(update={"model_kwargs": {"quantization_config": {}}}), arguments(), 0),
    ],
)
def test_what_is_certainly_needed_is_compared_with_all_there_is(lm, monkeypatch, model, given, times):
    monkeypatch.setattr(host_memory, "whole_memory", lambda: times * weights_of(lm))
    check_host_memory(model, lm, given)
    monkeypatch.setattr(host_memory, "whole_memory", lambda: times * weights_of(lm) - 1)
    if times:
        with pytest.raises(ConfigError, match=r"model: its weights take .* but this machine has .* swap included"):
            check_host_memory(model, lm, given)
    else:
        check_host_memory(model, lm, given)


def test_where_the_system_does_not_say_nothing_is_refused(lm, monkeypatch):
    monkeypatch.setattr(host_memory, "whole_memory", lambda: None)
    check_host_memory(SCRATCH, lm, arguments())


def test_swap_counts_and_a_control_group_limits_memory(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:        9000 kB\nMemFree:          100 kB\nSwapTotal:       1000 kB\n")
    assert whole_memory(tmp_path, meminfo) == 10_000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    assert whole_memory(tmp_path, meminfo) == 10_000 * 1024
    (tmp_path / "memory.max").write_text(f"{2000 * 1024}\n")
    assert whole_memory(tmp_path, meminfo) == 3000 * 1024
    assert whole_memory(tmp_path, tmp_path / "none") is None


def test_a_run_is_refused_before_its_data_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(host_memory, "whole_memory", lambda: 1000)
    monkeypatch.setattr("phf.training.run.prepare_data", lambda *_, **__: pytest.fail("the data was read"))
    with pytest.raises(ConfigError, match="Choose a smaller model or a machine with more memory"):
        train(tiny_config(tiny_corpus(tmp_path)), tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()
