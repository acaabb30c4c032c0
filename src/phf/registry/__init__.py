"""Name -> "module:attribute", resolved on demand, so that listing what exists imports nothing.

Takes a name from a configuration; returns the class or function behind it, whose kind is checked before it is called.
"""
