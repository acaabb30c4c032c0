"""Losses of a short seeded run of every method: equal to recorded values, and to an independent plain implementation.

The values were recorded with the code before the token store and the rooms, and with the versions of constraints.txt, on
which the initial weights depend. A change that moves them changes what every method computes.
"""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests.tiny import losses as losses_of
from tests.tiny import tiny_config
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from phf.feedback import ControlTokens
from phf.models import load_lm
from phf.tokens.order import TrainingOrder
from phf.training.run import train

SEED, NUM_STEPS, BATCH_SIZE, SEQ_LENGTH, LEARNING_RATE = 7, 4, 4, 32, 3e-3
FILTER_THRESHOLD, CONDITIONAL_THRESHOLD, UL_THRESHOLD = 0.15, 0.0, 0.1
UL_ALPHA, AWR_ALPHA, AWR_BETA, RWR_BETA = 0.5, 0.4, 0.5, 0.25

pytestmark = pytest.mark.slow

RECORDED = {
    "mle": [5.514203071594238, 5.323021411895752, 5.13961124420166, 5.063338279724121],
    "filtering": [5.524869918823242, 5.302942276000977, 5.162975311279297, 5.03261661529541],
    "conditional": [5.533015251159668, 5.343740940093994, 5.129106521606445, 5.089826583862305],
    "ul": [3.734653949737549, 3.0474884510040283, 2.425642251968384, 3.123973846435547],
    "awr": [3.8106679916381836, 4.369467735290527, 3.7310376167297363, 3.6468472480773926],
    "rwr": [3.9460437297821045, 3.4005656242370605, 2.7638678550720215, 3.168463706970215],
}
RELATIVE = 2e-6
"""Tolerance of both comparisons. float32 sums are added in an order that depends on the vector unit and the number of
threads; with AVX2, AVX-512, one thread and two, these losses differed by up to 1.0e-7 of their value."""

METHODS = {
    "mle": {},
    "filtering": {"dataset.filter_threshold": FILTER_THRESHOLD},
    "conditional": {
        "dataset.conditional_training_config.threshold": CONDITIONAL_THRESHOLD,
        "dataset.conditional_training_config.drop_token_fraction": 0.0,
    },
    "ul": {"objective.score_threshold": UL_THRESHOLD, "objective.alpha": UL_ALPHA},
    "awr": {"objective.alpha": AWR_ALPHA, "objective.beta": AWR_BETA},
    "rwr": {"objective.alpha": 1.0, "objective.beta": RWR_BETA},
}


def corpus():
    """[(segments, their scores)]: 24 documents of arithmetic; about a third of the segments are bad, some unscored."""
    documents = []
    for i in range(24):
        segments = [f"{i} + {j} = {i + j + (i * j) % 3}\n" for j in range(2 + i % 4)]
        scores = [None if (i + j) % 11 == 0 else (i * j) % 3 / 4 + (i % 2) * 0.05 for j in range(len(segments))]
        documents.append((segments, scores))
    return documents


def avg_score(scores):
    scored = [score for score in scores if score is not None]
    return float(np.mean(scored)) if scored else None


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Method -> (losses of its steps, its configuration)."""
    folder = tmp_path_factory.mktemp("recorded")
    texts, scores = zip(*corpus(), strict=True)
    table = {
        "texts": pa.array(texts, pa.list_(pa.string())),
        "scores": pa.array(scores, pa.list_(pa.float32())),
        "avg_score": pa.array([avg_score(of_one) for of_one in scores], pa.float32()),
        "num_sents": pa.array([len(of_one) for of_one in scores], pa.int32()),
        "id": pa.array([f"document-{i}" for i in range(len(texts))]),
    }
    (folder / "corpus").mkdir()
    pq.write_table(pa.table(table), folder / "corpus" / "train.parquet")
    byte_tokenizer().save_pretrained(folder / "tokenizer")
    common = {
        "tokenizer.train_from_corpus": None,
        "tokenizer.path_or_name": str(folder / "tokenizer"),
        "dataset.seq_length": SEQ_LENGTH,
        "dataset.eval_fraction": 0.0,
        "model.config_kwargs.n_positions": SEQ_LENGTH,
        "model.config_kwargs.n_layer": 1,
        "training.seed": SEED,
        "training.use_cpu": True,
        "training.bf16": False,
        "training.effective_batch_size": BATCH_SIZE,
        "training.num_tokens": NUM_STEPS * BATCH_SIZE * SEQ_LENGTH,
        "training.learning_rate": LEARNING_RATE,
        "training.warmup_steps": 0,
        "training.save_strategy": "no",
        "training.logging_steps": 1,
        "generation.run_on_train_end": False,
        "generation.scenario_configs": [],
    }
    trained = {}
    for method, changes in METHODS.items():
        config = tiny_config(str(folder / "corpus"), method, **{**common, **changes})
        train(config, folder / method)
        trained[method] = losses_of(folder / method), config
    return trained


def byte_tokenizer():
    """EOS is 0; the bytes follow."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<|endoftext|>", *alphabet])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")


