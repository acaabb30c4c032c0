"""Processes: children that speak JSON lines, how many there may be, what a process is busy with, and how it stops.

May not know what the work is.
"""
