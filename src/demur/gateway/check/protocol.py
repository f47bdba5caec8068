"""A connection of a proxy that asks: HTTP/1.1 by httptools, and nothing between it and the answer.

- One question after the other, in the order in which they came, however many are sent at once. A client that reads
  nothing is asked nothing more of: nothing is read while something waits.
- A large piece is read in slices, one in a turn of the loop: whoever sends much does not make others wait.
- Content is read and dropped, within bounds; then comes the answer. With `Expect` the answer comes instead of it.
- Heads are bounded in size, number of fields and time. Time is looked at once a second for all connections together
  (`look`), and no request starts a timer.
- What is not HTTP is refused, and the connection is closed: obs-fold, bare line feeds, two framings (RFC 9112, 6.3).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

import httptools

from demur.adapters.asgi.wire import LONGEST_DROP, MOST_DROPPED
from demur.core.model import Request, Response
from demur.gateway.check import head
from demur.gateway.server.answers import READ_SECONDS, whole
from demur.gateway.server.sockets import has_news
from demur.gateway.server.wire import HEAD_LIMIT, HEAD_SECONDS, MOST_FIELDS

if TYPE_CHECKING:
    from demur.gateway.check.listening import Shared

IDLE_SECONDS: Final = 75.0
"""How long a connection may rest. Longer than nginx's own limit for idle connections to us (60 s): whoever closes first
loses no request."""

SLICE: Final = 8192
"""How many bytes of one connection are read in one turn of the loop."""

AT_ONCE: Final = 16
"""How many requests of one connection are answered in one turn."""

_LINGER: Final = 2.0
_MOST_UNREAD: Final = 1024 * 1024
_LONGEST_TARGET: Final = 8192

_log = logging.getLogger("demur")


class Answers(Protocol):
    """Who knows what to answer: `gateway.check.Check`."""

    async def answer(self, sent: Request) -> Response: ...
    def at_once(self, sent: Request, raw: bytes = b"") -> Response | None: ...


@dataclass(slots=True)
class _Question:
    """A request that waits for its answer. `raw` is all of it, if it was one piece."""

    sent: Request
    last: bool
    raw: bytes = b""


class _Unanswerable(Exception):  # noqa: N818 - it is the request's fault
    """The head is HTTP, and yet nothing that we take."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class _Enough(Exception):  # noqa: N818 - no error
    """The answer does not wait for the rest of the content, and nothing is read behind it."""


