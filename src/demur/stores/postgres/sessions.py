"""Sessions in PostgreSQL, for any number of machines.

- A load is one statement, whatever the number of ids. So is all else but `apply`, `sweep` and what moves sessions,
  which are transactions that lock rows in one order: nobody waits in a circle.
- What is said to be done is committed, as safely as the server was told to (`synchronous_commit`).
- Ends, rotations and snapshots are notified in the transaction that makes them; each process and event loop listens.
- Every call ends within `stores.PATIENCE`, with an answer or `StoreUnavailable`; what goes through all rows may take
  longer, because nobody's page waits for it.
- A failure is never "unknown session", and nothing that is said of it contains a password.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from demur.core import sessions
from demur.core.model import Rotate, Session, StoreUnavailable, Unknown
from demur.core.ports import Changed, Hits
from demur.stores import PATIENCE
from demur.stores.heard import holds
from demur.stores.loops import PerLoop
from demur.stores.postgres import moving, rows, schema
from demur.stores.postgres.address import Address, advised
from demur.stores.postgres.channel import Channel
from demur.stores.postgres.ledger import Ledger
from demur.stores.postgres.line import Failed, Lost
from demur.stores.postgres.pool import Pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from demur.core.model import Actor, Change, Ended, Ending, Kind, Live, Subject
    from demur.core.ports import Kept
    from demur.stores.heard import Heard, Moment
    from demur.stores.postgres.line import Line, Row, Value

T = TypeVar("T")

Work: TypeAlias = "Callable[[Line], Awaitable[tuple[T, list[Changed]]]]"
"""Something to do in a transaction, and what others have to hear of it."""

_LONG = 30.0
"""Patience with what goes through all rows."""

_UNIQUE, _NOT_NULL = "23505", "23502"
_UNKNOWN = Unknown()

_SETTING_UP = 2.0
_LOOK = 1.0
"""Seconds for which a database is believed to be the one that it was."""

_CAUSES = {
    "25006": "it is read-only: a standby, or closed to writing. Name the primary, or all servers, in the URL",
    "42P01": "the tables are gone; put them back, or restart to begin with empty ones",
    "3F000": "the schema is gone; put it back, or restart to begin with an empty one",
    "53100": "its disk is full",
    "53200": "it has no memory left",
    "55P03": "somebody else holds a lock",
    "57014": "it took too long",
    "57P03": "it is starting up or shutting down",
}

# What a plan costs is guessed from how the tables were when it was made. Ours is always by an index; and nobody who
# has gone in the middle of a transaction holds up others for long.
_SETTINGS = """
SET statement_timeout = '700ms'; SET lock_timeout = '600ms'; SET idle_in_transaction_session_timeout = '2s';
SET jit = off; SET enable_seqscan = off; SET default_transaction_isolation = 'read committed'
"""
_LONGER = f"SET LOCAL statement_timeout = '{_LONG:.0f}s'; SET LOCAL lock_timeout = '5s'"


class PostgresStore:
    """A `core.ports.Store` in PostgreSQL. Made by `stores.open("postgresql://…")`."""

    def __init__(self, url: str) -> None:
        self._address = Address(url)
        self._epoch: bytes | None = None
        self._look_at = 0.0
        self._heard: list[Heard] = []
        self._process = os.getpid()
        # See `Store.holds`. It is on the way of every check, and a call of its own is half of what it costs.
        self.holds = holds
        self._here = PerLoop(self._open, _leave)

    async def issue(self, session: Session, subject: Subject) -> None:
        """See `Store.issue`. Raises ValueError for an id that was used before, or another person's snapshot."""
        if session.subject != subject.id:
            raise ValueError("a session is issued with the snapshot of its own person")
        await self._keep(rows.ISSUE, subject, *rows.of_session(session))

    async def load(self, ids: Sequence[bytes]) -> list[Live | Ended | Unknown]:
        """See `Store.load`."""
        if not ids:
            return []
        keys = list({key[: rows.KEY] for key in ids})
        known = {row[0]: rows.found(row) for row in await self._ask(rows.LOAD, keys)}
        if not all(key in known for key in ids):
            await self._see_that_it_is_still()
        return [known.get(key, _UNKNOWN) for key in ids]

    def moment(self) -> Moment | None:
        """See `Store.moment`."""
        return self._here.here().channel.heard.moment()

    async def apply(self, changes: Sequence[Change]) -> list[bool]:
        """See `Store.apply`. Raises ValueError, and changes nothing, for a rotation to a used id or another person."""
        if not changes:
            return []
        return await self._transact(partial(_apply, changes=changes))

    async def sessions(self, subject: str | None = None, *, kind: Kind = "session") -> list[Session]:
        """See `Store.sessions`."""
        if subject is not None:
            found = await self._ask(rows.LIVE_OF, rows.KINDS[kind], subject)
        else:
            work = partial(_ask_long, statement=rows.LIVE, values=(rows.KINDS[kind],))
            found = await self._here.here().pool.run(work, _LONG)
        return [rows.session(row, row[11]) for row in found]

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
        """See `Store.end_all`. To end everybody's takes as long as it takes."""
        values = (rows.KINDS[kind], keep, rows.ENDINGS[how], rows.ACTORS[actor], now)
        return await self._transact(
            partial(_end_all, subject=subject, values=values), _LONG if subject is None else PATIENCE
        )

    async def publish(self, subject: Subject) -> None:
        """See `Store.publish`."""
        await self._keep(rows.PUBLISH, subject)

    async def sweep(self, now: int) -> int:
        """See `Store.sweep`. In small transactions, each of them whole. Many nodes may sweep at once: what one has
        before it, the others pass over."""
        total = 0
        for statement in rows.FORGET:
            more = True
            while more:
                count = await self._transact(partial(_forget, statement=statement, now=now), _LONG)
                total, more = total + count, count >= rows.BATCH
        more = True
        while more:
            count, more = await self._transact(partial(_turn, now=now), _LONG)
            total += count
        return total

    async def put(self, key: bytes, value: bytes, until: int) -> None:
        """See `Store.put`."""
        await self._do(rows.PUT, key, value, until)

    async def take(self, key: bytes, now: int) -> bytes | None:
        """See `Store.take`."""
        found = await self._once(rows.TAKE, key)
        return found[0][0] if found and now < found[0][1] else None

    async def peek(self, key: bytes, now: int) -> bytes | None:
        """See `Store.peek`."""
        found = await self._ask(rows.PEEK, key, now)
        return found[0][0] if found else None

    async def hit(self, key: bytes, window: int, now: int) -> Hits:
        """See `Store.hit`."""
        return Hits(*(await self._once(rows.HIT, key, window, now))[0])

    async def hits(self, key: bytes, now: int) -> Hits:
        """See `Store.hits`. Without any: none, in a window that ends now."""
        found = await self._ask(rows.HITS, key, now)
        return Hits(*found[0]) if found else Hits(0, now)

    def changes(self) -> AsyncIterator[Changed]:
        """See `Store.changes`."""
        return self._here.here().channel.feed()

    async def each(self, after: bytes = b"", most: int = 500) -> tuple[list[Kept], bytes | None]:
        """See `Store.each`."""
        return await self._here.here().pool.run(partial(moving.page, after=after, most=most), _LONG)

    async def adopt(self, kept: Sequence[Kept]) -> int:
        """See `Store.adopt`."""
        return await self._transact(partial(moving.adopt, kept=kept), _LONG)

    async def freeze(self, *, frozen: bool = True) -> None:
        """See `Store.freeze`."""
        await self._transact(partial(moving.freeze, frozen=frozen), _LONG)

    async def check(self) -> None:
        """See `Store.check`. Waits for the channel, too, so that whoever is ready has a cache; but where it cannot be
        had, checks ask every time, and that works."""
        here = self._here.here()
        begun = asyncio.get_running_loop().time()
        found = await self._ask(rows.PROVE)
        self._recognise(found[0][0])
        left = PATIENCE - (asyncio.get_running_loop().time() - begun)
        try:
            async with asyncio.timeout(max(left, 0)):
                await here.channel.listening()
        except TimeoutError:
            return

    async def aclose(self) -> None:
        """See `Store.aclose`."""
        here = self._here.pop()
        if here is not None:
            await here.channel.aclose()
            await here.pool.aclose()

    # --- inside -----------------------------------------------------------------------------------

    async def _ask(self, statement: str, *values: Value) -> list[Row]:
        """For what may be asked twice."""
        return await self._here.here().pool.run(lambda line: line.ask(statement, *values), PATIENCE, again=True)

    async def _once(self, statement: str, *values: Value) -> list[Row]:
        return await self._here.here().pool.run(lambda line: line.ask(statement, *values), PATIENCE)

    async def _do(self, statement: str, *values: Value) -> int:
        return await self._here.here().pool.run(lambda line: line.do(statement, *values), PATIENCE, again=True)

    async def _transact(self, work: Work[T], patience: float = PATIENCE) -> T:
        """Do something in one transaction, and tell others of it."""
        here = self._here.here()
        return await here.pool.run(partial(_whole, here.channel, work, patience > PATIENCE), patience)

    async def _keep(self, statement: str, subject: Subject, *values: Value) -> None:
        """`ISSUE` or `PUBLISH`. If somebody else makes the same person at this moment, it is done again."""
        here = self._here.here()
        notes = here.channel.notes([Changed(subject=subject.id)])

        async def work(line: Line) -> None:
            done = False
            while not done:
                try:
                    ((news, done),) = await line.ask(statement, *rows.of_person(subject), notes[0].text, *values)
                except Failed as error:
                    if error.state == _UNIQUE:
                        raise ValueError("a session id is used once") from None
                    if error.state != _NOT_NULL:
                        raise
                except BaseException:
                    here.channel.made(notes, surely=False)
                    raise
                else:
                    if news:
                        here.channel.made(notes)

        await here.pool.run(work, PATIENCE)

    async def _see_that_it_is_still(self) -> None:
        """Before anybody is told that a session is unknown: an empty database may have taken the place of ours."""
        now = asyncio.get_running_loop().time()
        if now >= self._look_at:
            ((epoch,),) = await self._ask(rows.EPOCH)
            self._recognise(epoch)
            self._look_at = now + _LOOK

    def _recognise(self, epoch: bytes) -> None:
        if self._epoch is None:
            self._epoch = epoch
        elif self._epoch != epoch:
            raise StoreUnavailable(self._says("another database is in its place; put it back, or restart to use this"))

    async def _connect(self) -> Line:
        line = await self._address.connect()
        try:
            async with asyncio.timeout(_SETTING_UP):
                await line.set_up(_SETTINGS)
            self._recognise(await schema.look(line, known=self._epoch is not None))
        except StoreUnavailable as error:
            line.close()
            raise StoreUnavailable(self._says(error.cause)) from None
        except BaseException:
            line.close()
            raise
        return line

    def _says(self, message: str, state: str = "") -> str:
        head = f"sessions: {self._address}: "
        return message if message.startswith(head) else head + _CAUSES.get(state, advised(message))

    def _open(self) -> _Here:
        if self._process != os.getpid():
            # What was heard before a fork is heard on in the parent, and not here.
            for heard in self._heard:
                heard.lost()
            self._heard, self._process = [], os.getpid()
        here = _Here(self._connect, self._says)
        self._heard.append(here.channel.heard)
        return here


