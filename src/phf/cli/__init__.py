"""The commands, one file each: parse, call, show.

Takes the command line; gives output for a person or a script, and an exit status. May not know how anything is done: what
a command does is in the room of its name.
"""
