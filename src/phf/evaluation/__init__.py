"""Measuring how aligned and how capable a model is: one folder per part.

Takes a model folder and a task; gives numbers with intervals and the files of a run folder. May not know how models are
trained, attacked or reported.
"""
