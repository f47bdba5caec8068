"""Litestar: a plugin, `Litestar(..., plugins=[Demur(bridge=...)])`, and bridges for the logins that Litestar has."""

from demur.adapters.litestar.bridges import jwt_auth, session, session_auth, user
from demur.adapters.litestar.plugin import Demur, Principal, principal

__all__ = ["Demur", "Principal", "jwt_auth", "principal", "session", "session_auth", "user"]
