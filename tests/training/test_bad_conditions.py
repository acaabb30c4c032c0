"""Training where the disk is full or the run is stopped: nothing half-written is read, and resuming gives the same run."""

import json
import resource
from contextlib import contextmanager

import pytest
import torch
from tests.tiny import tiny_config, tiny_corpus

from phf.errors import ConfigError, CorpusError, OutputError
from phf.runs.reader import read_run
from phf.runs.writer import RunWriter, cut_after_step
from phf.training import run as training
from phf.training.checkpoints.find import last_checkpoint
from phf.training.meter import NAMES
from phf.training.plan import plan_run
from phf.training.run import train


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Six steps with a checkpoint and samples every two; dropout, so that the random state matters."""
    source = tiny_corpus(tmp_path_factory.mktemp("corpus"))
    changes = {"dataset.eval_fraction": 0.4, "model.config_kwargs.resid_pdrop": 0.1, "generation.every_n_steps": 2}
    return tiny_config(source, "conditional", **changes)


def numbers(run_dir):
    """Step -> all its numbers but the speeds."""
    by_step: dict[int, dict[str, float]] = {}
    for line in read_run(run_dir).metrics:
        by_step.setdefault(line["step"], {}).update(
            {k: v for k, v in line.items() if "samples_per_second" not in k and k.removeprefix("train/") not in NAMES}
        )
    return by_step


def finish_and_compare(config, run_dir, whole):
    train(config, run_dir, resume=True)
    assert numbers(run_dir) == numbers(whole)
    run = read_run(run_dir)
    assert (run.notes, run.samples) == ([], read_run(whole).samples)
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (run_dir, whole)]
    assert weights[0] == weights[1]


@contextmanager
def small_files(limit):
    """No file may grow beyond `limit` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
@pytest.mark.parametrize("limit", [50_000, 200_000], ids=["model of the checkpoint", "optimizer state"])
def test_a_full_disk_is_reported_and_the_run_resumes_from_a_complete_checkpoint(limit, config, whole, tmp_path):
    sizes = {path.name: path.stat().st_size for path in (whole / "checkpoint-6").iterdir()}
    assert (sizes["model.safetensors"] > limit) == (limit == 50_000)
    assert sizes["optimizer.pt"] > limit
    again = r"run the same command again \(phf train: with --resume\)"
    with (
        small_files(limit),
        pytest.raises(
            OutputError, match=rf"run cannot be written: File too large\. Checkpoints .*Repair that, then {again}"
        ),
    ):
        train(config, tmp_path / "run")
    assert last_checkpoint(tmp_path / "run") is None
    assert not (tmp_path / "run" / "model").exists()
    finish_and_compare(config, tmp_path / "run", whole)


@pytest.mark.slow
def test_a_disk_that_fills_up_while_logging_says_so(config, whole, tmp_path, monkeypatch):
    append = RunWriter.append_metrics

    def full(self, step, tokens_seen, numbers):
        if step == 3:
            raise OSError(28, "No space left on device")
        append(self, step, tokens_seen, numbers)

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "append_metrics", full)
        with pytest.raises(OutputError, match="No space left on device"):
            train(config, tmp_path / "run")
    finish_and_compare(config, tmp_path / "run", whole)


@pytest.mark.slow
def test_lines_that_an_interruption_cut_off_are_not_read(config, whole, tmp_path):
    def stop(step, max_steps, numbers):
        if step == 5:
            raise KeyboardInterrupt

    run_dir = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(config, run_dir, show=stop)
    with (run_dir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "tokens_se')
    with (run_dir / "samples" / "unconditional.jsonl").open("a") as file:
        file.write('{"step": 4, "prompt": "", "conti')
    assert len(read_run(run_dir).notes) == 3  # unfinished, and two files cut off
    finish_and_compare(config, run_dir, whole)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_checkpoint_whose_writing_was_interrupted_is_not_resumed_from(file, config, whole, tmp_path, monkeypatch):
    save = torch.save

    def interrupted(value, path, *arguments, **settings):
        if "checkpoint-4" in str(path) and str(path).endswith(file):
            with open(path, "wb") as half:
                half.write(b"half")
            raise KeyboardInterrupt
        save(value, path, *arguments, **settings)

    run_dir = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config, run_dir)
    assert sorted(path.name for path in run_dir.glob("checkpoint-*")) == ["checkpoint-2"]
    assert not (run_dir / "unfinished").exists()
    assert last_checkpoint(run_dir) == run_dir / "checkpoint-2"
    finish_and_compare(config, run_dir, whole)


@pytest.mark.slow
def test_an_interruption_between_the_last_checkpoint_and_the_export_loses_nothing(config, whole, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "export_model", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "run")
    assert not (tmp_path / "run" / "model").exists()
    finish_and_compare(config, tmp_path / "run", whole)


@pytest.mark.slow
def test_other_errors_of_training_are_not_taken_for_a_full_disk(config, tmp_path):
    def fail(step, max_steps, numbers):
        raise RuntimeError("size mismatch")

    with pytest.raises(RuntimeError, match="size mismatch"):
        train(config, tmp_path / "run", show=fail)


def test_output_that_cannot_be_a_folder_says_so_before_any_work(config, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "prepare_data", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"run cannot be written"):
        train(config, tmp_path / "file" / "run")


def test_cutting_keeps_whole_lines_up_to_the_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"st\n{"step": 3}\n{"step": 2}')
    cut_after_step(path, 2)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"step": 1}, {"step": 2}]
    cut_after_step(tmp_path / "none.jsonl", 2)


def test_an_empty_corpus_and_one_smaller_than_a_block_say_so(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.jsonl").write_text("")
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "a.py").write_text("x = 1\n")
    (tmp_path / "small" / "b.py").write_text("")
    for name, message in (("empty", "contains no documents"), ("small", "does not fill one block of 64 tokens")):
        config = tiny_config(str(tmp_path / name), **{"dataset.eval_fraction": 0.0})
        with pytest.raises(CorpusError, match=message):
            train(config, tmp_path / "run" / name)


def test_banned_ids_that_are_not_control_tokens_of_this_tokenizer_are_refused(config, tmp_path):
    banned = {"generation.scenario_configs.0.generate_kwargs.bad_words_ids": [[32769]]}
    wrong = tiny_config(config.dataset.datasets[0], "conditional", **{"dataset.eval_fraction": 0.4, **banned})
    with pytest.raises(
        ConfigError, match=r"bad_words_ids has \[32769\], but this tokenizer's control tokens have the ids"
    ):
        train(wrong, tmp_path / "run")


def test_samples_that_the_model_cannot_hold_are_refused_before_training(config, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "ObjectiveTrainer", None)
    key = "generation.scenario_configs.0.generate_kwargs.max_length"
    long = tiny_config(config.dataset.datasets[0], "conditional", **{"dataset.eval_fraction": 0.4, key: 65})
    with pytest.raises(ConfigError, match="samples of up to 65 tokens do not fit the model's context of 64"):
        train(long, tmp_path / "run")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("generation.scenario_configs.0.prompts_path", "no/such.jsonl", "there is no file no/such.jsonl"),
        ("generation.scenario_configs.0.generate_kwargs.temperature", -1, "temperature"),
        ("generation.scenario_configs.0.generate_kwargs.top_pp", 0.9, "Did you mean 'top_p'"),
    ],
)
def test_planning_finds_what_would_only_show_while_sampling(config, tmp_path, key, value, message):
    with pytest.raises((ConfigError, CorpusError), match=message):
        plan_run(tiny_config(config.dataset.datasets[0], **{key: value}), tmp_path / "run")
