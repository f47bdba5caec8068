"""The server: listeners, workers, and the parent that replaces them without losing a request."""
