"""WebSockets through the proxy: messages and close codes both ways, a refused handshake as the answer that it is.

Frames end here on both sides: a message is passed on when it is whole, pings are answered by whoever gets them, and
no extension is agreed on with the site. So whoever ends it on our side does so between two messages, and what the site
had begun to say is dropped.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
from typing import TYPE_CHECKING, Any, Final

from websockets.exceptions import WebSocketException
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side

from demur.core.model import UpstreamFailure
from demur.gateway.proxy.upstream import ClientGone, unreachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from demur.gateway.proxy.upstream import Connection, Head, Upstream

MESSAGE_LIMIT: Final = 16 * 1024 * 1024
"""How many bytes a message may have; more closes the connection (1009)."""

DENIAL_LIMIT: Final = 1024 * 1024
"""How many bytes an answer that refuses a handshake may have."""

_GOODBYE: Final = 5.0
_GOING_AWAY: Final = 1001
_BAD_GATEWAY: Final = 1014
_HANDSHAKE = frozenset(
    {b"connection", b"upgrade", b"sec-websocket-accept", b"sec-websocket-protocol", b"sec-websocket-extensions"}
)
_FRAMING = frozenset({b"connection", b"keep-alive", b"content-length", b"transfer-encoding", b"trailer", b"upgrade"})
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


async def run(
    upstream: Upstream,
    target: bytes,
    fields: list[tuple[bytes, bytes]],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    timeout: float,  # noqa: ASYNC109 - it is for the answer to begin, not for the whole
    gone: Callable[[], Awaitable[Any]] | None = None,
) -> None:
    """Ask the site for a WebSocket, and pass its messages on until one side ends it. `gone` waits for the client's
    end, where the server can tell of it before it is received."""
    await receive()  # websocket.connect
    connection = await upstream.connection(fresh=True)
    key = base64.b64encode(os.urandom(16))
    try:
        connection.begin(b"GET", target, [*fields, *_opening(key)])
        connection.sent = True
        connection.allow(timeout)
        head = await connection.head
        if head.status != 101:
            await _deny(connection, head, send)
            return
        await send(_accepted(head, key, dict(fields).get(b"sec-websocket-protocol", b"")))
        await _Tunnel(connection, receive, send, gone).run()
    finally:
        connection.finish()


def _opening(key: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", key),
    )


def _accepted(head: Head, key: bytes, offered: bytes) -> dict[str, Any]:
    """The site's yes, if it is one (RFC 6455, 4.1)."""
    given = dict(head.fields)
    expected = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    chosen = given.get(b"sec-websocket-protocol")
    if given.get(b"upgrade", b"").lower() != b"websocket" or given.get(b"sec-websocket-accept") != expected:
        raise unreachable("the site's answer to a WebSocket handshake is not one")
    if given.get(b"sec-websocket-extensions") or (
        chosen is not None and chosen not in {name.strip() for name in offered.split(b",")}
    ):
        raise unreachable("the site chose a WebSocket extension or subprotocol that nobody offered")
    return {
        "type": "websocket.accept",
        "subprotocol": None if chosen is None else chosen.decode("ascii"),
        "headers": [field for field in head.fields if field[0] not in _HANDSHAKE],
    }


async def _deny(
    connection: Connection, head: Head, send: Callable[[MutableMapping[str, Any]], Awaitable[None]]
) -> None:
    """Pass a refused handshake on as the ordinary answer that it is."""
    body = bytearray()
    while (data := await connection.chunk()) is not None:
        body += data
        if len(body) > DENIAL_LIMIT:
            raise unreachable(f"the answer that refuses a WebSocket has more than {DENIAL_LIMIT} bytes")
    fields = [field for field in head.fields if field[0] not in _FRAMING]
    await send({"type": "websocket.http.response.start", "status": head.status, "headers": fields})
    await send({"type": "websocket.http.response.body", "body": bytes(body), "more_body": False})


