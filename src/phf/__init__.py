"""Pretraining language models with human feedback (arXiv 2302.08582).

Importing this package loads neither torch nor transformers; the command line answers at once.
"""

__version__ = "0.2.0"
