"""Configurations that mean the same are equal, and of others the keys that differ are named with both values."""

import pytest
import yaml

from phf.config import load_config
from phf.config.meaning import configuration_differences, meaning_of, meaning_of_redteam

NOW = {
    "dataset": {"datasets": ["a"], "seq_length": 64, "filter_threshold": None},
    "tokenizer": {"train_from_corpus": 300},
    "model": {"model_type": "gpt2", "config_kwargs": {"n_layer": 2, "n_head": 1}},
    "objective": {"name": "AWR", "alpha": 1, "beta": 1.0},
    "training": {"learning_rate": 5e-4, "weight_decay": 1},
    "generation": {
        "scorer_config": {"class_name": "PEP8Scorer"},
        "metrics_configs": [{"class_name": "SelfBLEU", "n": 5}],
        "scenario_configs": [{"name": "x", "num_hits_threshold": 0, "generate_kwargs": {"top_k": 0}}],
    },
    "kl_gpt3_callback": {"num_samples": 4},
}


def saved(values, folder):
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


@pytest.fixture
def now(tmp_path):
    return load_config(config=saved(NOW, tmp_path))[0]


def with_section(name, **changes):
    return {**NOW, name: {**NOW[name], **changes}}


@pytest.mark.parametrize(
    "older",
    [
        {key: NOW[key] for key in reversed(NOW)},
        {**NOW, "task": "elsewhere/pep8.yml", "method": "mine"},
        with_section(
            "dataset", is_split_by_sentences=True, concat_token=None, num_of_sequences=1024, chars_per_token=3.6
        ),
        with_section("model", config_kwargs={"n_head": 1.0}, gpt2_config_kwargs={"n_layer": 2}),
        with_section("model", config_kwargs={"n_head": 1, "n_layer": 2}, head="auto"),
        with_section("objective", alpha=1.0, beta="1e0"),
        with_section("training", learning_rate="5e-4", weight_decay=1.0, seed=42, logging_dir="logs"),
        with_section(
            "generation", metrics_configs=[{"class_name": "SelfBlEU", "level": "word", "max_references": 200}]
        ),
        with_section(
            "generation",
            scenario_configs=[
                {
                    "name": "x",
                    "num_hits_threshold": 0.0,
                    "num_samples": 32,
                    "prefix": None,
                    "display_as_html": True,
                    "generate_kwargs": {"top_k": 0, "bad_words_ids": [[5]]},
                }
            ],
        ),
        with_section("kl_gpt3_callback", gpt3_kwargs={"model_name": "davinci"}),
        {**NOW, "downstream": None, "glue": None, "redteam": None},
        with_section(
            "training",
            adam_epsilon="1e-8",
            max_grad_norm=1,
            lr_scheduler_type="linear",
            optim_args=None,
            lr_scheduler_kwargs=None,
        ),
        with_section("training", logging_steps=10, report_to="none", save_steps=500),
    ],
    ids=range(13),
)
def test_what_means_the_same_does_not_differ(older, now, tmp_path):
    assert configuration_differences(saved(older, tmp_path), now) == ""


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ({}, ""),
        (
            {"normalize_advantage": True},
            "training.activation_checkpointing: True -> None; training.per_device_train_batch_size: 4 -> nothing",
        ),
    ],
)
@pytest.mark.parametrize("key", ["activation_checkpointing", "gradient_checkpointing"])
def test_a_run_may_be_resumed_with_less_memory_where_that_does_not_change_a_step(key, objective, expected, tmp_path):
    section = {**NOW["objective"], **objective}
    training = {**NOW["training"], "effective_batch_size": 4}
    now, _ = load_config(config=saved({**NOW, "objective": section, "training": training}, tmp_path))
    saving = {**training, key: True, "per_device_train_batch_size": 4}
    assert (
        configuration_differences(saved({**NOW, "objective": section, "training": saving}, tmp_path), now) == expected
    )


@pytest.mark.parametrize(
    ("older", "expected"),
    [
        (with_section("dataset", datasets=["b"]), "dataset.datasets.0: 'b' -> 'a'"),
        (with_section("dataset", datasets=["a", "b"]), "dataset.datasets: ['a', 'b'] -> ['a']"),
        (with_section("dataset", filter_threshold=0), "dataset.filter_threshold: 0.0 -> None"),
        (with_section("model", gpt2_config_kwargs={"n_embd": 8}), "model.config_kwargs.n_embd: 8 -> nothing"),
        (with_section("objective", alpha=0.5), "objective.alpha: 0.5 -> 1.0"),
        (with_section("training", learning_rate="5e-5"), "training.learning_rate: 5e-05 -> 0.0005"),
        (with_section("training", adam_beta2=0.95), "training.adam_beta2: 0.95 -> 0.999"),
        (with_section("training", logging_steps=500), "training.logging_steps: 500 -> 10"),
        (with_section("training", bf16=False), "training.bf16: False -> nothing"),
        (with_section("training", weight_decay=True), "training.weight_decay: True -> 1"),
        (
            with_section("generation", metrics_configs=[{"class_name": "SelfBLEU", "level": "char"}]),
            "generation.metrics_configs.0.level: 'char' -> 'word'",
        ),
        (
            with_section("generation", scenario_configs=[{"name": "x", "generate_kwargs": {"top_k": 0}}]),
            "generation.scenario_configs.0.num_hits_threshold: 0.5 -> 0.0",
        ),
    ],
)
def test_what_differs_is_named_with_both_values(older, expected, now, tmp_path):
    assert configuration_differences(saved(older, tmp_path), now) == expected


def test_paths_are_the_same_where_they_lead_to_the_same_file_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    path = saved(with_section("dataset", datasets=["data", "no/such", "org/name"]), tmp_path)
    now = load_config(config=path)[0]
    for same in ("./data", "data/", "link", str(tmp_path / "data"), "data/../data"):
        older = with_section("dataset", datasets=[same, "no/such", "org/name"])
        assert configuration_differences(saved(older, tmp_path), now) == "", same
    older = with_section("dataset", datasets=["data", "./no/such", "org/name"])
    assert "dataset.datasets.1" in configuration_differences(saved(older, tmp_path), now)


def test_sections_can_be_compared_alone(now, tmp_path):
    older = with_section("training", learning_rate=1)
    assert configuration_differences(saved(older, tmp_path), now, ("dataset", "generation")) == ""
    assert meaning_of(now, ("glue",)) == {"glue": None}


def test_the_meaning_of_a_red_team_fills_in_what_older_versions_did_not_know():
    older = {"prompts_path": "a", "red_lm": {"class_name": "MutationRedLM"}, "temperature": 1}
    now = {"prompts_path": "./a", "red_lm": {"class_name": "MutationRedLM"}, "temperature": 1.0, "num_rescored": 10}
    assert meaning_of_redteam(older) == meaning_of_redteam(now)
    assert meaning_of_redteam(older) != meaning_of_redteam({**now, "num_rescored": 11})
