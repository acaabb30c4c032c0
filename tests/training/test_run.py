"""Training runs end to end on real files: every method, resume, export."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.forked import Forked
from tests.ranks import run_ranks
from tests.tiny import tiny_config

from phf.config import ModelConfig, TokenizerConfig, dump_config
from phf.errors import CheckpointError, ConfigError, OutputError
from phf.models import load_tokenizer
from phf.storage.files import only_job
from phf.training.checkpoints.find import last_checkpoint
from phf.training.plan import plan_run
from phf.training.run import train
from phf.training.settings.arguments import work_out

METHODS = ["mle", "filtering", "conditional", "ul", "awr", "rwr"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Real Python, small: clean lines and violations, as in the standard library."""
    import json as module

    folder = tmp_path_factory.mktemp("corpus")
    for path in (
        sorted(Path(module.__file__).parent.glob("*.py"))
        + sorted(Path(module.__file__).parent.parent.glob("c*.py"))[:8]
    ):
        (folder / path.name).write_text(path.read_text(encoding="utf-8")[:6000] + "\nx=1\n")
    return str(folder)


def losses(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """Method -> the run folder that it was trained into, and the numbers of its last evaluation."""
    folder = tmp_path_factory.mktemp("methods")
    runs = {}
    for method in METHODS:
        changes = {"training.effective_batch_size": 4, "training.num_tokens": 3 * 4 * 64}
        if method == "filtering":
            changes["dataset.filter_threshold"] = 0.05
        runs[method] = folder / method, train(tiny_config(corpus, method, **changes), folder / method)
    return runs


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_evaluates_and_exports(method, trained):
    folder, numbers = trained[method]
    assert numbers["generation/unconditional/num_samples"] == 5
    assert numbers["eval/loss"] > 0
    assert numbers["eval/bits_per_byte"] > 0
    assert len(losses(folder)) == 3
    assert (folder / "model" / "value_head.pt").exists() == (method == "awr")


@pytest.mark.slow
def test_exports_of_every_method_start_and_end_as_promised_where_phf_is_not_installed(trained):
    code = f"""
import sys
sys.modules["phf"] = None  # not importable
from transformers import AutoModelForCausalLM, AutoTokenizer
import torch
for folder in {[str(folder / "model") for folder, _ in trained.values()]!r}:
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    out = model.generate(max_new_tokens=40, num_return_sequences=8)
    banned = "<|misaligned|>" in tokenizer.get_vocab() and tokenizer.convert_tokens_to_ids("<|misaligned|>")
    print(tokenizer.convert_ids_to_tokens(out[0][:2].tolist()), tokenizer("x").input_ids[:2],
          banned is not False and banned in out.flatten().tolist())
"""
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    lines = dict(zip(trained, output.splitlines(), strict=True))
    for method, line in lines.items():
        if method == "conditional":
            generation = json.loads((trained[method][0] / "model" / "generation_config.json").read_text())
            assert line.startswith(f"['<|endoftext|>', '<|aligned|>'] [0, {generation['forced_bos_token_id']}]")
        else:
            assert line.startswith("['<|endoftext|>', ")
        assert line.endswith(" False")


@pytest.mark.slow
def test_resuming_gives_the_losses_of_a_run_that_never_stopped(corpus, tmp_path):
    config = tiny_config(corpus, "awr", **{"training.effective_batch_size": 4, "model.config_kwargs.resid_pdrop": 0.1})
    train(config, tmp_path / "whole")
    (tmp_path / "config.yaml").write_text(dump_config(config))
    stopped = tmp_path / "stopped"
    script = tmp_path / "stopped.py"
    script.write_text(f"""
from pathlib import Path
import time
from phf.config import load_config
from phf.training.run import train
def show(step, max_steps, numbers):
    time.sleep(0.3)
train(load_config(config=Path({str(tmp_path / "config.yaml")!r}))[0], Path({str(stopped)!r}), show=show)
""")
    process = Forked([sys.executable, str(script)])
    deadline = time.monotonic() + 120
    while not (stopped / "checkpoint-4" / "trainer_state.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert last_checkpoint(stopped) is not None
    assert not (stopped / "model").exists()
    train(config, stopped, resume=True)
    assert losses(stopped) == losses(tmp_path / "whole")
    expected, actual = (torch.load(d / "model" / "value_head.pt") for d in (tmp_path / "whole", stopped))
    torch.testing.assert_close(actual["linear.weight"], expected["linear.weight"], rtol=0, atol=0)


@pytest.mark.slow
def test_one_batch_of_eight_is_eight_batches_of_one(corpus, tmp_path):
    by_size = {}
    for per_device in (8, 1):
        changes = {"training.effective_batch_size": 8, "training.per_device_train_batch_size": per_device}
        changes |= {"training.num_tokens": 3 * 8 * 64, "generation.run_on_train_end": False}
        train(tiny_config(corpus, "awr", **changes), tmp_path / str(per_device))
        by_size[per_device] = losses(tmp_path / str(per_device))
    assert by_size[8] == pytest.approx(by_size[1], rel=1e-4)


def test_a_cut_off_checkpoint_is_passed_over(tmp_path):
    state = {"global_step": 2, "log_history": [], "train_batch_size": 1, "stateful_callbacks": {}}
    for step in (2, 4):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for name in ("model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json"):
            (folder / name).write_text(json.dumps(state))
    (tmp_path / "checkpoint-4" / "trainer_state.json").write_text('{"global_st')
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    (tmp_path / "checkpoint-2" / "optimizer.pt").unlink()
    assert last_checkpoint(tmp_path) is None


def test_a_finished_run_is_not_overwritten(corpus, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1, "tokens_seen": 8}\n')
    with pytest.raises(OutputError, match=r"holds a run already\. Continue it with --resume"):
        train(tiny_config(corpus), tmp_path / "run")


def test_a_run_that_is_still_going_is_not_resumed_beside_itself(corpus, tmp_path):
    with only_job(tmp_path / "run"), pytest.raises(OutputError, match="is being written by another job"):
        train(tiny_config(corpus), tmp_path / "run", resume=True)


def test_resuming_with_another_configuration_is_refused(corpus, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("dataset: {}\n")
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1, "tokens_seen": 8}\n')
    with pytest.raises(ConfigError, match="would mix two runs"):
        train(tiny_config(corpus), tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("world_size", "per_device", "accumulation"), [(1, 8, 8), (2, 8, 4), (8, 8, 1), (16, 4, 1), (1, 64, 1)]
)
def test_accumulation_is_worked_out_for_any_number_of_processes(corpus, world_size, per_device, accumulation):
    config = tiny_config(
        corpus,
        **{
            "training.effective_batch_size": 64,
            "training.per_device_train_batch_size": per_device,
            "training.num_tokens": 3.3e9,
        },
    ).training
    arithmetic = work_out(config, 1024, world_size)
    assert arithmetic.gradient_accumulation_steps == accumulation
    assert arithmetic.max_steps == 50354  # the paper's number of steps
    assert arithmetic.tokens_seen(2) == 2 * 64 * 1024


@pytest.mark.parametrize(
    ("changes", "world_size", "message"),
    [
        ({"training.effective_batch_size": 10, "training.per_device_train_batch_size": 4}, 1, "not a multiple of"),
        ({"training.effective_batch_size": 10}, 4, "which 4 processes cannot share"),
        ({"training.num_tokens": 10}, 1, "less than a step"),
    ],
)
def test_batch_sizes_that_cannot_be_met_say_so(corpus, changes, world_size, message):
    with pytest.raises(ConfigError, match=message):
        work_out(tiny_config(corpus, **changes).training, 64, world_size)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training.learning_rat", 1, "training.learning_rat is unknown. Did you mean 'learning_rate'"),
        ("training.lr_scheduler_type", "quadratic", "transformers rejects"),
        ("objective.alpha", 1, "objective.alpha is not a setting of MLE"),
        ("generation.metrics_configs", [{"class_name": "BLUE"}], "There is no metric called 'BLUE'"),
        ("generation.scorer_config.class_name", "P", "There is no scorer called 'P'"),
        ("generation.scenario_configs.0.num_sample", 3, "num_sample'. Did you mean 'num_samples'"),
    ],
)
def test_planning_finds_mistakes_before_any_work(corpus, tmp_path, key, value, message):
    with pytest.raises(ConfigError, match=message):
        plan_run(tiny_config(corpus, **{key: value}), tmp_path / "run")


