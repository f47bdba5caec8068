"""Litestar: a plugin, `Litestar(..., plugins=[Demur(bridge=...)])`, and bridges for the logins that Litestar has."""

from demur.adapters.litestar.bridge import user
from demur.adapters.litestar.plugin import Anybody, Demur, Principal
from demur.adapters.litestar.sessions import session, session_auth
from demur.adapters.litestar.tokens import jwt_auth

__all__ = ["Anybody", "Demur", "Principal", "jwt_auth", "session", "session_auth", "user"]
