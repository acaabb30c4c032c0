"""The whole idea on the standard library.

Takes nothing, gives one page that compares MLE with conditional training. May not do anything that the commands cannot.
"""
