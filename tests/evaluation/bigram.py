"""Language models whose next token depends on the last one alone, by a table, so that their KL is known exactly."""

from typing import Any

import numpy as np
import torch
from tests.tiny import tiny_lm, tiny_tokenizer

CONTROL = ("<|aligned|>", "<|misaligned|>")
ALPHABET = "ab\n "


def bigram_lm(tokenizer: Any, table: np.ndarray) -> Any:
    """A GPT-2 that answers the logits `table[last token]`, whatever came before: [vocab, vocab]."""
    vocab = len(table)
    lm = tiny_lm(
        "gpt2", tokenizer, n_embd=vocab + 1, n_head=1, n_layer=1, n_positions=32, tie_word_embeddings=False
    ).eval()
    with torch.no_grad():
        for block in lm.transformer.h:  # a block that adds nothing
            for layer in (block.attn.c_proj, block.mlp.c_proj):
                layer.weight.zero_()
                layer.bias.zero_()
        lm.transformer.wpe.weight.zero_()
        lm.transformer.wte.weight.copy_(torch.eye(vocab, vocab + 1))
        hidden = lm.transformer(input_ids=torch.arange(vocab)[:, None]).last_hidden_state[:, 0].double()
        lm.lm_head.weight.copy_((torch.linalg.pinv(hidden) @ torch.from_numpy(table)).T)
    return lm


def random_table(tokenizer: Any, seed: int) -> np.ndarray:
    """Logits of a random bigram over `ALPHABET` and EOS; everything else has a probability of about e^-30."""
    ids = [tokenizer.eos_token_id, *tokenizer.convert_tokens_to_ids(tokenizer.tokenize(ALPHABET))]
    generator = np.random.default_rng(seed)
    table = np.full((len(tokenizer), len(tokenizer)), -30.0)
    table[:, ids] = np.log(generator.dirichlet([2.0] * len(ids), size=len(tokenizer)))
    return table


def exact_kl(reference: np.ndarray, model: np.ndarray, start: int, end: int, max_tokens: int) -> float:
    """KL in nats of sequences that begin behind `start` and go on until `end` or `max_tokens`, by summing over them."""
    p, q = (table - np.logaddexp.reduce(table, axis=1, keepdims=True) for table in (reference, model))
    step = (np.exp(p) * (p - q)).sum(axis=1)
    alive = np.zeros(len(p))
    alive[start] = 1
    total = 0.0
    for _ in range(max_tokens):
        total += float(alive @ step)
        alive = alive @ np.exp(p)
        alive[end] = 0
    return total


def letters(control_tokens: tuple[str, str] | None = None) -> Any:
    """A tokenizer of bytes, without merges."""
    return tiny_tokenizer(control_tokens, vocab_size=257)