class _Here:
    """What one process and event loop have open."""

    def __init__(self, connect: Callable[[], Awaitable[Line]], says: Callable[[str, str], str]) -> None:
        self.pool = Pool(connect, says)
        self.channel = Channel(connect, os.urandom(8).hex(), self.pool.tidy)


def _leave(here: _Here) -> None:
    here.channel.leave()
    here.pool.close()


async def _whole(channel: Channel, work: Work[T], long: bool, line: Line) -> T:  # noqa: FBT001 - called here only
    """One transaction. If its outcome is not known, others here are told as if it had been done."""
    try:
        await line.command(f"BEGIN; {_LONGER}" if long else "BEGIN")
        result, told = await work(line)
        notes = channel.notes(told)
        for note in notes:
            await line.ask(rows.TELL, note.text)
    except Lost as error:
        raise Lost(error.message, before=True) from error
    except (Failed, ValueError):
        await line.command("ROLLBACK")
        raise
    try:
        await line.command("COMMIT")
    except BaseException:
        channel.made(notes, surely=False)
        raise
    channel.made(notes)
    return result


async def _ask_long(line: Line, statement: str, values: Sequence[Value]) -> list[Row]:
    await line.command(f"BEGIN; {_LONGER}; SET LOCAL enable_seqscan = on")
    try:
        return await line.ask(statement, *values)
    finally:
        if not line.ended:
            await line.command("ROLLBACK")


