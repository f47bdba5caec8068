"""Who somebody is by the logins that Litestar has: sessions, on the server or in the cookie, and JSON Web Tokens.

- What Litestar's own middleware has found out is used; where it has not run, or has refused, the bridge looks itself.
- A sign-in that was is told from one that never was. A cookie and a token say when they end, and are believed because
  they are signed; of a session on the server a store of the app's registry remembers until when it was there.
"""

from __future__ import annotations

import hashlib
import time
from base64 import b64decode
from dataclasses import replace
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from litestar.exceptions import NotAuthorizedException

from demur.core.bridged import ended, nobody, unknown
from demur.core.model import Live

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from litestar.connection import ASGIConnection
    from litestar.middleware.session.base import BaseBackendConfig
    from litestar.security.jwt.auth import BaseJWTAuth
    from litestar.security.jwt.token import Token
    from litestar.security.session_auth import SessionAuth

    from demur.core.model import Evidence

    Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]
    Clock: TypeAlias = Callable[[], float]
    Bridge: TypeAlias = Callable[[Connection], Awaitable[Evidence]]
    Who: TypeAlias = Callable[[Any], Evidence | Awaitable[Evidence]]

STORE = "demur"
"""The store in the app's registry that remembers sessions."""
REMEMBERED = 30 * 24 * 60 * 60
"""Seconds for which it does after their end."""
_MOST_NOTED = 10_000


def user(who: Who) -> Bridge:
    """Whoever an authentication middleware of the app has found: `who` is given `connection.user`."""

    async def bridge(connection: Connection) -> Evidence:
        found = connection.scope.get("user")
        return await _settled(who(found)) if found else nobody

    return bridge


def session(config: BaseBackendConfig[Any], who: Who, *, clock: Clock = time.time) -> Bridge:
    """Whoever has signed in to a session of Litestar's: `who` is given what is in it, and says `demur.nobody` if that
    is nobody."""
    return _Sessions(config, lambda data, _: _settled(who(data)), clock)


def session_auth(auth: SessionAuth[Any, Any], who: Who, *, clock: Clock = time.time) -> Bridge:
    """Whoever `SessionAuth` finds: `who` is given the user."""

    async def find(data: dict[str, Any], connection: Connection) -> Evidence:
        found = connection.scope.get("user") or await _settled(auth.retrieve_user_handler(data, connection))
        return await _settled(who(found)) if found else nobody

    return _Sessions(auth.session_backend_config, find, clock)


def jwt_auth(auth: BaseJWTAuth[Any, Any], who: Who, *, clock: Clock = time.time) -> Bridge:
    """Whoever `JWTAuth`, `JWTCookieAuth` or `OAuth2PasswordBearerAuth` finds: `who` is given the user. When the token
    was made is when they signed in."""

    async def bridge(connection: Connection) -> Evidence:
        sent = _token(auth, connection)
        if not sent:
            return nobody
        try:
            token = auth.token_cls.decode(
                sent,
                auth.token_secret,
                auth.algorithm,
                audience=auth.accepted_audiences,
                issuer=auth.accepted_issuers,
                require_claims=auth.require_claims,
                verify_exp=False,
                verify_nbf=auth.verify_not_before,
                strict_audience=auth.strict_audience,
            )
        except NotAuthorizedException:
            return unknown
        if auth.verify_expiry and token.exp.timestamp() <= clock():
            return ended("expired", token.exp.timestamp())
        if auth.revoked_token_handler and await _settled(auth.revoked_token_handler(token, connection)):
            return ended("revoked", clock())
        found = connection.scope.get("user") or await _settled(auth.retrieve_user_handler(token, connection))
        return _dated(await _settled(who(found)), token) if found else unknown

    return bridge


def _token(auth: BaseJWTAuth[Any, Any], connection: Connection) -> str:
    """The token where Litestar looks for it: in the field, else in the cookie of `JWTCookieAuth`."""
    sent = connection.headers.get(auth.auth_header, "").partition(" ")[2]
    key = getattr(auth, "key", None)
    return sent or (connection.cookies.get(key, "").split(" ")[-1] if key else "")


