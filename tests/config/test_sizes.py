"""Sizes: what a task leaves open about its model and run, from one file, below the task, the method and overrides."""

import pytest
import yaml

from phf.config import dump_config, load_config
from phf.config.meaning import meaning_of
from phf.errors import ConfigError

SIZED = ("pii/emails", "profanity/emails", "pep8/packages")
OWN = """
size: small
dataset: {datasets: [mine.jsonl], seq_length: 128}
training: {learning_rate: 1e-5}
generation: {scorer_config: {class_name: PEP8Scorer}}
"""


@pytest.fixture
def own_task(tmp_path):
    (tmp_path / "own.yml").write_text(OWN)
    return str(tmp_path / "own.yml")


@pytest.mark.parametrize("task", SIZED)
@pytest.mark.parametrize(
    ("size", "num_layers", "vocabulary", "seq_length"),
    [(None, 3, 4096, 256), ("tiny", 3, 4096, 256), ("small", 6, 8192, 512), ("gpt2", 12, 32768, 1024)],
)
@pytest.mark.parametrize("method", ["mle", "filtering", "conditional", "ul", "awr", "rwr"])
def test_every_sized_task_has_every_size_with_every_method(task, size, num_layers, vocabulary, seq_length, method):
    config, warnings = load_config(task=task, method=method, size=size)
    assert not warnings
    assert config.size == (size or "tiny")
    assert config.model.config_kwargs["n_layer"] == num_layers
    assert config.model.config_kwargs["n_positions"] == config.dataset.seq_length == seq_length
    assert config.tokenizer.train_from_corpus == vocabulary
    assert all(s.generate_kwargs["max_length"] <= seq_length for s in config.generation.scenario_configs)
    alone = load_config(task=task, method="mle", size=size)[0].training
    assert config.training.effective_batch_size == alone.effective_batch_size, "no method has a batch of its own"


def test_overrides_take_precedence_over_a_size():
    overrides = ["model.config_kwargs.n_layer=1", "training.num_tokens=1000"]
    config = load_config(task="pii/emails", method="mle", size="small", overrides=overrides)[0]
    assert config.model.config_kwargs["n_layer"] == 1
    assert config.model.config_kwargs["n_embd"] == 384
    assert config.training.num_tokens == 1000


def test_a_task_file_of_ones_own_may_have_sizes_and_takes_precedence(own_task):
    config = load_config(task=own_task)[0]
    assert (config.size, config.model.config_kwargs["n_embd"]) == ("small", 384)
    assert config.dataset.seq_length == 128
    assert config.training.model_extra["learning_rate"] == 1e-5
    assert load_config(task=own_task, size="tiny")[0].model.config_kwargs["n_embd"] == 128


def test_a_size_says_fewer_tokens_for_a_small_corpus(tmp_path):
    (tmp_path / "emails.yml").write_text(OWN)
    assert load_config(task=str(tmp_path / "emails.yml"))[0].training.num_tokens == 9e6


def test_a_resolved_configuration_keeps_its_size_and_is_read_back(tmp_path):
    config = load_config(task="pii/emails", method="awr", size="small")[0]
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_config(config=tmp_path / "config.yaml")[0] == config
    with pytest.raises(ConfigError, match=r"--size tiny needs a task.*config\.yaml says itself"):
        load_config(config=tmp_path / "config.yaml", size="tiny")


def test_a_method_beside_a_resolved_configuration_is_refused_and_not_ignored(tmp_path):
    (tmp_path / "config.yaml").write_text(dump_config(load_config(task="pep8/quickstart", method="mle")[0]))
    with pytest.raises(ConfigError, match=r"--method conditional needs a task.*config\.yaml says itself how it trains"):
        load_config(config=tmp_path / "config.yaml", method="conditional")


def test_the_name_of_a_size_means_nothing_by_itself():
    config = load_config(task="pii/emails", method="mle", size="tiny")[0]
    assert meaning_of(config) == meaning_of(config.model_copy(update={"size": None}))
    assert meaning_of(config) != meaning_of(load_config(task="pii/emails", method="mle", size="small")[0])


def test_a_task_without_sizes_says_which_have_them():
    with pytest.raises(ConfigError, match=r"--size tiny: .*pretrain\.yml has no sizes.*Tasks with sizes: .*pii/emails"):
        load_config(task="pep8", method="mle", size="tiny")


def test_an_unknown_size_is_refused_wherever_it_comes_from(tmp_path, own_task):
    with pytest.raises(
        ConfigError, match=r"--size: 'smal' is not a size. Did you mean 'small'\? Known: gpt2, small, tiny"
    ):
        load_config(task="pii/emails", method="mle", size="smal")
    for value in ("huge", "[tiny]", "3"):
        task = {**yaml.safe_load(OWN), "size": yaml.safe_load(value)}
        (tmp_path / "task.yml").write_text(yaml.safe_dump(task))
        with pytest.raises(ConfigError, match=r"task\.yml: .* is not a size"):
            load_config(task=str(tmp_path / "task.yml"))


def test_a_size_that_would_have_no_effect_is_refused(tmp_path, own_task):
    (tmp_path / "method.yml").write_text("size: tiny")
    with pytest.raises(ConfigError, match=r"method\.yml: 'size' belongs in a task file"):
        load_config(task=own_task, method=str(tmp_path / "method.yml"))
    with pytest.raises(ConfigError, match=r"--override size=tiny: 'size' belongs in a task file"):
        load_config(task=own_task, overrides=["size=tiny"])
