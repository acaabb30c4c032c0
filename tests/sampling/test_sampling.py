"""Our own sampling loop draws what `model.generate` draws, for every row by its own prompt."""

import pytest
import torch
from tests.tiny import tiny_lm, tiny_tokenizer
from transformers import GenerationConfig, MambaConfig, MambaForCausalLM
from transformers.generation import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from phf.sampling.draw import WIDTHS, Drawer, uniforms
from phf.sampling.loop import Guidance, Lengths, guided, sample_batch
from phf.sampling.static_cache import PreallocatedLayer, runs_own_loop

PROMPTS = [[0, 5, 6, 7, 8, 9, 10, 11], [0], [0, 40, 41], [0, 7, 7, 7], [0, 90]]
ARCHITECTURES = {
    "gpt2": {},
    "llama": {"max_position_embeddings": 64},
    "gemma2": {"max_position_embeddings": 64, "sliding_window": 8},
}


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer):
    return lively(tiny_lm("gpt2", tokenizer))


def lively(model):
    """Wide embeddings, so that what is likely depends on every token seen."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.4)
    return model.eval()


@torch.inference_mode()
def run(model, prompts, lengths, drawer, noise=None, guidance=None):
    if noise is None:
        noise = torch.zeros(len(prompts), max(lengths.most))
    return sample_batch(model, prompts, lengths, drawer, noise, guidance)


def alone(model, prompt, **settings):
    """What `generate` adds to one prompt, up to EOS."""
    config = GenerationConfig(eos_token_id=0, pad_token_id=0, **settings)
    ids = model.generate(input_ids=torch.tensor([prompt]), generation_config=config)[0, len(prompt) :].tolist()
    return ids[: ids.index(0) + 1] if 0 in ids else ids


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_greedy_is_generates_token_for_token_up_to_the_whole_context(tokenizer, name):
    model = lively(tiny_lm(name, tokenizer, **ARCHITECTURES[name]))
    lengths = Lengths([64 - len(prompt) for prompt in PROMPTS], [0] * len(PROMPTS))
    sampled = run(model, PROMPTS, lengths, Drawer(eos=0))
    assert sampled == [alone(model, prompt, max_length=64) for prompt in PROMPTS]
    assert len({tuple(ids[:8]) for ids in sampled}) == len(PROMPTS)


def test_rows_that_end_early_leave_the_others_as_they_were(tokenizer):
    model = lively(tiny_lm("gpt2", tokenizer))
    once = alone(model, PROMPTS[0], max_length=40)
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
    with torch.no_grad():
        model.lm_head.weight[0] = 1.02 * model.lm_head.weight[once[3]]  # where this token was likeliest, EOS is
    lengths = Lengths([40 - len(prompt) for prompt in PROMPTS], [0] * len(PROMPTS))
    sampled = run(model, PROMPTS, lengths, Drawer(eos=0))
    assert sampled == [alone(model, prompt, max_length=40) for prompt in PROMPTS]
    assert len({len(ids) + len(prompt) for ids, prompt in zip(sampled, PROMPTS, strict=True)}) > 1


def test_eos_waits_for_each_rows_fewest_tokens(model):
    fewest = [3, 0, 5, 2, 9]
    loving = Drawer(eos=0)
    noise = torch.zeros(5, 12)
    with torch.inference_mode():
        bias = torch.nn.Parameter(torch.zeros(model.lm_head.out_features))
        bias[0] = 1e4
        model.lm_head.bias = bias
        try:
            sampled = sample_batch(model, PROMPTS, Lengths([12] * 5, fewest), loving, noise)
        finally:
            model.lm_head.bias = None
    assert [len(ids) for ids in sampled] == [number + 1 for number in fewest]
    assert all(ids[-1] == 0 and 0 not in ids[:-1] for ids in sampled)


def warped(logits, temperature, top_k, top_p):
    """[rows, vocab] probabilities that transformers would sample from."""
    logits = TemperatureLogitsWarper(temperature)(None, logits.clone())
    if top_k:
        logits = TopKLogitsWarper(top_k)(None, logits)
    if top_p < 1:
        logits = TopPLogitsWarper(top_p)(None, logits)
    return logits.softmax(-1)


SETTINGS = [(1.0, 0, 1.0), (0.7, 0, 0.9), (1.3, 7, 1.0), (0.7, 40, 0.5), (1.0, 0, 1e-6), (2.0, 0, 0.999)]


@pytest.mark.parametrize(("temperature", "top_k", "top_p"), SETTINGS)
@pytest.mark.parametrize("spread", [0.1, 5.0])
def test_evenly_spread_numbers_draw_each_token_as_often_as_transformers_says(temperature, top_k, top_p, spread):
    """Of N even numbers in [0, 1) a token of probability p gets N p, but for one or two at the ends of its share."""
    torch.manual_seed(0)
    logits, count = torch.randn(2, 1500) * spread, 2**12
    logits[:, [3, 4]] = 50.0
    drawer = Drawer(eos=3, banned=[4], do_sample=True, temperature=temperature, top_k=top_k, top_p=top_p)
    expected = logits.clone()
    expected[:, [3, 4]] = -torch.inf
    expected = warped(expected, temperature, top_k, top_p) * count
    even = (torch.arange(count) + 0.5) / count
    for row in range(2):
        tokens = drawer(logits[row].repeat(count, 1), torch.zeros(count, dtype=torch.bool), even)
        counts = torch.bincount(tokens, minlength=1500)
        assert (counts - expected[row]).abs().max() < 2
        assert not counts[expected[row] == 0].any()
        assert not counts[[3, 4]].any()


def test_how_many_tokens_are_sorted_first_changes_nothing():
    torch.manual_seed(0)
    for spread in (0.1, 1.0, 3.0):
        logits, noise = spread * torch.randn(40, 3000), torch.rand(40)
        may_end = torch.ones(40, dtype=torch.bool)
        drawers = [Drawer(eos=0, do_sample=True, top_k=0, top_p=0.9, first_width=n) for n in range(len(WIDTHS) + 1)]
        narrow, *others = [drawer(logits.clone(), may_end, noise) for drawer in drawers]
        assert all(torch.equal(narrow, other) for other in others)
    drawers[0].first_width = 0
    drawers[0](8.0 * torch.randn(40, 3000), may_end, noise)
    assert drawers[0].first_width == 0
    drawers[0](0.01 * torch.randn(40, 3000), may_end, noise)
    assert drawers[0].first_width > 0  # undecided: nothing narrow will do from now on


def test_the_largest_number_below_one_never_draws_what_is_impossible():
    logits = torch.full((1, 100), -torch.inf)
    logits[0, [10, 20]] = 0.0
    noise = torch.tensor([1 - 2.0**-24])
    for top_p in (1.0, 0.99):
        drawer = Drawer(eos=0, do_sample=True, top_k=0, top_p=top_p)
        assert drawer(logits.clone(), torch.tensor([True]), noise).item() in (10, 20)


def test_numbers_belong_to_seed_sample_and_candidate():
    first = uniforms(0, 3, 0, 50)
    assert (uniforms(0, 3, 0, 20) == first[:20]).all()
    others = [uniforms(1, 3, 0, 50), uniforms(0, 4, 0, 50), uniforms(0, 3, 1, 50)]
    assert all(not set(first) & set(other) for other in others)
    assert first.min() >= 0
    assert first.max() < 1
    assert uniforms(-1, 3, 0, 2).shape == (2,)


def test_two_tokens_in_a_row_are_as_frequent_as_the_model_says(model):
    """Pearson's statistic over pairs of tokens has as many degrees of freedom as categories, less one."""
    prompts, copies = [PROMPTS[0], PROMPTS[2]], 2000
    temperature, top_k, top_p = 0.8, 12, 0.9
    drawer = Drawer(eos=0, do_sample=True, temperature=temperature, top_k=top_k, top_p=top_p)
    rows = [prompt for prompt in prompts for _ in range(copies)]
    noise = torch.stack([torch.from_numpy(uniforms(0, index, 0, 2)) for index in range(len(rows))])
    sampled = run(model, rows, Lengths([2] * len(rows), [2] * len(rows)), drawer, noise)

    def following(ids):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids])).logits[:, -1]
            logits[:, 0] = -torch.inf
            return warped(logits, temperature, top_k, top_p)[0]

    for number, prompt in enumerate(prompts):
        pairs = [tuple(ids) for ids in sampled[number * copies : (number + 1) * copies]]
        first = following(prompt)
        expected = {}
        for token in first.nonzero()[:, 0].tolist():
            second = following([*prompt, token])
            expected |= {
                (token, other): float(first[token] * second[other]) for other in second.nonzero()[:, 0].tolist()
            }
        assert set(pairs) <= set(expected)
        frequent = [pair for pair, probability in expected.items() if probability * copies >= 5]
        assert len(frequent) >= 5
        counts = [(pairs.count(pair), expected[pair] * copies) for pair in frequent]
        rest = copies - sum(count for count, _ in counts), copies - sum(mean for _, mean in counts)
        statistic = sum((count - mean) ** 2 / mean for count, mean in [*counts, rest] if mean > 1)
        assert statistic < len(counts) + 4 * (2 * len(counts)) ** 0.5


