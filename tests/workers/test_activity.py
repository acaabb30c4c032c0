"""Long work says what it does and how far it is."""

import time
from io import StringIO

import pytest
from rich.console import Console

from phf.cli import progress
from phf.cli.progress import heartbeat
from phf.workers.activity import activity, current_activity, watched


def test_what_is_done_now_is_the_whole_and_its_part():
    assert current_activity() is None
    with activity("mle: generation"):
        with activity("sampling 's'", 1000) as advance:
            advance(64)
            assert current_activity() == "mle: generation: sampling 's', 64 of 1,000, 0 s"
        assert current_activity() == "mle: generation"
    assert current_activity() is None


def test_the_rate_and_the_time_left_are_known_after_a_while(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with activity("scoring", 100_000) as advance:
        advance(5000)
        assert current_activity() == "scoring, 5,000 of 100,000, 0 s"
        now[0] += 2.5
        assert current_activity() == "scoring, 5,000 of 100,000, 2 s, 2,000/s, 48 s left"
        now[0] += 97.5
        assert current_activity() == "scoring, 5,000 of 100,000, 1 min 40 s, 50/s, 32 min left"
        advance(95_000)
        assert current_activity() == "scoring, 100,000 of 100,000, 1 min 40 s, 1,000/s"


def test_batches_are_counted_and_an_error_ends_the_activity():
    seen = []
    for batch in watched([[1, 2], [3]], "work", 3):
        seen += [(batch, current_activity())]
    assert seen == [([1, 2], "work, 0 of 3, 0 s"), ([3], "work, 2 of 3, 0 s")]
    with pytest.raises(ZeroDivisionError), activity("fails"):
        raise ZeroDivisionError
    assert current_activity() is None


def test_a_log_is_never_silent_for_long(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.02)
    console = Console(file=StringIO(), width=30)
    with heartbeat(console), activity("scoring [bold]the samples[/] of a long name"):
        for _ in range(200):
            time.sleep(0.01)
            if console.file.getvalue().count("\n") > 1:
                break
    lines = console.file.getvalue().splitlines()
    assert lines[0] == lines[1] == "scoring [bold]the samples[/] of a long name"
    assert progress.SECONDS_BETWEEN_LINES <= 60


def test_nothing_is_shown_where_nothing_is_done(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.01)
    console = Console(file=StringIO())
    with heartbeat(console):
        time.sleep(0.05)
    assert console.file.getvalue() == ""


def test_sampling_and_held_out_loss_say_how_far_they_are(monkeypatch):
    from tests.evaluation.test_heldout import Blocks
    from tests.tiny import tiny_lm, tiny_tokenizer

    from phf.evaluation.held_out.loss import held_out_loss
    from phf.feedback.objectives import MLE
    from phf.models import ObjectiveLM
    from phf.sampling.generate import generate_samples
    from phf.sampling.scenarios import GenerationScenario

    tokenizer, said = tiny_tokenizer(), []
    model = tiny_lm("gpt2", tokenizer)
    model.register_forward_pre_hook(lambda *_: said.append(current_activity()))
    scenario = GenerationScenario(name="s", num_samples=3, generate_kwargs={"do_sample": True, "max_new_tokens": 2})
    generate_samples(model, tokenizer, scenario, seed=0, batch_size=2)
    assert {"sampling 's', 0 of 3, 0 s", "sampling 's', 2 of 3, 0 s"} <= set(said)
    module = ObjectiveLM(tiny_lm("gpt2", tokenizer), MLE())
    module.lm.base_model.register_forward_pre_hook(lambda *_: said.append(current_activity()))
    settings = {"threshold": 0.0, "control_ids": [], "eos_id": 0, "bytes_per_text_token": 1.0}
    held_out_loss(module, Blocks([[1, 2]] * 3, [[0, 0]] * 3), **settings, batch_size=2)
    assert "held-out blocks, 2 of 3, 0 s" in said
