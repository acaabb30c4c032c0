"""Nothing grows with the steps of a run, in any process."""

import json
import os

import pytest
from tests.ranks import run_ranks
from tests.tiny import tiny_config, tiny_corpus

from phf.config import dump_config

NUM_STEPS = int(os.environ.get("PHF_MEMORY_STEPS", "320"))
MEASURED = """
import gc, os, sys
from phf.training.preemption import Preemption

on_step_end = Preemption.on_step_end
def measure(self, args, state, control, **kwargs):
    on_step_end(self, args, state, control, **kwargs)
    if state.global_step % (state.max_steps // 4) == 0:
        gc.collect()
        pages = int(open("/proc/self/statm").read().split()[1])
        print("MEASURED", state.global_step, pages * os.sysconf("SC_PAGE_SIZE"), len(gc.get_objects()), flush=True)
Preemption.on_step_end = measure
from phf.cli.app import main
main()
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_steps_in_either_of_two_processes(tmp_path):
    """From a quarter of the steps on, when everything has been used once: a tensor kept for each step would be 240."""
    (tmp_path / "corpus").mkdir()
    changes = {
        "training.num_tokens": NUM_STEPS * 2 * 16,
        "training.effective_batch_size": 2,
        "training.per_device_train_batch_size": 1,
        "training.logging_steps": 5,
        "training.save_steps": NUM_STEPS // 5,
        "dataset.seq_length": 16,
        "dataset.eval_fraction": 0.0,
        "model.config_kwargs.n_layer": 1,
        "model.config_kwargs.n_positions": 32,
        "generation.run_on_train_start": False,
        "generation.run_on_train_end": False,
    }
    config = tiny_config(tiny_corpus(tmp_path / "corpus"), "awr", **changes)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    (tmp_path / "measured.py").write_text(MEASURED)
    command = [str(tmp_path / "measured.py"), "train", "--config", str(tmp_path / "config.yaml")]
    ranks = run_ranks([*command, "--output-dir", str(tmp_path), "--run-name", "run"], tmp_path, timeout=900)
    for rank in ranks:
        lines = [line.split() for line in rank.stdout.splitlines() if line.startswith("MEASURED")]
        steps, sizes, objects = ([int(line[i]) for line in lines] for i in (1, 2, 3))
        assert len(steps) == 4
        assert max(objects) - objects[0] < NUM_STEPS // 4
        assert max(sizes) - sizes[0] < 8e6  # bytes; of some 600 million
    state = json.loads((tmp_path / "run" / f"checkpoint-{NUM_STEPS}" / "trainer_state.json").read_text())
    assert state["log_history"] == []
