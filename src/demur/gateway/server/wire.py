"""What a connection speaks: uvicorn's protocols, with some things done in our own way.

- The request target reaches the app as it was sent: what we judge has to be what we pass on. Only a whole address of
  this scheme (RFC 9112, 3.2.2) is taken apart, into the host and the rest.
- Heads are bounded in size and time, and what cannot be read is answered with a problem document, never into the
  middle of another answer.
- `Upgrade` to anything but a well-formed WebSocket is ignored (RFC 9110, 7.8), and the content is read, where the
  parser would take it for the next request.
- An answer to HTTP/1.0 is never chunked (RFC 9112, 6.1).
- When the server is about to end, connections that have not asked anything yet get their chance.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from demur.gateway.server import answers
from demur.gateway.server.answers import Cork, Cycle, Cycle10, whole
from demur.gateway.server.sockets import has_news
from demur.gateway.server.websocket import WebSocket

if TYPE_CHECKING:
    from uvicorn.config import Config

    from demur.gateway.server.crowd import Crowd

HEAD_LIMIT: Final = 64 * 1024
"""How many bytes the head of a request may have, target and all fields together."""

MOST_FIELDS: Final = 256
"""How many fields it may have. Each costs more than its bytes."""

HEAD_SECONDS: Final = 30.0
"""How long a client may take for one head, or for the rest of a content that nobody wants any more."""

CONTENT_SECONDS: Final = 60.0
"""In which time a client has to send the least of a content that nobody has answered yet."""

CONTENT_LEAST: Final = 60 * 240
"""How many bytes that is: 240 in a second. Slower than any network that people use, and not slower for ever."""

LAST_CALL: Final = 1.0
"""How many seconds a connection that is idle when the server stops may still begin a request."""

MOST_WAITING: Final = 100
"""How many requests of one connection may wait for an answer. Each takes some kB, and thousands arrive at once."""

_LINGER: Final = 2.0
_ADDRESS = re.compile(rb"(https?)://([^/?#@\\]+)([/?].*)?", re.IGNORECASE)
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")


class State(ServerState):
    """What the connections of one listener share."""

    def __init__(self, crowd: Crowd) -> None:
        super().__init__()
        self.crowd = crowd
        self.draining = False


class Http(HttpToolsProtocol):
    """One connection. See the module's text for what it does in its own way."""

    server_state: State
    _cork: Cork

    def __init__(
        self, config: Config, state: State, app_state: dict[str, Any], loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(config, state, app_state, loop)
        self.parser = httptools.HttpRequestParser(self)
        self._clock: asyncio.TimerHandle | None = None
        self._content_clock: asyncio.TimerHandle | None = None
        self._content_size = 0
        self._content_waits = False
        self._reader_clock: asyncio.TimerHandle | None = None
        self._last_call: asyncio.TimerHandle | None = None
        self._in_head = True
        self._head_size = 0
        self._piece = 0
        self._deaf = False
        self._skips_head = False
        self._ignores_upgrade = False

    # --- the connection

    @property
    def running(self) -> RequestResponseCycle | None:
        """The last request that was read, if its answer is not complete."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return None if cycle is None or cycle.response_complete else cycle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is there."""
        super().connection_made(transport)
        self._cork = Cork(transport, self.loop)
        refused = self.server_state.crowd.enter(self, self.client[0] if self.client else "")
        if refused is not None:
            self._deaf = True
            transport.write(whole(*refused))
            transport.close()
            return
        self._start_clock()
        if self.server_state.draining:
            self.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """They are gone."""
        self.server_state.crowd.leave(self)
        self._stop_clock()
        for clock in (self._last_call, self._content_clock, self._reader_clock):
            if clock is not None:
                clock.cancel()
        super().connection_lost(exc)
        if self.cycle is not None:
            cast("Cycle", self.cycle).gone()

    def data_received(self, data: bytes) -> None:
        """Some bytes."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self.server_state.crowd.works(self)
        self._piece = len(data)
        if self._in_head:
            self._head_size += len(data)
        if not self._feed(data):
            return
        if self._in_head and self._head_size > HEAD_LIMIT:
            self._refuse(431, "The head of this request is larger than 64 kB.")
        elif (cycle := self.running) is not None:
            if cycle.more_body:
                self._content_size += len(data)
                if self._content_clock is None:
                    self._await_content(cycle)
        elif self._clock is None and self.timeout_keep_alive_task is None:
            self._start_clock()

    def _feed(self, data: bytes) -> bool:
        """Read; whether there may be more to read."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._ignores_upgrade:
                return self._ignore_upgrade(data[upgrade.args[0] :])
            self._deaf = True
            self.handle_websocket_upgrade()
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, _Unanswerable):
                self._refuse(cause.status, cause.detail)
            else:
                self._refuse(400, "What was sent is not HTTP.")
        return not self._deaf

    def _ignore_upgrade(self, rest: bytes) -> bool:
        """Go on in HTTP/1.1: the parser has stopped behind the head, so that its content would be read as a request.
        A new one is told how long the content is and reads on."""
        self._ignores_upgrade = False
        self.parser = httptools.HttpRequestParser(self)
        framing = next(
            (
                name + b": " + value
                for name, value in self.scope["headers"]
                if name in {b"content-length", b"transfer-encoding"}
            ),
            b"content-length: 0",
        )
        self._skips_head = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")
        return self._feed(rest) if rest else True

    def _refuse(self, status: int, detail: str) -> None:
        """Answer what never became a request, and hear nothing more on this connection.

        A request that is being answered comes to its end first; one whose content broke off in the middle is over.
        """
        self._deaf = True
        self._stop_clock()
        if (cycle := self.running) is not None:
            if not cycle.more_body:
                for waiting, _ in [(cycle, None), *self.pipeline]:
                    waiting.keep_alive = False
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
                return
        self._cork.write(whole(status, detail))
        self._cork.flush()
        # To close while something unread arrives would reset the connection, and the answer would be lost with it
        # (RFC 9112, 9.6): say that this was all, and read on for a moment.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._clock = self.loop.call_later(_LINGER, self.transport.close)

    # --- time

    def _too_slow(self) -> None:
        self._clock = None
        if self._head_size == 0:
            self.transport.close()
        else:
            self._refuse(408, "The request did not arrive in time.")

    def _await_content(self, cycle: RequestResponseCycle) -> None:
        self._content_size = 0
        self._content_clock = self.loop.call_later(CONTENT_SECONDS, self._look_for_content, cycle)

    def _look_for_content(self, since: RequestResponseCycle) -> None:
        """See whether the client has sent its content too slowly, though it was asked and we read."""
        self._content_clock = None
        cycle = self.running
        if self._deaf or cycle is None or not cycle.more_body or cycle.response_started:
            return
        waited, self._content_waits = self._content_waits, self.flow.read_paused or cycle.waiting_for_100_continue
        excused = waited or self._content_waits or cycle is not since
        if not excused and self._content_size < CONTENT_LEAST:
            self._refuse(408, "The content of the request did not arrive in time.")
        else:
            self._await_content(cycle)

    def pause_writing(self) -> None:
        """More waits for the client than it should."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        if self._reader_clock is not None:
            self._reader_clock.cancel()
            self._reader_clock = None

    def _await_reader(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._reader_clock = self.loop.call_later(answers.READ_SECONDS, self._look_for_reader, waiting)

    def _look_for_reader(self, waiting: int) -> None:
        """Leave a client that reads nothing: what is behind an answer waits with it."""
        if self.transport.get_write_buffer_size() < waiting:
            self._await_reader()
        else:
            self.transport.abort()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing was asked for long."""
        self._cork.close()

    def make_room(self) -> None:
        """Somebody else needs the place, and nothing is asked here."""
        self._cork.close()

    def _start_clock(self) -> None:
        self._clock = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def shutdown(self) -> None:
        """The server is about to end: finish what was asked, and leave soon."""
        cycle = self.running
        if cycle is not None and not cycle.response_started:
            cycle.keep_alive = False
        elif self._last_call is None:
            # A request may be on its way already; a client that was let in should not find the door shut. Nor one who
            # reads an answer that began before, and said nothing of an end.
            self._last_call = self.loop.call_later(LAST_CALL, self._leave)

    def _leave(self) -> None:
        if self.running is not None or has_news(self.transport):
            self._last_call = self.loop.call_later(LAST_CALL, self._leave)
        else:
            self.transport.close()

    def abort(self, cycle: RequestResponseCycle | None = None) -> None:
        """Break an answer off (the one that runs), so that nobody takes it for whole. One that is whole stays so."""
        cycle = cycle or self.running
        if cycle is not None:
            if cycle.response_complete:
                return
            cycle.disconnected = True
            self._cork.flush()
            if isinstance(cycle, Cycle10) and cycle.until_close:
                # Where the end of the connection is the end of the answer, only a reset says that this was not it.
                sock = self.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    # --- what the parser tells

    def on_message_begin(self) -> None:
        """A request, or the stand-in for one that goes on."""
        if self._skips_head:
            return
        super().on_message_begin()
        if not self._in_head:
            self._in_head, self._head_size = True, 1

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        if not self._skips_head:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field. What comes after the content is dropped: the request is being answered by then."""
        if self._in_head and not self._skips_head:
            if len(self.headers) == MOST_FIELDS:
                raise _Unanswerable(431, f"This request has more than {MOST_FIELDS} fields.")
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        if self._skips_head:
            self._skips_head = False
            return
        self._stop_clock()
        self._in_head = False
        raw, version, method = self._origin_form(self.url), self.parser.get_http_version(), self.parser.get_method()
        # Of a head behind another one not all was counted, but no more than the last piece is missing.
        if self._head_size + self._piece > HEAD_LIMIT and self._size_of_head(raw) > HEAD_LIMIT:
            raise _Unanswerable(431, "The head of this request is larger than 64 kB.")
        if version not in {"1.0", "1.1"}:
            raise _Unanswerable(505, "This server speaks HTTP/1.1.")
        if method == b"CONNECT":
            raise _Unanswerable(501, "This server opens no tunnels.")
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings and codings != [b"chunked"]:
            # RFC 9112, 6.1. The parser would find out behind the head, when the request is under way already.
            raise _Unanswerable(501, "This server knows no transfer coding but chunked.")
        if len(self.pipeline) >= MOST_WAITING:
            raise _Unanswerable(429, "Too many requests were sent at once.")
        self._head_size = 0
        path, _, query = raw.partition(b"?")
        decoded = path.decode("utf-8", "surrogateescape")
        self.scope.update(  # type: ignore[call-arg]
            method=method.decode("ascii"),
            http_version=version,
            path=unquote(decoded) if "%" in decoded else decoded,
            raw_path=path,
            query_string=query,
            extensions={"demur.target": {"raw": raw}},
        )
        upgrades = self.parser.should_upgrade()
        self._ignores_upgrade = upgrades and not self._should_upgrade()
        if not upgrades or self._ignores_upgrade:
            self._begin(Cycle10 if version == "1.0" else Cycle)

    def _size_of_head(self, target: bytes) -> int:
        return len(target) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _begin(self, kind: type[Cycle]) -> None:
        """Have a request answered, after those before it. uvicorn would parse its target for that, which we have done,
        and refuse some that others accept."""
        stays = self._last_call is None and not self.server_state.draining
        before = self.running
        cycle = self.cycle = kind(
            scope=self.scope,
            transport=cast("asyncio.Transport", self._cork),
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=stays and kind is Cycle and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        extensions = cast("dict[str, Any]", self.scope["extensions"])
        extensions["demur.abort"] = {"call": partial(self.abort, cycle)}
        extensions["demur.gone"] = {"then": cycle.when_gone}
        if before is None:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _origin_form(self, target: bytes) -> bytes:
        """The target as its path and query. Of a whole address, the host is what counts: "the origin server MUST ignore
        the received Host header field (if any) and instead use the host information of the request-target" (RFC 9112,
        3.2.2). One that is no address of this connection's scheme stays as it is, and is no target."""
        if target.startswith(b"/"):
            return target
        address = _ADDRESS.fullmatch(target)
        hosts = [at for at, (name, _) in enumerate(self.headers) if name == b"host"]
        if address is None or address[1].lower().decode() != self.scheme or len(hosts) != 1:
            return target
        self.headers[hosts[0]] = (b"host", address[2])
        rest = address[3] or b"/"
        return rest if rest.startswith(b"/") else b"/" + rest

    def on_message_complete(self) -> None:
        """The content is whole."""
        if self.parser.should_upgrade() and self._ignores_upgrade:
            return
        super().on_message_complete()
        if self.running is None:
            # The answer came first, and with it the time for the next request began, until more content arrived.
            self._stop_clock()
            self._unset_keepalive_if_required()
            self.server_state.crowd.rests(self)
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """An answer is whole."""
        super().on_response_complete()
        if self.running is None and not self._in_head:
            self.server_state.crowd.rests(self)
        if self._in_head and self.running is None and self.timeout_keep_alive_task is not None:
            # The next request has begun already, behind the last one.
            self._unset_keepalive_if_required()
            self._start_clock()

    # --- WebSocket

    def _should_upgrade(self) -> bool:
        """Whether this is an opening handshake in every point (RFC 6455, 4.2.1). Anything else is an ordinary
        request: whoever answers it may say what is missing."""
        fields = [(name, value.strip()) for name, value in self.headers]
        tokens = {
            token.strip().lower() for name, value in fields if name == b"connection" for token in value.split(b",")
        }
        keys = [value for name, value in fields if name == b"sec-websocket-key"]
        return (
            self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and b"upgrade" in tokens
            and [value.lower() for name, value in fields if name == b"upgrade"] == [b"websocket"]
            and [value for name, value in fields if name == b"sec-websocket-version"] == [b"13"]
            and len(keys) == 1
            and _KEY.fullmatch(keys[0]) is not None
            and not any(name in {b"content-length", b"transfer-encoding"} for name, _ in fields)
        )

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over, with the request as it came."""
        self.connections.discard(self)
        protocol = WebSocket(self.config, self.server_state, self.app_state, self.loop)
        protocol.left = partial(self.server_state.crowd.leave, self)
        protocol.take(self.transport, dict(self.scope))
        self.transport.set_protocol(protocol)


class _Unanswerable(Exception):  # noqa: N818 - it is the request's fault
    """The head is HTTP, and yet nothing that we take."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
