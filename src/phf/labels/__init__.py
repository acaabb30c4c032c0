"""Judgements of people on texts: ratings, and choices between two texts.

Takes files of labels in any format that a corpus may have, and public preference datasets; gives checked labels, and divides
them so that no text is on both sides. Must not know about models, or about what is learned from labels.
"""
