"""Training: the thin adapter over `transformers.Trainer`, and the run.

Takes a resolved configuration; writes a run folder with metrics, samples and an exported model; resumes exactly. Must not know
about red teaming or reports.
"""
