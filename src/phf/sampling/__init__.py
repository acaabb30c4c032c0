"""Drawing continuations from a model: prompts, scenarios, the loop, steering; work divided over processes.

Takes a model and prompts; returns continuations, without side effects on the model or the random state. Must not know about
scorers or metrics.
"""
