"""LiveService: the three watches of a run merged into one stream with one cursor.

It owns nothing. It knows the watches as three callables, in this process or behind a channel.
"""
