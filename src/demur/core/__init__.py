"""The decision, and what is said about it: pure, and on the standard library alone.

No clock, no randomness and no I/O: `now` is an argument, random bytes are an argument, and a store is
asked by somebody else. Whatever is here can be tested with a table.
"""
