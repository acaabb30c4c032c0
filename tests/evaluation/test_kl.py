"""KL(reference || model): against exact values, the prefix free of charge, and the same text for both."""

import math

import numpy as np
import pytest
import torch
from tests.evaluation.bigram import ALPHABET, CONTROL, bigram_lm, exact_kl, letters, random_table
from tests.tiny import tiny_lm, tiny_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from phf.config import KLConfig
from phf.errors import ConfigError
from phf.evaluation.kl.estimate import kl_from_samples, measure_kl
from phf.evaluation.kl.logprob import after_prefix, banned_ids, sequence_logprobs
from phf.evaluation.kl.reference import ReferenceSample
from phf.evaluation.kl.reference_samples import reference_samples
from phf.tokens.tokenizer import encode_plain

NATS = "kl/nats_per_sequence"


def save(folder, lm, tokenizer):
    for part in (lm, tokenizer):
        part.save_pretrained(folder)
    return str(folder)


def section(path, **settings):
    return KLConfig(reference={"path_or_name": path}, **{"num_samples": 64, "max_tokens": 16, **settings})


def by_hand(text, *, is_ended, text_logprob):
    return ReferenceSample(text=text, is_ended=is_ended, ids=None, logprobs=[], text_logprob=text_logprob)


def sum_of_logprobs(lm, ids, num_given):
    """The same, the plain way: the whole softmax of one sequence at a time."""
    with torch.no_grad():
        logprobs = lm(input_ids=torch.tensor([ids])).logits.double().log_softmax(-1)[0]
    return float(sum(logprobs[i - 1, ids[i]] for i in range(num_given, len(ids))))


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "gemma2"])
def test_a_model_is_at_no_distance_from_itself(model_type, tmp_path):
    tokenizer = tiny_tokenizer()
    lm = tiny_lm(model_type, tokenizer).eval()
    kl = section(save(tmp_path / "lm", lm, tokenizer), batch_size=24)
    numbers = measure_kl(lm, tokenizer, kl, prefix_ids=[0], cache_dir=tmp_path)
    for key in (NATS, f"{NATS}_low", f"{NATS}_high"):
        assert abs(numbers[key]) / 16 < 1e-5
    assert (numbers["kl/num_samples"], numbers["kl/num_unscored"]) == (64, 0)


@pytest.mark.slow
def test_kl_of_two_bigram_tables_agrees_with_the_exact_value(tmp_path):
    tokenizer = letters()
    tables = [random_table(tokenizer, seed) for seed in (1, 2)]
    reference, model = (bigram_lm(tokenizer, table) for table in tables)
    kl = section(save(tmp_path / "lm", reference, tokenizer), num_samples=2000, max_tokens=8, batch_size=1000)
    numbers = measure_kl(model, tokenizer, kl, prefix_ids=[0], cache_dir=tmp_path)
    exact = exact_kl(*tables, start=0, end=0, max_tokens=8)
    assert exact > 0.5
    assert numbers[f"{NATS}_low"] <= exact <= numbers[f"{NATS}_high"]
    assert numbers[f"{NATS}_high"] - numbers[f"{NATS}_low"] < 0.2 * exact
    shorter = section(kl.reference.path_or_name, num_samples=2000, max_tokens=2, batch_size=1000)
    numbers = measure_kl(model, tokenizer, shorter, prefix_ids=[0], cache_dir=tmp_path)
    assert numbers[f"{NATS}_low"] <= exact_kl(*tables, 0, 0, 2) <= numbers[f"{NATS}_high"] < exact


@pytest.fixture(scope="module")
def conditional():
    """A reference, and a model that says the same once it is given <|aligned|>, and mostly control tokens otherwise.

    Behind EOS and a line's end it takes one letter for another; behind <|aligned|> it goes on as the reference does there.
    90% of its probability is on control tokens.
    """
    plain, tokenizer = letters(), letters(CONTROL)
    table = random_table(plain, 1)
    newline = plain.convert_tokens_to_ids(plain.tokenize("\n"))[0]
    table[newline] = table[0]  # what begins a document begins a line
    vocab = len(tokenizer)
    told = np.full((vocab, vocab), -30.0)
    told[: len(plain), : len(plain)] = table
    text = plain.convert_tokens_to_ids(plain.tokenize(ALPHABET))
    told[[[0], [newline]], text] = table[[[0], [newline]], text[::-1]]
    aligned, misaligned = tokenizer.convert_tokens_to_ids(list(CONTROL))
    told[aligned, : len(plain)] = table[0]
    told -= np.logaddexp.reduce(told, axis=1, keepdims=True)
    told[:, [aligned, misaligned]] = math.log(9 / 2)  # 9 parts to the 1 of all text
    return plain, bigram_lm(plain, table), tokenizer, bigram_lm(tokenizer, told), aligned


