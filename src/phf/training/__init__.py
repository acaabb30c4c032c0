"""Training: the thin adapter over `transformers.Trainer`, and the run.

Takes a resolved configuration; gives a run folder with metrics, samples and an exported model; resumes exactly. May not know
about red teaming or reports.
"""
