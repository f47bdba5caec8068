"""An open WebSocket: uvicorn's protocol, with some things done in our own way.

- The app sees the request as it came, and the library no more of it than it needs.
- What one message, or one client that does not read, can make us keep is bounded.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.frames import Frame
    from websockets.http11 import Request as Handshake


class WebSocket(WebSocketsSansIOProtocol):
    """An open WebSocket, or one that is being asked for."""

    _given: dict[str, Any]
    _gathered: bytearray
    gone: asyncio.Event
    """Whether nothing that is received any more can matter: somebody has said goodbye, or the connection is lost."""
    left: Callable[[], None]
    """Called when the connection is lost."""

    def take(self, transport: asyncio.Transport, scope: dict[str, Any]) -> None:
        """Go on where HTTP has stopped. The library sees no more of the request than it needs; the app sees all."""
        self._given = scope
        self.gone = asyncio.Event()
        key = next(value for name, value in scope["headers"] if name == b"sec-websocket-key").strip()
        self.connection_made(transport)
        self.data_received(
            b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: " + key + b"\r\n\r\n"
        )

    def handle_connect(self, event: Handshake) -> None:
        """The handshake was understood: start the app, which runs as soon as the loop gets there."""
        super().handle_connect(event)
        given = self._given
        offered = [value.decode("latin-1") for name, value in given["headers"] if name == b"sec-websocket-protocol"]
        self.scope.update(  # type: ignore[call-arg]
            headers=given["headers"],
            path=given["path"],
            raw_path=given["raw_path"],
            query_string=given["query_string"],
            subprotocols=[name.strip() for value in offered for name in value.split(",")],
            extensions={
                "websocket.http.response": {},
                "demur.target": given["extensions"]["demur.target"],
                "demur.abort": {"call": self.transport.abort},
                "demur.gone": {"wait": self.gone.wait},
            },
        )

    def handle_close(self, event: Frame) -> None:
        """The client says goodbye, or answers ours."""
        super().handle_close(event)
        self.gone.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """They are gone."""
        super().connection_lost(exc)
        self.gone.set()
        self.left()

    def handle_ping(self) -> None:
        """Answer, unless the client does not read: pongs would pile up, and the last is enough (RFC 6455, 5.5.3)."""
        pong = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(pong)

    def handle_cont(self, event: Frame) -> None:
        """Put the next piece behind the others: kept one by one they take many times their size, without a limit."""
        if self.frames:
            self._gathered = bytearray(self.frames.pop())
        self._gathered += event.data
        if event.fin:
            self.frames = [bytes(self._gathered)]
            self._gathered = bytearray()
            self.send_receive_event_to_app()

    async def send(self, message: Any) -> None:  # noqa: ANN401 - uvicorn's own union of events
        """Take the app's next event. A handshake that was denied is over, too."""
        await super().send(message)
        self.handshake_complete = self.handshake_complete or (self.initial_response is not None and self.close_sent)
        if self.close_sent:
            self.gone.set()

    def shutdown(self) -> None:
        """The server is about to end: say goodbye (1012), unless the handshake is still going on."""
        if self.handshake_complete or self.initial_response is not None:
            super().shutdown()
