"""From the `model` section to a causal language model that is tested before it is trained."""
