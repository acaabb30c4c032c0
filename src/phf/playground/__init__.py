"""One prompt, several models and ways to prompt them, side by side on a page in the browser (`phf playground`).

Takes model folders and a scorer; serves a page on loopback, on which samples appear token by token with the scores of their
segments. Must not write files, and must not know how models are trained or reported on.
"""
