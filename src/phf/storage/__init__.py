"""Files: complete or absent, read and typed in one place, found again by what they depend on.

Takes bytes and values; returns them unchanged, or an error with file, line and key. Must not know what they mean.
"""