class _Tunnel:
    """An open WebSocket: the client before us speaks ASGI, the site behind us frames."""

    def __init__(
        self,
        connection: Connection,
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
        gone: Callable[[], Awaitable[Any]] | None,
    ) -> None:
        self._connection = connection
        self._receive = receive
        self._send = send
        self._gone = gone
        self._frames = Protocol(Side.CLIENT, max_size=MESSAGE_LIMIT)
        self._parts: list[bytes] = []
        self._is_text = False
        self._client_gone = False

    async def run(self) -> None:
        """Pass messages on in both directions until one side has ended it and the other one knows."""
        upwards = asyncio.create_task(self._upwards())
        try:
            await self._downwards()
        finally:
            upwards.cancel()
            with contextlib.suppress(asyncio.CancelledError, ClientGone, OSError, WebSocketException):
                await upwards

    async def _upwards(self) -> None:
        wanted = True
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._leave(message.get("code"), message.get("reason") or "")
                return
            if not wanted:
                continue
            if (text := message.get("text")) is not None:
                self._frames.send_text(text.encode())
            else:
                self._frames.send_binary(message["bytes"])
            self._flush()
            wanted = await self._room()

    async def _room(self) -> bool:
        """Wait until the site has read most of what it was sent, but no longer than there is a client: a site that
        does not read would never hear that it is alone. Whether there is room."""
        if self._gone is None or self._connection.writable:
            await self._connection.drain()
            return True
        draining = asyncio.ensure_future(self._connection.drain())
        leaving = asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait((draining, leaving), return_when=asyncio.FIRST_COMPLETED)
            return draining.done()
        finally:
            draining.cancel()
            leaving.cancel()

    def _leave(self, code: int | None, reason: str) -> None:
        """The client has ended it: tell the site, and give it a moment to say goodbye."""
        self._client_gone = True
        with contextlib.suppress(WebSocketException):
            try:
                Close(code or 0, reason).check()
            except WebSocketException:
                # 1005 is a goodbye without a code; 1006 and the rest must not be sent (RFC 6455, 7.4.1).
                code, reason = (None if code in {None, 1005} else _GOING_AWAY), ""
            self._frames.send_close(code, reason)
        self._flush()
        asyncio.get_running_loop().call_later(_GOODBYE, self._connection.close)

    async def _downwards(self) -> None:
        while True:
            try:
                data = await self._connection.chunk()
            except (UpstreamFailure, ClientGone):
                data = None
            if not data:
                await self._close(_BAD_GATEWAY, "the site has gone away")
                return
            self._frames.receive_data(data)
            self._flush()
            for frame in self._frames.events_received():
                if isinstance(frame, Frame) and await self._frame(frame):
                    return
            if self._frames.parser_exc is not None:
                sent = self._frames.close_sent
                await self._close(sent.code if sent is not None and sent.code == 1009 else _BAD_GATEWAY, "")
                return

    async def _frame(self, frame: Frame) -> bool:
        """Pass a frame on; whether it was the last one."""
        if frame.opcode is Opcode.CLOSE:
            received = self._frames.close_rcvd
            code = received.code if received is not None else 1005
            await self._close(1000 if code == 1005 else code, received.reason if received is not None else "")
            return True
        if frame.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
            if frame.opcode is not Opcode.CONT:
                self._is_text = frame.opcode is Opcode.TEXT
            self._parts.append(bytes(frame.data))
            if frame.fin:
                return await self._message()
        return False

    async def _message(self) -> bool:
        whole, self._parts = b"".join(self._parts), []
        if self._client_gone:
            return False
        try:
            message: dict[str, Any] = {"type": "websocket.send"}
            message.update({"text": whole.decode("utf-8")} if self._is_text else {"bytes": whole})
        except UnicodeDecodeError:
            self._frames.fail(1007, "text that is not UTF-8")
            self._flush()
            await self._close(1007, "")
            return True
        try:
            await self._send(message)
        except OSError:  # the client has gone; `_upwards` hears of it, too
            self._client_gone = True
        return False

    async def _close(self, code: int, reason: str) -> None:
        if not self._client_gone:
            self._client_gone = True
            with contextlib.suppress(OSError):
                await self._send({"type": "websocket.close", "code": code, "reason": reason})

    def _flush(self) -> None:
        for data in self._frames.data_to_send():
            if data:
                self._connection.write(data)
