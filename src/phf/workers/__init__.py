"""Processes: children that speak JSON lines, their number, the activity of a process, and how it stops.

May not know what the work is.
"""
