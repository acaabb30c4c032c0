"""Runs whose control tokens stand elsewhere: exact when resumed with workers, and from training to samples and export."""

import json
import os
import signal

import pytest
import torch
from tests.tiny import losses, tiny_config, tiny_corpus
from transformers import AutoModelForCausalLM, AutoTokenizer

from phf.config import load_config
from phf.errors import ConfigError
from phf.evaluation.run import evaluate_folders
from phf.feedback import Prompting
from phf.runs.reader import read_run
from phf.training.run import train
from phf.workers.interruption import StoppedError

TAGS = {"tag_every_segment_when_sampling": False, "drop_token_fraction": 0.2}
QUIET = {"generation.run_on_train_start": False, "generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.mark.slow
def test_a_run_whose_placement_changes_is_the_same_when_it_is_stopped_and_resumed_with_workers(corpus, tmp_path):
    phases = [
        {"until": 0.5, "method": "conditional", "dataset": {"conditional_training_config": {**TAGS, "placement": one}}}
        for one in ("on_change", "before_document")
    ]
    del phases[1]["until"]
    changes = {**QUIET, "schedule": phases, "training.num_tokens": 4 * 4 * 64}
    train(tiny_config(corpus, None, **changes), tmp_path / "whole")
    config = tiny_config(corpus, None, **changes, **{"training.dataloader_num_workers": 2})

    def stop(step, max_steps, numbers):
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError):
        train(config, tmp_path / "run", show=stop)
    train(config, tmp_path / "run", resume=True)
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    counts = [
        phase["blocks"]["counts"] for phase in json.loads((tmp_path / "run/provenance.json").read_text())["schedule"]
    ]
    tokens = [of_phase["num_control_tokens"] for of_phase in counts]
    assert counts[0]["num_documents"] > tokens[1] > 0.6 * counts[0]["num_documents"]  # one, or none
    assert tokens[1] < tokens[0] < counts[0]["num_segments"]


@pytest.mark.slow
def test_a_model_whose_tokens_follow_segments_writes_them_and_its_samples_lack_them(corpus, tmp_path):
    tags = {**TAGS, "placement": "after_segment", "tag_every_segment_when_sampling": None}
    changes = {f"dataset.conditional_training_config.{key}": value for key, value in tags.items()}
    changes |= {
        "training.num_tokens": 3 * 4 * 64,
        "training.inspect_steps": 2,
        "dataset.conditional_training_config.threshold": 0,
    }
    numbers = train(tiny_config(corpus, "conditional", **changes), tmp_path / "run")
    assert numbers["eval/bits_per_byte"] > numbers["eval/bits_per_byte_given_tags"] > 0
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    inspected = next(line for line in lines if "inspect/mistagged_share" in line)
    assert inspected["inspect/mistagged_share"] < 0.3
    assert 0 < inspected["inspect/tagged_share/aligned"] < 1
    prompting = Prompting.load(tmp_path / "run/model")
    assert (prompting.prefix, prompting.placement, prompting.tags_every_segment) == (None, "after_segment", True)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run/model")
    lm = AutoModelForCausalLM.from_pretrained(tmp_path / "run/model")
    assert tokenizer("").input_ids == [tokenizer.eos_token_id]
    assert lm.generation_config.suppress_tokens is None
    torch.manual_seed(0)
    sampled = lm.generate(max_new_tokens=40, num_return_sequences=16)
    control = tokenizer.convert_tokens_to_ids(list(prompting.control_tokens))
    assert torch.isin(sampled, torch.tensor(control)).any()
    card = (tmp_path / "run/model/README.md").read_text()
    assert "Its control tokens follow the segments that they are about, so its texts begin without one." in card
    assert "| control tokens stand | `after each segment` |" in card
    task, _ = load_config(config=tmp_path / "run/config.yaml", for_models=True)
    evaluate_folders([tmp_path / "run"], task, tmp_path / "evaluated", ("generation", "held-out"))
    samples = read_run(tmp_path / "evaluated").samples["unconditional"]
    assert samples
    assert not any(token in sample.continuation for sample in samples for token in prompting.control_tokens)
    asked, _ = load_config(config=tmp_path / "run/config.yaml", overrides=["generation.prefer=worst"], for_models=True)
    with pytest.raises(ConfigError, match=r"generation.prefer is 'worst', but this model's control tokens follow"):
        evaluate_folders([tmp_path / "run"], asked, tmp_path / "asked", ("generation",))
