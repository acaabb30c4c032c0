"""The commands, one file each: parse, call, show.

Takes the command line; prints output for a person or a script, and returns an exit status. Must not know how anything is
done: what a command does is in the room of its name.
"""
