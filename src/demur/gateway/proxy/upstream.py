"""One HTTP/1.1 client, to the one server that stands behind a site.

- What is sent is the bytes that were given, and nothing is added: no default field, no other spelling of the
  target. General clients cannot promise that: they normalise targets (an empty query is lost) and pass field
  values through text.
- An answer is whole or it is an error. Framing is llhttp's, in its strict mode; trailers and interim answers are
  dropped.
- A connection is used again only if the exchange on it came to its proper end (RFC 9112, 9.3).
- Both directions wait for each other: of an answer about 256 kB are held in memory, buffers included.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import httptools

from demur.core.model import ConfigError, UpstreamFailure
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from demur.core.model import Fields

HEAD_LIMIT = 256 * 1024
"""How many bytes the head of an answer may have."""

IDLE_SECONDS = 4.0
"""How long an idle connection is kept. Servers commonly close theirs after 5 seconds; whoever closes first loses
no request."""

_HIGH = 64 * 1024
_LOW = 16 * 1024
_IDLE_CONNECTIONS = 64
_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NO_BODY = frozenset({204, 304})
_TICK = 0.001  # loops round their times
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


def unreachable(cause: str) -> UpstreamFailure:
    """The site did not answer, or not in a way that can be passed on."""
    return UpstreamFailure(Reason.UPSTREAM_UNREACHABLE, cause)


def too_slow(cause: str) -> UpstreamFailure:
    """The site did not answer in time."""
    return UpstreamFailure(Reason.UPSTREAM_TIMEOUT, cause)


class ClientGone(Exception):  # noqa: N818 - as plain as `Refused`
    """Whoever asked has gone away; there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and fields of an answer; names as they came, except that they are in lower case."""

    status: int
    fields: Fields


class Connection(asyncio.BufferedProtocol):
    """One exchange at a time over one transport.

    `head` resolves when an answer begins, or raises `UpstreamFailure`. `chunk` gives the content piece by piece,
    None at its proper end. After an answer 101 the pieces are whatever comes over the wire.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Upstream) -> None:
        self._loop = loop
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._until: float | None = None
        self._wake: asyncio.Future[None] | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._seconds = 0.0
        self.used = False
        self._reset(b"")

    def _reset(self, method: bytes) -> None:
        self._method = method
        self.head: asyncio.Future[Head] = self._loop.create_future()
        self.answering = False
        self.complete = False
        self.sent = False
        self.failure: UpstreamFailure | ClientGone | None = None
        self._keep = False
        self._interim = False
        self._raw = False
        self._until_close = False
        self._fields: list[tuple[bytes, bytes]] = []
        self._size = 0
        self._chunks: deque[bytes] = deque()
        self._held = 0

    # --- what the proxy does

    def begin(self, method: bytes, target: bytes, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Send the head of a request. `sent` is to be set once the content, if any, is out."""
        self.used = self._parser is not None
        self._reset(method)
        self._parser = httptools.HttpResponseParser(self)
        lines = [method, b" ", target, b" HTTP/1.1\r\n"]
        for name, value in fields:
            lines += (name, b": ", value, b"\r\n")
        lines.append(b"\r\n")
        self.write(b"".join(lines))

    def write(self, data: bytes) -> None:
        """Queue bytes. Nothing happens on a connection that is gone: `head` or `chunk` will tell."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    @property
    def writable(self) -> bool:
        """Whether what was queued is mostly out."""
        return self._writable.is_set()

    async def drain(self) -> None:
        """Wait until what was queued is mostly out."""
        await self._writable.wait()

    def allow(self, seconds: float | None) -> None:
        """Give the site so many seconds from now until its answer begins; None stops the clock."""
        if seconds is None or self.answering or self.failure is not None:
            self._until = None
            return
        self._seconds, self._until = seconds, self._loop.time() + seconds
        # Almost every answer comes in time. So a timer that is set stays, for this exchange or the next one, and looks
        # when it is over whether there is anything to wait for.
        if self._timer is not None and self._timer.when() > self._until:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._until, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._until is None:
            return
        if self._loop.time() + _TICK < self._until:
            self._timer = self._loop.call_at(self._until, self._look)
        else:
            self._fail(too_slow(f"no answer within {self._seconds:g} s"))
            self.close()

    async def invited(self, seconds: float) -> bool:
        """Wait for the interim answer 100, at most so long. Whether the content should be sent: not if the final
        answer, or none at all, came instead."""
        if not self.answering and self.failure is None and not self._interim:
            self._waiting = self._loop.create_future()
            await asyncio.wait((self._waiting,), timeout=seconds)
        return not self.answering and self.failure is None

    async def chunk(self) -> bytes | None:
        """The next piece of the content, None at its end. Raises `UpstreamFailure` where it is cut off."""
        while not self._chunks:
            if self.complete:
                return None
            if self.failure is not None:
                raise self.failure
            # One coroutine reads an answer, so one future is enough.
            self._wake = self._loop.create_future()
            await self._wake
        data = self._chunks.popleft() if len(self._chunks) == 1 else self._gather()
        self._held -= len(data)
        if self._paused and self._held <= _LOW and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    def release(self) -> None:
        """The exchange is over for the proxy: keep the connection for another one, or close it."""
        self.allow(None)
        if self.complete and self._keep and self.sent and self.is_open and not self._chunks:
            self._owner.keep(self)
        else:
            self.close()

    def abandon(self) -> None:
        """The client has gone away: nobody wants the answer any more."""
        self._fail(ClientGone())
        self.close()

    def finish(self) -> None:
        """Close once everything that was written is out."""
        self.allow(None)
        if self._transport is not None:
            self._transport.close()

    def close(self) -> None:
        """Break off."""
        self.allow(None)
        if self._transport is not None:
            self._transport.abort()

    @property
    def at_end(self) -> bool:
        """Whether everything that the answer has was already given out."""
        return self.complete and not self._chunks

    @property
    def was_stale(self) -> bool:
        """Whether the connection had been closed by the time it was used again: nothing was answered on it."""
        closed = isinstance(self.failure, UpstreamFailure) and self.failure.reason is Reason.UPSTREAM_UNREACHABLE
        return self.used and closed and self._size == 0

    @property
    def is_open(self) -> bool:
        """Whether the connection can be used."""
        return self.failure is None and self._transport is not None and not self._transport.is_closing()

    def _gather(self) -> bytes:
        data = b"".join(self._chunks)
        self._chunks.clear()
        return data

    def _notify(self) -> None:
        for future in (self._wake, self._waiting):
            if future is not None and not future.done():
                future.set_result(None)
        self._wake = self._waiting = None

    def _fail(self, failure: UpstreamFailure | ClientGone) -> None:
        if self.failure is not None or self.complete:
            return
        self.failure = failure
        self._writable.set()
        if not self.head.done():
            self.head.set_exception(failure)
            # Whoever waits gets it; whoever has gone away does not want it.
            self.head.exception()
        self._notify()

    # --- what the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast("asyncio.Transport", transport)
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            # A site that lost its power says nothing more, and an answer may last for days: let the kernel ask.
            for option, value in ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4)):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to. It is as large as a piece may be: whoever does not read makes us hold some."""
        return self._owner.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """That much was read, and has to be taken before anybody else reads."""
        self._take(bytes(self._owner.buffer[:nbytes]))

    def _take(self, data: bytes) -> None:
        if self._raw:
            self.on_body(data)
            self._notify()
            return
        if self._parser is None or (self.complete and self.head.done()):
            self._keep = False  # nobody asked
            self._owner.forget(self)
            self.close()
            return
        if not self.answering:
            self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._raw = True
            if rest := data[upgrade.args[0] :]:
                self.on_body(rest)
        except httptools.HttpParserError as error:
            if not self.complete:
                self._fail(unreachable(f"the answer is not HTTP: {error.__context__ or error}"))
            self._keep = False
            self.close()
        if not self.answering and self._size > HEAD_LIMIT:
            self._fail(unreachable(f"the head of the answer has more than {HEAD_LIMIT} bytes"))
            self.close()
        self._notify()

    def eof_received(self) -> bool:
        """The site has nothing more to say."""
        self._ended("the connection was closed before the answer was whole")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._transport = None
        self._owner.forget(self)
        self._ended(f"the connection was lost: {exc}" if exc else "the connection was closed before an answer")
        self.allow(None)
        if self._timer is not None:
            self._timer.cancel()
        self._writable.set()
        self._notify()

    def pause_writing(self) -> None:
        """The site reads more slowly than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The site has caught up."""
        self._writable.set()

    def _ended(self, cause: str) -> None:
        self._keep = False
        if self._until_close and not cause.startswith("the connection was lost"):
            # "Otherwise, this is a response message without a declared message body length, so the message body
            # length is determined by the number of octets received prior to the server closing the connection"
            # (RFC 9112, 6.3)
            self.complete = True
        self._fail(unreachable(cause))
        self._notify()

    # --- what the parser tells

    def on_message_begin(self) -> None:
        """An answer, an interim one, or one that nobody asked for."""
        if self.head.done():
            raise httptools.HttpParserError("a second answer")
        self._fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head. Those after the content are dropped (RFC 9110, 6.5.1)."""
        if not self.answering:
            self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        parser = cast("httptools.HttpResponseParser", self._parser)
        status = parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._interim = self._interim or status == 100
            return
        if self._size > HEAD_LIMIT and sum(len(name) + len(value) for name, value in self._fields) > HEAD_LIMIT:
            raise httptools.HttpParserError(f"its head has more than {HEAD_LIMIT} bytes")
        # Once for all of them: what is in none of them is not in all together.
        if not 101 <= status <= 599 or _CONTROLS.search(b"".join([value for _, value in self._fields])):
            raise httptools.HttpParserError("a status or a field that HTTP does not have")
        self.answering = True
        self.allow(None)
        self._keep = parser.should_keep_alive()
        framed = not _FRAMING.isdisjoint([name for name, _ in self._fields])
        self._until_close = not framed and status not in _NO_BODY and self._method != b"HEAD" and status != 101
        if self._method == b"HEAD" and status != 101:
            # "Any response to a HEAD request ... cannot contain a message body" (RFC 9112, 6.3), and the parser
            # does not know what was asked: it would wait for the length that the fields tell.
            self.complete = True
        if not self.head.done():
            self.head.set_result(Head(status, tuple(self._fields)))

    def on_body(self, body: bytes) -> None:
        """A piece of the content."""
        if self.complete:
            self._keep = False
            return
        self._chunks.append(body)
        self._held += len(body)
        if self._held > _HIGH and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The answer is whole; an interim one or a change of protocol is not the answer's end."""
        if self.answering and not cast("httptools.HttpResponseParser", self._parser).should_upgrade():
            self.complete = True


