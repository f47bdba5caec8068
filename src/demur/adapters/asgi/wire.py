"""Requests out of ASGI scopes, and whole answers of ours into ASGI messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from demur.core import fields
from demur.core.model import Request

if TYPE_CHECKING:
    from demur.core.model import Fields, Response

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_DROPPED = 64 * 1024 * 1024
"""Bytes of a refused request's body that are read and dropped."""
LONGEST_DROP = 30.0
"""Seconds for which that goes on."""


def read(scope: Scope) -> Request:
    """The facts of a request in an ASGI scope. The host is "" unless there is exactly one, and it is valid."""
    given = str(scope["scheme"])
    scheme = {"ws": "http", "wss": "https"}.get(given, given)
    lines: Fields = tuple([(bytes(name), bytes(value)) for name, value in scope["headers"]])
    hosts = [value for name, value in lines if name == b"host"]
    client = scope.get("client")
    return Request(
        method=scope.get("method", "GET"),
        target=target(scope),
        scheme=scheme,
        host=_host(hosts, scheme),
        peer=client[0] if client else "",
        fields=lines,
    )


def target(scope: Scope) -> bytes:
    """The request target: the bytes of the wire where the server gives them, else put together again."""
    raw = scope.get("extensions", {}).get("demur.target")
    if raw is not None:
        return bytes(raw["raw"])
    # What was decoded is encoded again, or a "?" out of a path would begin a query.
    path = bytes(scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=~").encode("ascii"))
    query = bytes(scope["query_string"])
    return path + b"?" + query if query else path


def _host(hosts: list[bytes], scheme: str) -> str:
    if len(hosts) != 1:
        return ""
    try:
        return fields.host(hosts[0], scheme)
    except ValueError:
        return ""


async def answer(
    response: Response, request: Request, scope: Scope, receive: Receive, send: Send, *, drain: bool = True
) -> None:
    """Send a whole response of ours, and read what the client still sends. To a WebSocket handshake it is a denial
    response; a server without that extension can only close (403)."""
    websocket = scope["type"] == "websocket"
    if websocket and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    kind = "websocket.http.response" if websocket else "http.response"
    unread = drain and not websocket and _has_body(request)
    lines = list(response.fields)
    waits = unread and request.value(b"expect") is not None
    if waits or (unread and _length(request) > MOST_DROPPED):
        # With `Expect: 100-continue` the client has not sent the body and must not be asked to (RFC 9110, 10.1.1).
        lines.append((b"connection", b"close"))
    await send({"type": f"{kind}.start", "status": response.status, "headers": lines})
    content = b"" if request.method == "HEAD" else response.body
    await send({"type": f"{kind}.body", "body": content, "more_body": unread and not waits})
    if unread and not waits:
        await drop(receive)
        await send({"type": f"{kind}.body", "body": b"", "more_body": False})


def _has_body(request: Request) -> bool:
    return request.value(b"transfer-encoding") is not None or _length(request) > 0


def _length(request: Request) -> int:
    length = request.value(b"content-length") or b"0"
    return int(length) if length.isdigit() else 0


async def stand_in(scope: Scope, send: Send) -> None:
    """An answer in the place of a view that is refused, where a framework has found it: it does not get out, ours goes
    in its place."""
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    await send({"type": f"{kind}.start", "status": 403, "headers": []})
    await send({"type": f"{kind}.body", "body": b""})


async def nowhere(message: Message) -> None:
    """Where messages go that nobody gets."""


async def drop(receive: Receive) -> None:
    """Read what a client still sends, within bounds, and keep nothing of it."""
    dropped = 0
    try:
        async with asyncio.timeout(LONGEST_DROP):
            while dropped < MOST_DROPPED:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                dropped += len(message.get("body", b""))
    except TimeoutError:
        return


class Upload:
    """What a client sends, and whether that has `ended`: after the last of it there is nothing to receive until the
    client leaves, and waiting for that would keep the next request on this connection waiting too."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False

    async def receive(self) -> Message:
        """The next message."""
        message = await self._receive()
        self.ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message


async def body(receive: Receive, most: int) -> bytes | None:
    """The whole body, or None if it is longer than `most` bytes or breaks off."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def bodiless(receive: Receive) -> Receive:
    """How an app receives a request that has no body for it: once that, and then that its client has left."""
    waiting: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def received() -> Message:
        if waiting:
            return waiting.pop()
        while (message := await receive())["type"] == "http.request":
            pass
        return message

    return received


def without(scope: Scope, names: frozenset[bytes]) -> dict[str, Any]:
    """The scope less the fields of those names."""
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name not in names]}
