"""Documents and their segments, on disk and in memory.

Takes whatever a corpus may be named as (`sources/`), in any format (`formats/`), and gives documents one by one, cut into
segments (`segmenting/`); reads and writes the annotated dataset. May not know scorers, tokenizers or models.
"""
