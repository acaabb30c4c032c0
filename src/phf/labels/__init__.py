"""Judgements of people on texts: ratings, and choices between two texts.

Takes a dataset whose segments people are asked about, files of labels in any format that a corpus may have, and public
preference datasets; gives checked labels, their agreement, and a division in which no text is on both sides. Must not know
about models, or about what is learned from labels.
"""
