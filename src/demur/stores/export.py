"""What the SQLite store says to its database when sessions move to another store, or come from one: all rows out, in
pages; rows in, as a join, so that to do it again changes nothing; and the door closed to all who write.

A page begins where the one before ended: a letter for the table, and its key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from demur.core.model import Live, Session, Subject
from demur.core.ports import Counter, Hits, Kept, Tombstone, Value
from demur.stores import rows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    Page = Callable[[sqlite3.Connection, bytes, int], tuple[list[Kept], bytes]]

_NOBODY = -1
"""The version of a person of whom nothing is known but that they had a session: anybody's snapshot is newer."""

_CLOSED = "is closed to writing: its sessions are being moved"
_TABLES = ("person", "session", "value", "hit")
_WRITES = ("insert", "update", "delete")


def page(connection: sqlite3.Connection, after: bytes, most: int) -> tuple[list[Kept], bytes | None]:
    """See `Store.each`."""
    tables = list(_PAGES)
    table = tables.index(after[:1]) if after else 0
    found, last = _PAGES[tables[table]](connection, after[1:], most)
    if len(found) >= most:
        return found, tables[table] + last
    return found, tables[table + 1] if table + 1 < len(tables) else None


def _persons(connection: sqlite3.Connection, after: bytes, most: int) -> tuple[list[Kept], bytes]:
    found = connection.execute(
        "SELECT number, snapshot FROM person WHERE number > ? AND version > ? ORDER BY number LIMIT ?",
        (int(after or b"0"), _NOBODY, most),
    ).fetchall()
    return [rows.person(snapshot) for _, snapshot in found], b"%d" % found[-1][0] if found else b""


def _sessions(connection: sqlite3.Connection, after: bytes, most: int) -> tuple[list[Kept], bytes]:
    found = connection.execute(
        f"SELECT session.number, session.id, how, ended_at, actor, snapshot, {rows.COLUMNS} "  # noqa: S608 - constants
        "FROM session CROSS JOIN person ON person.number = session.person "
        "WHERE session.number > ? ORDER BY session.number LIMIT ?",
        (int(after or b"0"), most),
    ).fetchall()
    return [_kept(key, columns) for _, key, *columns in found], b"%d" % found[-1][0] if found else b""


def _kept(key: bytes, columns: Sequence[object]) -> Kept:
    evidence = rows.evidence(key, columns)
    return evidence if isinstance(evidence, Live) else Tombstone(key, evidence)


def _values(connection: sqlite3.Connection, after: bytes, most: int) -> tuple[list[Kept], bytes]:
    found = connection.execute(
        "SELECT key, value, until FROM value WHERE key > ? ORDER BY key LIMIT ?", (after, most)
    ).fetchall()
    return [Value(*row) for row in found], found[-1][0] if found else b""


def _counters(connection: sqlite3.Connection, after: bytes, most: int) -> tuple[list[Kept], bytes]:
    found = connection.execute(
        "SELECT key, count, until FROM hit WHERE key > ? ORDER BY key LIMIT ?", (after, most)
    ).fetchall()
    return [Counter(key, Hits(*hits)) for key, *hits in found], found[-1][0] if found else b""


_PAGES: dict[bytes, Page] = {b"p": _persons, b"s": _sessions, b"v": _values, b"h": _counters}


def adopt(connection: sqlite3.Connection, kept: Sequence[Kept]) -> int:
    """See `Store.adopt`."""
    numbers: dict[Subject, tuple[int, bool]] = {}
    return sum([_adopt(connection, each, numbers) for each in kept])


def _adopt(connection: sqlite3.Connection, kept: Kept, numbers: dict[Subject, tuple[int, bool]]) -> bool:
    match kept:
        case Subject():
            return _person(connection, kept, numbers)[1]
        case Live(session=session, subject=subject):
            person, news = _person(connection, subject, numbers)
            return _session(connection, session, person) or news
        case Tombstone():
            return _tombstone(connection, kept)
        case Value(key=key, value=value, until=until):
            return _put(connection, "value (key, value, until)", (key, value, until))
        case Counter(key=key, hits=hits):
            return _put(connection, "hit (key, count, until)", (key, hits.count, hits.until))
        case _:
            assert_never(kept)


def _person(
    connection: sqlite3.Connection, subject: Subject, numbers: dict[Subject, tuple[int, bool]]
) -> tuple[int, bool]:
    """Their row, and whether they are news: the first time only."""
    if subject in numbers:
        return numbers[subject][0], False
    found = connection.execute("SELECT number, version FROM person WHERE id = ?", (subject.id,)).fetchone()
    if found is not None and found[1] >= subject.version:
        known = found[0], False
    else:
        number, replaced = rows.keep(connection, subject)
        if replaced:
            rows.log(connection, subject=subject.id)
        known = number, True
    numbers[subject] = known
    return known


def _session(connection: sqlite3.Connection, session: Session, person: int) -> bool:
    there = _there(connection, session.id)
    if there is None:
        rows.insert(connection, session, person)
        return True
    return (
        connection.execute(
            f"UPDATE session SET last_seen = :at WHERE {rows.WHICH} AND how IS NULL AND last_seen < :at",  # noqa: S608 - constants
            {"id": session.id, "at": session.last_seen},
        ).rowcount
        == 1
    )


def _tombstone(connection: sqlite3.Connection, stone: Tombstone) -> bool:
    ended = stone.ended
    if _there(connection, stone.id) is not None:
        return rows.entomb(connection, stone.id, ended.how, ended.actor, ended.when)
    found = connection.execute("SELECT number FROM person WHERE id = ?", (ended.subject,)).fetchone()
    nobody = Subject(ended.subject, ended.subject, version=_NOBODY)
    person = found[0] if found is not None else rows.keep(connection, nobody)[0]
    rows.insert_ended(connection, stone.id, ended, person)
    return True


def _there(connection: sqlite3.Connection, key: bytes) -> tuple[int] | None:
    return connection.execute(f"SELECT 1 FROM session WHERE {rows.WHICH}", {"id": key}).fetchone()  # type: ignore[no-any-return]  # noqa: S608 - constants


def _put(connection: sqlite3.Connection, table: str, row: tuple[object, ...]) -> bool:
    name, columns = table.split(" ", 1)
    same = connection.execute(f"SELECT 1 FROM {name} WHERE {columns} = (?, ?, ?)", row).fetchone()  # noqa: S608 - constants
    if same is None:
        connection.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", row)  # noqa: S608 - constants
    return same is None


def freeze(connection: sqlite3.Connection, *, frozen: bool) -> None:
    """See `Store.freeze`: whoever writes holds the database's write lock, and so does this. From its commit on the
    database itself refuses."""
    for table in _TABLES:
        for write in _WRITES:
            name = f"frozen_{table}_{write}"
            refuse = f"BEFORE {write} ON {table} BEGIN SELECT RAISE(ABORT, '{_CLOSED}'); END"
            connection.execute(
                f"CREATE TRIGGER IF NOT EXISTS {name} {refuse}" if frozen else f"DROP TRIGGER IF EXISTS {name}"
            )