def test_processes_wait_for_as_long_as_the_main_one_may_evaluate(corpus, tmp_path):
    assert plan_run(tiny_config(corpus), tmp_path / "run").arguments.ddp_timeout == 24 * 3600
    named = tiny_config(corpus, **{"training.ddp_timeout": 60})
    assert plan_run(named, tmp_path / "run").arguments.ddp_timeout == 60


@pytest.mark.slow
def test_a_tokenizer_is_trained_once_and_read_when_the_run_resumes(corpus, tmp_path):
    quiet = {"generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}
    config = tiny_config(corpus, "conditional", **quiet)
    announced = []
    train(config, tmp_path / "run", announce=announced.append)
    exported = (tmp_path / "run" / "model" / "tokenizer.json").read_bytes()
    whole = losses(tmp_path / "run")
    for name in ("model", "checkpoint-6"):
        (tmp_path / "run" / name).rename(tmp_path / name)
    again = []
    train(config, tmp_path / "run", resume=True, announce=again.append)
    assert any("Training a tokenizer" in message for message in announced)
    assert not any("Training a tokenizer" in message for message in again)
    assert (tmp_path / "run" / "model" / "tokenizer.json").read_bytes() == exported
    assert losses(tmp_path / "run") == whole


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"training.gradient_checkpointing": True},
        {"training.neftune_noise_alpha": 5.0},
    ],
    ids=lambda settings: "+".join(key.partition(".")[2] for key in settings),
)
def test_either_head_trains_alike_with_what_trainer_offers(settings, corpus, tmp_path):
    quiet = {"generation.run_on_train_end": False, "dataset.eval_fraction": 0.0, "training.save_strategy": "no"}
    quiet |= {"training.num_tokens": 3 * 4 * 64}
    by_head = {}
    for head in ("chunked", "dense"):
        train(tiny_config(corpus, **quiet, **settings, **{"model.head": head}), tmp_path / head)
        by_head[head] = losses(tmp_path / head)
    train(tiny_config(corpus, **quiet), tmp_path / "plain")
    plain = losses(tmp_path / "plain")
    assert by_head["chunked"] == pytest.approx(by_head["dense"], rel=1e-5)
    is_noisy = "training.neftune_noise_alpha" in settings
    assert (by_head["chunked"] == pytest.approx(plain, rel=1e-5)) == (not is_noisy)


