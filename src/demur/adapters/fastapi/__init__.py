"""FastAPI: the middleware, what a path operation asks for as a dependency, and bridges to the logins of its apps."""

from demur.adapters.fastapi.asked import Principal, identified, public, require
from demur.adapters.fastapi.bridges import dependency, users
from demur.adapters.fastapi.middleware import DOCS, Demur
from demur.adapters.starlette.bridges import session, token, user

__all__ = [
    "DOCS",
    "Demur",
    "Principal",
    "dependency",
    "identified",
    "public",
    "require",
    "session",
    "token",
    "user",
    "users",
]
