"""Configuration: the files as people write them, and what is said about their mistakes."""

import os
import time

import pytest
import yaml
from pydantic import ValidationError

from phf.config import Config, dump_config, load_config, parse_config, shipped_files
from phf.config.files import SHIPPED
from phf.config.schema.model import TokenizerConfig
from phf.errors import ConfigError
from phf.study.schema import shipped_studies

TASK = """
dataset: {datasets: [python-stdlib]}
tokenizer: {train_from_corpus: 300}
model: {model_type: gpt2}
training: {effective_batch_size: 8, num_tokens: 3.3E+9, learning_rate: 5e-4}
generation:
  scorer_config: {class_name: PEP8Scorer}
  scenario_configs: [{name: unconditional, num_samples: 4}]
"""
CONDITIONAL = """
dataset:
  conditional_training_config: {threshold: 0, aligned_prefix: "<|aligned|>", misaligned_prefix: "<|misaligned|>"}
"""


@pytest.fixture
def load(tmp_path):
    def load(task: str = TASK, method: str | None = None, *overrides: str) -> Config:
        (tmp_path / "task.yml").write_text(task)
        (tmp_path / "method.yml").write_text(method or "{}")
        return load_config(task=str(tmp_path / "task.yml"), method=str(tmp_path / "method.yml"), overrides=overrides)[0]

    return load


@pytest.mark.parametrize("task", shipped_files()["tasks"])
@pytest.mark.parametrize("method", ["mle", "filtering", "conditional", "ul", "awr", "rwr"])
def test_every_shipped_pair_loads_and_survives_its_dump(task, method, tmp_path):
    config, warnings = load_config(task=task, method=method)
    assert not warnings
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_config(config=tmp_path / "config.yaml")[0] == config


def test_a_dumped_configuration_of_a_task_without_sizes_is_a_task_too(tmp_path):
    (tmp_path / "task.yml").write_text(dump_config(load_config(task="pep8", method="mle")[0]))
    assert load_config(task=str(tmp_path / "task.yml"))[0].size is None


def test_a_method_on_top_of_a_whole_configuration_is_refused(tmp_path):
    whole = tmp_path / "task.yml"
    whole.write_text(dump_config(load_config(task="pep8", method="conditional")[0]))
    with pytest.raises(
        ConfigError, match=r"with the method conditional, whose settings would stay under --method mle\..*--config"
    ):
        load_config(task=str(whole), method="mle")
    assert load_config(config=whole)[0].method == "conditional"


def test_what_a_shipped_file_says_of_itself_on_its_first_line_is_whole():
    described = [*shipped_files().values(), shipped_studies()]
    for name, summary in (item for names in described for item in names.items()):
        assert summary.endswith("."), f"{name}: {summary}"
        assert not summary.startswith("phf "), name


def test_a_bare_name_is_the_pretraining_task():
    assert load_config(task="pep8", method="mle")[0].training.num_tokens == 3.3e9


@pytest.mark.parametrize(
    ("task", "method", "learning_rate", "batch_size"),
    [
        ("pii", "mle", 5e-4, 64),
        ("pii", "awr", 5e-4, 64),
        ("pii/finetune", "ul", 1e-4, 128),
        ("pii/finetune", "awr", 1e-4, 512),
        ("pii/finetune", "rwr", 1e-4, 512),
        ("pep8/finetune", "awr", 1e-3, 256),
        ("pep8/finetune", "conditional", 5e-4, 128),
    ],
)
def test_a_method_can_have_a_file_of_its_own_for_one_task(task, method, learning_rate, batch_size):
    training = load_config(task=task, method=method)[0].training
    assert training.effective_batch_size == batch_size
    assert training.model_extra["learning_rate"] == learning_rate


def test_method_is_merged_over_task_and_overrides_over_both(load):
    method = "training: {effective_batch_size: 16}\nobjective: {name: AWR, alpha: 1}"
    config = load(TASK, method, "training.seed=7", "objective.beta=1e-1", "generation.scenario_configs.0.num_samples=9")
    assert config.training.effective_batch_size == 16
    assert config.training.num_tokens == 3.3e9
    assert config.training.model_extra == {"learning_rate": 5e-4}
    assert config.objective == {"name": "AWR", "alpha": 1, "beta": 0.1}
    assert config.training.seed == 7
    assert config.generation.scenario_configs[0].num_samples == 9


def test_conditional_training_derives_everything_else(load):
    config = load(TASK, CONDITIONAL)
    assert config.dataset.tagging.control_tokens == ["<|aligned|>", "<|misaligned|>"]
    assert config.generation.scenario_configs[0].prefix == "<|aligned|>"
    assert config.dataset.conditional_training_config.tag_every_segment_when_sampling is False


