"""Starlette: the middleware, and bridges to the logins of its apps."""

from demur.adapters.starlette.bridges import on_error, session, token, user
from demur.adapters.starlette.middleware import Demur

__all__ = ["Demur", "on_error", "session", "token", "user"]
