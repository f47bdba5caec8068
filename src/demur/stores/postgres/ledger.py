"""Changes of many sessions in one transaction: their rows are locked and read, changed here, and written back together.

What is locked is what is true: nobody else changes it before the transaction ends. Rows are locked in the order of
their keys, before anything is written, so that transactions wait for each other and never in a circle.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from demur.core import sessions
from demur.core.model import Actor, End, Ended, Ending, Live, Rotate, Session, Touch
from demur.core.ports import Changed
from demur.stores.postgres import rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from demur.core.model import Change
    from demur.stores.postgres.line import Line, Row


@dataclass(slots=True)
class _Kept:
    """A row, as it is by now: the number of its person, and what is known."""

    person: int
    what: Session | Ended


@dataclass(slots=True)
class Ledger:
    """The rows that some changes are about. Whoever has one is in a transaction."""

    _rows: dict[bytes, _Kept] = field(default_factory=dict)
    _new: set[bytes] = field(default_factory=set)
    _moved: dict[bytes, None] = field(default_factory=dict)
    _ended: dict[bytes, None] = field(default_factory=dict)
    told: list[Changed] = field(default_factory=list)
    """What others have to hear of, in order."""

    @classmethod
    async def of(cls, line: Line, keys: Iterable[bytes]) -> Ledger:
        """The rows of these ids, locked."""
        return cls.read(await line.ask(rows.LOCK, sorted({key[: rows.KEY] for key in keys})))

    @classmethod
    def read(cls, found: Iterable[Row]) -> Ledger:
        """Rows that are locked already."""
        made = cls()
        for row in found:
            what = rows.found(row)
            made._rows[row[0]] = _Kept(row[13], what.session if isinstance(what, Live) else what)
        return made

    def __getitem__(self, key: bytes) -> Session | Ended | None:
        """What is known of an id."""
        row = self._rows.get(key)
        return row.what if row is not None else None

    def ids(self) -> list[bytes]:
        """The ids of all rows."""
        return list(self._rows)

    def make(self, change: Change) -> bool:
        """One change, whether it took effect. Raises ValueError for a rotation to a used id or another person."""
        row = self._rows.get(change.session)
        if row is None or isinstance(row.what, Ended):
            return False
        match change:
            case Touch(at=at):
                return _touches(row.what, at) and self.see(change.session, at)
            case Rotate(new=new, at=at):
                if new.subject != row.what.subject:
                    raise ValueError("a session goes on as the same person's")
                if any(new.id[: rows.KEY] == known[: rows.KEY] for known in self._rows):
                    raise ValueError("a session id is used once")
                self.add(new.id, row.person, new)
                self.end(change.session, Ended(Ending.REPLACED, at, Actor.SYSTEM, new.subject))
            case End(how=how, actor=actor, at=at):
                self.end(change.session, Ended(how, at, actor, row.what.subject))
        return True

    def add(self, key: bytes, person: int, what: Session | Ended) -> None:
        """A row that was not there."""
        self._rows[key] = _Kept(person, what)
        self._new.add(key)

    def see(self, key: bytes, at: int) -> bool:
        """A session was seen."""
        row = self._rows[key]
        assert isinstance(row.what, Session)  # noqa: S101 - the caller has looked
        row.what = replace(row.what, last_seen=at)
        self._moved[key] = None
        return True

    def end(self, key: bytes, ended: Ended) -> None:
        """A session has ended."""
        self._rows[key].what = ended
        self._ended[key] = None
        self.told.append(Changed(session=key))

    async def write(self, line: Line) -> None:
        """All of it to the database. Raises `Failed`, `Lost`."""
        if self._new:
            await self._insert(line)
        moved = [key for key in self._moved if key not in self._new and isinstance(self[key], Session)]
        if moved:
            seen = [row.what.last_seen for key in moved if isinstance((row := self._rows[key]).what, Session)]
            await line.do(rows.TOUCH, moved, seen)
        ended = [(key, self[key]) for key in self._ended if key not in self._new]
        if ended:
            await self._entomb(line, [(key, what) for key, what in ended if isinstance(what, Ended)])

    async def _insert(self, line: Line) -> None:
        columns = list(zip(*(_columns(key, self._rows[key]) for key in sorted(self._new)), strict=True))
        await line.do(rows.INSERT, *columns)

    async def _entomb(self, line: Line, ended: Sequence[tuple[bytes, Ended]]) -> None:
        await line.do(
            rows.END,
            [key for key, _ in ended],
            [rows.ENDINGS[what.how] for _, what in ended],
            [rows.ACTORS[what.actor] for _, what in ended],
            [what.when for _, what in ended],
        )


def _columns(key: bytes, row: _Kept) -> tuple[int | bytes | str, ...]:
    """In the order of `rows.INSERT`."""
    what = row.what
    if isinstance(what, Ended):
        due = what.when + sessions.TOMBSTONES_LAST
        codes = rows.ENDINGS[what.how], rows.ACTORS[what.actor]
        return 0, 0, what.when, 0, due, row.person, 0, 0, *codes, 0, key, ""
    return (
        what.issued_at,
        what.authenticated_at,
        what.last_seen,
        what.expires_at,
        rows.limit(what),
        row.person,
        what.idle,
        rows.KINDS[what.kind],
        0,
        0,
        int(what.persistent),
        key,
        rows.about(what),
    )


def _touches(session: Session, at: int) -> bool:
    """Whether a touch has effect. Once per tenth of the idle limit is enough, however many processes ask for it."""
    enough = sessions.LAST_USE * 10 if session.kind == "token" else session.idle
    later = at > session.last_seen and (at - session.last_seen) * 10 >= enough
    return later and sessions.ended(session, at) is None
