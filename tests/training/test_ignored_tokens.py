"""`loss_on_control_tokens: false`: control tokens are read, but are not targets, however a step is cut."""

import numpy as np
import pytest
import torch
from tests.tiny import losses, tiny_config, tiny_corpus
from torch.nn import functional as F

from phf.feedback import method_of
from phf.feedback.objectives import IGNORE_INDEX
from phf.models import load_lm
from phf.tokens.order import OrderedBlocks
from phf.training.data import prepare_data
from phf.training.dataset import Collator
from phf.training.run import train

KEY = "dataset.conditional_training_config"
QUIET = {"generation.run_on_train_start": False, "generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}


def test_ignored_tokens_and_the_first_are_not_targets():
    item = {"input_ids": np.array([3, 9, 4, 8, 9]), "token_scores": np.zeros(5, np.float32)}
    collator = Collator(ignored_ids=[[8, 9]])
    assert collator([item])["labels"].tolist() == [[IGNORE_INDEX, IGNORE_INDEX, 4, IGNORE_INDEX, IGNORE_INDEX]]
    assert collator([item])["input_ids"].tolist() == [[3, 9, 4, 8, 9]]
    assert not collator.ignores_only_first
    assert Collator().ignores_only_first


@pytest.mark.slow
def test_the_loss_is_the_mean_over_the_other_tokens(tmp_path):
    dropout = {f"model.config_kwargs.{name}_pdrop": 0.0 for name in ("attn", "embd", "resid")}
    own = {f"{KEY}.threshold": 0.0, f"{KEY}.loss_on_control_tokens": False, "training.num_tokens": 4 * 64, **QUIET}
    (tmp_path / "corpus").mkdir()
    config = tiny_config(tiny_corpus(tmp_path / "corpus"), "conditional", **own, **dropout)
    train(config, tmp_path / "run")
    data = prepare_data(config, lambda message: None, tmp_path / "run" / "tokenizer")
    tokens = method_of(config).control_tokens
    lm = load_lm(config.model, data.tokenizer, 64, config.training.seed, tokens)
    batch = OrderedBlocks(data.train, 4, config.training.seed)
    ids = torch.from_numpy(np.stack([batch[i]["input_ids"] for i in range(4)]))  # two micro-batches of two
    with torch.no_grad():
        nll = F.cross_entropy(lm(ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    is_text = ~torch.isin(ids[:, 1:].flatten(), torch.tensor(data.control_ids))
    assert not is_text.all()
    assert losses(tmp_path / "run") == [pytest.approx(nll[is_text].mean().item(), rel=1e-5)]
