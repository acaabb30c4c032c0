"""The folder of a run that was interrupted and resumed is that of one that never was, file by file, but for clocks."""

import json
from pathlib import Path

import pytest
import torch
from tests.tiny import tiny_config, tiny_corpus, tiny_lm, tiny_tokenizer

from phf.errors import OutputError
from phf.training import run as training
from phf.training.checkpoints.write import CheckpointWriter
from phf.training.meter import NAMES
from phf.training.run import train


def read(path: Path, run_dir: Path):
    """What a file says, without times, speeds and the location of the run folder."""
    if path.name == "metrics.jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return [
            {
                key: value
                for key, value in line.items()
                if "per_second" not in key and key.removeprefix("train/") not in NAMES
            }
            for line in lines
        ]
    if path.name == "provenance.json":
        return {key: value for key, value in json.loads(path.read_text()).items() if key != "started"}
    if path.name == "README.md":
        return [line for line in path.read_text().splitlines() if not line.startswith("- started: ")]
    if path.name == "training_args.bin":
        settings = vars(torch.load(path, weights_only=False))
        return {key: str(value).replace(str(run_dir), "RUN") for key, value in settings.items()}
    if path.name == "files.json":  # with the hash of training_args.bin, which names the folder
        return {
            name: of_file
            for name, of_file in json.loads(path.read_text())["files"].items()
            if name != "training_args.bin"
        }
    return path.read_bytes()


def contents(run_dir: Path):
    return {
        str(path.relative_to(run_dir)): read(path, run_dir) for path in sorted(run_dir.rglob("*")) if path.is_file()
    }


def interrupted(*_):
    raise KeyboardInterrupt


def in_a_step(config, run_dir, patch):
    def stop(step, max_steps, numbers):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, run_dir, show=stop)


def before_a_checkpoint(config, run_dir, patch):
    patch.setattr(training, "load_lm", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config, run_dir)


def before_the_export(config, run_dir, patch):
    patch.setattr(training, "export_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config, run_dir)


def by_a_full_disk(config, run_dir, patch):
    finish = CheckpointWriter.finish

    def full(self, step):
        if step == 4:
            raise OSError(28, "No space left on device")
        finish(self, step)

    patch.setattr(CheckpointWriter, "finish", full)
    with pytest.raises(OutputError, match="No space left on device"):
        train(config, run_dir)


def finetuned(folder: Path):
    """The settings of a run that begins with a model that is there."""
    tokenizer = tiny_tokenizer()
    for part in (tiny_lm("gpt2", tokenizer), tokenizer):
        part.save_pretrained(folder)
    of_model = {"path_or_name": str(folder), "from_scratch": False, "model_type": None, "config_kwargs": {}}
    return {
        **{f"model.{key}": value for key, value in of_model.items()},
        **{f"model.config_kwargs.{key}": None for key in ("n_layer", "n_embd", "n_head", "n_positions")},
        "tokenizer.path_or_name": str(folder),
        "tokenizer.train_from_corpus": None,
    }


@pytest.fixture(scope="module", params=["conditional", "awr", "finetuned", "streamed"])
def run(request, tmp_path_factory):
    """A configuration, and the folder of a run that was not interrupted."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "corpus").mkdir()
    changes = {"generation.every_n_steps": 2, "training.inspect_steps": 2}
    changes |= {"finetuned": finetuned(folder / "base"), "streamed": {"dataset.streaming": True}}.get(request.param, {})
    method = "awr" if request.param == "awr" else "conditional"
    config = tiny_config(tiny_corpus(folder / "corpus"), method, **changes)
    train(config, folder / "run")
    return config, folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize("interrupt", [in_a_step, before_a_checkpoint, before_the_export, by_a_full_disk])
def test_a_resumed_run_leaves_the_files_of_one_that_never_stopped(run, interrupt, tmp_path, monkeypatch):
    config, whole = run
    with monkeypatch.context() as patch:
        interrupt(config, tmp_path / "run", patch)
    train(config, tmp_path / "run", resume=True)
    expected, after_resuming = contents(whole), contents(tmp_path / "run")
    assert sorted(after_resuming) == sorted(expected)
    for name, content in expected.items():
        assert after_resuming[name] == content, name
