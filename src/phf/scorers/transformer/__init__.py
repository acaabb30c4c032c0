"""Scorers that are neural networks: classifiers, Detoxify, reward models."""
