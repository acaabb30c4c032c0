"""KL from the start, of models whose KL is known exactly."""

from dataclasses import replace

import pytest
from tests.evaluation.bigram import bigram_lm, exact_kl, letters, random_table
from tests.refresh.conftest import SETTINGS

from phf.refresh.measure import KL, kl_from_start


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """(folder, table) of two bigram models."""
    tokenizer = letters()
    pairs = []
    for seed in (1, 2):
        folder, table = tmp_path_factory.mktemp("bigram"), random_table(tokenizer, seed)
        for part in (bigram_lm(tokenizer, table), tokenizer):
            part.save_pretrained(folder)
        pairs.append((folder, table))
    return pairs, tokenizer.eos_token_id


def test_it_is_the_kl_of_the_model_from_the_start_in_that_order(folders):
    ((model, p), (start, q)), end = folders
    exact, reverse = (exact_kl(*pair, start=end, end=end, max_tokens=6) for pair in ((p, q), (q, p)))
    numbers = kl_from_start(model, start, replace(SETTINGS, kl_samples=600, kl_tokens=6))
    assert numbers[f"{KL}_low"] < exact < numbers[f"{KL}_high"]
    assert not numbers[f"{KL}_low"] < reverse < numbers[f"{KL}_high"]


def test_a_model_is_at_distance_zero_from_itself(folders):
    ((model, _), _), _ = folders
    assert kl_from_start(model, model, replace(SETTINGS, kl_tokens=6))[KL] == 0
