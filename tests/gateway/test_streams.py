"""What stays open ends on real sockets: through the built-in proxy, and through the middleware under uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from tests.core.support import make_site
from tests.gateway.conftest import shut
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from demur import stores
from demur.adapters import asgi
from demur.adapters.asgi import Demur, streams
from demur.core import page
from demur.core.model import Actor, Ending, Session, StoreUnavailable, Subject
from demur.core.sessions import identify, mint
from demur.gateway.proxy.forward import Proxy
from demur.guard import Guard
from demur.pages.router import Pages
from demur.stores.keys import MemoryKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

SITE = make_site()
BO = Subject("0192-bo", "bo", frozenset(("staff",)))
HOST = "app.example.com"
PLENTY = 20
"""Seconds that nothing takes; only a test that fails waits for so long."""


class Chat:
    """A site that holds WebSockets and streams of events open, and knows how they ended. As an ASGI app."""

    def __init__(self) -> None:
        self.ended: asyncio.Queue[Any] = asyncio.Queue()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": "hello"})
            message = await receive()
            await self.ended.put((message["code"], message["reason"]))
            return
        kind = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        await send({"type": "http.response.body", "body": b"data: hello\n\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        await self.ended.put(None)


async def websockets_site(ended: asyncio.Queue[Any], connection: ServerConnection) -> None:
    """The same as a WebSocket server of its own."""
    await connection.send("hello")
    await connection.wait_closed()
    await ended.put((connection.close_code, connection.close_reason))


@dataclass
class Surface:
    """A site behind demur. `ended` tells what the site saw of the end."""

    port: int
    store: Any
    cookie: str
    ended: asyncio.Queue[Any]

    def connect(self, cookie: str | None = None, **fields: str) -> Any:
        """A browser's WebSocket."""
        lines = {"Cookie": self.cookie if cookie is None else cookie, "Origin": f"https://{HOST}", **fields}
        return connect(f"ws://{HOST}/members/", host="127.0.0.1", port=self.port, additional_headers=lines)

    async def events(self, cookie: str | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A browser's EventSource, as far as the head of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**26)
        writer.write(
            f"GET /members/ HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/event-stream\r\nCache-Control: no-store\r\n"
            f"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n"
            f"Cookie: {self.cookie if cookie is None else cookie}\r\n\r\n".encode()
        )
        return reader, writer

    async def end(self) -> None:
        """Sign the person out everywhere."""
        await self.store.end_all(BO.id, Ending.ENDED, Actor.SELF, 1_900_000_000)


class Away:
    """A store that cannot be asked."""

    async def load(self, ids: Any) -> Any:
        raise StoreUnavailable("away", 7)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Callable[[Any], Awaitable[tuple[Demur, Any, str]]]]:
    """Put demur before an app; the middleware, another process's view of the store, and somebody's cookie."""
    file = f"sqlite:{tmp_path}/sessions.db"
    mine, others = stores.open(file), stores.open(file)

    async def make(app: Any) -> tuple[Demur, Any, str]:
        keys = MemoryKeys()
        guard = Guard(SITE, mine, keys)
        token = mint(b"r" * 32, keys.ring().current)
        now = int(guard.clock())
        await others.issue(Session(identify(token), BO.id, now, now, now, now + 86400, idle=3600), BO)
        return (
            Demur(app, asgi.Surface(guard, Pages(guard, page.DEFAULT, {}), page.DEFAULT)),
            others,
            f"__Host-demur={token}",
        )

    yield make
    await mine.aclose()
    await others.aclose()


@contextlib.asynccontextmanager
async def under_uvicorn(app: Any) -> AsyncIterator[int]:
    """Serve an app as people do; the port."""
    sock = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws="websockets-sansio", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve(sockets=[sock]))
    yield sock.getsockname()[1]
    server.should_exit = True
    await task
    sock.close()


@pytest.fixture(params=["middleware", "proxy"])
async def surface(request: pytest.FixtureRequest, guarded: Any, front: Any, site: Any) -> AsyncIterator[Surface]:
    """The site behind each of the two surfaces on which what is open can be told why it ends."""
    ended: asyncio.Queue[Any]
    if request.param == "middleware":
        chat = Chat()
        demur, store, cookie = await guarded(chat)
        async with under_uvicorn(demur) as port:
            yield Surface(port, store, cookie, chat.ended)
        return
    ended = asyncio.Queue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"d\r\ndata: hello\n\n\r\n")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        await ended.put(None)

    behind = await site(answer)
    async with serve(lambda connection: websockets_site(ended, connection), "127.0.0.1", 0) as peer:
        chats = Proxy(f"http://127.0.0.1:{next(iter(peer.sockets)).getsockname()[1]}")
        news = Proxy(behind.url)

        async def either(scope: Any, receive: Any, send: Any) -> None:
            await (chats if scope["type"] == "websocket" else news)(scope, receive, send)

        demur, store, cookie = await guarded(either)
        before = await front(demur)
        yield Surface(before.port, store, cookie, ended)
        await chats.aclose()
        await news.aclose()