async def _apply(line: Line, changes: Sequence[Change]) -> tuple[list[bool], list[Changed]]:
    keys = {key for change in changes for key in _keys(change)}
    ledger = await Ledger.of(line, keys)
    done = [ledger.make(change) for change in changes]
    try:
        await ledger.write(line)
    except Failed as error:
        if error.state == _UNIQUE:
            raise ValueError("a session id is used once") from None
        raise
    return done, ledger.told


def _keys(change: Change) -> tuple[bytes, ...]:
    return (change.session, change.new.id) if isinstance(change, Rotate) else (change.session,)


async def _end_all(line: Line, subject: str | None, values: Sequence[Value]) -> tuple[int, list[Changed]]:
    if subject is None:
        found = await line.ask(rows.END_EVERYBODY, *values)
    else:
        found = await line.ask(rows.END_ALL, *values, subject)
    count: int = found[0][0]
    return count, [Changed(subject=subject)] if count else []


async def _forget(line: Line, statement: str, now: int) -> tuple[int, list[Changed]]:
    return await line.do(statement, now), []


async def _turn(line: Line, now: int) -> tuple[tuple[int, bool], list[Changed]]:
    """One batch of sessions past their limits into tombstones: how many, and whether more may be waiting."""
    ledger = Ledger.read(await line.ask(rows.DUE, now))
    later: dict[bytes, int] = {}
    for key in ledger.ids():
        session = ledger[key]
        assert isinstance(session, Session)  # noqa: S101 - the statement says so
        end = sessions.ended(session, now)
        if end is not None:
            ledger.end(key, end)
        else:
            later[key] = rows.limit(session)
    await ledger.write(line)
    if later:
        await line.do(rows.POSTPONE, list(later), list(later.values()))
    return (len(ledger.told), len(ledger.ids()) >= rows.BATCH), ledger.told
