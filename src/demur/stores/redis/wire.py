"""One connection to a Redis or Valkey server, which speaks RESP3.

- Questions are answered in the order in which they were asked. Whoever stops waiting leaves its place in that order,
  so its answer reaches nobody else.
- What the server says without being asked goes to `pushed`.
- When it is over, everybody who waits is told, and `lost` is called, once. It is over for good.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import hiredis

from demur.core.model import StoreUnavailable
from demur.stores.redis import causes

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.stores.redis.where import Place

Word: TypeAlias = "str | bytes | int"

_MOST_WAITING = 10_000
"""Questions that one connection has open at once."""

_NOT_YET = object()


class Said(Exception):  # noqa: N818 - the server's own words
    """An error that the server answered with. `code` is its first word."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.code = text.partition(" ")[0]


class Wire(asyncio.Protocol):
    """One connection. Made by `connect`."""

    def __init__(self, place: Place, pushed: Callable[[list[Any]], None], lost: Callable[[Wire], None]) -> None:
        self.place = place
        self.heard_at = time.monotonic()
        self.facts: dict[str, str] = {}
        self._pushed = pushed
        self._lost = lost
        self._reader = hiredis.Reader(protocolError=ValueError, replyError=Said, notEnoughData=_NOT_YET)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._over: StoreUnavailable | None = None

    @property
    def open(self) -> bool:
        """Whether it can be asked."""
        return self._over is None and self._transport is not None

    def ask(self, *words: Word) -> asyncio.Future[Any]:
        """Ask; what is answered, later. Raises StoreUnavailable."""
        if self._over is not None or self._transport is None:
            raise self._over or StoreUnavailable(causes.unreachable(self.place))
        if len(self._waiting) >= _MOST_WAITING:
            raise StoreUnavailable(causes.too_busy(self.place), 1)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._transport.write(hiredis.pack_command(words))  # type: ignore[arg-type] # a str or bytes is one, too
        return answer

    def doubt(self, since: float) -> None:
        """An answer did not come in time. If nothing at all came since it was asked for, nobody is there."""
        if self.heard_at < since:
            self.close(causes.silent(self.place))

    def close(self, cause: str) -> None:
        """Hang up, at once."""
        if self._over is not None:
            return
        self._over = StoreUnavailable(cause)
        transport, self._transport = self._transport, None
        waiting, self._waiting = self._waiting, deque()
        for answer in waiting:
            if not answer.done():
                answer.set_exception(self._over)
                answer.exception()  # whoever asked may have left
        if transport is not None:
            _hang_up(transport)
        self._lost(self)

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        reader = self._reader
        try:
            reader.feed(data)
            while (answer := reader.gets()) is not _NOT_YET:
                self._take(answer)
        except (ValueError, IndexError):
            self.close(causes.not_redis(self.place))

    def _take(self, answer: Any) -> None:  # noqa: ANN401 - whatever was answered
        self.heard_at = time.monotonic()
        if isinstance(answer, hiredis.PushNotification):
            self._pushed(answer)
            return
        waiting = self._waiting.popleft()
        if waiting.done():
            return
        if isinstance(answer, Said):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.close(causes.lost(self.place, exc))


def _hang_up(transport: asyncio.Transport) -> None:
    # A forked child has the same connection: to close our end of it is not enough. uvloop's sockets have no shutdown().
    with contextlib.suppress(OSError):
        mine = os.dup(transport.get_extra_info("socket").fileno())
        with socket.socket(fileno=mine) as same:
            same.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(RuntimeError):  # the loop is closed
        transport.abort()


async def connect(place: Place, pushed: Callable[[list[Any]], None], lost: Callable[[Wire], None]) -> Wire:
    """A connection that has said who we are. Raises StoreUnavailable."""
    loop = asyncio.get_running_loop()
    wire = Wire(place, pushed, lost)
    try:
        if place.path:
            await loop.create_unix_connection(lambda: wire, place.path)
        else:
            context = place.tls.context() if place.tls is not None else None
            await loop.create_connection(lambda: wire, place.host, place.port, ssl=context)
        await _greet(wire)
    except Said as said:
        cause = causes.said(place, said)
        wire.close(cause)
        raise StoreUnavailable(cause) from None
    except OSError as error:
        cause = causes.unreachable(place, error)
        wire.close(cause)
        raise StoreUnavailable(cause) from None
    except BaseException:
        wire.close(causes.unreachable(place))
        raise
    return wire


async def _greet(wire: Wire) -> None:
    place = wire.place
    login: tuple[Word, ...] = ()
    if (password := place.login.password()) is not None:
        login = ("AUTH", place.login.user or "default", password)
    asked = [wire.ask("HELLO", 3, *login, "SETNAME", "demur")]
    if place.database:
        asked.append(wire.ask("SELECT", place.database))
    for answer in asked:
        await answer
