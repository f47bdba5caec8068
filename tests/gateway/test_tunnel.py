"""WebSockets through the proxy, between a real client and a real server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from demur.core.model import Subject
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@pytest.fixture
async def peer() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Start a WebSocket server; its address."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(handler: Callable[[ServerConnection], Awaitable[None]], **options: Any) -> str:
            server = await stack.enter_async_context(serve(handler, "127.0.0.1", 0, **options))
            return f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"

        yield start


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def test_messages_go_both_ways(peer: Any, proxied: Any) -> None:
    """Text stays text and bytes stay bytes, empty and large ones too, in their order."""
    before = await proxied(await peer(echo, max_size=None))
    messages: list[str | bytes] = ["hé", b"\x00\xff", "", b"", "x" * 300_000, b"y" * 2_000_000, "end"]
    async with connect(f"ws://127.0.0.1:{before.port}/chat?x=%2f", max_size=None) as client:
        for message in messages:
            await client.send(message)
        for message in messages:
            assert await asyncio.wait_for(client.recv(), 10) == message


async def test_fragments_are_one_message(peer: Any, proxied: Any) -> None:
    """A message in pieces arrives whole."""

    async def handler(connection: ServerConnection) -> None:
        async def pieces() -> AsyncIterator[str]:
            for piece in ("a", "b", "c"):
                yield piece

        await connection.send(pieces())
        await connection.wait_closed()

    before = await proxied(await peer(handler))
    async with connect(f"ws://127.0.0.1:{before.port}/") as client:
        assert await asyncio.wait_for(client.recv(), 20) == "abc"


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "bye"), (4000, "own"), (1011, "broken")])
async def test_the_site_ends_it(peer: Any, proxied: Any, code: int, reason: str) -> None:
    """The site's close code and reason reach the client."""

    async def handler(connection: ServerConnection) -> None:
        await connection.close(code, reason)

    before = await proxied(await peer(handler))
    async with connect(f"ws://127.0.0.1:{before.port}/") as client:
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(client.recv(), 20)
        assert (client.close_code, client.close_reason) == (code, reason)


@pytest.mark.parametrize(("code", "reason"), [(1000, "done"), (4001, "own")])
async def test_the_client_ends_it(peer: Any, proxied: Any, code: int, reason: str) -> None:
    """The client's close code and reason reach the site."""
    seen: asyncio.Queue[tuple[int | None, str | None]] = asyncio.Queue()

    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()
        await seen.put((connection.close_code, connection.close_reason))

    before = await proxied(await peer(handler))
    async with connect(f"ws://127.0.0.1:{before.port}/") as client:
        await client.close(code, reason)
    assert await asyncio.wait_for(seen.get(), 20) == (code, reason)


async def test_a_site_that_vanishes(peer: Any, proxied: Any) -> None:
    """A site that breaks the connection off is told to the client as a bad gateway (1014)."""

    async def handler(connection: ServerConnection) -> None:
        connection.transport.abort()

    before = await proxied(await peer(handler))
    async with connect(f"ws://127.0.0.1:{before.port}/") as client:
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(client.recv(), 20)
        assert client.close_code == 1014


async def test_a_client_that_vanishes(peer: Any, proxied: Any) -> None:
    """A client that breaks the connection off ends the site's."""
    ended = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()
        ended.set()

    before = await proxied(await peer(handler))
    client = await connect(f"ws://127.0.0.1:{before.port}/")
    client.transport.abort()
    await asyncio.wait_for(ended.wait(), 20)
    await client.wait_closed()


async def test_the_handshake_is_passed_on(peer: Any, proxied: Any) -> None:
    """Target, fields, subprotocols and who it is reach the site; its choice and its fields reach the client."""
    seen: list[Any] = []

    def answering(connection: ServerConnection, request: Any, response: Any) -> None:
        seen.append(request)
        response.headers["Set-Cookie"] = "a=1"

    before = await proxied(
        await peer(echo, subprotocols=["chat.v2"], process_response=answering), subject=Subject("0190", "ada")
    )
    async with connect(
        f"ws://127.0.0.1:{before.port}/a%2fb?c",
        subprotocols=["chat.v1", "chat.v2"],  # type: ignore[list-item]
        additional_headers={"Remote-User": "root", "Cookie": "k=" + "v" * 5000, "Origin": "http://app.example"},
    ) as client:
        assert client.subprotocol == "chat.v2"
        assert client.response is not None
        assert client.response.headers["Set-Cookie"] == "a=1"
    request = seen[0]
    assert request.path == "/a%2fb?c"
    assert request.headers.get_all("Remote-User") == ["ada"]
    assert request.headers["Origin"] == "http://app.example"
    assert len(request.headers["Cookie"]) == 5002
    assert "Sec-WebSocket-Extensions" not in request.headers


async def test_a_refused_handshake_is_an_answer(peer: Any, proxied: Any) -> None:
    """What the site says instead of 101 reaches the client: status, fields and content."""

    def refusing(connection: ServerConnection, request: Any) -> Any:
        response = connection.respond(403, "not you\n")
        response.headers["X-Why"] = "because"
        return response

    before = await proxied(await peer(echo, process_request=refusing))
    with pytest.raises(InvalidStatus) as raised:
        await connect(f"ws://127.0.0.1:{before.port}/")
    answer = raised.value.response
    assert (answer.status_code, answer.body, answer.headers["X-Why"]) == (403, b"not you\n", "because")


async def test_a_site_that_speaks_no_websocket(site: Any, proxied: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An ordinary answer to a handshake is passed on as one, and quietly; a head of 20 kB is none too large."""
    behind = await site(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    before = await proxied(behind.url)
    with pytest.raises(InvalidStatus) as raised:
        await connect(f"ws://127.0.0.1:{before.port}/", additional_headers={"Cookie": "a" * 20_000})
    assert (raised.value.response.status_code, raised.value.response.body) == (200, b"ok")
    assert b"a" * 20_000 in behind.heads[0]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
        b"HTTP/1.1 101 S\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n",
        b"",
    ],
)
async def test_a_wrong_yes_is_no_answer(site: Any, proxied: Any, answer: bytes) -> None:
    """A handshake that the site did not complete as RFC 6455 wants it is upstream-unreachable."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    behind = await site(handle)
    before = await proxied(behind.url)
    with pytest.raises(InvalidStatus) as raised:
        await connect(f"ws://127.0.0.1:{before.port}/")
    assert raised.value.response.status_code == 502
    assert before.errors[0].reason is Reason.UPSTREAM_UNREACHABLE


async def test_pings_are_answered(peer: Any, proxied: Any) -> None:
    """Both sides get a pong for their ping while the tunnel is open."""
    answered = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        await (await connection.ping())
        answered.set()
        await connection.wait_closed()

    before = await proxied(await peer(handler))
    async with connect(f"ws://127.0.0.1:{before.port}/") as client:
        await asyncio.wait_for(await client.ping(), 20)
        await asyncio.wait_for(answered.wait(), 20)


async def test_the_end_of_the_server_is_told(peer: Any, proxied: Any) -> None:
    """When the gateway ends, an open WebSocket is closed with 1012, service restart."""
    before = await proxied(await peer(echo), drain=5)
    async with connect(f"ws://127.0.0.1:{before.port}/") as client:
        await client.send("x")
        assert await client.recv() == "x"
        before.stop.set()
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(client.recv(), 20)
        assert client.close_code == 1012
    assert await before.task