def test_the_prefix_is_given_and_no_probability_is_lost_to_control_tokens(conditional, tmp_path):
    plain, reference, tokenizer, model, aligned = conditional
    kl = section(save(tmp_path / "lm", reference, plain), num_samples=256)
    told = {
        inserts: measure_kl(
            model,
            tokenizer,
            kl,
            prefix_ids=[0, aligned],
            repeated_ids=[aligned] if inserts else [],
            cache_dir=tmp_path,
        )
        for inserts in (False, True)
    }
    assert told[True][NATS] == pytest.approx(0, abs=1e-4)
    assert told[False][NATS] > 0.1  # lines after the first one began without their control token
    untold = measure_kl(model, tokenizer, kl, prefix_ids=[0], cache_dir=tmp_path)
    assert untold[NATS] > told[False][NATS]


def test_padding_and_the_size_of_batches_change_nothing(tmp_path):
    """One sample ends at once, one is cut; padded to one length, each counts for its own tokens and no more."""
    tokenizer = letters()
    tables = [random_table(tokenizer, seed) for seed in (1, 2)]
    reference, model = (bigram_lm(tokenizer, table) for table in tables)
    kl = section(save(tmp_path / "lm", reference, tokenizer))
    logprobs = [
        measure_kl(model, tokenizer, kl.model_copy(update={"batch_size": size}), prefix_ids=[0], cache_dir=tmp_path)
        for size in (1, 64)
    ]
    assert logprobs[0] == pytest.approx(logprobs[1], abs=1e-5)


@pytest.mark.parametrize("is_ended", [True, False])
def test_tokenizers_that_differ_are_charged_for_the_same_text_and_its_end(is_ended):
    """A reference that gives the text -3 nats, against the model's own tokens of the text, by hand."""
    tokenizer = tiny_tokenizer(vocab_size=280)
    lm = tiny_lm("gpt2", tokenizer).eval()
    text = "def f(x):\n    return"
    ids = [0, *encode_plain(tokenizer, [text])[0].tolist(), *[0] * is_ended]
    assert len(ids) < len(text)
    numbers = kl_from_samples(lm, tokenizer, [by_hand(text, is_ended=is_ended, text_logprob=-3.0)], prefix_ids=[0])
    nats = -3.0 - sum_of_logprobs(lm, ids, 1)
    assert numbers[NATS] == pytest.approx(nats, rel=1e-5)
    assert numbers["kl/nats_per_character"] == pytest.approx(nats / len(text), rel=1e-5)


def test_a_character_that_was_cut_in_half_is_not_charged():
    tokenizer = tiny_tokenizer()
    lm = tiny_lm("gpt2", tokenizer).eval()
    whole, cut = (by_hand(text, is_ended=False, text_logprob=-3.0) for text in ("ab", "ab\ufffd"))
    of_whole_and_cut = [kl_from_samples(lm, tokenizer, [sample], prefix_ids=[0]) for sample in (whole, cut)]
    assert of_whole_and_cut[0] == of_whole_and_cut[1]
    nothing = by_hand("\ufffd", is_ended=False, text_logprob=0.0)
    assert kl_from_samples(lm, tokenizer, [nothing], prefix_ids=[0])[NATS] == 0.0


def test_bytes_that_are_not_text_are_unscored_by_their_text():
    """The reference drew the bytes, and not the character that replaces them."""
    tokenizer = tiny_tokenizer()
    lm = tiny_lm("gpt2", tokenizer).eval()
    samples = [by_hand(text, is_ended=True, text_logprob=-3.0) for text in ("ab", "a\ufffdb")]
    numbers = kl_from_samples(lm, tokenizer, samples, prefix_ids=[0])
    assert numbers[NATS] == kl_from_samples(lm, tokenizer, samples[:1], prefix_ids=[0])[NATS]
    assert (numbers["kl/num_samples"], numbers["kl/num_unscored"]) == (2, 1)


