"""How an answer leaves: in few packets, in the form of the version that was asked in, and to whoever reads it."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE, RequestResponseCycle

from demur.core.reasons import BASE, REASONS, Reason

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

READ_SECONDS: Final = 60.0
"""How long a client may read nothing of an answer that waits for it."""

_CORKED: Final = 4096
_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding", b"connection"))
_BODILESS: Final = (204, 304)


class Clock:
    """The date in HTTP's words, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def now(self) -> bytes:
        """An IMF-fixdate (RFC 9110, 5.6.7)."""
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True).encode("ascii")
        return self._text


_date = Clock().now


class Cycle(RequestResponseCycle):
    """One request and its answer: uvicorn's, whose head is made in one go and dated, and who tells if its client is
    gone."""

    _then: Callable[[], None] | None = None
    _says_close = False

    def when_gone(self, then: Callable[[], None] | None) -> None:
        """Whom to tell if the client goes away, or its answer was ended by somebody before the app: what
        `http.disconnect` says to an app that waits for it in a task of its own. None takes it back."""
        self._then = then
        if then is not None:
            self.flow.resume_reading()  # as to receive does: who reads nothing hears of no end
            if self.disconnected:
                self.gone()

    def gone(self) -> None:
        """There is nobody to answer any more."""
        then, self._then = self._then, None
        if then is not None:
            then()

    async def send(self, message: Any) -> None:  # noqa: ANN401 - uvicorn's own union of events
        """Take the app's next event."""
        if self.response_started:
            await super().send(message)
            if self.response_complete:
                self.gone()
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] != "http.response.start":
            said = f"an answer cannot begin with {message['type']}"
            raise RuntimeError(said)
        self.response_started = True
        self.waiting_for_100_continue = False
        self._begin(message["status"], [(name.lower(), value) for name, value in message.get("headers", ())])

    def _begin(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Send the head. "An origin server with a clock MUST generate a Date header field" (RFC 9110, 6.6.1); what a
        site has dated itself stays as it is."""
        names = {name for name, _ in fields}
        if b"date" not in names:
            fields.append((b"date", _date()))
        # Once for all of them: what is in none of them is not in all together.
        if HEADER_RE.search(b"".join(names)) or HEADER_VALUE_RE.search(b"".join([value for _, value in fields])):
            raise RuntimeError("a field of the answer is none that HTTP has")
        if not names.isdisjoint(_FRAMING):
            self._read_framing(fields)
        if not self.keep_alive and not self._says_close:
            fields.append((b"connection", b"close"))
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in _BODILESS:
            self.chunked_encoding = True
            fields.append((b"transfer-encoding", b"chunked"))
        self.transport.write(b"".join([STATUS_LINE[status], *[b"%b: %b\r\n" % line for line in fields], b"\r\n"]))

    def _read_framing(self, fields: list[tuple[bytes, bytes]]) -> None:
        """What an answer says of its length, and whether it is the last."""
        for name, value in fields:
            if name == b"content-length" and self.chunked_encoding is None:
                self.expected_content_length, self.chunked_encoding = int(value), False
            elif name == b"transfer-encoding" and value.lower() == b"chunked":
                self.expected_content_length, self.chunked_encoding = 0, True
            elif name == b"connection" and b"close" in [token.strip() for token in value.lower().split(b",")]:
                self.keep_alive, self._says_close = False, True


class Cycle10(Cycle):
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