class Connection(asyncio.Protocol):
    """One connection. `free` says that nothing is begun, nothing waits, and the next request may go the short way."""

    __slots__ = (
        *(
            "_ahead",
            "_begun",
            "_body",
            "_closing",
            "_deaf",
            "_fields",
            "_in_head",
            "_over",
            "_out",
            "_parser",
            "_paused",
        ),
        *("_again", "_write"),
        *("_question", "_raw", "_shared", "_size", "_still", "_target", "_task", "_unread", "_waiting"),
        *("free", "seen", "transport"),
    )

    transport: asyncio.Transport

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._again = shared.short.answer
        self.free = False
        self.seen = shared.now
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[_Question] = deque()
        self._out: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self._ahead = b""  # read, and not looked at yet
        self._still = False  # something was set aside for the next turn
        self._raw = b""
        self._question: Request | None = None
        self._deaf = self._paused = self._over = self._unread = False
        self._closing = 0.0
        self._in_head, self._size, self._begun, self._body = True, 0, 0.0, 0
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []

    # --- the connection -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        self.transport = cast("asyncio.Transport", transport)
        self._write = self.transport.write
        if not self._shared.enter(self):
            self._deaf = True
            self.transport.abort()
            return
        self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        """They are gone; whatever is being decided for them is not."""
        self._deaf = True
        self.free = False
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
        self._shared.leave(self)

    @property
    def rests(self) -> bool:
        """Whether nothing is asked, nor begun to be."""
        return not (self._size or self._body or self._waiting or self._task or self._ahead or self._closing)

    def data_received(self, data: bytes) -> None:
        """Some bytes: mostly one whole request, like many before it."""
        if self.free:
            answer = self._again(data)
            if answer is not None:
                self._write(answer)
                self.seen = self._shared.now
                return
        if self._deaf:
            self._body += len(data)
            if self._body > _MOST_UNREAD:
                self.transport.pause_reading()
            return
        if self._ahead or self._waiting or self._paused:
            self._ahead += data
            self.transport.pause_reading()
            return
        self._read(data)

    def eof_received(self) -> bool:
        """They send no more; what they asked is answered."""
        self._over = True
        return bool(self._waiting or self._task or self._ahead)

    # --- reading --------------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        """Read a slice, answer what can be, and go on with the rest in the next turn of the loop."""
        self.free = False
        self.seen = self._shared.now
        piece, self._ahead = data[:SLICE], data[SLICE:]
        alone = not self._size and self._in_head and not self._ahead and not self._waiting
        self._raw = piece if alone and piece.find(b"\r\n\r\n") == len(piece) - 4 else b""
        if self._in_head:
            if not self._size:
                self._begun = self.seen
            self._size += len(piece)
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "What was sent is not HTTP.")  # never: who wants another protocol is answered before
        except httptools.HttpParserError as error:
            self._stopped(error)
        else:
            if self._in_head and self._size > HEAD_LIMIT + SLICE:
                self._refuse(431, "The head of this request is larger than 64 kB.")
        self._go_on()

    def _stopped(self, error: httptools.HttpParserError) -> None:
        cause = error.__context__
        if isinstance(cause, _Enough):
            self._deaf = True
        elif isinstance(cause, _Unanswerable):
            self._refuse(cause.status, cause.detail)
        else:
            self._refuse(400, "What was sent is not HTTP.")

    def _go_on(self) -> None:
        """Answer what waits; read on, if nothing does."""
        self._answer()
        if self._deaf:
            self._ahead = b""
            return
        if self._ahead and not self._waiting:
            self._set_aside()
        self._settle()

    def _set_aside(self) -> None:
        """Go on in the next turn of the loop."""
        if not self._still and not self._paused:
            self._still = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._still = False
        if self._waiting:
            self._go_on()
        elif not self._deaf and not self._paused:
            data, self._ahead = self._ahead, b""
            self._read(data)

    def _settle(self) -> None:
        """See whether to listen, and whether the next request may go the short way."""
        if self._over and not (self._waiting or self._task or self._ahead):
            self.transport.close()
        blocked = bool(self._waiting or self._ahead or self._paused)
        if not self._deaf and not self.transport.is_closing():
            self.transport.pause_reading() if blocked else self.transport.resume_reading()
        self.free = self.rests and not (self._deaf or self._paused or self._shared.draining)

    # --- what the parser tells ------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request."""
        self._in_head, self._target, self._fields, self._body = True, b"", [], 0
        self._size = self._size or 1
        self._begun = self._begun or self.seen

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._target += url
        if len(self._target) > _LONGEST_TARGET:
            raise _Unanswerable(414, "The address of this request is longer than 8 kB.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field. What comes after the content is dropped."""
        if self._in_head:
            self._fields.append((name.lower(), value))
            if len(self._fields) > MOST_FIELDS:
                raise _Unanswerable(431, f"This request has more than {MOST_FIELDS} fields.")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        parser, version = self._parser, self._parser.get_http_version()
        if self._size > HEAD_LIMIT - SLICE and _size(self._target, self._fields) > HEAD_LIMIT:
            raise _Unanswerable(431, "The head of this request is larger than 64 kB.")
        if version not in {"1.0", "1.1"}:
            raise _Unanswerable(505, "This server speaks HTTP/1.1.")
        method = parser.get_method().decode("ascii")
        if method == "CONNECT":
            raise _Unanswerable(501, "This server opens no tunnels.")
        sent = Request(method, self._target, "http", "", "", tuple(self._fields))
        codings = [value.strip().lower() for value in sent.values(b"transfer-encoding")]
        if codings and codings != [b"chunked"]:
            raise _Unanswerable(501, "This server knows no transfer coding but chunked.")
        self._in_head, self._size = False, 0
        self._question = sent
        # An answer to HTTP/1.0 is the last: to keep the connection would have to be agreed upon.
        length = sent.value(b"content-length") or b"0"
        if sent.value(b"expect") is not None or int(length) > MOST_DROPPED or parser.should_upgrade():
            self._enough()
            raise _Enough

    def on_body(self, body: bytes) -> None:
        """A piece of content, which nobody wants."""
        self._body += len(body)
        if self._body > MOST_DROPPED:
            self._enough()
            raise _Enough

    def on_message_complete(self) -> None:
        """A request is whole."""
        sent, parser = self._question, self._parser
        if sent is None:
            return
        last = not parser.should_keep_alive() or parser.get_http_version() == "1.0"
        self._waiting.append(_Question(sent, last, b"" if last or self._body or self._waiting else self._raw))
        self._question, self._raw = None, b""
        self._in_head, self._size, self._begun, self._body = True, 0, 0.0, 0

    def _enough(self) -> None:
        """The answer is due, whatever is still sent; and it is the last."""
        if self._question is not None:
            self._waiting.append(_Question(self._question, last=True))
            self._question = None
        self._deaf = self._unread = True

    # --- answering ------------------------------------------------------------------------------------

    def _answer(self) -> None:
        """Answer in order, as far as it can be done without waiting, and without making others wait."""
        until = len(self._waiting) - AT_ONCE
        while self._waiting and self._task is None and not self._paused and not self._closing:
            if len(self._waiting) <= until:
                self._set_aside()
                break
            question = self._waiting[0]
            said = self._shared.check.at_once(question.sent, question.raw)
            if said is None:
                self._task = asyncio.get_running_loop().create_task(self._ask(question))
                break
            self._waiting.popleft()
            self._say(question, said)
        self._flush()

    async def _ask(self, question: _Question) -> None:
        """Answer what somebody has to be asked for."""
        try:
            said = await self._shared.check.answer(question.sent)
        except Exception:  # noqa: BLE001 - whatever it is, it is no yes
            _log.exception("demur could not answer %s", question.sent.path)
            self.transport.abort()
            return
        finally:
            self._task = None
        if not self._waiting:
            return  # they are gone
        self._waiting.popleft()
        self._say(question, said)
        self._flush()
        self._go_on()

    def _say(self, question: _Question, said: Response) -> None:
        last = question.last or self._shared.draining
        self._out.append(head.whole(said, close=last, bodiless=question.sent.method == "HEAD"))
        if last:
            self._waiting.clear()
            self._leave()

    def _flush(self) -> None:
        if self._out:
            self.seen = self._shared.now
            out, self._out = self._out, []
            self.transport.write(b"".join(out))
        if not self._closing or self.transport.is_closing():
            return
        if not self._unread or not self.transport.can_write_eof():
            self.transport.close()
        else:
            # To close while something unread arrives would reset the connection, and the answer would be lost with it
            # (RFC 9112, 9.6): say that this was all, and read on for a moment.
            self.transport.write_eof()

    def _leave(self) -> None:
        self._deaf, self.free, self._body = True, False, 0
        self._closing = self._closing or self._shared.now + _LINGER
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _refuse(self, status: int, detail: str) -> None:
        """Answer what never became a request, after all that did, and hear nothing more."""
        self._deaf = self._unread = True
        self._answer()
        if self._task is None and not self._waiting and not self._closing:
            self._out.append(whole(status, detail))
        elif self._waiting:
            self._waiting[-1].last = True
            return
        self._leave()
        self._flush()

    # --- time -----------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """More waits for the client than should: it is asked for no more."""
        self._paused, self.free = True, False
        self.seen = self._shared.now
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has read."""
        self._paused = False
        self.seen = self._shared.now
        self._go_on()

    def look(self, now: float) -> None:
        """Once a second: see whether this goes on too long."""
        if self._closing:
            if now > self._closing + (READ_SECONDS if self.transport.get_write_buffer_size() else 0):
                self.transport.abort()
        elif self._paused:
            if now - self.seen > READ_SECONDS:
                self.transport.abort()
        elif self._question is not None:
            if now - self._begun > LONGEST_DROP:
                self._enough()
                self._go_on()
        elif self._size and not self._waiting and not self._ahead:
            if now - self._begun > HEAD_SECONDS:
                self._refuse(408, "The request did not arrive in time.")
        elif self.rests and now - self.seen > IDLE_SECONDS:
            self.transport.close()

    def last_call(self) -> None:
        """The server is about to end: finish what was asked, and leave soon."""
        self.free = False

    def leave(self) -> None:
        """The last call was a moment ago."""
        if self.rests and not has_news(self.transport):
            self.transport.close()


def _size(target: bytes, fields: list[tuple[bytes, bytes]]) -> int:
    return len(target) + sum(len(name) + len(value) + 4 for name, value in fields)
