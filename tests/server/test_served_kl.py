"""KL by a real server against KL by the same model loaded here. See README.md for how to start one."""

import copy
import os
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from phf.clients.server import CompletionsServer
from phf.config import KLConfig
from phf.evaluation.kl.estimate import kl_from_samples, measure_kl
from phf.evaluation.kl.local_reference import reference_start
from phf.evaluation.kl.logprob import after_prefix, banned_ids, sequence_logprobs
from phf.evaluation.kl.reference_samples import reference_samples
from phf.tokens.tokenizer import encode_plain, prepare_tokenizer

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif("PHF_TEST_SERVER_URL" not in os.environ, reason="PHF_TEST_SERVER_URL is not set"),
]
NUM_SAMPLES, MAX_TOKENS = 256, 32


@pytest.fixture(scope="module")
def tokenizer(folder):
    return prepare_tokenizer(AutoTokenizer.from_pretrained(folder), None)


@pytest.fixture(scope="module")
def same(folder):
    """The served model, loaded here."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def other(same):
    """A model some way off: the same with noise on its weights."""
    lm = copy.deepcopy(same)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in lm.parameters():
            weight += weight.std() * torch.randn_like(weight) if weight.dim() > 1 else 0.0
    return lm


@pytest.fixture(scope="module")
def section(url, served_name):
    reference = {"base_url": url, "model": served_name}
    return KLConfig(reference=reference, num_samples=NUM_SAMPLES, max_tokens=MAX_TOKENS, batch_size=64)


@pytest.fixture(scope="module")
def samples(section, tmp_path_factory):
    return reference_samples(section, tmp_path_factory.mktemp("served"))


def scored_here(samples, same, tokenizer, folder):
    """The samples with the log-probabilities of the model loaded here instead of the server's."""
    start, end = reference_start(folder, tokenizer), [tokenizer.eos_token_id]
    encoded = encode_plain(tokenizer, [sample.shared_text for sample in samples])
    rows = [[*(sample.ids or []), *end * sample.is_ended] for sample in samples]
    rows += [[*ids.tolist(), *end * sample.is_ended] for ids, sample in zip(encoded, samples, strict=True)]
    banned = banned_ids(tokenizer, same)
    logprobs = sequence_logprobs(same, [after_prefix(start, ids) for ids in rows], banned_ids=banned, batch_size=64)
    return [
        replace(sample, logprobs=logprobs[i].tolist(), text_logprob=float(logprobs[len(samples) + i].sum()))
        for i, sample in enumerate(samples)
    ]


@pytest.mark.parametrize("by", ["tokens", "text"])
def test_kl_by_server_is_kl_by_the_same_model_loaded_here(by, samples, same, other, tokenizer, folder, record_property):
    """Over the server's samples, by their tokens and, as for another tokenizer, by their text."""
    here = scored_here(samples, same, tokenizer, folder)
    if by == "text":
        samples, here = ([replace(sample, ids=None) for sample in given] for given in (samples, here))
    elif any(sample.ids is None for sample in samples):
        pytest.skip("this server does not return token ids")
    start = reference_start(folder, tokenizer)
    served, local = (kl_from_samples(other, tokenizer, given, prefix_ids=start) for given in (samples, here))
    record_property("figures", f"by {by}: served {served}, local {local}")
    assert local["kl/nats_per_sequence"] > 1
    assert served["kl/nats_per_sequence"] == pytest.approx(local["kl/nats_per_sequence"], rel=0.005)
    assert served["kl/nats_per_character"] == pytest.approx(local["kl/nats_per_character"], rel=0.005)


def test_the_served_model_is_at_no_distance_from_itself(samples, same, tokenizer, folder, record_property):
    numbers = kl_from_samples(same, tokenizer, samples, prefix_ids=reference_start(folder, tokenizer))
    record_property("figures", f"from itself: {numbers}")
    assert abs(numbers["kl/nats_per_sequence"]) / MAX_TOKENS < 1e-3


def test_samples_of_the_server_and_of_the_model_loaded_here_tell_the_same(
    section, other, tokenizer, folder, tmp_path, record_property
):
    """Two independent draws: their intervals overlap."""
    start = reference_start(folder, tokenizer)
    local = section.model_copy(update={"reference": KLConfig(reference={"path_or_name": folder}).reference})
    served, here = (measure_kl(other, tokenizer, kl, prefix_ids=start, cache_dir=tmp_path) for kl in (section, local))
    record_property("figures", f"two draws: served {served}, local {here}")
    for one, two in ((served, here), (here, served)):
        assert one["kl/nats_per_sequence_low"] < two["kl/nats_per_sequence_high"]


def test_completions_are_as_many_as_asked_for_and_repeat_with_their_seed(url, served_name, tokenizer):
    server = CompletionsServer(url, served_name)
    settings = {"n": 3, "max_tokens": 8, "temperature": 1.0, "seed": 11}
    first = server.complete(tokenizer.eos_token, **settings)
    assert len(first) == 3
    assert len(set(first)) > 1
    assert server.complete(tokenizer.eos_token, **settings) == first
