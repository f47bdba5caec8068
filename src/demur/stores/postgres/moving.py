"""Sessions that move to another store, or come from one: all rows out, in pages; rows in, as a join, so that to do it
again changes nothing; and the door closed to all who write.

A page begins where the one before ended: a letter for the table, and its key.
"""

# ruff: noqa: S608 - what is put together here are constants
from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from demur.core.model import Ended, Live, Session, Subject
from demur.core.ports import Changed, Counter, Hits, Tombstone, Value
from demur.stores.postgres import rows
from demur.stores.postgres.ledger import Ledger
from demur.stores.postgres.rows import NOBODY
from demur.stores.postgres.schema import SCHEMA
from demur.stores.rows import person, snapshot_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from demur.core.ports import Kept
    from demur.stores.postgres.line import Line, Row

    Page: TypeAlias = Callable[[Line, bytes, int], Awaitable[tuple[list[Kept], bytes]]]

_TABLES = ("person", "session", "value", "hit")

_PERSONS = f"SELECT number, snapshot FROM {SCHEMA}.person WHERE number > $1 AND version > {NOBODY} ORDER BY 1 LIMIT $2"
_VALUES = f"SELECT key, value, until FROM {SCHEMA}.value WHERE key > $1 ORDER BY key LIMIT $2"
_HITS = f"SELECT key, count, until FROM {SCHEMA}.hit WHERE key > $1 ORDER BY key LIMIT $2"

_KNOWN = f"SELECT id, number, version FROM {SCHEMA}.person WHERE id = ANY ($1::text[]) ORDER BY id FOR UPDATE"
_MAKE = f"""
INSERT INTO {SCHEMA}.person (id, version, snapshot)
SELECT a.id, a.version, a.snapshot FROM unnest($1::text[], $2::bigint[], $3::text[]) AS a(id, version, snapshot)
ORDER BY a.id ON CONFLICT (id) DO NOTHING
"""
_REPLACE = f"""
UPDATE {SCHEMA}.person p SET version = a.version, snapshot = a.snapshot
FROM unnest($1::text[], $2::bigint[], $3::text[]) AS a(id, version, snapshot) WHERE p.id = a.id
"""
_SAME = {
    "value": f"SELECT key, value, until FROM {SCHEMA}.value WHERE key = ANY ($1::bytea[]) ORDER BY key FOR UPDATE",
    "hit": f"SELECT key, count, until FROM {SCHEMA}.hit WHERE key = ANY ($1::bytea[]) ORDER BY key FOR UPDATE",
}
_PUT = {
    name: f"""
INSERT INTO {SCHEMA}.{name} (key, {column}, until) SELECT * FROM unnest($1::bytea[], $2::{kind}[], $3::bigint[])
ON CONFLICT (key) DO UPDATE SET {column} = excluded.{column}, until = excluded.until
"""
    for name, column, kind in (("value", "value", "bytea"), ("hit", "count", "bigint"))
}


# --- out ------------------------------------------------------------------------------------------


async def page(line: Line, after: bytes, most: int) -> tuple[list[Kept], bytes | None]:
    """See `Store.each`."""
    tables = list(_PAGES)
    table = tables.index(after[:1]) if after else 0
    found, last = await _PAGES[tables[table]](line, after[1:], most)
    if len(found) >= most:
        return found, tables[table] + last
    return found, tables[table + 1] if table + 1 < len(tables) else None


async def _persons(line: Line, after: bytes, most: int) -> tuple[list[Kept], bytes]:
    found = await line.ask(_PERSONS, int(after or b"0"), most)
    return [person(snapshot) for _, snapshot in found], b"%d" % found[-1][0] if found else b""


async def _sessions(line: Line, after: bytes, most: int) -> tuple[list[Kept], bytes]:
    found = await line.ask(rows.PAGE, after, most)
    return [_kept(row) for row in found], found[-1][0][: rows.KEY] if found else b""


def _kept(row: Row) -> Kept:
    what = rows.found(row)
    return what if isinstance(what, Live) else Tombstone(row[0], what)


async def _values(line: Line, after: bytes, most: int) -> tuple[list[Kept], bytes]:
    found = await line.ask(_VALUES, after, most)
    return [Value(*row) for row in found], found[-1][0] if found else b""


async def _counters(line: Line, after: bytes, most: int) -> tuple[list[Kept], bytes]:
    found = await line.ask(_HITS, after, most)
    return [Counter(key, Hits(*hits)) for key, *hits in found], found[-1][0] if found else b""


_PAGES: dict[bytes, Page] = {b"p": _persons, b"s": _sessions, b"v": _values, b"h": _counters}


# --- in -------------------------------------------------------------------------------------------