def _dated(said: Evidence, token: Token) -> Evidence:
    if not isinstance(said, Live):
        return said
    since, until = int(token.iat.timestamp()), int(token.exp.timestamp())
    signed_in = said.session.authenticated_at or since
    return replace(
        said,
        session=replace(said.session, issued_at=since, authenticated_at=signed_in, last_seen=since, expires_at=until),
    )


class _Sessions:
    """Litestar's sessions. `find` says who has one, by what is in it."""

    def __init__(
        self,
        config: BaseBackendConfig[Any],
        find: Callable[[dict[str, Any], Connection], Awaitable[Evidence]],
        clock: Clock,
    ) -> None:
        self._config = config
        self._backend: Any = config.middleware.kwargs["backend"]
        self._find = find
        self._clock = clock
        self._noted: dict[str, float] = {}

    async def __call__(self, connection: Connection) -> Evidence:
        """Who it is, by the session that this comes with."""
        data = connection.scope.get("session")
        if not isinstance(data, dict):
            data = await self._backend.load_from_connection(connection)
        if not data:
            return await self._without(connection)
        said = await self._find(data, connection)
        if isinstance(said, Live) and self._on_server:
            await self._note(connection)
        return said

    @property
    def _on_server(self) -> bool:
        return hasattr(self._config, "get_store_from_app")

    async def _without(self, connection: Connection) -> Evidence:
        """Why there is no session, or nothing in it. Litestar writes "null" where it takes a cookie away."""
        if self._on_server:
            key = connection.cookies.get(self._config.key, "null")
            return nobody if key == "null" else await self._remembered(connection, key)
        sent = [connection.cookies[key] for key in self._backend.get_cookie_keys(connection)]
        return self._read("".join(sent)) if sent and sent != ["null"] else nobody

    def _read(self, sent: str) -> Evidence:
        """A cookie that Litestar takes for no session: over, if it is one of ours, or empty."""
        from litestar.middleware.session import client_side as ours  # noqa: PLC0415 - it needs cryptography
        from litestar.serialization import decode_json  # noqa: PLC0415

        try:
            decoded = b64decode(sent)
            content, _, signed = decoded.partition(ours.AAD)
            nonce, sealed = content[: ours.NONCE_SIZE], content[ours.NONCE_SIZE :]
            self._backend.aesgcm.decrypt(nonce, sealed, associated_data=signed)
            until = decode_json(signed)["expires_at"]
        except Exception:  # noqa: BLE001 - whatever it is, Litestar did not make it
            return unknown
        return ended("expired", until) if until <= self._clock() else nobody

    # --- on the server --------------------------------------------------------------------------------

    async def _note(self, connection: Connection) -> None:
        """Remember that a session was there, now and then. Each answer of Litestar's prolongs it."""
        key, now = _hidden(connection.cookies.get(self._config.key, "")), self._clock()
        if now - self._noted.get(key, 0) < self._config.max_age / 10:
            return
        if len(self._noted) >= _MOST_NOTED:
            self._noted.clear()
        self._noted[key] = now
        store = connection.app.stores.get(STORE)
        await store.set(key, str(int(now)), expires_in=self._config.max_age + REMEMBERED)

    async def _remembered(self, connection: Connection, key: str) -> Evidence:
        if await self._backend.get(key, store=self._backend.config.get_store_from_app(connection.app)) is not None:
            return nobody  # a session in which nobody has signed in
        seen = await connection.app.stores.get(STORE).get(_hidden(key))
        if seen is None:
            return unknown
        over, now = int(seen) + self._config.max_age, self._clock()
        return ended("idle", over) if over <= now else ended("ended", now)


def _hidden(key: str) -> str:
    """The name under which a session is remembered: it is no good as one."""
    return hashlib.sha256(key.encode()).hexdigest()


async def _settled(said: Any) -> Any:  # noqa: ANN401 - whatever an app's function says
    return await said if isawaitable(said) else said
