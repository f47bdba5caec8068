"""Sessions in an SQLite file, for all processes of one machine.

- A read is one statement, made inline on the event loop's thread (a hop to a thread costs six times as much), and
  never waits there: if it would, or fails, it is made again in a thread, with patience.
- Writes go through one thread for each process and event loop, many in one transaction.
- What is said to be done is in the file: a killed process loses nothing of it, and for what must not be lost
  (all but touches, hits and sweeps) neither does a power cut.
- A file that cannot be read or written is `StoreUnavailable`, with the file and the cause, and is tried again with
  the next request. It is never "unknown session".
- A changed file under the path is noticed within a second, and before anybody is told that a session is unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
import weakref
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from demur.core.model import StoreUnavailable, Touch, Unknown
from demur.stores import export, forks, rows
from demur.stores.database import File, Identity
from demur.stores.generations import Generations
from demur.stores.lane import Lane

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from demur.core.model import Actor, Change, Ended, Ending, Kind, Live, Session, Subject
    from demur.core.ports import Changed, Hits, Kept
    from demur.stores.generations import Moment

_INLINE = 100
"""How many ids are looked up without giving way to others."""

_LOOK = 1.0
"""After how many seconds a read looks whether the file is still the same."""

_POLL = 0.1
"""How often, in seconds, a reader of changes asks."""

_UNKNOWN = Unknown()

T = TypeVar("T")


class SQLiteStore:
    """A `core.ports.Store` in a file. Made by `stores.open("sqlite:PATH")`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = File(path)
        self._generations = Generations(self._file)
        # See `Store.holds`. It is on the way of every check, and a call of its own is half of what it costs.
        self.holds = self._generations.holds
        self._here: dict[int, _Here] = {}
        self._opening = threading.Lock()
        forks.watch(self)

    async def issue(self, session: Session, subject: Subject) -> None:
        """See `Store.issue`. Raises ValueError for an id that was used before, or another person's snapshot."""
        if session.subject != subject.id:
            raise ValueError("a session is issued with the snapshot of its own person")
        await self._write(partial(rows.issue, session=session, subject=subject), durable=True)

    async def load(self, ids: Sequence[bytes]) -> list[Live | Ended | Unknown]:
        """See `Store.load`."""
        here = self._opened()
        try:
            found = here.load(ids)
        except _NotNow:
            return await here.patiently(partial(_load_all, ids=ids))
        return found

    def moment(self) -> Moment | None:
        """See `Store.moment`."""
        return self._generations.moment() if self._opened().known else None

    async def apply(self, changes: Sequence[Change]) -> list[bool]:
        """See `Store.apply`. Raises ValueError, and changes nothing, for a rotation to a used id or another person."""
        if not changes:
            return []
        # To lose touches in a power cut costs a tenth of the idle time. To lose an end would be to revive a session.
        durable = not all(type(change) is Touch for change in changes)
        return await self._write(partial(_make_all, changes=tuple(changes)), durable=durable)

    async def sessions(self, subject: str | None = None, *, kind: Kind = "session") -> list[Session]:
        """See `Store.sessions`."""
        return await self._opened().patiently(partial(rows.live, subject=subject, kind=kind))

    async def end_all(
        self,
        subject: str | None,
        how: Ending,
        actor: Actor,
        now: int,
        *,
        keep: bytes | None = None,
        kind: Kind = "session",
    ) -> int:
        """See `Store.end_all`."""
        work = partial(rows.end_all, subject=subject, how=how, actor=actor, now=now, keep=keep, kind=kind)
        return await self._write(work, durable=True)

    async def publish(self, subject: Subject) -> None:
        """See `Store.publish`."""
        await self._write(partial(rows.publish, subject=subject), durable=True)

    async def sweep(self, now: int) -> int:
        """See `Store.sweep`. In small transactions, each of them whole: others come in between."""
        total = 0
        for step in (rows.forget, rows.turn):
            more = True
            while more:
                count, more = await self._write(partial(step, now=now))
                total += count
        return total

    async def put(self, key: bytes, value: bytes, until: int) -> None:
        """See `Store.put`."""
        await self._write(partial(rows.put, key=key, value=value, until=until))

    async def take(self, key: bytes, now: int) -> bytes | None:
        """See `Store.take`."""
        return await self._write(partial(rows.take, key=key, now=now), durable=True)

    async def peek(self, key: bytes, now: int) -> bytes | None:
        """See `Store.peek`."""
        return await self._read(partial(rows.peek, key=key, now=now))

    async def hit(self, key: bytes, window: int, now: int) -> Hits:
        """See `Store.hit`."""
        return await self._write(partial(rows.hit, key=key, window=window, now=now))

    async def hits(self, key: bytes, now: int) -> Hits:
        """See `Store.hits`. Without any: none, in a window that ends now."""
        return await self._read(partial(rows.hits, key=key, now=now))

    def changes(self) -> _Changes:
        """See `Store.changes`. After `StoreUnavailable` the same iterator goes on where it was, and loses nothing."""
        return _Changes(self._opened)

    async def each(self, after: bytes = b"", most: int = 500) -> tuple[list[Kept], bytes | None]:
        """See `Store.each`."""
        return await self._opened().patiently(partial(export.page, after=after, most=most))

    async def adopt(self, kept: Sequence[Kept]) -> int:
        """See `Store.adopt`."""
        return await self._write(partial(export.adopt, kept=tuple(kept)), durable=True)

    async def freeze(self, *, frozen: bool = True) -> None:
        """See `Store.freeze`."""
        await self._write(partial(export.freeze, frozen=frozen), durable=True)

    async def check(self) -> None:
        """See `Store.check`."""
        await self._opened().patiently(rows.last_change)
        await self._write(rows.prove)

    async def aclose(self) -> None:
        """See `Store.aclose`."""
        here = self._here.pop(id(asyncio.get_running_loop()), None)
        if here is not None:
            here.forget()
            for thread in here.close():
                await asyncio.to_thread(thread.join)
        if not self._here:
            self._generations.forget()

    def pause(self) -> None:
        """See `forks.Forkable`."""
        self._opening.acquire()

    def resume(self) -> None:
        """See `forks.Forkable`."""
        self._opening.release()

    def restart(self) -> None:
        """See `forks.Forkable`."""
        self._here = {}
        self._opening.release()

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        here = self._opened()
        try:
            return here.glance(work)
        except _NotNow:
            return await here.patiently(work)

    async def _write(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        return await self._opened().writer.run(work, durable=durable)

    def _opened(self) -> _Here:
        loop = asyncio.get_running_loop()
        here = self._here.get(id(loop))
        if here is None or here.loop() is not loop:
            with self._opening:
                here = self._here[id(loop)] = _Here(
                    self._file, loop, partial(_leave, self._here, id(loop), self._generations)
                )
        return here


class _NotNow(Exception):  # noqa: N818 - not an error
    """A read would have to wait, or failed: make it again in a thread."""


class _Here:
    """What one process and event loop have open. It goes when the loop goes."""

    def __init__(self, file: File, loop: asyncio.AbstractEventLoop, left: Callable[[_Here], None]) -> None:
        self._file = file
        self.loop = weakref.ref(loop)
        self.writer = Lane(file, writing=True)
        self._patient = Lane(file, writing=False)
        self._reading = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        self._look_at = 0.0
        self.known = False
        self.generation = 0
        forks.watch(self)
        self._finalizer = weakref.finalize(loop, left, self)

    def glance(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Read now, in this thread. Raises `_NotNow` if that takes waiting, or anything is wrong."""
        with self._reading:
            try:
                return work(self._current())
            except (sqlite3.Error, StoreUnavailable):
                # Whatever it was, a new connection may do better; if not, it has the time to find out why.
                self._drop()
                raise _NotNow from None

    def load(self, ids: Sequence[bytes]) -> list[Live | Ended | Unknown]:
        """Look ids up now. Raises `_NotNow` as well if one is unknown in a file that is no longer the one."""
        if len(ids) > _INLINE:
            raise _NotNow
        found = self.glance(partial(_load_all, ids=ids))
        if _UNKNOWN in found and self._has_moved():
            with self._reading:
                self._drop()
            raise _NotNow
        return found

    async def patiently(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Read in a thread, waiting for locks if need be. Raises `StoreUnavailable`."""
        found = await self._patient.run(work)
        self.known = True  # the file is there and is ours: from now on it can be read inline
        return found

    def close(self) -> list[threading.Thread]:
        """Let go of everything; the threads that are still doing so."""
        with self._reading:
            self._drop()
        return [thread for lane in (self.writer, self._patient) if (thread := lane.stop())]

    def forget(self) -> None:
        """Do not close when the loop goes."""
        self._finalizer.detach()

    def pause(self) -> None:
        """See `forks.Forkable`."""
        self._reading.acquire()
        self._drop()
        self.writer.pause()
        self._patient.pause()

    def resume(self) -> None:
        """See `forks.Forkable`."""
        self._patient.resume()
        self.writer.resume()
        self._reading.release()

    def restart(self) -> None:
        """See `forks.Forkable`. The threads are the parent's, and so is the loop: nobody comes back to this."""
        self.forget()

    def _current(self) -> sqlite3.Connection:
        now = time.monotonic()
        if self._reader is None:
            if not self.known:
                raise _NotNow
            self._reader, self._identity = self._file.open(patience=0)
            self._reader.execute("PRAGMA query_only = 1").fetchall()
            self._look_at = now + _LOOK
        elif now >= self._look_at:
            if self._file.look() != self._identity:
                self._drop()
                raise _NotNow
            self._look_at = now + _LOOK
        return self._reader

    def _has_moved(self) -> bool:
        try:
            return self._file.look() != self._identity
        except StoreUnavailable:
            return True

    def _drop(self) -> None:
        self.generation += 1
        self.known = False
        if self._reader is not None:
            connection, self._reader = self._reader, None
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def _leave(all_here: dict[int, _Here], key: int, generations: Generations, here: _Here) -> None:
    if all_here.get(key) is here:
        del all_here[key]
    here.close()
    if not all_here:
        generations.forget()


class _Changes:
    """One reader of the change log. It asks SQLite whether anything was written at all, and only then what."""

    def __init__(self, opened: Callable[[], _Here]) -> None:
        self._opened = opened
        self._waiting: deque[Changed] = deque()
        self._position: int | None = None
        self._seen: tuple[_Here, int, int] | None = None
        # Without a loop, or before the first read, where we are is not known: the first answer is "everything".
        with contextlib.suppress(RuntimeError, _NotNow):
            self._position = opened().glance(_position)

    def __aiter__(self) -> _Changes:
        return self

    async def __anext__(self) -> Changed:
        while not self._waiting:
            self._waiting.extend(await self._ask())
            if not self._waiting:
                await asyncio.sleep(_POLL)
        return self._waiting.popleft()

    async def _ask(self) -> list[Changed]:
        here = self._opened()
        try:
            seen = (here, here.generation, here.glance(_data_version))
        except _NotNow:
            seen = None
        if seen is not None and seen == self._seen:
            return []
        if self._seen is not None and (seen is None or seen[:2] != self._seen[:2]):
            # The connection was lost, and with it the knowledge of which file the position belongs to.
            self._position = None
        found, position = await here.patiently(partial(rows.changes_since, position=self._position))
        self._position, self._seen = position, seen
        return found


def _position(connection: sqlite3.Connection) -> int:
    return rows.last_change(connection)[1]


def _data_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def _load_all(connection: sqlite3.Connection, ids: Sequence[bytes]) -> list[Live | Ended | Unknown]:
    """All of them as of one moment."""
    if len(ids) == 1 or connection.in_transaction:
        return [rows.load(connection, key) for key in ids]
    connection.execute("BEGIN")
    try:
        return [rows.load(connection, key) for key in ids]
    finally:
        connection.execute("COMMIT")


def _make_all(connection: sqlite3.Connection, changes: Sequence[Change]) -> list[bool]:
    return [rows.make(connection, change) for change in changes]
