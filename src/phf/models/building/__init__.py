"""From the `model` section to a causal language model that was tried before anything is trained on it."""