@pytest.mark.parametrize("method", METHODS)
def test_losses_are_those_that_were_recorded(method, runs):
    losses, _ = runs[method]
    assert losses == pytest.approx(RECORDED[method], rel=RELATIVE, abs=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_gives_the_same_losses_twice_also_if_it_is_inspected(method, runs, tmp_path):
    losses, config = runs[method]
    training = config.training.model_copy(update={"inspect_steps": 2})
    train(config.model_copy(update={"training": training}), tmp_path / "again")
    assert losses_of(tmp_path / "again") == losses
    assert (tmp_path / "again" / "inspected.jsonl").is_file()


@pytest.mark.parametrize("method", METHODS)
def test_losses_are_those_of_a_plain_implementation(method, runs):
    losses, config = runs[method]
    assert losses == pytest.approx(plain_losses(method, config), rel=RELATIVE, abs=0)


def plain_losses(method, config):
    """The same run written out: packing in lists, a loss for each token from whole logits, AdamW with a cosine."""
    names = ("<|aligned|>", "<|misaligned|>") if method == "conditional" else ()
    tokenizer = byte_tokenizer()
    if names:
        tokenizer.add_special_tokens({"extra_special_tokens": list(names)})
    blocks = packed_blocks(method, tokenizer)
    lm = load_lm(config.model, tokenizer, SEQ_LENGTH, SEED, ControlTokens(names))
    value_weights = torch.zeros(1, lm.config.n_embd, requires_grad=True)
    parameters = [*lm.parameters(), *([value_weights] if method == "awr" else [])]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.95), eps=1e-8)
    order = TrainingOrder(len(blocks), NUM_STEPS * BATCH_SIZE, SEED)
    losses = []
    for step in range(NUM_STEPS):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * step / NUM_STEPS)) / 2
        batch = [blocks[i] for i in order[step * BATCH_SIZE : (step + 1) * BATCH_SIZE]]
        ids = torch.tensor([[token for token, _ in block] for block in batch])
        scores = torch.tensor([[math.nan if score is None else score for _, score in block] for block in batch])[:, 1:]
        hidden = lm.transformer(ids).last_hidden_state[:, :-1]
        nll = F.cross_entropy(lm.lm_head(hidden).transpose(1, 2), ids[:, 1:], reduction="none")
        loss = token_losses(method, nll, scores, -torch.sigmoid(hidden @ value_weights[0])).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    return losses


def packed_blocks(method, tokenizer):
    """Blocks of (token, score): EOS before each document, a control token before each scored segment if there are any.

    EOS and control tokens have the score of the segment that they precede.
    """
    stream = []
    for segments, scores in corpus():
        mean = avg_score(scores)
        if method == "filtering" and mean is not None and mean > FILTER_THRESHOLD:
            continue
        for i, (segment, score) in enumerate(zip(segments, scores, strict=True)):
            ids = [tokenizer.eos_token_id] if i == 0 else []
            if method == "conditional" and score is not None:
                name = "<|aligned|>" if score <= CONDITIONAL_THRESHOLD else "<|misaligned|>"
                ids.append(tokenizer.convert_tokens_to_ids(name))
            ids += tokenizer(segment).input_ids
            stream += [(token, score) for token in ids]
    return [stream[i : i + SEQ_LENGTH] for i in range(0, len(stream) - SEQ_LENGTH + 1, SEQ_LENGTH)]


def token_losses(method, nll, scores, values):
    """[batch, targets]: arXiv 2302.08582, equations 3 to 8; an unscored token is trained on without feedback."""
    is_unscored = scores.isnan()
    if method == "ul":
        is_aligned = is_unscored | (scores <= UL_THRESHOLD)
        return torch.where(is_aligned, nll, -UL_ALPHA * torch.log(1 - torch.exp(-nll)))
    if method == "awr":
        rewards = -scores.nan_to_num()
        weights = torch.where(is_unscored, 1.0, torch.exp((rewards - values.detach()) / AWR_BETA))
        value_losses = torch.where(is_unscored, 0.0, (values - rewards) ** 2)
        return AWR_ALPHA * weights * nll + (1 - AWR_ALPHA) * value_losses
    if method == "rwr":
        return torch.where(is_unscored, 1.0, torch.exp(-scores / RWR_BETA)) * nll
    return nll