@pytest.mark.parametrize("shown", ["a\ufffd\ufffdb", "a\ufffdb", "ab"])
def test_bytes_that_are_not_text_are_scored_by_the_same_tokens_however_they_look(shown):
    tokenizer = tiny_tokenizer()
    lm = tiny_lm("gpt2", tokenizer).eval()
    a, first, b = (tokenizer.get_vocab()[token] for token in ("a", "\u00c3", "b"))  # 0xC3 begins a character
    ids = [a, first, first, b]
    assert tokenizer.decode(ids) == "a\ufffd\ufffdb"
    sample = ReferenceSample(text=shown, is_ended=False, ids=ids, logprobs=[-1.0] * 4, text_logprob=-9.0)
    numbers = kl_from_samples(lm, tokenizer, [sample], prefix_ids=[0])
    assert numbers[NATS] == pytest.approx(-4.0 - sum_of_logprobs(lm, [0, *ids], 1), rel=1e-5)
    assert numbers["kl/num_unscored"] == 0


def test_another_vocabulary_is_scored_by_the_text_however_its_ids_look(tmp_path):
    """The reference's ids exist in the model's tokenizer too, but mean something else there."""
    letters_only, merged = letters(), tiny_tokenizer(vocab_size=290)
    reference = bigram_lm(letters_only, random_table(letters_only, 1))
    kl = section(save(tmp_path / "lm", reference, letters_only), num_samples=8, max_tokens=8)
    lm = tiny_lm("gpt2", merged).eval()
    numbers = measure_kl(lm, merged, kl, prefix_ids=[0], cache_dir=tmp_path)
    expected = []
    for sample in reference_samples(kl, tmp_path):
        ids = [0, *encode_plain(merged, [sample.text])[0].tolist(), *[0] * sample.is_ended]
        expected.append(sample.text_logprob - sum_of_logprobs(lm, ids, 1))
    assert numbers[NATS] == pytest.approx(np.mean(expected), rel=1e-5)


def test_text_that_a_tokenizer_cannot_spell_is_unscored_and_counted():
    backend = Tokenizer(models.WordLevel({"<eos>": 0, "<unk>": 1, "a": 2, "b": 3}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", unk_token="<unk>")
    lm = tiny_lm("gpt2", tokenizer, vocab_size=4).eval()
    samples = [by_hand(text, is_ended=False, text_logprob=-3.0) for text in ("a b", "a z")]
    samples.append(by_hand("b", is_ended=False, text_logprob=None))
    numbers = kl_from_samples(lm, tokenizer, samples, prefix_ids=[0])
    assert (numbers["kl/num_samples"], numbers["kl/num_unscored"]) == (3, 2)
    assert numbers[NATS] == pytest.approx(numbers["kl/nats_per_character"] * len("a b"))
    unscored = kl_from_samples(lm, tokenizer, samples[1:], prefix_ids=[0])
    assert math.isnan(unscored[NATS])
    assert math.isnan(unscored["kl/nats_per_character"])


@pytest.mark.parametrize("model_type", ["gpt2", "gemma2"])
def test_banned_tokens_have_no_probability_whatever_the_head(model_type):
    """Chunked (gpt2) and dense (gemma2) heads against a softmax over the tokens that are allowed."""
    tokenizer = tiny_tokenizer(CONTROL)
    lm = tiny_lm(model_type, tokenizer).eval()
    banned = banned_ids(tokenizer, lm)
    assert set(tokenizer.convert_tokens_to_ids(list(CONTROL))) <= set(banned)
    assert tokenizer.eos_token_id not in banned
    ids = [0, 5, 9, 0]
    with torch.no_grad():
        logits = lm(input_ids=torch.tensor([ids])).logits[0].double()
    logits[:, banned] = -torch.inf
    expected = [float(logits.log_softmax(-1)[i - 1, ids[i]]) for i in (1, 2, 3)]
    logprobs = sequence_logprobs(lm, [after_prefix([0], ids[1:])], banned_ids=banned, batch_size=4)[0]
    assert logprobs.tolist() == pytest.approx(expected, rel=1e-5)


def test_a_sample_longer_than_the_models_context_says_so():
    tokenizer = tiny_tokenizer()
    lm = tiny_lm("gpt2", tokenizer)
    sample = by_hand("x = 1\n" * 50, is_ended=False, text_logprob=-3.0)
    with pytest.raises(ConfigError, match=r"does not fit the context of 64 .*Lower kl_gpt3_callback\.max_tokens"):
        kl_from_samples(lm, tokenizer, [sample], prefix_ids=[0])


def test_measuring_leaves_mode_and_random_state_as_they_were(tmp_path):
    tokenizer = tiny_tokenizer()
    lm = tiny_lm("gpt2", tokenizer).train()
    kl = section(save(tmp_path / "lm", lm, tokenizer), num_samples=4)
    lm.train()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    measure_kl(lm, tokenizer, kl, prefix_ids=[0], cache_dir=tmp_path)
    assert torch.equal(torch.rand(1), expected)
    assert all(module.training for module in lm.modules())
