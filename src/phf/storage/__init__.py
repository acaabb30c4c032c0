"""Files, as this package keeps them: whole or absent, read and typed at one place, found again by what they hold.

Takes bytes and values, gives them back as they were or an error with file, line and key. May not know what they mean.
"""
