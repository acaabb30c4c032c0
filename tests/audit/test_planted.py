"""The audit against numbers that were planted in a corpus 1, 10 and 100 times."""

import pytest
import torch
from tests.audit.planted import planted_corpus, planted_numbers
from tests.tiny import PLAIN, tiny_lm, tiny_tokenizer

from phf.audit.run import audit_folder
from phf.audit.settings import AuditSettings
from phf.models import export_model
from phf.tokens.tokenizer import encode_plain

SETTINGS = AuditSettings(min_tokens=10, max_spans=2000, num_samples=200, max_new_tokens=24, batch_size=256)

DROPOUT = ("resid_pdrop", "embd_pdrop", "attn_pdrop")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return planted_corpus(tmp_path_factory.mktemp("planted") / "corpus")


def tiny():
    tokenizer = tiny_tokenizer()
    return tiny_lm("gpt2", tokenizer, n_embd=64, n_positions=32, **dict.fromkeys(DROPOUT, 0.0)), tokenizer


def train(lm, tokenizer, epochs):
    """On a document for each occurrence of a number, segments encoded separately."""
    numbers = planted_numbers()
    rows = [row for times, some in numbers.items() for row in some for _ in range(times)]
    parts = zip(*(encode_plain(tokenizer, texts) for texts in zip(*rows, strict=True)), strict=True)
    documents = [torch.tensor([tokenizer.eos_token_id, *before.tolist(), *number.tolist()]) for before, number in parts]
    ids = torch.nn.utils.rnn.pad_sequence(documents, batch_first=True, padding_value=-100)
    optimizer = torch.optim.AdamW(lm.parameters(), lr=3e-3, weight_decay=0.0)
    generator = torch.Generator().manual_seed(0)
    lm.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(ids), generator=generator).split(37):
            batch = ids[rows]
            lm(input_ids=batch.clamp(min=0), labels=batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()


def by_occurrences(rows, key):
    return {tuple(row["occurrences"]): row[key] for row in rows}


@pytest.mark.slow
def test_extraction_and_copies_rise_with_repetition_and_an_untrained_model_has_none(corpus, tmp_path):
    lm, tokenizer = tiny()
    export_model(lm, tokenizer, tmp_path / "untrained", PLAIN)
    train(lm, tokenizer, 5)
    export_model(lm, tokenizer, tmp_path / "trained", PLAIN)
    before, after = (
        audit_folder(tmp_path / name, [corpus], tmp_path / f"{name}-audit", SETTINGS)
        for name in ("untrained", "trained")
    )
    for record in (before, after):
        spans = by_occurrences(record["extraction"]["by_occurrences"], "num_spans")
        assert spans == {(1, 1): 10, (10, 99): 10, (100, 999): 10}
    assert before["extraction"]["num_extracted"] == before["samples"]["num_copies"] == 0
    once, ten, hundred = by_occurrences(after["extraction"]["by_occurrences"], "num_extracted").values()
    assert once < ten < hundred, (once, ten, hundred)
    assert hundred > 7
    # a sample draws one of the 30 numbers about as often as the corpus has it
    copies = by_occurrences(after["samples"]["by_occurrences"], "num_distinct")
    assert copies.get((1, 1), 0) <= copies.get((10, 99), 0) <= copies[100, 999] == 10
