"""A WebSocket client, as far as the tests of proxies need one (RFC 6455)."""

from __future__ import annotations

import contextlib
import os
from http.client import HTTPResponse
from typing import TYPE_CHECKING

from tests.site.wire import Answer

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from tests.proxies.real import Stand
    from tests.site.wire import Pairs

HANDSHAKE: Pairs = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


@contextlib.contextmanager
def opened(stand: Stand, target: str, *more: tuple[str, str]) -> Iterator[tuple[Answer, socket.socket]]:
    """The answer to a handshake, and the connection, which is a WebSocket if the status is 101."""
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {stand.host}",
        *(f"{name}: {value}" for name, value in [*HANDSHAKE, *more]),
    ]
    with stand.connected() as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        response = HTTPResponse(connection)
        response.begin()
        fields = [(name.lower(), value) for name, value in response.getheaders()]
        body = b"" if response.status == 101 else response.read()
        yield Answer(response.status, fields, body), connection


def say(connection: socket.socket, text: bytes) -> bytes:
    """Send a short text, and read one that comes back."""
    mask = os.urandom(4)
    connection.sendall(
        bytes((0x81, 0x80 | len(text))) + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(text))
    )
    first, size = _exactly(connection, 2)
    assert first == 0x81
    return _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, "the connection ended in the middle of a frame"
        data += piece
    return data
