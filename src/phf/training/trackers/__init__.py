"""Experiment trackers, `training.report_to`: which of their runs a run belongs to, and what they get besides its numbers."""
