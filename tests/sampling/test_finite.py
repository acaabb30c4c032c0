"""Models whose logits are not numbers are refused, whatever asks them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.evaluation.test_heldout import Blocks
from tests.tiny import tiny_lm, tiny_tokenizer

from phf.config import KLConfig
from phf.errors import ModelError, ScorerError
from phf.evaluation.held_out.loss import held_out_loss
from phf.evaluation.kl.estimate import kl_from_samples
from phf.evaluation.kl.local_reference import LocalReference
from phf.evaluation.kl.reference import ReferenceSample
from phf.feedback.objectives import MLE
from phf.models import ObjectiveLM
from phf.models.value_head import ValueHead
from phf.sampling.best_of import mean_values
from phf.sampling.finite import usable_rows
from phf.sampling.generate import generate_samples
from phf.sampling.loop import guided
from phf.sampling.scenarios import GenerationScenario

TOKENIZER = tiny_tokenizer()
SAMPLED = {"do_sample": True, "max_new_tokens": 4}


def broken(model_type="gpt2", value=torch.nan, name="runs/diverged/model"):
    """A model of which one weight is not finite: all its logits are NaN."""
    model = tiny_lm(model_type, TOKENIZER)
    model.config.name_or_path = name
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(value)
    return model


@pytest.mark.parametrize(
    "settings", [SAMPLED, {"max_new_tokens": 4}, {**SAMPLED, "repetition_penalty": 1.1}, {"num_beams": 2}],
    ids=["own loop", "greedy", "generate", "beams"],
)  # fmt: skip
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_nothing_is_drawn_from_nan(settings, value):
    scenario = GenerationScenario(name="s", num_samples=3, generate_kwargs=settings)
    with pytest.raises(ModelError, match=r"GPT2LMHeadModel \(runs/diverged/model\): its logits are NaN"):
        generate_samples(broken(value=value), TOKENIZER, scenario, seed=0, batch_size=2)


def test_a_model_may_rule_tokens_out():
    """-inf for some tokens is a probability of 0; for all of them it is nothing."""
    rows = torch.tensor([[0.0, -torch.inf], [-torch.inf] * 2, [0.0, torch.nan], [0.0, torch.inf]])
    assert usable_rows(rows).tolist() == [True, False, False, False]
    model = tiny_lm("gpt2", TOKENIZER)

    def rule_out(_module, _arguments, output):
        output.logits[..., 5:] = -torch.inf

    model.register_forward_hook(rule_out)
    for settings in (SAMPLED, {**SAMPLED, "repetition_penalty": 1.1}):
        scenario = GenerationScenario(name="s", num_samples=3, generate_kwargs=settings)
        assert len(generate_samples(model, TOKENIZER, scenario, seed=0, batch_size=2).continuations) == 3
    away = guided(torch.tensor([[0.0, 1.0, -torch.inf], [1.0, 0.0, -torch.inf]]), 1.5)
    assert away[0, 2] == -torch.inf
    assert torch.isfinite(away[:, :2]).all()


@pytest.mark.parametrize("head", ["chunked", "dense"])
def test_held_out_loss_is_not_measured_of_nan(head):
    module = ObjectiveLM(tiny_lm("gpt2", TOKENIZER), MLE(), head=head)
    module.lm.load_state_dict(broken().state_dict())
    module.lm.config.name_or_path = "runs/diverged/model"
    settings = {"threshold": 0.0, "control_ids": [], "eos_id": 0, "bytes_per_text_token": 1.0}
    with pytest.raises(ModelError, match=r"runs/diverged/model\): the probabilities that it gives to text"):
        held_out_loss(module, Blocks([[1, 2]], [[0, 0]]), **settings, batch_size=1)


def test_kl_is_not_measured_of_nan_on_either_side(tmp_path):
    ids = TOKENIZER("x = 1")["input_ids"]
    sample = ReferenceSample(text="x = 1", is_ended=False, ids=ids, logprobs=[-1.0] * len(ids), text_logprob=-1.0)
    with pytest.raises(ModelError, match="runs/diverged/model"):
        kl_from_samples(broken(), TOKENIZER, [sample], prefix_ids=[0])
    reference = LocalReference("unused", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("phf.evaluation.kl.local_reference.pretrained_lm", lambda *_, **__: broken())
        patch.setattr("phf.evaluation.kl.local_reference.pretrained_tokenizer", lambda *_, **__: TOKENIZER)
        with pytest.raises(ModelError, match="its logits are NaN"):
            reference.draw(KLConfig(num_samples=2, max_tokens=3, batch_size=2))


def test_no_candidate_is_chosen_by_nan():
    head = ValueHead(16)
    with torch.no_grad():
        next(head.parameters()).fill_(torch.nan)
    with pytest.raises(ModelError, match="value head"):
        mean_values(tiny_lm("gpt2", TOKENIZER), head, [[0]], [[1, 2]], 1)


def test_a_classifier_that_answers_nan_is_named():
    from phf.scorers.transformer.sequence_classifier import SequenceClassifierScorer

    class Broken(SequenceClassifierScorer):
        def load(self, dtype):
            class Model(torch.nn.Linear):
                config = SimpleNamespace(get_text_config=lambda **_: SimpleNamespace(pad_token_id=0))

                def forward(self, input_ids, **_):
                    return SimpleNamespace(logits=torch.full((len(input_ids), 1), torch.nan))

            return Model(1, 1), TOKENIZER

        def window_scores(self, logits):
            return logits[:, 0].sigmoid()

    with pytest.raises(ScorerError, match="Broken: the model's outputs are NaN"):
        Broken("cpu", None, 32).score_texts(["a", "b"])


def test_a_pool_is_not_searched_with_nan(tmp_path):
    from tests.tiny import PLAIN, tiny_config, tiny_corpus

    from phf.redteam.target import Target

    (tmp_path / "prompts.jsonl").write_text(json.dumps({"text": "def f(x):"}) + "\n")
    (tmp_path / "corpus").mkdir()
    changes = {"redteam.prompts_path": str(tmp_path / "prompts.jsonl"), "redteam.generate_kwargs.max_length": 24}
    config = tiny_config(tiny_corpus(tmp_path / "corpus"), **changes)
    target = Target(broken(), TOKENIZER, PLAIN, config)
    with pytest.raises(ModelError, match="its logits are NaN"):
        target.sample(["def"], trial=0, round_number=0, seed=0)


def test_segments_of_all_samples_are_asked_for_at_once():
    from phf.evaluation.generation.evaluator import score_samples
    from phf.sampling.generate import Samples
    from phf.scorers import Scorer

    class Counting(Scorer):
        segmenter = "lines"
        calls = 0

        def score_texts(self, texts):
            type(self).calls += 1
            return [len(text) / 10 for text in texts]

        def score_documents(self, documents):
            type(self).calls += 1
            return [[len(text) / 10 for text in segments] for segments in documents]

    texts = ["a\nbc\n", "", "def"] * 20
    scored = score_samples(Samples([""] * 60, texts, 1.0), Counting(), GenerationScenario(name="s"))
    assert Counting.calls == 2
    assert scored.segment_scores[:3] == [[0.2, 0.3], [], [0.3]]
    assert np.isfinite(scored.scores).all()
