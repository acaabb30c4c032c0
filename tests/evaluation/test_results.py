"""Results in a folder are kept for what means the same, whichever version began them, and refused for anything else."""

import hashlib
import json

import pytest
import yaml

from phf.config import dump_config, load_config
from phf.errors import OutputError
from phf.evaluation.results import DATASET_KEYS_OF_0_1, Results
from phf.runs.layout import EVALUATION

MODEL = {"model.safetensors": "a1", "config.json": "b2"}
PARTS = {"kl": {"kl/nats_per_token": 0.5, "kl/x": None}}
TASK = """
dataset: {datasets: [a], eval_datasets: [b]}
tokenizer: {train_from_corpus: 300}
model: {model_type: gpt2}
training: {seed: 3}
generation:
  scorer_config: {class_name: PEP8Scorer}
  scenario_configs: [{name: x, num_hits_threshold: 0, generate_kwargs: {top_k: 0}}]
kl_gpt3_callback: {num_samples: 4}
"""


def load(tmp_path, *overrides):
    (tmp_path / "task.yml").write_text(TASK)
    return load_config(task=str(tmp_path / "task.yml"), overrides=overrides, for_models=True)[0]


def results(tmp_path, *overrides, model=MODEL, threshold=0.25):
    return Results(tmp_path / "out", model, load(tmp_path, *overrides), threshold)


def test_what_is_written_is_read_again_and_says_what_it_is_of(tmp_path):
    assert results(tmp_path).read() == {}
    results(tmp_path).write({"method": "m"}, {})
    assert results(tmp_path).read() == {}
    results(tmp_path).write({"method": "m"}, PARTS)
    assert results(tmp_path, "training.learning_rate=1", "objective={name: AWR, alpha: 1, beta: 1}").read() == PARTS
    written = json.loads((tmp_path / "out" / EVALUATION).read_text())
    assert (written["method"], written["job"]["model"]) == ("m", MODEL)
    assert load_config(config=tmp_path / "out" / "config.yaml")[0] == load(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "changes", "expected"),
    [
        (("training.seed=4",), {}, "seed: 3 -> 4"),
        (("kl_gpt3_callback.num_samples=5",), {}, "kl_gpt3_callback.num_samples: 4 -> 5"),
        (("generation.scenario_configs.0.num_hits_threshold=1",), {}, "num_hits_threshold: 0.0 -> 1.0"),
        ((), {"threshold": 0.5}, "threshold: 0.25 -> 0.5"),
        ((), {"model": {**MODEL, "config.json": "c3"}}, "model.config.json: 'b2' -> 'c3'"),
    ],
)
def test_other_settings_are_refused_with_what_differs(overrides, changes, expected, tmp_path):
    results(tmp_path).write({}, PARTS)
    with pytest.raises(OutputError, match=r"holds results of another model or other settings") as error:
        results(tmp_path, *overrides, **changes).read()
    assert expected in str(error.value)


def as_0_1_wrote(tmp_path, *overrides, threshold=0.25):
    """evaluation.json and config.yaml in the form of version 0.1, whose scenarios were as written."""
    saved = yaml.safe_load(dump_config(load(tmp_path, *overrides)))
    saved["dataset"] = {key: saved["dataset"][key] for key in DATASET_KEYS_OF_0_1} | {
        "is_split_by_sentences": True,
        "concat_token": None,
        "num_of_sequences": 1024,
        "chars_per_token": 3.6,
    }
    saved["dataset"] = {key: saved["dataset"][key] for key in sorted(saved["dataset"])}
    scenario = {"name": "x", "num_hits_threshold": 0, "generate_kwargs": {"top_k": 0}}
    if (tagging := saved["dataset"]["conditional_training_config"]) is not None:
        del tagging["loss_on_control_tokens"], tagging["placement"]
        scenario["prefix"] = "<|aligned|>"
    saved["kl_gpt3_callback"]["gpt3_kwargs"] = {}
    del saved["generation"]["prefer"]
    saved["generation"]["scenario_configs"] = [scenario]
    keys = ("dataset", "generation", "kl_gpt3_callback", "downstream", "glue")
    identity = json.dumps([1, MODEL, {key: saved[key] for key in keys}, 3, threshold], sort_keys=True)
    (tmp_path / "out").mkdir()
    evaluation = {"method": "m", "identity": hashlib.sha256(identity.encode()).hexdigest(), "parts": PARTS}
    (tmp_path / "out" / EVALUATION).write_text(json.dumps(evaluation))
    return saved


@pytest.mark.parametrize("is_finished", [True, False])
def test_results_of_version_0_1_are_kept_and_completed(is_finished, tmp_path):
    saved = as_0_1_wrote(tmp_path)
    if is_finished:
        (tmp_path / "out" / "config.yaml").write_text(yaml.safe_dump(saved))
        with pytest.raises(OutputError, match=r"kl_gpt3_callback.num_samples: 4 -> 5 \(those"):
            results(tmp_path, "kl_gpt3_callback.num_samples=5").read()
        with pytest.raises(OutputError, match=r"seed: 3 -> 5 \(those"):
            results(tmp_path, "training.seed=5").read()
    for changes in ({"threshold": 0.5}, {"model": {"model.safetensors": "z"}}):
        with pytest.raises(OutputError, match="holds results of another model"):
            results(tmp_path, **changes).read()
    kept = results(tmp_path)
    assert kept.read() == PARTS
    kept.write({}, PARTS)
    assert results(tmp_path).read() == PARTS
    assert "identity" not in json.loads((tmp_path / "out" / EVALUATION).read_text())


def test_results_of_version_0_1_are_not_of_a_setting_that_it_did_not_have(tmp_path):
    as_0_1_wrote(tmp_path)
    with pytest.raises(OutputError, match="holds results of another model"):
        results(tmp_path, "dataset.attention=document").read()


def test_results_of_version_0_1_of_conditional_training_are_those_with_control_tokens_before_segments(tmp_path):
    tagging = "dataset.conditional_training_config={threshold: 0.1, tag_every_segment_when_sampling: false%s}"
    as_0_1_wrote(tmp_path, tagging % "")
    assert results(tmp_path, tagging % "").read() == PARTS
    for key in ("placement: on_change", "loss_on_control_tokens: false"):
        with pytest.raises(OutputError, match="an older version kept only a hash"):
            results(tmp_path, tagging % f", {key}").read()


def test_a_run_is_not_taken_for_results(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metrics.jsonl").write_text("")
    with pytest.raises(OutputError, match="already contains a run"):
        results(tmp_path).read()


def test_without_the_settings_nothing_is_kept(tmp_path):
    results(tmp_path).write({}, PARTS)
    (tmp_path / "out" / "config.yaml").unlink()
    with pytest.raises(OutputError, match=r"config\.yaml: cannot be read"):
        results(tmp_path).read()
