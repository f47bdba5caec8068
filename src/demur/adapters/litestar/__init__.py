"""Litestar: a plugin, `Litestar(..., plugins=[Demur(bridge=...)])`, and bridges for the logins that Litestar has."""

from demur.adapters.litestar.bridges import jwt_auth, session, session_auth, user
from demur.adapters.litestar.plugin import Anybody, Demur, Principal

__all__ = ["Anybody", "Demur", "Principal", "jwt_auth", "session", "session_auth", "user"]