class Upstream:
    """Where a site's requests go: "http://host:port", "https://host:port" or "unix:path".

    Connections are opened when they are needed and kept for a few seconds; everything belongs to the event loop in
    which it is first used. `connect_timeout` is in seconds.
    """

    def __init__(self, url: str, *, connect_timeout: float = 5.0, tls: ssl.SSLContext | None = None) -> None:
        self.url = url
        self.connect_timeout = connect_timeout
        self._tls = tls
        self._idle: deque[tuple[float, Connection]] = deque()
        self.buffer = memoryview(bytearray(_HIGH))
        self._path = ""
        self._host = ""
        self._port = 0
        self.authority = b"localhost"
        if url.startswith("unix:"):
            self._path = url.removeprefix("unix:")
            return
        parts = urlsplit(url)
        try:
            self._port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        except (KeyError, ValueError):
            raise ConfigError(f'"{url}" is not the address of a site.', fix='Write "http://host:port".') from None
        if not parts.hostname or parts.path not in {"", "/"} or parts.query or parts.username is not None:
            raise ConfigError(f'"{url}" is more than scheme, host and port.', fix='Write "http://host:port".')
        self._host = parts.hostname
        self.authority = parts.netloc.encode("ascii")
        if parts.scheme == "https" and tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])

    async def connection(self, *, fresh: bool = False, calm: float = IDLE_SECONDS) -> Connection:
        """A connection for one exchange: one that has been idle for less than `calm` seconds, else a new one.
        Raises `UpstreamFailure`."""
        now = asyncio.get_running_loop().time()
        while self._idle and not fresh:
            since, connection = self._idle[-1]
            if now - since > calm:
                break
            self._idle.pop()
            if connection.is_open:
                return connection
        self._expire(now)
        try:
            async with asyncio.timeout(self.connect_timeout):
                return await self._connect()
        except TimeoutError:
            raise too_slow(f"no connection to {self.url} within {self.connect_timeout:g} s") from None
        except OSError as error:
            raise unreachable(f"no connection to {self.url}: {error.strerror or error}") from None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()

        def make() -> Connection:
            return Connection(loop, self)

        if self._path:
            _, connection = await loop.create_unix_connection(make, self._path)
        else:
            _, connection = await loop.create_connection(make, self._host, self._port, ssl=self._tls)
        return connection

    def keep(self, connection: Connection) -> None:
        """Put a connection back whose exchange is over."""
        now = asyncio.get_running_loop().time()
        self._idle.append((now, connection))
        self._expire(now)

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        for entry in self._idle:
            if entry[1] is connection:
                self._idle.remove(entry)
                return

    def _expire(self, now: float) -> None:
        while self._idle and (len(self._idle) > _IDLE_CONNECTIONS or now - self._idle[0][0] > IDLE_SECONDS):
            self._idle.popleft()[1].close()

    def close(self) -> None:
        """Close what is idle. Running exchanges end by themselves."""
        while self._idle:
            self._idle.popleft()[1].close()
