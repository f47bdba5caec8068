"""Commands of a Django project."""
