"""Drawing continuations from a model: prompts, scenarios, the loop, steering.

Takes a model and prompts, gives continuations, and leaves no trace in the model or the random state. May not know scorers
or metrics.
"""