async def adopt(line: Line, kept: Sequence[Kept]) -> tuple[int, list[Changed]]:
    """See `Store.adopt`; also what others have to hear of."""
    persons = await _Persons.of(line, kept)
    news = [persons.keep(each) for each in kept]
    numbers = await persons.write(line)
    ledger = await Ledger.of(line, _ids(kept))
    for index, each in enumerate(kept):
        if isinstance(each, Live):
            news[index] |= _session(ledger, each.session, numbers)
        elif isinstance(each, Tombstone):
            news[index] = _tombstone(ledger, each, numbers)
    await ledger.write(line)
    values = {each.key: (each.value, each.until) for each in kept if isinstance(each, Value)}
    counters = {each.key: (each.hits.count, each.hits.until) for each in kept if isinstance(each, Counter)}
    memory = await _memory(line, "value", values) + await _memory(line, "hit", counters)
    return sum(news) + memory, persons.told + ledger.told


def _ids(kept: Iterable[Kept]) -> Iterable[bytes]:
    for each in kept:
        if isinstance(each, Live):
            yield each.session.id
        elif isinstance(each, Tombstone):
            yield each.id


def _session(ledger: Ledger, session: Session, numbers: dict[str, int]) -> bool:
    there = ledger[session.id]
    if there is None:
        ledger.add(session.id, numbers[session.subject], session)
        return True
    return (
        isinstance(there, Session) and there.last_seen < session.last_seen and ledger.see(session.id, session.last_seen)
    )


def _tombstone(ledger: Ledger, stone: Tombstone, numbers: dict[str, int]) -> bool:
    there = ledger[stone.id]
    if there is None:
        ledger.add(stone.id, numbers[stone.ended.subject], stone.ended)
    elif isinstance(there, Session):
        ledger.end(stone.id, stone.ended)
    return not isinstance(there, Ended)


class _Persons:
    """The rows of all persons that are spoken of, locked."""

    def __init__(self, found: Iterable[Row]) -> None:
        self._known = {key: version for key, _, version in found}
        self._there = set(self._known)
        self._changed: dict[str, Subject] = {}
        self.told: list[Changed] = []

    @classmethod
    async def of(cls, line: Line, kept: Iterable[Kept]) -> _Persons:
        subjects = {who.id for each in kept if (who := _subject(each)) is not None}
        return cls(await line.ask(_KNOWN, sorted(subjects)) if subjects else [])

    def keep(self, kept: Kept) -> bool:
        """Whether the person of this is news."""
        subject = _subject(kept)
        if subject is None or self._known.get(subject.id, NOBODY - 1) >= subject.version:
            return False
        if subject.id in self._there:
            self.told.append(Changed(subject=subject.id))
        self._known[subject.id] = subject.version
        self._changed[subject.id] = subject
        return not isinstance(kept, Tombstone)

    async def write(self, line: Line) -> dict[str, int]:
        """All of it to the database; the number of each."""
        for statement, there in ((_MAKE, False), (_REPLACE, True)):
            changed = [self._changed[key] for key in sorted(self._changed) if (key in self._there) is there]
            if changed:
                texts = [snapshot_of(subject) for subject in changed]
                await line.do(statement, [one.id for one in changed], [one.version for one in changed], texts)
        found = await line.ask(_KNOWN, sorted(self._known)) if self._known else []
        return {key: number for key, number, _ in found}


def _subject(kept: Kept) -> Subject | None:
    match kept:
        case Subject():
            return kept
        case Live():
            return kept.subject
        case Tombstone(ended=ended):
            return Subject(ended.subject, ended.subject, version=NOBODY)
        case _:
            return None


async def _memory(line: Line, table: str, wanted: Mapping[bytes, tuple[bytes | int, int]]) -> int:
    if not wanted:
        return 0
    there = {key: (what, until) for key, what, until in await line.ask(_SAME[table], sorted(wanted))}
    news = [(key, *wanted[key]) for key in sorted(wanted) if there.get(key) != wanted[key]]
    if news:
        keys, what, until = zip(*news, strict=True)
        await line.do(_PUT[table], keys, what, until)
    return len(news)


# --- the door -------------------------------------------------------------------------------------


async def freeze(line: Line, *, frozen: bool) -> tuple[None, list[Changed]]:
    """See `Store.freeze`: the lock comes when all who are writing have ended, and from the commit on the database
    itself refuses."""
    tables = ", ".join(f"{SCHEMA}.{table}" for table in _TABLES)
    await line.command(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE")
    closed = await line.ask(
        "SELECT count(*) FROM pg_trigger WHERE tgname = 'closed' AND tgfoid = $1::text::regproc", _CLOSED
    )
    if bool(closed[0][0]) is frozen:
        return None, []
    for table in _TABLES:
        on = f"ON {SCHEMA}.{table}"
        make = f"CREATE TRIGGER closed BEFORE INSERT OR UPDATE OR DELETE {on} EXECUTE FUNCTION {_CLOSED}()"
        await line.command(make if frozen else f"DROP TRIGGER IF EXISTS closed {on}")
    return None, []


_CLOSED = f"{SCHEMA}.closed"