def test_the_released_way_of_writing_it_out_means_the_same(load):
    released = yaml.safe_load(TASK)
    released["dataset"] |= yaml.safe_load(CONDITIONAL)["dataset"]
    released["tokenizer"]["special_tokens"] = ["<|aligned|>", "<|misaligned|>"]
    released["model"]["num_additional_tokens"] = 2
    released["generation"]["scenario_configs"][0] |= {
        "prefix": "<|aligned|>",
        "generate_kwargs": {"bad_words_ids": [[32769]]},
    }
    config = load(yaml.safe_dump(released))
    assert config.dataset.conditional_training_config.tag_every_segment_when_sampling is True
    assert not [key for key in ("special_tokens", "num_additional_tokens") if key in dump_config(config)]


def test_released_and_renamed_keys_are_translated_with_a_warning(tmp_path):
    task = yaml.safe_load(TASK)
    task["training"] |= {"evaluation_strategy": "no", "warmup_ratio": 0.01}
    task["model"]["gpt2_config_kwargs"] = {"reorder_and_upcast_attn": True, "scale_attn_by": True}
    (tmp_path / "task.yml").write_text(yaml.safe_dump(task))
    config, warnings = load_config(task=str(tmp_path / "task.yml"))
    assert len(warnings) == 3
    assert config.training.model_extra["warmup_steps"] == 0.01
    assert config.model.config_kwargs == {"reorder_and_upcast_attn": True}


@pytest.mark.parametrize(
    ("task", "method", "overrides", "message"),
    [
        (TASK + "datset: {}", None, (), r"task\.yml: unknown key 'datset'. Did you mean 'dataset'"),
        (TASK, "dataset: {seq_len: 4}", (), r"method\.yml: unknown key 'dataset.seq_len'. Did you mean 'seq_length'"),
        (TASK, "dataset: {seq_length: long}", (), r"method\.yml: 'dataset.seq_length' is 'long'"),
        (TASK, None, ("dataset.seq_length=1.5",), r"--override dataset.seq_length=1.5: 'dataset.seq_length' is 1.5"),
        (
            TASK,
            None,
            ("dataset.seqlength=8",),
            r"--override dataset.seqlength=8: unknown key.*Did you mean 'seq_length'",
        ),
        (TASK, None, ("no.such.path=8",), r"unknown key 'no'"),
        (TASK, None, ("training.seed.x=8",), r"training.seed"),
        (TASK, None, ("generation.scenario_configs.3.num_samples=8",), r"is a list of 1"),
        (TASK, None, ("training.seed",), r"write it as section.key=value"),
        (
            TASK.replace("  scorer_config: {class_name: PEP8Scorer}\n", ""),
            None,
            (),
            r"'generation.scorer_config' is missing.*scorer",
        ),
        (TASK[: TASK.index("generation")], None, (), r"'generation' is missing.*scorer"),
        (TASK + "dataset: {}", None, (), r"'dataset' occurs twice"),
        ("a: [", None, (), r"task\.yml: is not valid YAML"),
        ("", None, (), r"contains no sections"),
        (
            TASK,
            CONDITIONAL + "tokenizer: {special_tokens: [a, b]}",
            (),
            r"tokenizer.special_tokens is \['a', 'b'\], but",
        ),
        (TASK, CONDITIONAL + "model: {num_additional_tokens: 3}", (), r"model.num_additional_tokens is 3"),
        (TASK, CONDITIONAL, ("model.num_additional_tokens=two",), r"model.num_additional_tokens is two, but"),
        (TASK, CONDITIONAL, ("tokenizer.special_tokens=[]",), r"tokenizer.special_tokens is \[\], but"),
        (TASK, CONDITIONAL.replace("<|mis", "<|"), (), r"aligned_prefix and misaligned_prefix must be different"),
        (
            TASK,
            CONDITIONAL,
            ("generation.scenario_configs.0.prefix=<|good|>",),
            r"prefix '<\|good\|>' is not a control token",
        ),
        (TASK, None, ("generation.scenario_configs.0.prefix=x",), r"needs control tokens"),
        (TASK, None, ("training.hub_token=secret",), r"secrets are not kept in configurations"),
        (TASK, None, ("tokenizer.path_or_name=gpt2",), r"are both set"),
        (TASK, None, ("model.from_scratch=false",), r"model.path_or_name must name"),
    ],
)
def test_mistakes_name_file_key_and_nearest_key(load, task, method, overrides, message):
    with pytest.raises(ConfigError, match=message) as error:
        load(task, method, *overrides)
    assert "secret'" not in str(error.value)


@pytest.mark.parametrize("method", ["mle", "filtering", "conditional", "ul", "awr", "rwr"])
def test_a_task_of_a_user_takes_the_generic_methods_unless_it_has_its_own(method, tmp_path):
    (tmp_path / "mine.yml").write_text(TASK)
    config = load_config(task=str(tmp_path / "mine.yml"), method=method)[0]
    assert config.method == method
    (tmp_path / f"{method}.yml").write_text("training: {seed: 7}")
    assert load_config(task=str(tmp_path / "mine.yml"), method=method)[0].training.seed == 7


