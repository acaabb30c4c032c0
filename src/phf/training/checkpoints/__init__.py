"""Checkpoints: written as a whole or not at all, verified when read, and refused where they belong to another run.

Takes what Trainer writes; gives folders `checkpoint-<step>` with a list of their files. May not know what is trained.
"""
