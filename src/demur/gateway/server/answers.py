"""How an answer leaves: in few packets, in the form of the version that was asked in, and to whoever reads it."""

from __future__ import annotations

import json
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from demur.core.reasons import BASE, REASONS, Reason

if TYPE_CHECKING:
    import asyncio

READ_SECONDS: Final = 60.0
"""How long a client may read nothing of an answer that waits for it."""

_CORKED: Final = 4096


class Cycle10(RequestResponseCycle):
    """An answer to HTTP/1.0: without a length its end is the end of the connection (RFC 9112, 6.3)."""

    until_close = False

    async def send(self, message: Any) -> None:  # noqa: ANN401 - uvicorn's own union of events
        """Take the app's next event."""
        if message["type"] == "http.response.start":
            self.until_close = not any(name == b"content-length" for name, _ in message.get("headers", ()))
            if self.until_close:
                self.chunked_encoding = False
                self.keep_alive = False
        elif self.until_close:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


class Cork:
    """A transport that writes once in a turn of the loop: a head and a short content leave in one packet."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Queue; a larger piece goes out at once, so that whoever writes hears when it is too much."""
        self._parts.append(data)
        if len(data) > _CORKED:
            self.flush()
        elif len(self._parts) == 1:
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what is queued."""
        if self._parts:
            data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts.clear()
            self._transport.write(data)

    def close(self) -> None:
        """Close after what is queued, if somebody reads it."""
        self.flush()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(READ_SECONDS, self._transport.abort)


def whole(status: int, detail: str) -> bytes:
    """A whole answer, outside of any request."""
    phrase = HTTPStatus(status).phrase
    if status == REASONS[Reason.REQUEST_MALFORMED].status:
        row = REASONS[Reason.REQUEST_MALFORMED]
        named = {"type": BASE + Reason.REQUEST_MALFORMED, "title": row.title, "reason": Reason.REQUEST_MALFORMED.value}
    else:
        named = {"title": phrase}
    body = json.dumps({**named, "status": status, "detail": detail}).encode()
    lines = (
        f"HTTP/1.1 {status} {phrase}",
        "content-type: application/problem+json",
        "cache-control: no-store",
        f"date: {formatdate(usegmt=True)}",
        f"content-length: {len(body)}",
        "connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