def test_guidance_by_hand():
    """log p = away + s (towards - away): from (1/2, 1/4, 1/4) towards (1/4, 1/2, 1/4) at s = 2 it is (1/8, 1, 1/4) / Z."""
    towards, away = torch.tensor([0.25, 0.5, 0.25]).log(), torch.tensor([0.5, 0.25, 0.25]).log()
    probabilities = guided(torch.stack([towards + 3, away - 1]), 2.0).softmax(-1)
    assert probabilities[0].tolist() == pytest.approx([1 / 11, 8 / 11, 2 / 11])
    assert guided(torch.stack([towards, away]), 0.0).softmax(-1)[0].tolist() == pytest.approx([0.5, 0.25, 0.25])
    assert guided(torch.stack([towards, away]), 1.0).softmax(-1)[0].tolist() == pytest.approx([0.25, 0.5, 0.25])


def test_guided_rows_follow_two_runs_of_the_model_side_by_side(model):
    away = [[9, *prompt[1:]] for prompt in PROMPTS]
    most = [12, 3, 7, 12, 5]
    expected = []
    for prompt, other, length in zip(PROMPTS, away, most, strict=True):
        ids: list[int] = []
        while len(ids) < length and 0 not in ids:
            with torch.inference_mode():
                both = [model(input_ids=torch.tensor([start + ids])).logits[0, -1] for start in (prompt, other)]
            ids.append(guided(torch.stack(both), 3.0)[0].argmax().item())
        expected.append(ids)
    drawer = Drawer(eos=0)
    assert run(model, PROMPTS, Lengths(most, [0] * 5), drawer, guidance=Guidance(away, 3.0)) == expected
    assert run(model, PROMPTS, Lengths(most, [0] * 5), drawer) != expected


def test_the_cache_is_written_in_place_and_keeps_what_it_is_told():
    layer = PreallocatedLayer(8)
    keys = torch.arange(3 * 2 * 4 * 5.0).view(3, 2, 4, 5)
    layer.update(keys, -keys)
    start = layer.keys.data_ptr()
    cached, _ = layer.update(keys[:, :, :1], keys[:, :, :1])
    assert layer.keys.data_ptr() == start
    assert cached.shape == (3, 2, 5, 5)
    assert layer.get_seq_length() == 5
    layer.keep(torch.tensor([2, 0]), 1)
    assert torch.equal(layer.keys[:, :, :3], keys[[2, 0], :, 1:])
    assert torch.equal(layer.values[:, :, :3], -keys[[2, 0], :, 1:])
    assert layer.get_seq_length() == 4


def test_models_that_carry_more_than_keys_and_values_are_left_to_generate(model):
    assert runs_own_loop(model)
    config = MambaConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1, state_size=4)
    assert not runs_own_loop(MambaForCausalLM(config))

    class Special(type(model)):
        def prepare_inputs_for_generation(self, *args, **kwargs):
            return super().prepare_inputs_for_generation(*args, **kwargs)

    assert not runs_own_loop(Special(model.config))
