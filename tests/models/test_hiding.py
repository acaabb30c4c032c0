"""Hidden segments: each token is predicted as from the visible text before it and its own segment alone, or the model is
refused."""

import pytest
import torch
from tests.models.test_documents import LLAMA, TINY_MODELS, Recorded
from transformers import AutoConfig, AutoModelForCausalLM

from phf.config import ModelConfig
from phf.errors import ConfigError
from phf.feedback.objectives import IGNORE_INDEX, MLE
from phf.models import ObjectiveLM
from phf.models.building.build import check_architecture
from phf.models.building.hiding import check_hiding, follows_hidden, visibility

HIDDEN = torch.tensor([[0, 0, 1, 1, 1, 0, 2, 2, 3, 0, 0, 4], [1, 1, 0, 0, 0, 2, 0, 3, 3, 3, 0, 0]])
POSITIONS = torch.tensor([[*range(7), *range(5)], [*range(4), *range(8)]])
"""Documents of the rows: one of them begins within hidden segments."""
FOLLOWS = [[5, 8, 9], [2, 6, 10]]
MAMBA = {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}
BLOOM = {"hidden_size": 16, "n_layer": 2, "n_head": 2}


def build(model_type, settings, implementation="sdpa"):
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **settings, vocab_size=120)
    lm = AutoModelForCausalLM.from_config(config, dtype=torch.float64, attn_implementation=implementation).eval()
    with torch.no_grad():
        for parameter in lm.parameters():
            parameter.mul_(3)  # attention with an effect
    return lm


def batch():
    ids = torch.randint(0, 120, HIDDEN.shape, generator=torch.Generator().manual_seed(1))
    return ids, ids.masked_fill(follows_hidden(HIDDEN), IGNORE_INDEX)


def nll_one_by_one(lm, ids, labels, positions):
    """[targets]: each from its own pass over what it may be predicted from, at the positions that it has in the block."""
    nll = []
    for row in range(len(ids)):
        for target in range(1, ids.size(1)):
            if labels[row, target] == IGNORE_INDEX:
                continue
            seen = [
                place
                for place in range(target)
                if HIDDEN[row, place] in (0, HIDDEN[row, target - 1])
                and (positions is None or place >= target - 1 - positions[row, target - 1])
            ]
            where = torch.tensor(seen) if positions is None else positions[row, seen]
            inputs = {"input_ids": ids[row, seen].unsqueeze(0), "position_ids": where.unsqueeze(0)}
            logits = lm(**inputs, attention_mask=torch.ones(1, len(seen))).logits[0, -1]
            nll.append(torch.nn.functional.cross_entropy(logits, ids[row, target]))
    return torch.stack(nll)


@pytest.mark.parametrize("positions", [None, POSITIONS], ids=["packed", "documents apart"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_losses_and_gradients_are_those_of_each_token_read_after_what_it_may_see(model_type, implementation, positions):
    lm = build(model_type, LLAMA if model_type == "llama" else TINY_MODELS["gpt2"], implementation)
    ids, labels = batch()
    apart = nll_one_by_one(lm, ids, labels, positions)
    apart.mean().backward()
    expected = {name: parameter.grad.clone() for name, parameter in lm.named_parameters()}
    for head in ("chunked", "dense"):
        lm.zero_grad()
        objective = Recorded()
        ObjectiveLM(lm, objective, head=head)(ids, labels, position_ids=positions, hidden=HIDDEN)["loss"].backward()
        torch.testing.assert_close(torch.cat(objective.nll), apart.detach(), rtol=1e-6, atol=1e-6)
        for name, parameter in lm.named_parameters():
            torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-5, atol=1e-7)
    objective = Recorded()
    ObjectiveLM(lm, objective)(ids, labels, position_ids=positions)
    assert (torch.cat(objective.nll) - apart).abs().max() > 1e-2, "hiding has no effect, so this test could not fail"


def test_only_what_is_predicted_from_a_segment_of_its_own_or_from_visible_text_is_a_target():
    _, labels = batch()
    assert [row.eq(IGNORE_INDEX).nonzero().flatten().tolist() for row in labels] == FOLLOWS
    seen = visibility(torch.tensor([[0, 1, 1, 2, 0]]))[0, 0].int().tolist()
    assert seen == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 0, 0, 1, 0], [1, 0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("model_type", "settings", "implementation", "message"),
    [
        ("mistral", {**LLAMA, "sliding_window": 4}, None, r"attends to 4 tokens only \(sliding_window\), fewer than"),
        ("mamba", MAMBA, None, r"hides segments from what follows, but MambaForCausalLM"),
        ("bloom", BLOOM, None, r"hides segments from what follows, but BloomForCausalLM"),
        (
            "llama",
            LLAMA,
            "flex_attention",
            r"run with flex_attention. Set model.model_kwargs.attn_implementation: sdpa",
        ),
    ],
)
def test_a_model_that_cannot_hide_text_is_refused(model_type, settings, implementation, message):
    lm = build(model_type, settings, None)
    module = ObjectiveLM(lm, MLE(), trains=False)
    lm.config._attn_implementation = implementation or lm.config._attn_implementation
    with pytest.raises(ConfigError, match=message):
        check_hiding(lm, 32)
    with pytest.raises(ConfigError, match=message):
        module(torch.zeros(1, 12, dtype=torch.int64), hidden=HIDDEN[:1])


def test_a_window_that_a_block_fits_into_is_accepted():
    check_hiding(build("mistral", {**LLAMA, "sliding_window": 32}), 32)


def test_a_model_is_checked_before_the_data_is_read():
    section = ModelConfig(model_type="mistral", config_kwargs={**LLAMA, "sliding_window": 4})
    check_architecture(section, 16)
    with pytest.raises(ConfigError, match="sliding_window"):
        check_architecture(section, 16, hides=True)
    check_architecture(ModelConfig(model_type="gpt2", config_kwargs=TINY_MODELS["gpt2"]), 16, hides=True)
