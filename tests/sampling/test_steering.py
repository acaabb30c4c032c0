"""What an evaluator hands to a scenario with guidance or best-of-n."""

import json

import pytest
import torch
from tests.tiny import PLAIN, conditional_prompting, tiny_lm, tiny_tokenizer

from phf.config import GenerationConfig
from phf.errors import ConfigError
from phf.evaluation.generation.evaluator import Evaluator
from phf.models import ValueHead
from phf.runs.writer import RunWriter

CONTROL = ("<|aligned|>", "<|misaligned|>")
CONDITIONAL = conditional_prompting(*CONTROL)


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer(CONTROL)


@pytest.fixture(scope="module")
def model(tokenizer):
    """Wide weights, so that what is likely depends on the prefix."""
    model = tiny_lm("gpt2", tokenizer)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.4)
    return model


def evaluator(prompting=CONDITIONAL, **settings):
    kwargs = {"do_sample": True, "max_length": 12, "top_k": 0}
    scenario = {"name": "s", "num_samples": 3, "generate_kwargs": kwargs, **settings}
    section = {"scorer_config": {"class_name": "PEP8Scorer"}, "scenario_configs": [scenario]}
    return Evaluator(GenerationConfig(**section), prompting, seed=0)


def continuations(folder):
    return [json.loads(line)["continuation"] for line in (folder / "samples" / "s.jsonl").read_text().splitlines()]


def test_guidance_steers_away_from_the_other_control_token(model, tokenizer, tmp_path):
    def drawn(name, **settings):
        one = evaluator(**settings)
        one.check(model, tokenizer)
        one.run(model, tokenizer, RunWriter(tmp_path / name), 0)
        return continuations(tmp_path / name)

    aligned, misaligned = (drawn(name, prefix=token) for name, token in zip("ab", CONTROL, strict=True))
    assert aligned != misaligned
    assert drawn("c", prefix=CONTROL[0], guidance_scale=0.0) == misaligned
    assert drawn("d", prefix=CONTROL[1], guidance_scale=0.0) == aligned
    assert drawn("e", prefix=CONTROL[0], guidance_scale=30.0) not in (aligned, misaligned)


def test_the_value_head_chooses_and_num_samples_stays_exact(model, tokenizer, tmp_path):
    one, head = evaluator(prefix=CONTROL[0], best_of=3), ValueHead(16)
    torch.nn.init.normal_(head.linear.weight)
    one.check(model, tokenizer, head)
    numbers = one.run(model, tokenizer, RunWriter(tmp_path), 0, head)
    assert numbers["generation/s/num_samples"] == 3
    assert len(continuations(tmp_path)) == 3


@pytest.mark.parametrize(
    ("conditional", "settings", "message"),
    [
        (PLAIN, {"guidance_scale": 2.0}, "this model has none"),
        (CONDITIONAL, {"guidance_scale": 2.0}, "this model has none"),
        (CONDITIONAL, {"prefix": CONTROL[0], "best_of": 2}, "has no value head"),
    ],
)
def test_what_is_missing_is_reported_before_anything_runs(model, tokenizer, conditional, settings, message):
    with pytest.raises(ConfigError, match=message):
        evaluator(conditional, **settings).check(model, tokenizer)
