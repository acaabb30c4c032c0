"""Measuring how aligned and how capable a model is: one folder per part.

Takes a model folder and a task; returns numbers with intervals and the files of a run folder. Must not know how models are
trained, attacked or reported.
"""
