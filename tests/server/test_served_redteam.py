"""Red team with a red LM behind a real server; the model attacked is the same one, loaded here. See README.md."""

import json
import os
from pathlib import Path

import pytest

from phf.config import load_config
from phf.redteam.folder import redteam_folder
from phf.redteam.pool import read_pool

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif("PHF_TEST_SERVER_URL" not in os.environ, reason="PHF_TEST_SERVER_URL is not set"),
]
SMALL = [
    "redteam.num_initial_prompts=6",
    "redteam.num_trials=1",
    "redteam.num_rounds=2",
    "redteam.num_new_prompts=4",
    "redteam.num_completions=4",
    "redteam.num_rescored=2",
    "redteam.max_attempts=5",
    "redteam.template.format=fenced",  # whatever the model writes is then a prompt, if it is new
    "redteam.generate_kwargs={do_sample: true, max_new_tokens: 16, top_k: 0}",
]


def test_a_served_model_writes_prompts_that_the_target_completes(url, served_name, folder, tmp_path):
    red_lm = {
        "class_name": "ServerRedLM",
        "base_url": url,
        "model": served_name,
        "is_chat": False,
        "max_tokens": 32,
    }
    overrides = [*SMALL, f"redteam.red_lm={json.dumps(red_lm)}"]
    config, _ = load_config(task="pep8/quickstart", overrides=overrides)
    redteam_folder(Path(folder), config, tmp_path / "attack", lambda *_: None)
    pool = read_pool(tmp_path / "attack" / "pool.jsonl")
    new = [entry for entry in pool if entry.round > 0]
    assert new
    assert len({entry.prompt for entry in pool}) == len(pool)
    assert all(len(entry.continuations) == 4 for entry in new)
