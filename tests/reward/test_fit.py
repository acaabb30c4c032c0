"""The losses of a reward model, by hand; and what it is trained on."""

import math

import pytest
import torch
from tests.tiny import tiny_lm, tiny_tokenizer
from transformers import AutoModelForSequenceClassification

from phf.errors import ConfigError, DivergedError
from phf.labels.label import Pair, Rating
from phf.models.load import pretrained_tokenizer
from phf.reward.fit import CENTRING, encode, fit, pair_loss, rating_loss
from phf.reward.settings import RewardSettings, parse_shares
from phf.scorers import build_scorer


def test_the_loss_of_a_pair_is_bradley_terry_with_centred_outputs():
    # the rejected text is 2 worse: P = sigmoid(2)
    expected = math.log(1 + math.exp(-2)) + CENTRING * 0.5**2
    assert pair_loss(torch.tensor([-0.75]), torch.tensor([1.25])).item() == pytest.approx(expected)
    outputs = torch.zeros(2, requires_grad=True)
    pair_loss(outputs[:1], outputs[1:]).backward()
    assert outputs.grad.tolist() == [0.5, -0.5]  # descent lowers the chosen text's output: higher is worse


def test_the_loss_of_a_rating_is_least_where_the_score_is_the_rating():
    badness = torch.tensor([0.75])
    losses = [rating_loss(torch.logit(torch.tensor([score])), badness).item() for score in (0.7, 0.75, 0.8)]
    assert min(losses) == losses[1] == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))


def test_long_texts_lose_their_start(tiny_base):
    tokenizer = pretrained_tokenizer(str(tiny_base), "x")
    side = tokenizer.truncation_side
    (pair, rating), num_cut = encode(
        tokenizer, [Pair("a b c d", "b", "", None), Rating("z", 0.25, None, None)], max_length=4
    )
    assert tokenizer.convert_ids_to_tokens(pair["rows"][0]) == ["[CLS]", "c", "d", "[SEP]"]
    assert (num_cut, rating["target"], tokenizer.truncation_side) == (1, 0.25, side)
    assert "target" not in pair


def test_a_decoder_without_padding_token_scores_a_text_alone_as_in_a_batch(tmp_path):
    lm, tokenizer = tiny_lm("gpt2", tiny_tokenizer()), tiny_tokenizer()
    tokenizer.pad_token = None
    lm.save_pretrained(tmp_path / "base")
    labels = [Pair(f"return {i}", f"x={i}" * 9, "", None) for i in range(8)]
    fit(tmp_path / "base", tokenizer, labels, RewardSettings(epochs=1, batch_size=3), tmp_path / "out")
    texts = ["a", "return a + b", "x=1\n" * 9]
    scorer = build_scorer(
        {"class_name": "ClassifierScorer", "path_or_name": str(tmp_path / "out"), "activation": "none"}
    )
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    alone = [model(input_ids=torch.tensor([tokenizer(text)["input_ids"]])).logits.item() for text in texts]
    assert scorer.score_texts(texts) == pytest.approx(alone, abs=1e-6)
    assert model.config.id2label == {0: "misaligned"}


def test_a_loss_that_is_not_finite_ends_in_a_message(tiny_base, tmp_path, monkeypatch):
    monkeypatch.setattr("phf.reward.fit.pair_loss", lambda chosen, rejected: (chosen - rejected).mean() * math.nan)
    labels = [Pair("a b", "z z", "", None), Pair("z z", "a b", "", None)]
    with pytest.raises(DivergedError, match="lower --learning-rate"):
        fit(tiny_base, pretrained_tokenizer(str(tiny_base), "x"), labels, RewardSettings(epochs=1), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "settings",
    [{"eval_fraction": 1.0}, {"eval_fraction": 0}, {"learning_rate": 0}, {"curve": (0.5, 1.0)}],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ConfigError, match="must be between 0 and 1"):
        RewardSettings(**settings).check()


def test_shares_are_numbers_or_none():
    assert parse_shares("0.25, 0.5", "--curve") == (0.25, 0.5)
    assert parse_shares("none", "--curve") == ()
    with pytest.raises(ConfigError, match="--curve half"):
        parse_shares("half", "--curve")
