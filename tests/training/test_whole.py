"""FSDP: parameters divided among two processes are the same training, samples and export as whole ones."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tests.ranks import run_ranks
from tests.tiny import tiny_config, tiny_corpus

from phf.config import dump_config
from phf.training.run import train

CHANGES = {
    "training.num_tokens": 4 * 4 * 64,
    "training.use_cpu": True,
    "training.save_steps": 2,
    "training.inspect_steps": 2,
    "dataset.conditional_training_config.threshold": 0.0,  # so that inspections gather the embeddings
    "generation.batch_size": 2,  # several batches, which processes share
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


KEYS = {
    *("train/loss", "eval/loss", "generation/unconditional/score", "inspect/score_again", "inspect/value_avg"),
    *("inspect/input_embedding_norm/aligned", "inspect/input_embedding_cosine/misaligned_mean"),
}


def train_divided(config, folder, *options, world_size=2):
    (folder / "config.yaml").write_text(dump_config(config))
    command = [str(Path(__file__).with_name("fsdp_on_cpu.py")), "train", "--config", str(folder / "config.yaml")]
    command += ["--output-dir", str(folder), "--run-name", "divided", *options]
    return "".join(rank.stdout for rank in run_ranks(command, folder, world_size))


def numbers(run_dir):
    """Those that training and evaluation give: no times, no sizes."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], key, value) for line in lines for key, value in line.items() if key in KEYS]


@pytest.mark.slow
def test_divided_parameters_change_nothing(corpus, tmp_path):
    train(tiny_config(corpus, "awr", **CHANGES), tmp_path / "whole")
    config = tiny_config(corpus, "awr", **CHANGES, **{"training.fsdp": True})
    said = train_divided(config, tmp_path)
    assert said.count("Model, metrics and samples are in") == 1
    whole, divided = numbers(tmp_path / "whole"), numbers(tmp_path / "divided")
    assert {key for _, key, _ in whole} == KEYS
    assert [row[:2] for row in divided] == [row[:2] for row in whole]
    assert [row[2] for row in divided] == pytest.approx([row[2] for row in whole], rel=1e-5)
    assert (tmp_path / "divided" / "model" / "value_head.pt").is_file()
    weights = {name: load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "divided")}
    assert weights["divided"].keys() == weights["whole"].keys()

    samples = [(tmp_path / name / "samples" / "unconditional.jsonl").read_text() for name in ("whole", "divided")]
    assert samples[1] == samples[0]

    # resuming finds the checkpoint in its other form, and the tied embedding in it once; also for all of it in one process
    for world_size in (2, 1):
        shutil.rmtree(tmp_path / "divided" / "checkpoint-4")
        shutil.rmtree(tmp_path / "divided" / "model")
        assert "from step 2" in train_divided(config, tmp_path, "--resume", world_size=world_size)
        resumed = numbers(tmp_path / "divided")
        assert [row[:2] for row in resumed] == [row[:2] for row in divided]
        assert [row[2] for row in resumed] == pytest.approx([row[2] for row in divided], rel=1e-6)
        exported = load_file(tmp_path / "divided" / "model" / "model.safetensors")
        assert all(tensor.allclose(exported[name], rtol=1e-5, atol=1e-7) for name, tensor in weights["divided"].items())
