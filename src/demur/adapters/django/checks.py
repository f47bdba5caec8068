"""Django's system checks."""


def register() -> None:
    """Register."""
