"""One connection to PostgreSQL: libpq, as psycopg brings it, on this event loop.

- One statement at a time, prepared at its first use; parameters and answers are binary. Behind a pooler nothing is
  prepared: the next statement may find another server's connection, on which somebody else has prepared theirs.
- The socket is always being read: notifications are told at once, and a connection that has ended is known to have.
- Whoever stops waiting for an answer ends the connection. Nobody gets somebody else's answer.
"""

from __future__ import annotations

import asyncio
import select
import struct
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg.pq.abc import PGconn, PGresult

Value: TypeAlias = "int | bool | bytes | str | Sequence[int] | Sequence[bytes] | Sequence[str] | None"
"""What a statement takes; a list is an array. Its types are those that the statement says ($1::bytea[])."""

Row: TypeAlias = tuple[Any, ...]

_TEXT, _BINARY = pq.Format.TEXT, pq.Format.BINARY
_OID = {bytes: 17, int: 20, str: 25}  # bytea, bigint, text
_GOOD = {pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY}


class Failed(Exception):  # noqa: N818 - the statement failed, and the connection is fine
    """The server refused a statement. `state` is its SQLSTATE."""

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state = state
        self.message = message


class Lost(Exception):  # noqa: N818 - that happens
    """There is no connection (any more). `before` says that nothing can have been done of what was asked for."""

    def __init__(self, message: str, *, before: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.before = before


class Line:
    """An open connection. `notified` is called with what arrives on channels that it listens on, `lost` when it ends
    by itself; both from the event loop."""

    def __init__(self, pg: PGconn) -> None:
        self._pg = pg
        self._loop = asyncio.get_running_loop()
        self._socket = pg.socket
        self._poll = select.poll()
        self._poll.register(pg.socket, select.POLLIN)
        self._names: dict[str, bytes] = {}
        self.pooled = False
        self._results: list[PGresult] = []
        self._waiting: asyncio.Future[list[PGresult]] | None = None
        self._transformer = Transformer()
        self._why = ""
        self.notified: Callable[[str], None] | None = None
        self.lost: Callable[[], None] | None = None
        self.idle_since = 0.0
        pg.nonblocking = 1
        self._loop.add_reader(self._socket, self._readable)

    async def set_up(self, settings: str) -> None:
        """Run statements that begin a connection, and find out whether it is `pooled`: a pooler gives each client a
        number of its own (for CancelRequest), which is not that of the server's process. Raises `Failed`, `Lost`."""
        ((pid,),) = await self.command(f"{settings}; SELECT pg_backend_pid()")
        self.pooled = int(pid) != self._pg.backend_pid

    @property
    def ended(self) -> bool:
        """Whether it is known to be closed."""
        return bool(self._why)

    @property
    def usable(self) -> bool:
        """Whether it is open, as far as is known, and nothing is under way on it."""
        return not self._why and self._waiting is None and self._pg.transaction_status == pq.TransactionStatus.IDLE

    def look(self) -> None:
        """Take what has arrived by now: it may be that the connection has ended."""
        if not self._why and self._poll.poll(0):
            self._readable()

    async def ask(self, statement: str, *values: Value) -> list[Row]:
        """Run a statement; its rows. Raises `Failed`, `Lost`."""
        (result,) = await self._run(statement, values)
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)

    async def do(self, statement: str, *values: Value) -> int:
        """Run a statement; how many rows it changed. Raises `Failed`, `Lost`."""
        (result,) = await self._run(statement, values)
        return result.command_tuples or 0

    async def command(self, text: str) -> list[Row]:
        """Run statements that take no values and are not worth preparing; the rows of the last one, as text."""
        self._send(lambda: self._pg.send_query(text.encode()))
        result = (await self._answer())[-1]
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)

    def close(self, why: str = "closed") -> None:
        """End it, whatever is under way. From another thread only if its loop is closed."""
        if self._why:
            return
        self._why = why
        if not self._loop.is_closed():
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
        self._pg.finish()
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(Lost(why))

    async def _run(self, statement: str, values: Sequence[Value]) -> list[PGresult]:
        data, forms = zip(*map(_written, values), strict=True) if values else ((), ())
        if self.pooled:
            self._send(lambda: self._pg.send_query_params(statement.encode(), data, None, forms, _BINARY))
        else:
            name = self._names.get(statement) or await self._prepare(statement)
            self._send(lambda: self._pg.send_query_prepared(name, data, forms, _BINARY))
        return await self._answer()

    async def _prepare(self, statement: str) -> bytes:
        name = b"demur_%d" % len(self._names)
        self._send(lambda: self._pg.send_prepare(name, statement.encode()))
        await self._answer()
        self._names[statement] = name
        return name

    def _send(self, send: Callable[[], None]) -> None:
        if self._why:
            raise Lost(self._why, before=True)
        assert self._waiting is None, "one statement at a time"  # noqa: S101 - whoever has the line has it alone
        try:
            send()
        except psycopg.OperationalError as error:
            self._end(str(error))
            raise Lost(self._why, before=True) from error

    async def _answer(self) -> list[PGresult]:
        waiting = self._waiting = self._loop.create_future()
        self._flush()
        try:
            results: list[PGresult] = await waiting
        except asyncio.CancelledError:
            self.close("given up waiting for its answer")
            raise
        for result in results:
            if result.status not in _GOOD:
                raise self._failure(result)
        return results

    def _failure(self, result: PGresult) -> Failed | Lost:
        state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
        message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
        message = message or result.get_error_message().strip()
        if self._why or self._pg.status != pq.ConnStatus.OK:
            self._end(message)
            return Lost(message)
        return Failed(state, message)

    def _flush(self) -> None:
        try:
            more = self._pg.flush()
        except psycopg.OperationalError as error:
            self._end(str(error))
            return
        if more:
            self._loop.add_writer(self._socket, self._flush)
        else:
            self._loop.remove_writer(self._socket)

    def _readable(self) -> None:
        try:
            self._pg.consume_input()
            self._hear()
            while self._waiting is not None and not self._pg.is_busy():
                result = self._pg.get_result()
                if result is not None:
                    self._results.append(result)
                    continue
                self._hear()
                waiting, self._waiting = self._waiting, None
                results, self._results = self._results, []
                if not waiting.done():
                    waiting.set_result(results)
        except psycopg.OperationalError as error:
            self._end(str(error))
        if self._pg.status != pq.ConnStatus.OK:
            # libpq has closed the socket. The next one that is opened has the same number, and must not find us there.
            self._end(self._pg.get_error_message())

    def _hear(self) -> None:
        while (told := self._pg.notifies()) is not None:
            if self.notified is not None:
                self.notified(told.extra.decode(errors="replace"))

    def _end(self, why: str) -> None:
        """It has ended by itself. What the server said last says why, if it said anything."""
        if self._why:
            return
        for result in self._results:
            why = result.get_error_message() or why
        self.close(_first_line(why))
        if self.lost is not None:
            self.lost()


