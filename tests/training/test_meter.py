"""What a run logs of its speed: worked out from a clock that is set by hand, and from models whose size is known."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tests.tiny import tiny_config, tiny_corpus, tiny_lm, tiny_tokenizer
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from phf.training import meter as meter_module
from phf.training.meter import NAMES, Meter, flops_per_token, matmul_flops, multiplied_in, peak_memory
from phf.training.run import train
from phf.training.settings.arguments import Arithmetic

CPU = torch.device("cpu")
FOUR_BLOCKS_OF_50 = Arithmetic(
    effective_batch_size=4,
    per_device_train_batch_size=2,
    gradient_accumulation_steps=1,
    world_size=2,
    max_steps=100,
    seq_length=50,
    tokens_already_seen=0,
)
"""200 tokens per step, of two processes."""


class Clock:
    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def meter(clock):
    return Meter(FOUR_BLOCKS_OF_50, 3e6, CPU, clock)


def step(meter, clock, number, seconds=1.0, waiting=0.0):
    clock.seconds += seconds - waiting

    def batches():
        clock.seconds += waiting
        yield "batch"

    assert list(meter.timed(batches())) == ["batch"]
    meter.step_made(number)


def numbers(meter, number):
    return meter.numbers(number, [meter.spent(number)])


def test_tokens_per_second_utilisation_and_waiting_are_of_the_steps_since_the_last_line(meter, clock):
    meter.device_flops = 1e9
    meter.begin(0)
    step(meter, clock, 1, seconds=100)
    numbers(meter, 1)
    step(meter, clock, 2, seconds=2.0, waiting=0.5)
    step(meter, clock, 3, seconds=2.0, waiting=0.3)
    logged = numbers(meter, 3)
    assert logged["tokens_per_second"] == pytest.approx(400 / 4)
    assert logged["model_flops_utilization"] == pytest.approx(100 * 3e6 / (2 * 1e9))  # of two devices
    assert logged["data_wait_share"] == pytest.approx(0.8 / 4)


def test_a_utilisation_above_everything_is_not_reported(meter, clock):
    meter.device_flops = 1e6
    meter.begin(0)
    step(meter, clock, 1, seconds=1)
    assert "model_flops_utilization" not in numbers(meter, 1)


def test_evaluations_count_neither_for_the_speed_nor_for_the_time_left(meter, clock):
    meter.begin(0)
    step(meter, clock, 1, seconds=30)  # compiles
    for number in range(2, 12):
        step(meter, clock, number, seconds=2)
        clock.seconds += 500
        meter.pause(500)
    logged = numbers(meter, 11)
    assert logged["tokens_per_second"] == pytest.approx(11 * 200 / 50)
    assert logged["seconds_left"] == pytest.approx(2 * 89)


def test_a_resumed_run_counts_its_own_steps(meter, clock):
    meter.begin(40)
    assert numbers(meter, 40).keys() == {"peak_memory_bytes"}
    step(meter, clock, 41, seconds=8)
    assert numbers(meter, 41)["tokens_per_second"] == pytest.approx(200 / 8)
    assert meter.time_left(41) == {}  # a step that may have compiled is not a pace
    step(meter, clock, 42, seconds=2)
    assert meter.time_left(42) == {"seconds_left": pytest.approx(2 * 58)}


def test_at_the_last_step_no_time_is_left(meter, clock):
    meter.begin(98)
    step(meter, clock, 99)
    step(meter, clock, 100)
    assert meter.time_left(100) == {"seconds_left": 0.0}


def test_of_several_processes_the_one_that_waits_longest_and_the_largest_are_reported(clock):
    spent = []
    for waiting in (0.1, 0.75, 0.0):
        one = Meter(FOUR_BLOCKS_OF_50, None, CPU, clock)
        one.begin(0)
        step(one, clock, 1, seconds=1.0, waiting=waiting)
        spent.append(one.spent(1)._replace(peak_memory=int(100 * waiting)))
    logged = one.numbers(1, spent)
    assert logged["data_wait_share"] == pytest.approx(0.75)
    assert logged["peak_memory_bytes"] == 75
    assert "model_flops_utilization" not in logged


def test_an_error_of_the_data_is_passed_on(meter):
    def batches():
        yield 1
        raise OSError("gone")

    timed = meter.timed(batches())
    assert next(timed) == 1
    with pytest.raises(OSError, match="gone"):
        next(timed)


def test_operations_per_token_of_a_tied_model_count_its_head_but_no_table_of_embeddings():
    tokenizer = tiny_tokenizer()
    lm = tiny_lm("gpt2", tokenizer)  # 2 layers of width 16
    weights = 2 * 12 * 16**2
    biases = 2 * ((3 + 1 + 4 + 1) * 16 + 2 * 2 * 16) + 2 * 16
    assert flops_per_token(lm, 64) == 6 * (weights + biases + len(tokenizer) * 16) + 12 * 2 * 16 * 64


def test_operations_per_token_of_gpt2_small_are_those_of_the_projection():
    with torch.device("meta"):
        lm = GPT2LMHeadModel(GPT2Config())
    scaling = (Path(__file__).parents[2] / "docs/scaling.md").read_text(encoding="utf-8")
    assert flops_per_token(lm, 1024) == 855_166_464
    assert "= 855,166,464 operations per token" in scaling


def test_operations_per_token_of_an_untied_model_with_heads_of_their_own_size():
    tokenizer = tiny_tokenizer()
    lm = tiny_lm("llama", tokenizer, head_dim=4, tie_word_embeddings=False)  # 2 heads of 4, width 16
    attention, feed_forward, norms = 4 * 16 * 8, 3 * 16 * 32, 2 * 16
    per_layer = attention + feed_forward + norms
    assert flops_per_token(lm, 10) == 6 * (2 * per_layer + 16 + len(tokenizer) * 16) + 12 * 2 * 8 * 10


def test_a_model_whose_tokens_do_not_use_all_parameters_has_no_known_number_of_operations():
    lm = tiny_lm("gpt2", tiny_tokenizer())
    lm.transformer.h[1].experts = nn.Linear(2, 2)
    assert flops_per_token(lm, 64) is None


def test_a_large_product_takes_some_time_and_leaves_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert 1e8 < matmul_flops(CPU, torch.float32) < 1e15
    assert torch.equal(torch.rand(1), expected)


def test_peak_memory_is_that_of_this_process():
    before = peak_memory(CPU)
    block = torch.ones(2**26)  # 256 MiB
    assert peak_memory(CPU) >= max(before, block.numel() * 4)


@pytest.mark.gpu
def test_on_a_gpu_the_rate_is_its_own_and_memory_is_that_of_tensors_since_the_start():
    device = torch.device("cuda")
    assert matmul_flops(device, torch.bfloat16) > 1e12
    meter = Meter(FOUR_BLOCKS_OF_50, None, device)
    meter.begin(0)
    before = peak_memory(device)
    assert before < 2**28  # the matrices of the measurement are gone
    block = torch.ones(2**26, device=device)
    assert before + block.numel() * 4 <= peak_memory(device) < before + block.numel() * 8


@pytest.mark.parametrize(
    ("device", "mixed_precision", "has_bfloat16", "expected"),
    [
        ("cuda", "bf16", False, torch.bfloat16),
        ("cuda", "fp16", False, torch.float16),
        ("cpu", "bf16", True, torch.bfloat16),
        ("cpu", "bf16", False, torch.float32),
        ("cpu", "no", True, torch.float32),
    ],
)
def test_the_rate_is_measured_in_the_precision_of_the_run(monkeypatch, device, mixed_precision, has_bfloat16, expected):
    monkeypatch.setattr(meter_module, "cpu_has_bfloat16", lambda: has_bfloat16)
    arguments = SimpleNamespace(device=torch.device(device), mixed_precision=mixed_precision)
    assert multiplied_in(arguments, SimpleNamespace(dtype=torch.float32)) == expected


@pytest.mark.slow
def test_every_line_of_a_run_has_what_the_meter_shows(tmp_path):
    (tmp_path / "corpus").mkdir()
    changes = {"training.logging_steps": 2, "generation.every_n_steps": 3}
    shown = []
    train(
        tiny_config(tiny_corpus(tmp_path / "corpus"), **changes),
        tmp_path / "run",
        show=lambda step, max_steps, numbers: shown.append(numbers),
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "train/loss" in line]
    keys = set(NAMES) - {"seconds_left"}
    assert len(lines) == 4  # the first step, and every second one
    for line in lines:
        assert all(line[f"train/{key}"] > 0 for key in keys)
        assert line["train/data_wait_share"] < 1
    assert "train/seconds_left" not in lines[0]
    assert lines[-1]["train/seconds_left"] == 0
    assert any(set(NAMES) <= set(numbers) for numbers in shown)
