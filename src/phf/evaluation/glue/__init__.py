"""Finetuning on GLUE."""
