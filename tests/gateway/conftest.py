"""Real sockets on free ports: sites that answer byte for byte what a test wants, and the proxy before them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from demur.core.model import Allow, Request, Subject, UpstreamFailure
from demur.core.reasons import REASONS
from demur.gateway.proxy.forward import Proxy
from demur.gateway.server.serve import Listener, serve

Streams = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def free_socket() -> socket.socket:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


@dataclass
class Site:
    """What stands behind: it keeps the heads that it was sent, and how many connections there were."""

    port: int
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


async def shut(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def read_head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


@pytest.fixture
async def site() -> AsyncIterator[Callable[[Streams | bytes], Awaitable[Site]]]:
    """Start a site: a fixed answer to every request, or a coroutine that is given the streams after each head."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(answer: Streams | bytes) -> Site:
            it = Site(0)

            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                it.connections += 1
                it.tasks.append(task) if (task := asyncio.current_task()) else None
                with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                    while not writer.is_closing():
                        it.heads.append(await read_head(reader))
                        if isinstance(answer, bytes):
                            writer.write(answer)
                        else:
                            await answer(reader, writer)
                await shut(writer)
                it.closed.set()

            server = await asyncio.start_server(handle, "127.0.0.1", 0)
            it.port = server.sockets[0].getsockname()[1]
            stack.push_async_callback(end, it)
            stack.callback(server.close)
            return it

        async def end(it: Site) -> None:
            for task in it.tasks:
                task.cancel()
            await asyncio.gather(*it.tasks)

        yield start


@dataclass
class Front:
    """The server under test."""

    port: int
    stop: asyncio.Event
    task: asyncio.Task[bool]
    errors: list[BaseException] = field(default_factory=list)
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**22, **options)
        self.writers.append(writer)
        return reader, writer

    async def exchange(self, data: bytes) -> bytes:
        """Send bytes, say that this was all, and read all that comes back."""
        reader, writer = await self.connect()
        writer.write(data)
        return await asyncio.wait_for(reader.read(), 20)


@pytest.fixture
async def front() -> AsyncIterator[Callable[..., Awaitable[Front]]]:
    """Serve an ASGI app on a free port of this loop."""
    running: list[Front] = []

    async def start(app: Any, *, tls: Any = None, drain: float = 0.5, share: Any = None, room: int = 0) -> Front:
        sock, stop, ready = free_socket(), asyncio.Event(), asyncio.Event()
        if room:  # of each connection, in the kernel, which would else give more the more is sent
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        port = sock.getsockname()[1]
        draining = asyncio.Event()
        listeners = [Listener(sock, app, tls, share)]
        task = asyncio.create_task(serve(listeners, stop, ready=ready.set, drain=drain, draining=draining.set))
        await ready.wait()
        running.append(it := Front(port, stop, task, draining=draining))
        return it

    yield start
    for it in running:
        for writer in it.writers:
            await shut(writer)
        it.stop.set()
        await it.task


def passed(scope: dict[str, Any], subject: Subject | None = None, peer: str = "192.0.2.7") -> Any:
    """What the middleware puts beside a request that it allows."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1").lower()
    scheme = scope["scheme"].replace("ws", "http", 1)
    target = scope["extensions"]["demur.target"]["raw"]
    method = scope.get("method", "GET")
    request = Request(method, target, scheme, host, peer, tuple(scope["headers"]))
    return SimpleNamespace(allow=Allow(subject), request=request, reference="r", site=None)


@pytest.fixture
async def proxied(front: Any) -> AsyncIterator[Callable[..., Awaitable[Front]]]:
    """Serve the proxy before a site, with a stand-in for the middleware that allows everything."""
    proxies: list[Proxy] = []

    async def start(url: str, *, subject: Subject | None = None, drain: float = 0.5, **options: Any) -> Front:
        proxy = Proxy(url, **options)
        proxies.append(proxy)

        async def allowing(scope: Any, receive: Any, send: Any) -> None:
            scope["demur"] = passed(scope, subject)
            try:
                await proxy(scope, receive, send)
            except UpstreamFailure as failure:
                it.errors.append(failure)
                status = REASONS[failure.reason].status
                kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
                fields = [(b"content-length", b"0"), (b"connection", b"close")]
                await send({"type": f"{kind}.start", "status": status, "headers": fields})
                await send({"type": f"{kind}.body", "body": b""})

        it: Front = await front(allowing, drain=drain)
        return it

    yield start
    for proxy in proxies:
        await proxy.aclose()
