"""Documents and their segments, on disk and in memory.

Takes a corpus from any kind of source (`sources/`), in any format (`formats/`), and returns documents one by one, cut into
segments (`segmenting/`); reads and writes the annotated dataset. Must not know about scorers, tokenizers or models.
"""
