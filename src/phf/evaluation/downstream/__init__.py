"""Capability on the tasks of lm-evaluation-harness."""
