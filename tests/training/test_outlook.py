"""A dry run finds what would stop the run, and says how often it reads its data and for how long it trains."""

import json
import re
from pathlib import Path

import pytest
import torch
from tests.models.test_load import saved
from tests.tiny import tiny_config, tiny_tokenizer

from phf.errors import ConfigError, CorpusError
from phf.tokens.tokenizer import encode_plain
from phf.training.plan import plan_run
from phf.training.run import train
from phf.training.settings.outlook import outlook
from phf.training.settings.preflight import preflight

TEXT = "def f(x):\n    return x + 1\n"
NUM_DOCUMENTS = 50


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": TEXT * 8}) + "\n" for _ in range(NUM_DOCUMENTS)))
    return str(path)


@pytest.fixture
def folder(tmp_path):
    return saved(tmp_path / "m")


def planned(source, tmp_path, **changes):
    return plan_run(tiny_config(source, **changes), tmp_path / "run")


def pretrained(folder, **changes):
    return {
        "tokenizer.train_from_corpus": None,
        "model.path_or_name": folder,
        "model.model_type": None,
        "model.from_scratch": False,
        "model.config_kwargs": {},
        **changes,
    }


def number(note, pattern):
    return float(re.search(pattern, note)[1].replace(",", ""))


def test_epochs_are_planned_tokens_over_tokens_to_train_on(source, folder, tmp_path):
    changes = pretrained(folder, **{"dataset.eval_fraction": 0.2, "training.num_tokens": 100 * 4 * 64})
    epochs, _ = outlook(planned(source, tmp_path, **changes)).notes
    num_tokens = NUM_DOCUMENTS * (len(encode_plain(tiny_tokenizer(), [TEXT * 8])[0]) + 1) * 0.8
    assert number(epochs, r"about ([\d,]+) tokens to train on") == pytest.approx(num_tokens, rel=0.05)
    assert number(epochs, r"are ([\d.,]+) epochs") == pytest.approx(100 * 4 * 64 / num_tokens, rel=0.1)


def test_a_tokenizer_that_is_yet_to_be_trained_is_estimated_from_a_sample(source, tmp_path):
    epochs, duration = outlook(planned(source, tmp_path)).notes
    assert re.match(r"The data has about [\d,]+ tokens to train on \(estimated from [\d,]+ characters\)", epochs)
    assert re.match(r"Training [\d,]+ parameters takes about .* here, without scoring.*measured: 2 blocks", duration)


def test_billions_of_tokens_on_little_text_are_worth_a_warning(source, folder, tmp_path):
    result = outlook(planned(source, tmp_path, **pretrained(folder, **{"training.num_tokens": 3.3e9})))
    (warning,) = result.warnings
    assert re.match(r"3,300,000,000 tokens of training on about [\d,]+ tokens of data are [\d,]+ epochs", warning)
    assert outlook(planned(source, tmp_path, **pretrained(folder))).warnings == []


def test_a_model_too_large_to_measure_is_given_in_operations(source, tmp_path, monkeypatch):
    monkeypatch.setattr("phf.training.settings.outlook.MEASURED_FLOP", {})
    _, duration = outlook(planned(source, tmp_path)).notes
    parameters = number(duration, r"Training ([\d,]+) parameters")
    flop = float(re.search(r"about (\S+) floating-point operations", duration)[1])
    assert flop == pytest.approx(6 * parameters * 6 * 4 * 64, rel=0.05)


