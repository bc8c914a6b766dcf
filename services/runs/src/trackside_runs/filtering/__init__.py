"""Finding runs and tasks: the filter language, orders and page tokens.

A filter is parsed once to a typed tree, from which both the database's condition and the
predicate over messages in memory are made; the two always agree.
"""
