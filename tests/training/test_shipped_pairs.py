"""Every pair of the paper's files trains: two steps of each, on a toy model and corpus instead of the released ones."""

import math
import re

import pytest
import yaml
from tests.released_checkpoints import released_checkpoint
from tests.tiny import losses, tiny_corpus

from phf.config import load_config
from phf.training import run

STEP = 4 * 64
SEEN = {"pretrain": 0, "finetune": 8 * STEP}


class LaterFilesScorer:
    """Half of the files of `tiny_corpus` have lines with a score, so that filtering leaves the others."""

    def score_texts(self, texts):
        return [0.1 if re.match(r"def size[3-5]\d", text) else 0.0 for text in texts]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Overrides that all pairs share: one corpus, scored by a quick scorer and encoded once, and a released checkpoint."""
    root = tmp_path_factory.mktemp("toy")
    (root / "corpus").mkdir()
    released_checkpoint(root / "m", conditional=False)
    return {
        "dataset.datasets": [tiny_corpus(root / "corpus")],
        "dataset.seq_length": 64,
        "tokenizer.path_or_name": str(root / "m"),
        "model.path_or_name": str(root / "m"),
        "model.config_kwargs": {},
        "training.effective_batch_size": 4,
        "training.per_device_train_batch_size": 4,
        "training.bf16": False,
        "training.logging_steps": 1,
        "generation.scorer_config": {"class_name": "tests.training.test_shipped_pairs:LaterFilesScorer"},
        "generation.scenario_configs": [],
        "generation.run_on_train_start": False,
        "generation.run_on_train_end": False,
    }


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
@pytest.mark.parametrize("folder", ["toxicity", "pii", "pep8"])
@pytest.mark.parametrize("method", ["mle", "filtering", "conditional", "ul", "awr", "rwr"])
def test_two_steps_of_every_pair(folder, stage, method, toy, tmp_path, monkeypatch):
    for expensive in ("export_model", "check_exportable"):  # the same for all pairs, and tested elsewhere
        monkeypatch.setattr(run, expensive, lambda *arguments: None)
    monkeypatch.setattr("phf.training.settings.preflight.check_exportable", lambda *arguments: None)
    monkeypatch.setattr(run, "measure_device", lambda *arguments: None)
    seen = SEEN[stage]
    changes = {
        **toy,
        "training.num_tokens": seen + 2 * STEP,
        "training.tokens_already_seen": seen,
        "dataset.skip_tokens": seen,
    }
    overrides = [
        f"{key}={yaml.safe_dump(value, default_flow_style=True).strip().removesuffix('...')}"
        for key, value in changes.items()
    ]
    config, _ = load_config(task=f"{folder}/{stage}", method=method, overrides=overrides)
    run.train(config, tmp_path / "run")
    logged = losses(tmp_path / "run")
    assert len(logged) == 2
    assert all(map(math.isfinite, logged))