@pytest.mark.slow
def test_two_processes_end_together_when_one_is_killed_and_resume_to_the_same_losses(corpus, tmp_path):
    quiet = {"generation.run_on_train_end": False, "dataset.eval_fraction": 0.0, "training.save_steps": 2}
    config = tiny_config(corpus, "awr", **quiet, **{"training.num_tokens": 40 * 4 * 64, "training.logging_steps": 5})
    (tmp_path / "config.yaml").write_text(dump_config(config))
    run = ["-m", "phf", "train", "--config", str(tmp_path / "config.yaml")]
    run += ["--output-dir", str(tmp_path), "--run-name", "run"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *run]
    launcher = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run/checkpoint-4/trainer_state.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    ranks = {Path(f"/proc/{pid}/environ").read_bytes().split(b"\0LOCAL_RANK=")[1][:1]: int(pid) for pid in children}
    os.kill(ranks[b"1"], signal.SIGKILL)
    _, said = launcher.communicate(timeout=60)
    assert launcher.returncode != 0
    assert "Ended by SIGTERM" in said or "Another process of this job has ended" in said
    assert all(not Path(f"/proc/{pid}").exists() for pid in children)
    run_ranks([*run, "--resume"], tmp_path)
    train(config, tmp_path / "alone")
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "alone"), rel=1e-3)


def test_a_damaged_tokenizer_of_a_run_is_named_and_not_used(tmp_path):
    saved = tmp_path / "tokenizer"
    section = TokenizerConfig(train_from_corpus=300)
    model = ModelConfig(model_type="gpt2", from_scratch=True)
    load_tokenizer(section, model, lambda: ["x = 1\n"], saved=saved)
    load_tokenizer(section, model, list, saved=saved)
    text = (saved / "tokenizer.json").read_text()
    (saved / "tokenizer.json").write_text(text.replace('"Ġ"', '"ġ"'))
    with pytest.raises(CheckpointError, match=r"tokenizer is damaged: tokenizer\.json does not have the content"):
        load_tokenizer(section, model, list, saved=saved)
