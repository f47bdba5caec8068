"""The last moment of a listener: whoever has come is served, and whoever comes later is refused at once."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from demur.core import respond
from demur.gateway.check.listening import Listening
from demur.gateway.server.serve import Listener
from demur.gateway.server.sockets import LastOnes

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.core.model import Request, Response


_ASKED = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


class _Check:
    """Answers every question alike."""

    class short:  # noqa: N801 - an attribute
        told: ClassVar[int] = 0

        @staticmethod
        def answer(_: bytes) -> bytes | None:
            return None

        @staticmethod
        def forget() -> None:
            """Nothing is remembered."""

        @staticmethod
        def tell() -> None:
            """Nothing is noted."""

    @staticmethod
    def at_once(sent: Request, raw: bytes = b"") -> Response:
        return respond.plain(200, b"ok")

    async def answer(self, sent: Request) -> Response:
        return self.at_once(sent)


@pytest.mark.parametrize("made", [lambda sock: Listener(sock, _app), lambda sock: Listening(sock, _Check())])
async def test_whoever_waits_to_be_taken_in_is_served(made: Callable[[socket.socket], Any]) -> None:
    """Connected and sent, and not yet accepted, when the server stops to listen: that is no connection to break off."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    where = listening.getsockname()
    serving = made(listening).serving()
    await serving.start()
    clients = [socket.create_connection(where) for _ in range(3)]
    for client in clients:
        client.sendall(_ASKED)
    # nothing has run since: they are in the kernel's queue
    assert await serving.end(10)
    for client in clients:
        with client:
            client.settimeout(10)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(where).close()


@pytest.mark.parametrize(
    ("made", "leave"),
    [
        (lambda sock: Listener(sock, _app), lambda serving: [each._leave() for each in serving._state.connections]),
        (lambda sock: Listening(sock, _Check()), lambda serving: [each.leave() for each in serving.shared.connections]),
    ],
)
async def test_what_comes_at_the_last_moment_is_answered(
    made: Callable[[socket.socket], Any], leave: Callable[[Any], Any]
) -> None:
    """A request on a connection that was idle, sent just before that is closed: it waits to be read, and is."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    serving = made(listening).serving()
    await serving.start()
    loop = asyncio.get_running_loop()
    with socket.create_connection(listening.getsockname()) as client:
        client.setblocking(False)
        await loop.sock_sendall(client, _ASKED)
        while not (await loop.sock_recv(client, 65536)).endswith(b"ok"):
            pass
        client.send(_ASKED)
        leave(serving)  # in the same turn of the loop: nothing has been read
        while not (said := await loop.sock_recv(client, 65536)).endswith(b"ok"):
            assert said, "it was closed"
        leave(serving)  # nothing has come
        assert await loop.sock_recv(client, 65536) == b""
    assert await serving.end(10)


async def test_an_answer_that_has_begun_says_nothing_of_an_end() -> None:
    """So whoever reads it may ask again on that connection, and is answered; that answer says that it is the last."""
    going, listening = asyncio.Event(), socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        await going.wait()
        await send({"type": "http.response.body", "body": b"k"})

    serving = Listener(listening, slow).serving()
    await serving.start()
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    writer.write(_ASKED)
    first = await reader.readuntil(b"\r\n\r\no")
    assert b"connection: close" not in first
    ending = asyncio.create_task(serving.end(10))
    while not serving._state.draining:  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    going.set()
    assert await reader.readexactly(1) == b"k"
    writer.write(_ASKED)
    second = await asyncio.wait_for(reader.read(), 10)
    assert b"connection: close" in second
    assert second.endswith(b"ok")
    writer.close()
    assert await ending


async def test_nobody_waits() -> None:
    """Then the socket is closed, and that is all."""
    listening = socket.create_server(("127.0.0.1", 0))
    last = LastOnes(listening)
    where = listening.getsockname()
    listening.close()
    assert list(last.taken()) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(where).close()
    await asyncio.sleep(0)
