"""Inspection of what the model really sees: the batches of a step, read back from the tensors that the loss was computed from.

The released system's `ModelInputInspector` and `ModelEmbeddingInspector`. Takes batches, values and embeddings as they are;
returns numbers and the segments that they are of. Changes neither the loss nor any random state.
"""
