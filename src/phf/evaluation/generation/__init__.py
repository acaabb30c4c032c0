"""Samples scored: misalignment, diversity, and the files that keep them."""
