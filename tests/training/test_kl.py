"""KL in a run: when it is measured, where its numbers go, and what is said where it cannot be."""

import json

import pytest
from tests.evaluation.bigram import bigram_lm, letters, random_table
from tests.tiny import tiny_config, tiny_corpus

from phf.errors import ConfigError
from phf.training.plan import plan_run
from phf.training.run import train

KEYS = {"nats_per_sequence", "nats_per_sequence_low", "nats_per_sequence_high", "nats_per_character"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    for part in (bigram_lm(letters(), random_table(letters(), 1)), letters()):
        part.save_pretrained(folder)
    return str(folder)


def with_kl(corpus, path, method="mle", **settings):
    section = {"reference": {"path_or_name": path}, "num_samples": 6, "max_tokens": 8, **settings}
    return tiny_config(corpus, method, kl_gpt3_callback=section)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mle", "conditional"])
def test_kl_is_measured_at_the_steps_asked_for(corpus, reference, tmp_path, method):
    """Six steps: at 0, every 2, at 3, and at the end, once."""
    config = with_kl(corpus, reference, method, every_n_steps=2, force_call_on=[3])
    said = []
    numbers = train(config, tmp_path / "run", announce=said.append)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    measured = {line["step"]: line for line in lines if "kl/nats_per_sequence" in line}
    assert list(measured) == [0, 2, 3, 4, 6]
    assert measured[6].keys() >= {f"kl/{key}" for key in KEYS | {"num_samples", "num_unscored"}}
    assert measured[6]["kl/num_samples"] == 6
    assert measured[0]["kl/nats_per_sequence"] != measured[6]["kl/nats_per_sequence"]
    assert numbers["kl/nats_per_sequence"] == measured[6]["kl/nats_per_sequence"]
    assert numbers["generation/unconditional/num_samples"] == 5
    assert sum("Drawing 6 samples" in message for message in said) <= 1


def test_a_reference_that_cannot_be_had_stops_the_run_before_training(corpus, tmp_path):
    with pytest.raises(ConfigError, match=r"kl_gpt3_callback\.reference\.path_or_name: '.*nowhere' cannot be loaded"):
        train(with_kl(corpus, str(tmp_path / "nowhere")), tmp_path / "run")
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_a_released_section_is_not_measured_and_says_so_once(corpus, tmp_path):
    section = {"num_samples": 4096, "max_tokens": 64}
    warnings = plan_run(tiny_config(corpus, kl_gpt3_callback=section), tmp_path / "run").warnings
    (message,) = [warning for warning in warnings if "kl_gpt3_callback" in warning]
    assert "KL is not measured" in message
    assert "Set kl_gpt3_callback.reference.path_or_name" in message
