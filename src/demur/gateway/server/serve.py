"""The server: several listeners in one event loop, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from uvicorn.config import Config

from demur.core.model import ConfigError
from demur.gateway.server.crowd import Crowd, room
from demur.gateway.server.sockets import LastOnes
from demur.gateway.server.websocket import WebSocket
from demur.gateway.server.wire import Http, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from demur.gateway.server.crowd import Share


# Longer than nginx's own limit for idle connections to us (60 s): whoever closes first loses no request.
_IDLE_SECONDS: Final = 75
_MESSAGE_LIMIT: Final = 16 * 1024 * 1024

Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
App: TypeAlias = Callable[[Event, Receive, Send], Awaitable[None]]


class Serving(Protocol):
    """A listener at work, from its start to its end."""

    async def start(self) -> None: ...
    async def end(self, seconds: float) -> bool: ...


class Serves(Protocol):
    """What can be served: a `Listener`, or one of another protocol."""

    def serving(self) -> Serving: ...


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound socket, the ASGI app that answers there, the TLS context if it speaks TLS, and how many connections one
    address may hold (None: as many as there are)."""

    socket: socket.socket
    app: App
    tls: ssl.SSLContext | None = None
    share: Share | None = None

    def serving(self) -> Serving:
        """It at work."""
        return _Server(self)


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or later, HTTP/1.1, with that certificate chain and key (PEM). Raises `ConfigError`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    for path in (certificate, key):
        try:
            path.open("rb").close()
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be read: {error.strerror}.",
                place="gateway.tls",
                fix="Name a PEM file that the user who runs demur may read.",
            ) from None
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConfigError(
            f"{certificate} and {key} cannot be used: {reason}.",
            place="gateway.tls",
            fix="Name the certificate with its chain, and the private key that belongs to it, without a password.",
        ) from None
    return context


async def serve(
    listeners: Sequence[Serves],
    stop: asyncio.Event,
    *,
    ready: Callable[[], None] = lambda: None,
    drain: float = 30.0,
    draining: Callable[[], None] = lambda: None,
) -> bool:
    """Serve until `stop` is set, then let what runs come to its end, for at most `drain` seconds.

    `ready` is called once connections are accepted, `draining` once they no longer are. Whether everything came to
    its end by itself.
    """
    servers = [listener.serving() for listener in listeners]
    for server in servers:
        await server.start()
    ready()
    await stop.wait()
    draining()
    clean = await asyncio.gather(*(server.end(drain) for server in servers))
    return all(clean)


class _Server:
    """One listener at work."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._state = State(Crowd(room(resource.getrlimit(resource.RLIMIT_NOFILE)[0]), listener.share))
        self._config = Config(
            quiet(listener.app),
            http=Http,
            ws=WebSocket,
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            date_header=False,
            log_config=None,
            access_log=False,
            timeout_keep_alive=_IDLE_SECONDS,
            ws_max_size=_MESSAGE_LIMIT,
            # Compressing would take the event loop's time and up to 100 kB for each connection.
            ws_per_message_deflate=False,
        )
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        self._config.load()
        unix = self._listener.socket.family == socket.AF_UNIX
        create = loop.create_unix_server if unix else loop.create_server
        self._server = await create(self._made, sock=self._listener.socket, backlog=2048, **self._tls())

    def _made(self) -> Http:
        return Http(self._config, self._state, {}, asyncio.get_running_loop())

    def _tls(self) -> dict[str, Any]:
        if self._listener.tls is None:
            return {}
        return {"ssl": self._listener.tls, "ssl_handshake_timeout": 10.0, "ssl_shutdown_timeout": 5.0}

    async def end(self, seconds: float) -> bool:
        """Accept nothing more, and wait until everybody has been served; break off what takes longer."""
        self._state.draining = True
        late = self._close()
        for connection in list(self._state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*late, return_exceptions=True)
                await self._empty()
        except TimeoutError:
            pass
        else:
            return True
        for connection in list(self._state.connections):
            connection.abort() if isinstance(connection, Http) else connection.transport.abort()
        for task in list(self._state.tasks):
            task.cancel("the time to finish is over")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._empty()
        return False

    def _close(self) -> list[asyncio.Task[Any]]:
        """Let nobody in any more but those who have come already."""
        if self._server is None:
            return []
        last, loop = LastOnes(self._listener.socket), asyncio.get_running_loop()
        self._server.close()
        return [
            loop.create_task(loop.connect_accepted_socket(self._made, connection, **self._tls()))
            for connection in last.taken()
        ]

    async def _empty(self) -> None:
        await asyncio.sleep(0.01)  # a connection that was accepted a moment ago may be on its way to its protocol
        while self._state.connections or self._state.tasks:  # noqa: ASYNC110 - uvicorn keeps both, and tells nobody
            await asyncio.sleep(0.05)


def quiet(app: App) -> App:
    """Cancelled is who did not finish in time; the connection is broken off already, and the rest is noise."""

    async def outermost(scope: Event, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            return

    return outermost
