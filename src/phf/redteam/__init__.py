"""Red teaming: a search for prompts that a model continues badly, and the replay of such prompts.

Takes a model folder, a task and a red LM; returns prompts with the scores of their continuations. Must not know how the model
was trained.
"""

from phf.redteam.pool import PoolEntry, draw_examples, read_pool
from phf.redteam.red_lm import Proposal, RedLM, build_red_lm

__all__ = ["PoolEntry", "Proposal", "RedLM", "build_red_lm", "draw_examples", "read_pool"]
