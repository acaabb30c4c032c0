"""Processes: children that speak JSON lines, a Ray cluster, their number, the activity of a process, and how it stops.

Must not know what the work is.
"""