def test_unknown_task_and_method_name_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'pep8/finetune'"):
        load_config(task="pep8/finetun", method="mle")
    with pytest.raises(ConfigError, match="Did you mean 'conditional'"):
        load_config(task="pep8", method="conditonal")


def test_plain_values_parse_without_files():
    assert parse_config(yaml.safe_load(TASK.replace("5e-4", "0.0005"))).training.effective_batch_size == 8


def test_infinity_survives_being_saved(load, tmp_path):
    config = load(TASK, "objective: {name: AWR, alpha: 1, clip_weight_max: .inf}")
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_config(config=tmp_path / "config.yaml")[0].objective["clip_weight_max"] == float("inf")


RELEASED_TASKS = [f"{task}/{stage}" for task in ("toxicity", "pii", "pep8") for stage in ("pretrain", "finetune")]


@pytest.mark.parametrize("task", RELEASED_TASKS)
@pytest.mark.parametrize("method", ["mle", "filtering", "conditional", "ul", "awr", "rwr"])
def test_each_file_of_the_paper_is_headed_by_its_command_cost_and_expected_outcome(task, method):
    """The steps in the header are those of the pair."""
    folder, _, stage = task.partition("/")
    name = f"{folder}/finetune-{method}" if stage == "finetune" else f"{folder}/{method}"
    assert name in shipped_files()["methods"]
    head = [line for line in (SHIPPED / f"{name}.yml").read_text().splitlines() if line.startswith("#")]
    command = f"# phf train --task {task.removesuffix('/pretrain')} --method {method}"
    assert command in head
    training = load_config(task=task, method=method)[0].training
    tokens = training.effective_batch_size * 1024
    steps = int((training.num_tokens - training.tokens_already_seen) // tokens)
    assert [line for line in head if line.startswith(f"# Cost: {steps:,} steps of {tokens:,} tokens, about ")]
    assert head[-1].startswith("# Expected: ")
    assert all(line.startswith(("# Cost: ", "# Expected: ")) for line in _header(task)[-2:])


def _header(task):
    return [line for line in (SHIPPED / f"{task}.yml").read_text().splitlines() if line.startswith("#")][:4]


def test_a_key_of_several_types_is_one_line(load):
    with pytest.raises(ConfigError) as error:
        load(TASK, None, "model.compile=perhaps")
    assert str(error.value).count("\n") == 0
    assert "'model.compile' is 'perhaps'" in str(error.value)
    assert ", or Input should be 'auto'" in str(error.value)


def test_thousands_of_mistakes_are_counted(load):
    scenarios = ", ".join(["{name: x, wrong: 1}"] * 1000)
    with pytest.raises(ConfigError, match=r"\.\.\. and 980 more problems") as error:
        load(TASK, None, f"generation.scenario_configs=[{scenarios}]")
    assert len(str(error.value).splitlines()) <= 21


def test_bans_that_are_not_a_list_are_one_error(load):
    with pytest.raises(ConfigError, match="bad_words_ids is 5; a list of lists of ids was expected"):
        load(TASK, CONDITIONAL, "generation.scenario_configs.0.generate_kwargs.bad_words_ids=5")


def test_a_credential_is_refused_in_files_and_overrides_and_not_shown(load):
    secret = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"
    for override in (f"model.config_kwargs.a={secret}", f"a.b={{c: [{secret}]}}", f"a={{x: {secret}", f"{secret}"):
        with pytest.raises(ConfigError) as error:
            load(TASK, None, override)
        assert secret not in str(error.value)
    with pytest.raises(ConfigError, match=r"task\.yml: 'model\.model_kwargs\.token' looks like a credential") as error:
        load(TASK.replace("{model_type: gpt2}", f"{{model_type: gpt2, model_kwargs: {{token: {secret}}}}}"))
    assert secret not in str(error.value)


def test_a_file_of_thousands_of_unknown_keys_is_refused_in_seconds(tmp_path):
    (tmp_path / "task.yml").write_text("".join(f"a{i}: 1\n" for i in range(8000)))
    start = time.process_time()
    with pytest.raises(ConfigError, match="unknown key 'a0'"):
        load_config(task=str(tmp_path / "task.yml"), method="mle")
    assert time.process_time() - start < 30


def test_a_task_that_is_a_folder_or_a_silent_fifo_says_so(tmp_path):
    (tmp_path / "folder.yml").mkdir()
    os.mkfifo(tmp_path / "fifo.yml")
    for name, message in (("folder.yml", "cannot be read: Is a directory"), ("fifo.yml", "contains no sections")):
        with pytest.raises(ConfigError, match=message):
            load_config(task=str(tmp_path / name), method="mle")


@pytest.mark.parametrize("size", [299, 2**31])
def test_a_vocabulary_that_cannot_be_trained_is_refused_before_the_corpus_is_read(size):
    with pytest.raises(ValidationError, match=r"train_from_corpus\n.* or equal to"):
        TokenizerConfig(train_from_corpus=size)
