"""The tests. A package, so that nothing that is installed under the same name stands before it."""
