"""Checkpoints: written as a whole or not at all, verified when read, and refused where they belong to another run.

Takes what Trainer writes; writes folders `checkpoint-<step>` with a list of their files. Must not know what is trained.
"""
