"""The whole idea on the standard library.

Takes nothing, writes one page that compares MLE with conditional training. Must not do anything that the commands cannot.
"""