async def test_a_websocket_is_closed_with_the_reason(surface: Surface) -> None:
    """Whoever is signed out elsewhere is told so on an open WebSocket, and so is the site."""
    async with surface.connect() as client:
        assert await client.recv() == "hello"
        await surface.end()
        async with asyncio.timeout(PLENTY):
            with pytest.raises(ConnectionClosed):
                await client.recv()
        assert (client.close_code, client.close_reason) == (3000, "session-ended")
        async with asyncio.timeout(PLENTY):
            assert await surface.ended.get() == (3000, "session-ended")


async def test_a_stream_of_events_ends_with_the_problem(surface: Surface) -> None:
    """The last event says why; then the answer ends as HTTP wants it, and the site's end is closed, too."""
    reader, writer = await surface.events()
    async with asyncio.timeout(PLENTY):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        assert await reader.readuntil(b"hello\n\n\r\n") == b"d\r\ndata: hello\n\n\r\n"
        await surface.end()
        size = int(await reader.readline(), 16)
        event = await reader.readexactly(size)
        assert await reader.readexactly(7) == b"\r\n0\r\n\r\n"
        assert await surface.ended.get() is None
    name, data, *rest = event.split(b"\n")
    assert (name, rest) == (b"event: demur", [b"", b""])
    problem = json.loads(data.removeprefix(b"data: "))
    assert (problem["reason"], problem["status"], problem["sign_in"]) == ("session-ended", 401, "/.demur/sign-in")
    await shut(writer)


@pytest.mark.parametrize(
    ("cookie", "origin", "away", "status", "reason"),
    [
        ("", f"https://{HOST}", False, 401, "sign-in-required"),
        ("__Host-demur=x", f"https://{HOST}", False, 401, "credentials-invalid"),
        (None, "https://evil.example", False, 403, "cross-site-refused"),
        (None, f"https://{HOST}", True, 503, "unavailable"),
    ],
)
async def test_a_refused_handshake(
    surface: Surface,
    monkeypatch: pytest.MonkeyPatch,
    cookie: str | None,
    origin: str,
    away: bool,
    status: int,
    reason: str,
) -> None:
    """A handshake that is refused has the same answer as any request: status, challenge, problem, `Retry-After`."""
    if away:
        monkeypatch.setattr(stores.sqlite.SQLiteStore, "load", Away.load)
    with pytest.raises(InvalidStatus) as raised:
        await surface.connect(cookie, Origin=origin)
    answer = raised.value.response
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.body is not None
    assert json.loads(answer.body)["reason"] == reason
    challenges = answer.headers.get_all("www-authenticate")
    assert len(challenges) == (status == 401)
    assert all(challenge.startswith("Cookie realm=") for challenge in challenges)
    assert answer.headers.get("retry-after") == ("7" if away else None)
    assert answer.headers["demur-processed"] == "?0"


async def test_refused_events(surface: Surface) -> None:
    """An EventSource gets the problem, though it asks for events only: any answer is better than 406."""
    reader, writer = await surface.events("")
    async with asyncio.timeout(PLENTY):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 401 ")
        assert b"\r\ncontent-type: application/problem+json\r\n" in head.lower()
        assert b"\r\nwww-authenticate: Cookie " in head
        assert b'"reason":"sign-in-required"' in await reader.readuntil(b"}")
    await shut(writer)


# --- through the middleware only ------------------------------------------------------------------


async def _for_ever() -> AsyncIterator[bytes]:
    while True:
        yield b"data: hello\n\n"
        await asyncio.sleep(0)


