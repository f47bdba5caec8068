"""The reverse proxy: passes on what was allowed, over connections of its own."""
