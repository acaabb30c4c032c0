"""Packed blocks read as they are, or each document by itself behind its start."""

import numpy as np
import torch
from tests.tiny import tiny_lm, tiny_tokenizer

from phf.evaluation.held_out.document_rows import predicted_tokens
from phf.evaluation.held_out.loss import held_out_loss
from phf.feedback.objectives import MLE
from phf.models import ObjectiveLM

BOS, EOS = 1, 0
BLOCKS = [
    (np.array([EOS, BOS, 10, 11, 12, EOS, BOS, 20]), np.arange(8, dtype=np.float32)),
    (np.array([21, 22, EOS, BOS, 30, 31, 32, 33]), np.arange(8, dtype=np.float32)),
]


def module():
    return ObjectiveLM(tiny_lm("gpt2", tiny_tokenizer()).eval(), MLE())


def nll_alone(lm, ids, num_given):
    with torch.no_grad():
        logprobs = lm.lm(torch.tensor([ids])).logits.log_softmax(-1)[0]
    return [-float(logprobs[i - 1, ids[i]]) for i in range(num_given, len(ids))]


def test_each_document_is_read_behind_its_start_alone():
    lm = module()
    ids, scores, nll = predicted_tokens(lm, BLOCKS, [BOS], torch.device("cpu"))
    # the first token of a block is given; what a block begins with in mid-document stands behind BOS too
    rows = [
        ([BOS, EOS], 2, []),
        ([BOS, 10, 11, 12, EOS], 1, [2, 3, 4, 5]),
        ([BOS, 20], 1, [7]),
        ([BOS, 21, 22, EOS], 2, [1, 2]),
        ([BOS, 30, 31, 32, 33], 1, [4, 5, 6, 7]),
    ]
    expected = sorted(
        (row[num_given + i], score, value)
        for row, num_given, of_row in rows
        for i, (score, value) in enumerate(zip(of_row, nll_alone(lm, row, num_given), strict=True))
    )
    predicted = sorted(zip(ids.tolist(), scores.tolist(), nll.tolist(), strict=True))
    assert [(i, s) for i, s, _ in predicted] == [(i, float(s)) for i, s, _ in expected]
    np.testing.assert_allclose([v for *_, v in predicted], [v for *_, v in expected], rtol=1e-5)


def test_a_start_takes_no_more_room_than_the_block():
    (ids, scores) = np.arange(40, 48), np.zeros(8, np.float32)
    predicted, _, nll = predicted_tokens(module(), [(ids, scores)], [BOS, 2], torch.device("cpu"))
    assert predicted.tolist() == [41, 42, 43, 44, 45]  # 8 tokens with the two in front; the first of the text is given
    assert len(nll) == 5


def test_without_a_start_blocks_are_read_as_they_are():
    lm = module()
    ids, scores, nll = predicted_tokens(lm, BLOCKS, [], torch.device("cpu"))
    assert ids.tolist() == [*BLOCKS[0][0][1:], *BLOCKS[1][0][1:]]
    assert scores.tolist() == [*range(1, 8)] * 2
    np.testing.assert_allclose(nll, [v for block, _ in BLOCKS for v in nll_alone(lm, block.tolist(), 1)], rtol=1e-5)


class Packed:
    def __len__(self):
        return len(BLOCKS)

    def block(self, index):
        return BLOCKS[index]


def test_bos_is_not_charged_and_does_not_count_as_text():
    numbers = held_out_loss(
        module(),
        Packed(),
        threshold=100.0,
        control_ids=[],
        eos_id=EOS,
        start_ids=[BOS],
        bytes_per_text_token=2.0,
        batch_size=2,
    )
    assert numbers["num_tokens"] == 9  # 10, 11, 12; 20; 22; 30, 31, 32, 33
    _, _, nll = predicted_tokens(module(), BLOCKS, [BOS], torch.device("cpu"))
    assert len(nll) == 9 + 2  # and two ends
    np.testing.assert_allclose(numbers["loss"], nll.mean(), rtol=1e-6)
    np.testing.assert_allclose(numbers["bits_per_byte"], nll.sum() / np.log(2) / 18, rtol=1e-6)


def test_each_document_alone_predicts_what_a_block_predicts_and_ends_with_the_start_of_the_next():
    lm = module()
    starts = [
        np.array([0, 5]),
        np.array([-2, 2, 7]),
    ]  # documents that begin with EOS, here at BLOCKS' marks and one more
    predicted = predicted_tokens(lm, BLOCKS, [], torch.device("cpu"), starts)
    rows = [
        ([EOS, BOS, 10, 11, 12, EOS], [1, 2, 3, 4, 5]),
        ([EOS, BOS, 20], [6, 7]),
        ([21, 22, EOS], [1, 2]),
        ([EOS, BOS, 30, 31, 32, 33], [3, 4, 5, 6, 7]),  # and the last token is a document without a target
    ]
    expected = sorted(
        (token, float(score), nll)
        for row, of_row in rows
        for token, score, nll in zip(row[1:], of_row, nll_alone(lm, row, 1), strict=True)
    )
    triples = sorted(zip(*(column.tolist() for column in predicted), strict=True))
    assert [row[:2] for row in triples] == [row[:2] for row in expected]
    np.testing.assert_allclose([row[2] for row in triples], [row[2] for row in expected], rtol=1e-5)
    ids, scores, _ = predicted_tokens(lm, BLOCKS, [], torch.device("cpu"))
    assert sorted(zip(ids.tolist(), scores.tolist(), strict=True)) == [row[:2] for row in triples]
