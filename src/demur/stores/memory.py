"""Sessions in the memory of one process: for trying out, for tests, and for a site that one process serves.

- It keeps the port's promises within the process, for any number of threads and event loops.
- A forked child has a copy of what was there, and from then on its own.
- One lock is held for as long as a method touches anything, and never across an `await`.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from demur.core import sessions
from demur.core.model import (
    Actor,
    Change,
    End,
    Ended,
    Ending,
    Live,
    Rotate,
    Session,
    StoreUnavailable,
    Subject,
    Touch,
    Unknown,
)
from demur.core.ports import Changed, Counter, Hits, Tombstone, Value
from demur.stores import forks
from demur.stores.feed import Feed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from demur.core.model import Kind
    from demur.core.ports import Kept


class MemoryStore:
    """A `core.ports.Store` that is gone when its process is. Made by `stores.open("memory:")`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[bytes, Session | Ended] = {}
        self._people: dict[str, Subject] = {}
        self._values: dict[bytes, tuple[bytes, int]] = {}
        self._hits: dict[bytes, Hits] = {}
        self._generation = 0
        self._frozen = False
        self._feeds: weakref.WeakSet[Feed] = weakref.WeakSet()
        forks.watch(self)

    async def issue(self, session: Session, subject: Subject) -> None:
        """See `Store.issue`. Raises ValueError for an id that was used before, or another person's snapshot."""
        if session.subject != subject.id:
            raise ValueError("a session is issued with the snapshot of its own person")
        with self._writing():
            if session.id in self._rows:
                raise ValueError("a session id is used once")
            known = subject.id in self._people
            if self._keep(subject) and known:
                self._tell(Changed(subject=subject.id))
            self._rows[session.id] = session

    async def load(self, ids: Sequence[bytes]) -> list[Live | Ended | Unknown]:
        """See `Store.load`."""
        with self._lock:
            return [self._found(key) for key in ids]

    def moment(self) -> _Moment:
        """See `Store.moment`."""
        return _Moment(self._generation)

    def holds(self, stamp: int) -> bool:
        """See `Store.holds`. Any change is one of everybody's: to look again costs nothing here."""
        return stamp == self._generation

    async def apply(self, changes: Sequence[Change]) -> list[bool]:
        """See `Store.apply`. Raises ValueError, and changes nothing, for a rotation to a used id or another person."""
        with self._writing():
            before = {key: self._rows.get(key) for change in changes for key in _keys(change)}
            told: list[Changed] = []
            try:
                done = [self._make(change, told) for change in changes]
            except ValueError:
                self._restore(before)
                raise
            for changed in told:
                self._tell(changed)
        return done

    async def sessions(self, subject: str | None = None, *, kind: Kind = "session") -> list[Session]:
        """See `Store.sessions`."""
        with self._lock:
            found = [row for row in self._live() if row.kind == kind and subject in (None, row.subject)]
        found.reverse()  # of one second, the later first
        return sorted(found, key=lambda session: -session.issued_at)

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
        with self._writing():
            of_them = [row for row in self._live() if row.kind == kind and subject in (None, row.subject)]
            ends = [row for row in of_them if row.id != keep]
            for row in ends:
                self._rows[row.id] = Ended(how, now, actor, row.subject)
            if ends:
                self._tell(Changed(subject=subject))
        return len(ends)

    async def publish(self, subject: Subject) -> None:
        """See `Store.publish`."""
        with self._writing():
            if self._keep(subject):
                self._tell(Changed(subject=subject.id))

    async def sweep(self, now: int) -> int:
        """See `Store.sweep`."""
        with self._writing():
            before = len(self._rows) + len(self._values) + len(self._hits)
            self._rows = {key: row for key, row in self._rows.items() if not _is_over(row, now)}
            self._values = {key: kept for key, kept in self._values.items() if kept[1] > now}
            self._hits = {key: hits for key, hits in self._hits.items() if hits.until > now}
            forgotten = before - len(self._rows) - len(self._values) - len(self._hits)
            turned = [(row.id, end) for row in self._live() if (end := sessions.ended(row, now))]
            for key, end in turned:
                self._rows[key] = end
                self._tell(Changed(session=key))
        return forgotten + len(turned)

    async def put(self, key: bytes, value: bytes, until: int) -> None:
        """See `Store.put`."""
        with self._writing():
            self._values[key] = (value, until)

    async def take(self, key: bytes, now: int) -> bytes | None:
        """See `Store.take`."""
        with self._writing():
            value, until = self._values.pop(key, (None, 0))
        return value if now < until else None

    async def peek(self, key: bytes, now: int) -> bytes | None:
        """See `Store.peek`."""
        value, until = self._values.get(key, (None, 0))
        return value if now < until else None

    async def hit(self, key: bytes, window: int, now: int) -> Hits:
        """See `Store.hit`."""
        with self._writing():
            before = self._hits.get(key)
            running = before is not None and now < before.until
            hits = replace(before, count=before.count + 1) if before and running else Hits(1, now + window)
            self._hits[key] = hits
        return hits

    async def hits(self, key: bytes, now: int) -> Hits:
        """See `Store.hits`. Without any: none, in a window that ends now."""
        hits = self._hits.get(key)
        return hits if hits and now < hits.until else Hits(0, now)

    def changes(self) -> Feed:
        """See `Store.changes`."""
        feed = Feed()
        with self._lock:
            self._feeds.add(feed)
        return feed

    async def each(self, after: bytes = b"", most: int = 500) -> tuple[list[Kept], bytes | None]:
        """See `Store.each`. A page begins after a key of one of the tables."""
        with self._lock:
            tables: list[dict[Any, Any]] = [self._people, self._rows, self._values, self._hits]
            number, place = (int(after[:1]), after[1:]) if after else (0, b"")
            later = sorted(key for key in tables[number] if _place(key) > place)
            found = [self._kept(number, key) for key in later[:most]]
        if len(later) > most:
            return found, b"%d" % number + _place(later[most - 1])
        return found, b"%d" % (number + 1) if number + 1 < len(tables) else None

    async def adopt(self, kept: Sequence[Kept]) -> int:
        """See `Store.adopt`."""
        with self._writing():
            return sum([self._adopt(each) for each in kept])

    async def freeze(self, *, frozen: bool = True) -> None:
        """See `Store.freeze`."""
        with self._lock:
            self._frozen = frozen

    async def check(self) -> None:
        """See `Store.check`. Memory is always there."""

    async def aclose(self) -> None:
        """See `Store.aclose`. What is kept stays, as it does in any other store."""

    def pause(self) -> None:
        """See `forks.Forkable`."""
        self._lock.acquire()

    def resume(self) -> None:
        """See `forks.Forkable`."""
        self._lock.release()

    def restart(self) -> None:
        """See `forks.Forkable`."""
        self._feeds = weakref.WeakSet()
        self._lock.release()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            if self._frozen:
                raise StoreUnavailable("sessions: closed to writing: its sessions are being moved")
            yield

    def _kept(self, table: int, key: Any) -> Kept:  # noqa: ANN401 - the key of any table
        if table == 0:
            return self._people[key]
        if table == 1:
            found = self._found(key)
            return Tombstone(key, found) if isinstance(found, Ended) else cast("Live", found)
        return Value(key, *self._values[key]) if table == 2 else Counter(key, self._hits[key])

    def _adopt(self, kept: Kept) -> bool:
        match kept:
            case Subject():
                return self._adopt_person(kept)
            case Live(session=session, subject=subject):
                news = self._adopt_person(subject)
                row = self._rows.get(session.id)
                if row is None:
                    self._rows[session.id] = session
                elif isinstance(row, Session) and row.last_seen < session.last_seen:
                    self._rows[session.id] = replace(row, last_seen=session.last_seen)
                else:
                    return news
                return True
            case Tombstone(id=key, ended=ended):
                there = self._rows.get(key)
                if isinstance(there, Ended):
                    return False
                self._rows[key] = ended
                if there is not None:
                    self._tell(Changed(session=key))
                return True
            case Value(key=key, value=value, until=until):
                before, self._values[key] = self._values.get(key), (value, until)
                return before != (value, until)
            case Counter(key=key, hits=hits):
                counted, self._hits[key] = self._hits.get(key), hits
                return counted != hits

    def _adopt_person(self, subject: Subject) -> bool:
        known = self._people.get(subject.id)
        if known is not None and known.version >= subject.version:
            return False
        self._people[subject.id] = subject
        if known is not None:
            self._tell(Changed(subject=subject.id))
        return True

    def _found(self, key: bytes) -> Live | Ended | Unknown:
        row = self._rows.get(key)
        if isinstance(row, Session):
            return Live(row, self._people[row.subject])
        return row or Unknown()

    def _live(self) -> list[Session]:
        return [row for row in self._rows.values() if isinstance(row, Session)]

    def _keep(self, subject: Subject) -> bool:
        known = self._people.get(subject.id)
        if known and (known.version > subject.version or known == subject):
            return False
        self._people[subject.id] = subject
        return True

    def _restore(self, before: dict[bytes, Session | Ended | None]) -> None:
        for key, row in before.items():
            if row is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = row

    def _make(self, change: Change, told: list[Changed]) -> bool:
        row = self._rows.get(change.session)
        if not isinstance(row, Session):
            return False
        match change:
            case Touch(at=at):
                if not _touches(row, at):
                    return False
                self._rows[row.id] = replace(row, last_seen=at)
                return True
            case Rotate(new=new, at=at):
                if new.subject != row.subject:
                    raise ValueError("a session goes on as the same person's")
                if new.id in self._rows:
                    raise ValueError("a session id is used once")
                self._rows[row.id] = Ended(Ending.REPLACED, at, Actor.SYSTEM, row.subject)
                self._rows[new.id] = new
            case End(how=how, actor=actor, at=at):
                self._rows[row.id] = Ended(how, at, actor, row.subject)
        told.append(Changed(session=row.id))
        return True

    def _tell(self, changed: Changed) -> None:
        self._generation += 1
        for feed in self._feeds:
            feed.tell(changed)


class _Moment(int):
    """How many changes there had been."""

    __slots__ = ()

    def stamp(self, live: Live) -> int:
        return self


def _place(key: bytes | str) -> bytes:
    return key.encode() if isinstance(key, str) else key


def _keys(change: Change) -> tuple[bytes, ...]:
    return (change.session, change.new.id) if isinstance(change, Rotate) else (change.session,)


def _touches(session: Session, at: int) -> bool:
    """Whether a touch has effect. Once per tenth of the idle limit is enough, however many processes ask for it."""
    enough = sessions.LAST_USE * 10 if session.kind == "token" else session.idle
    later = at > session.last_seen and (at - session.last_seen) * 10 >= enough
    return later and sessions.ended(session, at) is None


def _is_over(row: Session | Ended, now: int) -> bool:
    return isinstance(row, Ended) and row.when + sessions.TOMBSTONES_LAST <= now
