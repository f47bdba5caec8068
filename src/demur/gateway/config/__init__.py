"""The configuration: what may stand in the file, what is wrong with one, and what this machine makes of it."""
