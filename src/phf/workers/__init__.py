"""Processes: what they are busy with, how they are started, and how they stop.

May not know what the work is.
"""
