"""The numbers of an inspection, worked out by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.tokens.packed import conditional
from torch import nn

from phf.feedback import ControlTokens, Method
from phf.training.inspection.numbers import compared, correlation, distribution, embedding_numbers
from phf.training.inspection.reading import SeenBlock, SeenDocument, SeenSegment


def test_a_distribution_is_of_the_numbers_that_are_there():
    numbers = distribution("x", np.array([1.0, 2.0, np.nan, 3.0, 4.0, 5.0], np.float32))
    assert numbers == pytest.approx(
        {"x_avg": 3.0, "x_std": math.sqrt(2), "x_p05": 1.2, "x_p25": 2.0, "x_p50": 3.0, "x_p75": 4.0, "x_p95": 4.8}
    )
    assert all(math.isnan(number) for number in distribution("x", np.array([np.nan])).values())


def test_a_correlation_leaves_out_pairs_without_a_number_and_is_unknown_for_a_constant():
    one, other = np.array([1.0, 2.0, 3.0, np.nan]), np.array([2.0, 1.0, 3.0, 100.0])
    assert correlation(one, other) == pytest.approx(0.5)
    assert correlation(one, -2 * one + 1) == pytest.approx(-1.0)
    assert math.isnan(correlation(one, np.array([0.1, 0.1, 0.1, 5.0])))
    assert math.isnan(correlation(np.array([np.nan]), np.array([1.0])))


NAN = math.nan
SEGMENTS = [  # text, packed score, control token, value; scored again; of a whole document?
    ("a", 0.1, 0, -0.1, 0.1, True),
    ("b", 0.8, 1, -0.5, 0.8, True),
    ("c", 0.2, 0, -0.3, 0.6, False),  # another score, and so another control token
    ("d", NAN, -1, -0.4, NAN, False),
    ("e", 0.3, -1, -0.2, NAN, False),  # unscored this time only
    ("f", 1000.0, 1, -0.9, 1000.5, False),  # a difference of less than 0.1%
]


def seen():
    segments = [SeenSegment(text, score, tag, value) for text, score, tag, value, _, _ in SEGMENTS]
    space = SeenSegment("\n", 0.0, -1, -0.1, is_compared=False)
    blocks = [
        SeenBlock([SeenDocument(segments[:2], True)], 1),
        SeenBlock([SeenDocument([*segments[2:], space], False)], 2),
    ]
    again = [None if math.isnan(row[4]) else row[4] for row in SEGMENTS]
    return blocks, [again[:2], [*again[2:], 7.0]]


def test_segments_are_compared_with_their_packed_scores_control_tokens_and_values():
    numbers, lines = compared(*seen(), conditional(0.5))
    scored = [0, 1, 2, 5]
    packed, again = ([SEGMENTS[i][column] for i in scored] for column in (1, 4))
    of_scored = np.corrcoef([SEGMENTS[i][3] for i in scored], [-score for score in again])[0, 1]
    expected = {
        "num_blocks": 2,
        "num_segments": 6,
        "num_cut": 3,
        "num_unscored": 1,
        "num_unscored_again": 2,
        "score_packed": np.mean(packed),
        "score_again": np.mean(again),
        "score_correlation": np.corrcoef(packed, again)[0, 1],
        "differing_share": 2 / 6,
        "num_segments_whole": 2,
        "differing_share_whole": 0.0,
        "tagged_share/aligned": 2 / 6,
        "tagged_share/misaligned": 2 / 6,
        "mistagged_share": 1 / 4,
        "segment_value_avg": np.mean([row[3] for row in SEGMENTS]),
        "segment_value_correlation": of_scored,
    }
    assert numbers == pytest.approx(expected, rel=1e-6)
    assert [line["text"] for line in lines] == ["c", "e", "a", "b", "d", "f"]  # those that differ first
    assert lines[0] == {
        "text": "c",
        "score": 0.2,
        "score_again": pytest.approx(0.6),
        "differs": True,
        "is_document_whole": False,
        "control_token": "<|aligned|>",
        "value": -0.3,
    }


def test_control_tokens_and_values_are_only_logged_where_a_run_has_them():
    blocks = [SeenBlock([SeenDocument([SeenSegment("a", 0.0, -1, NAN)], True)], 1)]
    numbers, lines = compared(blocks, [[0.0]], Method())
    assert not [key for key in numbers if "tag" in key or "value" in key]
    assert lines == [{"text": "a", "score": 0.0, "score_again": 0.0, "differs": False, "is_document_whole": True}]
    nothing, lines = compared([SeenBlock([], 1)], [], Method())
    assert nothing["num_segments"] == 0
    assert math.isnan(nothing["differing_share"])
    assert lines == []


def model_with(inputs, outputs):
    tables = [nn.Embedding.from_pretrained(torch.tensor(rows)) for rows in (inputs, outputs)]
    return SimpleNamespace(get_input_embeddings=lambda: tables[0], get_output_embeddings=lambda: tables[1])


def test_embeddings_by_hand_tied_and_untied():
    # two other rows, whose mean is (1, 1) and whose norms are 2; then those of two control tokens
    inputs = [[2.0, 0.0], [0.0, 2.0], [3.0, 4.0], [4.0, -3.0]]
    outputs = [[1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.0, -1.0]]
    tokens = ControlTokens(("<|aligned|>", "<|misaligned|>"))
    untied = model_with(inputs, outputs)
    numbers = embedding_numbers(untied, tokens, [2, 3])
    assert numbers == pytest.approx(
        {
            "input_embedding_norm/aligned": 5.0,
            "input_embedding_norm/misaligned": 5.0,
            "input_embedding_norm/others": 2.0,
            "input_embedding_cosine/aligned_misaligned": 0.0,
            "input_embedding_cosine/aligned_mean": 7 / (5 * math.sqrt(2)),
            "input_embedding_cosine/misaligned_mean": 1 / (5 * math.sqrt(2)),
            "output_embedding_norm/aligned": 2.0,
            "output_embedding_norm/misaligned": 1.0,
            "output_embedding_norm/others": 1.0,
            "output_embedding_cosine/aligned_misaligned": -1.0,
            "output_embedding_cosine/aligned_mean": 0.0,
            "output_embedding_cosine/misaligned_mean": 0.0,
        },
        abs=1e-6,
    )
    untied.get_output_embeddings().weight = untied.get_input_embeddings().weight
    tied = embedding_numbers(untied, tokens, [2, 3])
    assert tied == {key: value for key, value in numbers.items() if key.startswith("input")}


def test_of_many_control_tokens_neighbours_and_the_ends_are_compared():
    rows = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)).tolist()
    names = ControlTokens(tuple("abcd"))
    numbers = embedding_numbers(model_with(rows, rows), names, [5, 6, 7, 8])
    pairs = {key.rsplit("/")[1] for key in numbers if "input_embedding_cosine" in key and not key.endswith("_mean")}
    assert pairs == {"a_b", "b_c", "c_d", "a_d"}
