"""Who somebody is by Litestar's sessions, on the server or in the cookie, and why they are not any more.

- A session in the cookie says when it ends, and is believed because it is encrypted by the app.
- Of one on the server a store of the app's registry remembers until when it was there, by a name that is no session.
"""

from __future__ import annotations

import hashlib
import time
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from litestar.exceptions import NotAuthorizedException

from demur.adapters.litestar.bridge import settled
from demur.core.bridged import ended, nobody, unknown
from demur.core.model import Live

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from litestar.middleware.session.base import BaseBackendConfig
    from litestar.security.session_auth import SessionAuth, SessionAuthMiddleware

    from demur.adapters.litestar.bridge import Bridge, Clock, Connection, Who
    from demur.core.model import Evidence

STORE = "demur"
"""The store in the app's registry that remembers sessions."""
REMEMBERED = 30 * 24 * 60 * 60
"""Seconds for which it does after their end."""
_MOST_NOTED = 10_000
_ASKED = "demur.session"
_NOBODY = "nobody"


def session(config: BaseBackendConfig[Any], who: Who, *, clock: Clock = time.time) -> Bridge:
    """Whoever has signed in to a session of Litestar's: `who` is given what is in it, and says `demur.nobody` if that
    is nobody."""
    return _Sessions(config, lambda data, _: settled(who(data)), clock)


def session_auth(auth: SessionAuth[Any, Any], who: Who, *, clock: Clock = time.time) -> Bridge:
    """Whoever `SessionAuth` finds: `who` is given the user."""

    async def find(data: dict[str, Any], connection: Connection) -> Evidence:
        found = connection.scope.get("user") or await settled(auth.retrieve_user_handler(data, connection))
        return await settled(who(found)) if found else nobody

    bridge = _Sessions(auth.session_backend_config, find, clock)
    auth.authentication_middleware_class = _asking_first(auth.authentication_middleware_class, bridge)
    return bridge


def _asking_first(kind: type[SessionAuthMiddleware], bridge: _Sessions) -> type[SessionAuthMiddleware]:
    """Litestar forgets a session before it says that nobody has signed in to it; so what it was is asked first."""

    class Asking(kind):  # type: ignore[valid-type, misc]
        async def authenticate_request(self, connection: Connection) -> Any:  # noqa: ANN401 - Litestar's
            try:
                return await super().authenticate_request(connection)
            except NotAuthorizedException:
                connection.scope[_ASKED] = await bridge.without(connection)  # type: ignore[literal-required]
                raise

    return Asking


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
        asked: Evidence | None = connection.scope.get(_ASKED)  # type: ignore[assignment]
        if asked is not None:
            return asked
        data = connection.scope.get("session")
        if not isinstance(data, dict):
            data = await self._backend.load_from_connection(connection)
        if not data:
            return await self.without(connection)
        said = await self._find(data, connection)
        if isinstance(said, Live) and self._on_server:
            await self._note(connection)
        return said

    @property
    def _on_server(self) -> bool:
        return hasattr(self._config, "get_store_from_app")

    async def without(self, connection: Connection) -> Evidence:
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
        await store.set(key, f"seen {int(now)}", expires_in=self._config.max_age + REMEMBERED)

    async def _remembered(self, connection: Connection, key: str) -> Evidence:
        """What became of a session in which nobody is signed in. Litestar gives one to whoever comes by."""
        name, store, now = _hidden(key), connection.app.stores.get(STORE), self._clock()
        is_there = (
            await self._backend.get(key, store=self._backend.config.get_store_from_app(connection.app)) is not None
        )
        how, _, at = (await store.get(name) or b"").decode().partition(" ")
        if is_there and how in {"", "seen"}:
            # Litestar takes it away from whoever is refused, who goes on sending its name.
            how, at = _NOBODY, "0"
            await store.set(name, f"{how} {at}", expires_in=self._config.max_age)
        if how in {"", _NOBODY}:
            return nobody if how else unknown
        if how == "seen":
            over = int(at) + self._config.max_age
            how, at = ("idle", str(over)) if over <= now else ("ended", str(int(now)))
            self._noted.pop(name, None)
            await store.set(name, f"{how} {at}", expires_in=REMEMBERED)
        return ended(how, int(at))


def _hidden(key: str) -> str:
    """The name under which a session is remembered: it is no good as one."""
    return hashlib.sha256(key.encode()).hexdigest()