async def open_line(conninfo: bytes, *, in_thread: bool = False) -> Line:
    """Connect. `in_thread` is for an address that libpq itself has to look up, which it does without giving way.
    Raises `Lost`."""
    if in_thread:
        pg = await asyncio.to_thread(pq.PGconn.connect_start, conninfo)
    else:
        pg = pq.PGconn.connect_start(conninfo)
    try:
        while (status := _poll(pg)) != pq.PollingStatus.OK:
            if status == pq.PollingStatus.FAILED:
                raise Lost(_first_line(pg.get_error_message()), before=True)  # noqa: TRY301 - it is closed, too
            await _ready(pg.socket, writing=status == pq.PollingStatus.WRITING)
        return Line(pg)
    except BaseException:
        pg.finish()
        raise


def _poll(pg: PGconn) -> int:
    return pq.PollingStatus.FAILED if pg.status == pq.ConnStatus.BAD else pg.connect_poll()


async def _ready(socket: int, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    watch, leave = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    watch(socket, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        leave(socket)


def _first_line(message: str) -> str:
    # libpq says where, what, and then much advice, each on a line of its own.
    return message.strip().partition("\n")[0].strip()


def _written(value: Value) -> tuple[bytes | None, pq.Format]:
    if value is None or isinstance(value, bytes):
        return value, _BINARY
    if isinstance(value, bool):
        return b"t" if value else b"f", _TEXT
    if isinstance(value, int):
        return b"%d" % value, _TEXT
    if isinstance(value, str):
        return value.encode(), _BINARY  # in text form it would end at a NUL
    return _array(value), _BINARY


def _array(values: Sequence[int] | Sequence[bytes] | Sequence[str]) -> bytes:
    """One dimension, no NULLs (array_recv)."""
    if not values:
        return struct.pack(">iii", 0, 0, _OID[bytes])
    items = b"".join(map(_item, values))
    return struct.pack(">iiiii", 1, 0, _OID[type(values[0])], len(values), 1) + items


def _item(value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return struct.pack(">iq", 8, value)
    text = value.encode() if isinstance(value, str) else value
    return struct.pack(">i", len(text)) + text
