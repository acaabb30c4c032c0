"""A configuration small enough for tests, on real data."""

import yaml

from phf.config import Config, load_config


def tiny_config(source: str, method: str = "mle", **changes: object) -> Config:
    """The quickstart task shrunk: 2 layers of width 32, blocks of 64 tokens, 6 steps of 4 blocks."""
    overrides = {
        "dataset.datasets": [source],
        "dataset.seq_length": 64,
        "dataset.eval_fraction": 0.2,
        "dataset.max_eval_tokens": 1280,
        "tokenizer.train_from_corpus": 300,
        "model.config_kwargs.n_layer": 2,
        "model.config_kwargs.n_embd": 32,
        "model.config_kwargs.n_head": 2,
        "model.config_kwargs.n_positions": 64,
        "training.effective_batch_size": 4,
        "training.per_device_train_batch_size": 2,
        "training.num_tokens": 6 * 4 * 64,
        "training.logging_steps": 1,
        "training.save_steps": 2,
        "generation.scenario_configs.0.num_samples": 5,
        "generation.scenario_configs.0.generate_kwargs.max_length": 24,
        **changes,
    }
    written = [
        f"{key}={yaml.safe_dump(value, default_flow_style=True).strip().removesuffix('...')}"
        for key, value in overrides.items()
    ]
    return load_config(task="pep8/quickstart", method=method, overrides=written)[0]
