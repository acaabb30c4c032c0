"""A damaged checkpoint is never continued from: the one before it is, with a line that names the damage, or none."""

import shutil

import pytest
from tests.faults.damage import append, become_folder, cut, empty, flip_bit, remove, zero_half
from tests.tiny import tiny_config, tiny_corpus

from phf.errors import CheckpointError
from phf.training.checkpoints.find import sound_checkpoint
from phf.training.run import train

FILES = (
    "model.safetensors",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
    "config.yaml",
    "log_window_0.json",
    "files.json",
)
EACH = (remove, empty, cut, zero_half, flip_bit, append, become_folder)
KINDS = [(name, damage) for name in FILES for damage in EACH if (name, damage) != ("files.json", append)]
"""A byte after the list of files is not damage to the checkpoint, but it is no longer the list that was written."""


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run with the checkpoints of steps 2 and 4."""
    config = tiny_config(
        tiny_corpus(tmp_path_factory.mktemp("corpus")),
        **{
            "training.num_tokens": 4 * 4 * 64,
            "dataset.eval_fraction": 0.0,
            "generation.run_on_train_start": False,
            "generation.run_on_train_end": False,
        },
    )
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    train(config, run_dir)
    return run_dir


def test_every_kind_of_damage_is_named_and_the_checkpoint_before_is_used(run_dir, tmp_path, counts):
    assert len(KINDS) >= 36
    for number, (name, damage) in enumerate(KINDS):
        folder = tmp_path / str(number)
        for step in (2, 4):
            shutil.copytree(run_dir / f"checkpoint-{step}", folder / f"checkpoint-{step}")
        damage(folder / "checkpoint-4" / name)
        said = []
        assert sound_checkpoint(folder, said.append) == folder / "checkpoint-2", (name, damage)
        assert [name in line and "checkpoint-4 is damaged" in line for line in said] == [True], (name, damage, said)
        shutil.rmtree(folder / "checkpoint-2")
        with pytest.raises(CheckpointError, match=name):
            sound_checkpoint(folder, said.append)
    counts["damage to a file of a checkpoint: the one before is used, or resuming is refused"] = (
        2 * len(KINDS),
        "0 silent, 0 tracebacks",
    )