def test_looking_changes_nothing(source, tmp_path):
    plan = planned(source, tmp_path)
    before, state = sorted(tmp_path.rglob("*")), torch.get_rng_state()
    outlook(plan)
    assert sorted(tmp_path.rglob("*")) == before
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset.datasets": ["no/such.jsonl"]}, r"no/such\.jsonl"),
        ({"dataset.eval_fraction": 0.0, "dataset.eval_datasets": ["no/such.jsonl"]}, r"no/such\.jsonl"),
        ({"dataset.seq_length": 128}, "seq_length is 128, but the model's context is 64"),
        ({"model.config_kwargs.n_heads": 2}, r"n_heads .*Did you mean 'n_head'"),
        ({"model.config_kwargs.n_head": 3}, "divisible"),
        ({"model.model_type": "t5", "model.config_kwargs": {}}, "no causal language model"),
        ({"generation.scenario_configs.0.generate_kwargs.max_length": 65}, "do not fit the model's context of 64"),
        ({"tokenizer.train_from_corpus": None, "tokenizer.path_or_name": "/no/such"}, r"tokenizer\.path_or_name"),
    ],
)
def test_what_would_stop_the_run_stops_the_dry_run(source, tmp_path, changes, message):
    with pytest.raises((ConfigError, CorpusError), match=message):
        outlook(planned(source, tmp_path, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.config_kwargs": {"n_embd": 32}}, "has the shape"),
        ({"model.config_kwargs": {"resid_pdropp": 0.5}}, "resid_pdropp"),
        ({"model.model_kwargs": {"foo": 1}}, "foo"),
        ({"model.model_kwargs": {"attn_implementation": "flash_attention_2"}}, "FlashAttention2"),
        ({"dataset.seq_length": 128}, "context is 64"),
        ({"model.from_scratch": True, "model.config_kwargs": {"vocab_size": 50}}, "vocab_size is 50, but"),
        ({"tokenizer.path_or_name": "WITHOUT"}, "contains no tokenizer|cannot be loaded"),
    ],
)
def test_a_run_is_stopped_before_its_corpus_is_annotated(source, folder, tmp_path, changes, message, monkeypatch):
    monkeypatch.setenv("PHF_CACHE", str(tmp_path / "cache"))
    (tmp_path / "WITHOUT").mkdir()
    changes = {key: str(tmp_path / value) if value == "WITHOUT" else value for key, value in changes.items()}
    config = tiny_config(source, **pretrained(folder, **changes))
    with pytest.raises(ConfigError, match=message):
        train(config, tmp_path / "run")
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("lengths", "tokens"), [({"max_length": 65}, 65), ({"max_length": None, "max_new_tokens": 64}, 65)]
)
def test_samples_that_do_not_fit_the_context_are_refused_before_scores_and_tokenizer(
    source, tmp_path, lengths, tokens, monkeypatch
):
    monkeypatch.setenv("PHF_CACHE", str(tmp_path / "cache"))
    changes = {f"generation.scenario_configs.0.generate_kwargs.{key}": value for key, value in lengths.items()}
    config = tiny_config(source, **changes)
    with pytest.raises(ConfigError, match=f"samples of up to {tokens} tokens do not fit the model's context of 64"):
        train(config, tmp_path / "run")
    with pytest.raises(ConfigError, match="do not fit the model's context of 64"):
        outlook(plan_run(config, tmp_path / "run"))
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "run").exists()


def test_prompts_that_a_trained_tokenizer_makes_too_long_are_refused_before_anything_is_encoded(
    source, tmp_path, monkeypatch
):
    (tmp_path / "prompts.jsonl").write_text('{"text": "' + "zqj" * 10 + '"}')
    changes = {
        "generation.scenario_configs.0.prompts_path": str(tmp_path / "prompts.jsonl"),
        "generation.scenario_configs.0.generate_kwargs": {"do_sample": True, "max_new_tokens": 60},
    }
    monkeypatch.setattr("phf.training.data.training_blocks", None)
    with pytest.raises(ConfigError, match="do not fit the model's context of 64"):
        train(tiny_config(source, **changes), tmp_path / "run")


def test_skipping_more_tokens_than_the_data_has_is_foreseen_and_refused(source, tmp_path):
    changes = {"dataset.skip_tokens": 10**6}
    (warning,) = outlook(planned(source, tmp_path, **changes)).warnings
    assert re.fullmatch(
        r"dataset\.skip_tokens is 1,000,000, but the data has only about [\d,]+ tokens: nothing would .*", warning
    )
    with pytest.raises(CorpusError, match=r"dataset\.skip_tokens is 1,000,000, which is all or nearly all of the data"):
        train(tiny_config(source, **changes), tmp_path / "run")


def test_sources_out_of_reach_are_reported_once(source, tmp_path):
    names = [f"someone/shard-{i}" for i in range(9)]
    (warning,) = outlook(planned(source, tmp_path, **{"dataset.datasets": [source, *names]})).warnings
    assert "someone/shard-0" in warning
    assert warning.endswith(" 8 more sources cannot be read either, up to someone/shard-8.")


def test_a_local_reference_without_weights_is_found_early(source, folder, tmp_path):
    (Path(folder) / "model.safetensors").unlink()
    section = {"reference": {"path_or_name": folder}, "num_samples": 6, "max_tokens": 8}
    plan = planned(source, tmp_path, kl_gpt3_callback=section)
    with pytest.raises(ConfigError, match=r"kl_gpt3_callback\.reference\.path_or_name"):
        preflight(plan.config, plan.method)


def test_what_only_the_hub_knows_is_reported_as_unchecked(source, tmp_path):
    result = outlook(planned(source, tmp_path, **pretrained("someone/model")))
    (warning,) = result.warnings
    assert warning.startswith("Not checked, the run would stop here: ")
    assert "someone/model" in warning
    result = outlook(planned(source, tmp_path, **{"dataset.datasets": ["someone/data"]}))
    assert [warning for warning in result.warnings if "someone/data" in warning]
    assert any("is not known" in note for note in result.notes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"is_detach": True}, r"value_head_config\.is_detach is unknown"),
        ([True], r"value_head_config is \[True\]"),
        ({"is_detached": "maybe"}, "must be a mapping"),
    ],
)
def test_settings_of_the_value_head_are_checked_with_the_plan(source, tmp_path, settings, message):
    changes = {"model.model_kwargs": {"value_head_config": settings}}
    with pytest.raises(ConfigError, match=message):
        planned(source, tmp_path, **changes)
    given = planned(source, tmp_path, **{"model.model_kwargs": {"value_head_config": {"is_detached": True}}})
    assert any("value_head_config is ignored: MLE has no value head" in warning for warning in given.warnings)
