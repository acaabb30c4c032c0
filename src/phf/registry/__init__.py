"""Name -> "module:attribute", resolved when asked for, so that listing what exists imports nothing.

Takes a name from a configuration, gives the class or function behind it, checked to be of its kind before it is called.
"""
