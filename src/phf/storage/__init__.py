"""Files: complete or absent, read and typed in one place, found again by what they depend on.

Takes bytes and values; gives them back unchanged, or an error with file, line and key. May not know what they mean.
"""
