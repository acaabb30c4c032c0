"""Training: the thin adapter over `transformers.Trainer`, and the run folder it writes."""
