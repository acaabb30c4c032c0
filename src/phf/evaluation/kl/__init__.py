"""KL(reference || model) from samples of a reference LM, local or served."""