async def test_a_framework_takes_it_for_a_client_that_left(guarded: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An app in a framework, which only sends and never listens, ends quietly."""
    applications = pytest.importorskip("starlette.applications")
    responses = pytest.importorskip("starlette.responses")
    routing = pytest.importorskip("starlette.routing")
    left: asyncio.Queue[str] = asyncio.Queue()

    async def chat(websocket: Any) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text("hello")
                await asyncio.sleep(0)
        finally:
            await left.put("chat")

    async def news(request: Any) -> Any:
        return responses.StreamingResponse(_for_ever(), media_type="text/event-stream")

    routes = [routing.WebSocketRoute("/members/", chat), routing.Route("/members/", news)]
    demur, store, cookie = await guarded(applications.Starlette(routes=routes))
    async with under_uvicorn(demur) as port, asyncio.timeout(PLENTY):
        surface = Surface(port, store, cookie, left)
        reader, writer = await surface.events()
        async with surface.connect() as client:
            await surface.end()
            assert await _all_of(client) <= {"hello"}
            assert client.close_code == 3000
        assert await left.get() == "chat"
        assert (await reader.readuntil(b"\r\n0\r\n\r\n")).count(b"event: demur\n") == 1
        await shut(writer)
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR", "CRITICAL"}] == []


# --- through the proxy only -----------------------------------------------------------------------


@pytest.fixture
async def tunnel(guarded: Any, front: Any) -> AsyncIterator[Callable[..., Awaitable[Surface]]]:
    """A WebSocket server behind the built-in proxy."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(handler: Callable[[ServerConnection], Awaitable[None]], **options: Any) -> Surface:
            peer = await stack.enter_async_context(serve(handler, "127.0.0.1", 0, **options))
            proxy = Proxy(f"http://127.0.0.1:{next(iter(peer.sockets)).getsockname()[1]}")
            stack.push_async_callback(proxy.aclose)
            demur, store, cookie = await guarded(proxy)
            return Surface((await front(demur)).port, store, cookie, asyncio.Queue())

        yield start


async def test_a_message_that_the_site_has_begun(tunnel: Any) -> None:
    """A message of which the site has sent a part only does not keep the WebSocket open, and nothing of it arrives."""
    begun = asyncio.Event()
    ended: asyncio.Queue[Any] = asyncio.Queue()

    async def handler(connection: ServerConnection) -> None:
        await connection.send("whole")
        connection.transport.write(Frame(Opcode.TEXT, b"a part", fin=False).serialize(mask=False))
        begun.set()
        await connection.wait_closed()
        await ended.put((connection.close_code, connection.close_reason))

    surface = await tunnel(handler)
    async with surface.connect() as client:
        assert await client.recv() == "whole"
        await begun.wait()
        await surface.end()
        async with asyncio.timeout(PLENTY):
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert (client.close_code, client.close_reason) == (3000, "session-ended")
            assert await ended.get() == (3000, "session-ended")


async def test_a_site_that_never_stops(tunnel: Any) -> None:
    """A site that sends without listening is closed all the same, and the client gets whole messages until the end."""
    ended: asyncio.Queue[Any] = asyncio.Queue()

    async def handler(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await connection.send("x" * 1000)
        await ended.put(connection.close_code)

    surface = await tunnel(handler)
    async with surface.connect() as client:
        assert await client.recv() == "x" * 1000
        await surface.end()
        async with asyncio.timeout(PLENTY):
            assert await _all_of(client) <= {"x" * 1000}
            assert client.close_code == 3000
            assert await ended.get() == 3000


async def test_a_site_that_does_not_read(tunnel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site that reads nothing does not keep what has ended: its connection is closed after a moment."""
    monkeypatch.setattr("demur.gateway.proxy.tunnel._GOODBYE", 0.01)
    lost = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await connection.send("hello")
        while not connection.transport.is_closing():
            connection.transport.write(Frame(Opcode.PING, b"").serialize(mask=False))
            await asyncio.sleep(0)
        lost.set()

    surface = await tunnel(handler)
    async with surface.connect() as client:
        assert await client.recv() == "hello"
        sending = asyncio.create_task(_send_for_ever(client))
        async with asyncio.timeout(PLENTY):
            while client.transport.get_write_buffer_size() == 0:
                await asyncio.sleep(0)  # until nobody on the way takes any more
            await surface.end()
            await lost.wait()
            await sending
        assert client.close_code == 3000


async def _all_of(client: Any) -> set[Any]:
    seen = set()
    with contextlib.suppress(ConnectionClosed):
        async for message in client:
            seen.add(message)
    return seen


async def _send_for_ever(client: Any) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await client.send(b"x" * 100_000)


async def test_a_client_that_does_not_read(tunnel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that reads nothing does not keep what has ended: its connection is broken off."""
    monkeypatch.setattr(streams, "UNREAD", 0.05)
    ended = asyncio.Event()
    behind: list[ServerConnection] = []

    async def handler(connection: ServerConnection) -> None:
        behind.append(connection)
        with contextlib.suppress(ConnectionClosed):
            while True:
                await connection.send("x" * 100_000)
        ended.set()

    surface = await tunnel(handler)
    async with surface.connect() as client:
        assert len(await client.recv()) == 100_000
        client.transport.pause_reading()
        async with asyncio.timeout(PLENTY):
            while behind[0].transport.get_write_buffer_size() == 0:
                await asyncio.sleep(0)  # until nobody on the way takes any more
            await surface.end()
            await ended.wait()
        client.transport.abort()
