"""What the SQLite store says to its database: each function is one step of a transaction that its caller holds.

How an ending, an actor and a kind are written is part of the schema: numbers are added here, never changed.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from demur.core.model import Actor, Change, End, Ended, Ending, Live, Rotate, Session, Subject, Touch, Unknown
from demur.core.ports import Changed, Hits
from demur.core.sessions import LAST_USE, TOMBSTONES_LAST

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from demur.core.model import Kind

_ENDINGS = {Ending.IDLE: 1, Ending.EXPIRED: 2, Ending.ENDED: 3, Ending.REVOKED: 4, Ending.REPLACED: 5}
_ENDING_OF = {number: ending for ending, number in _ENDINGS.items()}
_ACTORS = {Actor.SELF: 1, Actor.ADMINISTRATOR: 2, Actor.SYSTEM: 3}
_ACTOR_OF = {number: actor for actor, number in _ACTORS.items()}
_KIND_OF: dict[int, Kind] = {0: "session", 1: "token"}
_KINDS = {kind: number for number, kind in _KIND_OF.items()}

BATCH = 500
"""How many rows a sweep turns or forgets in one transaction, so that nobody waits for it."""

CHANGES_KEPT = 2000
"""How many changes a reader may be behind before it is told "everything"."""

COLUMNS = (
    "issued_at, authenticated_at, last_seen, expires_at, idle, acr, persistent, device, network, kind, scopes, label"
)
WHICH = "substr(id, 1, 8) = substr(:id, 1, 8) AND id = :id"
_LIMIT = "min(expires_at, iif(idle = 0, expires_at, last_seen + idle))"

# CROSS JOIN keeps this order: the session first, by its index, then its person by number (SQLite, Query Planner, 7.3).
_LOAD = f"""
SELECT how, ended_at, actor, snapshot, {COLUMNS} FROM session CROSS JOIN person ON person.number = session.person
WHERE substr(session.id, 1, 8) = ? AND session.id = ?
"""  # noqa: S608 - constants

_FORGET = (
    "issued_at = NULL, authenticated_at = NULL, last_seen = NULL, expires_at = NULL, idle = NULL, acr = NULL, "
    "persistent = NULL, device = NULL, network = NULL, kind = 0, scopes = NULL, label = NULL"
)
_ENDS = f"how = :how, ended_at = :at, actor = :actor, {_FORGET}"
_ENTOMB = f"UPDATE session SET {_ENDS} WHERE {WHICH} AND how IS NULL"  # noqa: S608 - constants

_TOUCH = f"""
UPDATE session SET last_seen = :at WHERE {WHICH} AND how IS NULL
AND :at > last_seen AND (:at - last_seen) * 10 >= iif(kind = 1, {LAST_USE * 10}, idle)
AND :at < expires_at AND (idle = 0 OR :at < last_seen + idle)
"""  # noqa: S608 - constants

# Where both limits fall on one second it was the idle one, as in core.sessions.
_TURN = f"""
UPDATE session SET how = iif(idle > 0 AND last_seen + idle <= expires_at, :idle, :expired), ended_at = {_LIMIT},
actor = :actor, {_FORGET}
WHERE number IN (SELECT number FROM session WHERE how IS NULL AND {_LIMIT} <= :now LIMIT {BATCH}) RETURNING id
"""  # noqa: S608 - constants

_DEAD = f"SELECT number FROM session WHERE how IS NOT NULL AND ended_at <= :dead LIMIT {BATCH}"  # noqa: S608 - constants
_OVER = (
    f"DELETE FROM session WHERE number IN ({_DEAD})",  # noqa: S608 - constants
    f"DELETE FROM value WHERE key IN (SELECT key FROM value WHERE until <= :now LIMIT {BATCH})",  # noqa: S608 - constants
    f"DELETE FROM hit WHERE key IN (SELECT key FROM hit WHERE until <= :now LIMIT {BATCH})",  # noqa: S608 - constants
)


@lru_cache(maxsize=4096)
def person(snapshot: str) -> Subject:
    """The person of a snapshot."""
    key, name, groups, grants, suspended, version, display_name, email = json.loads(snapshot)
    held = tuple((permission, until) for permission, until in grants)
    return Subject(key, name, frozenset(groups), held, suspended, version, display_name, email)


def snapshot_of(subject: Subject) -> str:
    """A person as they are kept; `person` reads it."""
    return json.dumps(
        [
            subject.id,
            subject.name,
            sorted(subject.groups),
            subject.grants,
            subject.suspended,
            subject.version,
            subject.display_name,
            subject.email,
        ],
        separators=(",", ":"),
    )


def _session(key: bytes, subject: str, columns: Sequence[Any]) -> Session:
    issued_at, authenticated_at, last_seen, expires_at, idle, acr, persistent, device, network, *token = columns
    kind, scopes, label = token
    return Session(
        key,
        subject,
        issued_at,
        authenticated_at,
        last_seen,
        expires_at,
        idle,
        acr,
        persistent == 1,
        device,
        network,
        _KIND_OF[kind],
        None if scopes is None else tuple(json.loads(scopes)),
        label or "",
    )


def _whose(subject: str | None) -> str:
    return "" if subject is None else "AND person = (SELECT number FROM person WHERE id = :subject)"


# --- reading --------------------------------------------------------------------------------------


def load(connection: sqlite3.Connection, key: bytes) -> Live | Ended | Unknown:
    """What is known of one id: one statement, one look-up, the person with the session."""
    found = connection.execute(_LOAD, (key[:8], key)).fetchall()
    if not found:
        return Unknown()
    return evidence(key, found[0])


def evidence(key: bytes, row: Sequence[Any]) -> Live | Ended:
    """What one row says: how, when and by whom it was ended, its person's snapshot, and the columns of a session."""
    how, ended_at, actor, snapshot, *columns = row
    subject = person(snapshot)
    if how is None:
        return Live(_session(key, subject.id, columns), subject)
    return Ended(_ENDING_OF[how], ended_at, _ACTOR_OF[actor], subject.id)


def live(connection: sqlite3.Connection, subject: str | None, kind: Kind) -> list[Session]:
    """The sessions of a kind that nobody has ended, newest first."""
    found = connection.execute(
        f"SELECT session.id, person.id, {COLUMNS} FROM session JOIN person ON person.number = session.person "  # noqa: S608 - constants
        f"WHERE how IS NULL AND kind = :kind {_whose(subject)} ORDER BY issued_at DESC, session.number DESC",
        {"subject": subject, "kind": _KINDS[kind]},
    ).fetchall()
    return [_session(key, whose, columns) for key, whose, *columns in found]


def peek(connection: sqlite3.Connection, key: bytes, now: int) -> bytes | None:
    """A value whose time is not over."""
    found = connection.execute("SELECT value FROM value WHERE key = ? AND until > ?", (key, now)).fetchall()
    return found[0][0] if found else None


def hits(connection: sqlite3.Connection, key: bytes, now: int) -> Hits:
    """The running window; without one, none that ends now."""
    found = connection.execute("SELECT count, until FROM hit WHERE key = ? AND until > ?", (key, now)).fetchall()
    return Hits(*found[0]) if found else Hits(0, now)


def last_change(connection: sqlite3.Connection) -> tuple[int, int]:
    """The numbers of the first and the last change that are still told of."""
    return connection.execute("SELECT coalesce(min(number), 1), coalesce(max(number), 0) FROM change").fetchone()  # type: ignore[no-any-return]


def newest(connection: sqlite3.Connection) -> int:
    """The number of the last change."""
    return connection.execute("SELECT coalesce((SELECT max(number) FROM change), 0)").fetchone()[0]  # type: ignore[no-any-return]


def look(connection: sqlite3.Connection) -> int:
    """The number of the last change, and whether all that a load reads can be read."""
    found = connection.execute(
        "SELECT coalesce((SELECT max(number) FROM change), 0), EXISTS (SELECT 1 FROM session), "
        "EXISTS (SELECT 1 FROM person)"
    ).fetchone()
    return int(found[0])


def changes_since(connection: sqlite3.Connection, position: int | None) -> tuple[list[Changed], int]:
    """What changed after a position, and the new one. A position that is lost means everything."""
    first, last = last_change(connection)
    if position is None or not first - 1 <= position <= last:
        return [Changed()], last
    found = connection.execute("SELECT session, subject FROM change WHERE number > ? ORDER BY number", (position,))
    return [Changed(session, subject) for session, subject in found.fetchall()], last


# --- writing --------------------------------------------------------------------------------------


def keep(connection: sqlite3.Connection, subject: Subject) -> tuple[int, bool]:
    """The row of a person, with this snapshot unless a newer one is there; whether it was replaced."""
    snapshot = snapshot_of(subject)
    found = connection.execute("SELECT number, version, snapshot FROM person WHERE id = ?", (subject.id,)).fetchall()
    if not found:
        cursor = connection.execute(
            "INSERT INTO person (id, version, snapshot) VALUES (?, ?, ?)", (subject.id, subject.version, snapshot)
        )
        return int(cursor.lastrowid or 0), False
    number, version, before = found[0]
    if version > subject.version or before == snapshot:
        return number, False
    connection.execute(
        "UPDATE person SET version = ?, snapshot = ? WHERE number = ?", (subject.version, snapshot, number)
    )
    return number, True


def log(connection: sqlite3.Connection, *, session: bytes | None = None, subject: str | None = None) -> None:
    """Whose evidence changes: of a session, or of a person."""
    connection.execute("INSERT INTO change (session, subject) VALUES (?, ?)", (session, subject))


def insert(connection: sqlite3.Connection, session: Session, person: int) -> None:
    """A new session, of the person in that row."""
    used = connection.execute(f"SELECT 1 FROM session WHERE {WHICH}", {"id": session.id}).fetchall()  # noqa: S608 - constants
    if used:
        raise ValueError("a session id is used once")
    connection.execute(
        f"INSERT INTO session (id, person, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
        (
            session.id,
            person,
            session.issued_at,
            session.authenticated_at,
            session.last_seen,
            session.expires_at,
            session.idle,
            session.acr,
            session.persistent,
            session.device,
            session.network,
            _KINDS[session.kind],
            None if session.scopes is None else json.dumps(session.scopes),
            session.label or None,
        ),
    )


def insert_ended(connection: sqlite3.Connection, key: bytes, ended: Ended, person: int) -> None:
    """A tombstone of a session that was never here."""
    connection.execute(
        "INSERT INTO session (id, person, how, ended_at, actor) VALUES (?, ?, ?, ?, ?)",
        (key, person, _ENDINGS[ended.how], ended.when, _ACTORS[ended.actor]),
    )


def issue(connection: sqlite3.Connection, session: Session, subject: Subject) -> None:
    """A new session, and its person."""
    number, replaced = keep(connection, subject)
    if replaced:
        log(connection, subject=subject.id)
    insert(connection, session, number)


def publish(connection: sqlite3.Connection, subject: Subject) -> None:
    """A person's new snapshot."""
    _, replaced = keep(connection, subject)
    if replaced:
        log(connection, subject=subject.id)


def make(connection: sqlite3.Connection, change: Change) -> bool:
    """One change; whether it took effect."""
    match change:
        case Touch(session=key, at=at):
            return connection.execute(_TOUCH, {"id": key, "at": at}).rowcount == 1
        case Rotate(session=key, new=new, at=at):
            return _rotate(connection, key, new, at)
        case End(session=key, how=how, actor=actor, at=at):
            return entomb(connection, key, how, actor, at)


def entomb(connection: sqlite3.Connection, key: bytes, how: Ending, actor: Actor, at: int) -> bool:
    """A tombstone in place of a session, if it lives."""
    values = {"id": key, "how": _ENDINGS[how], "actor": _ACTORS[actor], "at": at}
    if connection.execute(_ENTOMB, values).rowcount != 1:
        return False
    log(connection, session=key)
    return True


def _rotate(connection: sqlite3.Connection, key: bytes, new: Session, at: int) -> bool:
    found = connection.execute(
        "SELECT person.number, person.id FROM session JOIN person ON person.number = session.person "
        "WHERE substr(session.id, 1, 8) = ? AND session.id = ? AND how IS NULL",
        (key[:8], key),
    ).fetchall()
    if not found:
        return False
    number, subject = found[0]
    if subject != new.subject:
        raise ValueError("a session goes on as the same person's")
    insert(connection, new, number)
    return entomb(connection, key, Ending.REPLACED, Actor.SYSTEM, at)


def end_all(
    connection: sqlite3.Connection,
    subject: str | None,
    how: Ending,
    actor: Actor,
    now: int,
    keep: bytes | None,
    kind: Kind,
) -> int:
    """All sessions of a kind of a person, or of everybody, but one."""
    values = {"how": _ENDINGS[how], "actor": _ACTORS[actor], "at": now, "keep": keep, "subject": subject}
    count = connection.execute(
        f"UPDATE session SET {_ENDS} WHERE how IS NULL AND kind = :kind AND id IS NOT :keep {_whose(subject)}",  # noqa: S608 - constants
        {**values, "kind": _KINDS[kind]},
    ).rowcount
    if count:
        log(connection, subject=subject)
    return count


def forget(connection: sqlite3.Connection, now: int) -> tuple[int, bool]:
    """One batch of what is over: how many rows, and whether more may be waiting."""
    values = {"now": now, "dead": now - TOMBSTONES_LAST}
    counts = [connection.execute(statement, values).rowcount for statement in _OVER]
    connection.execute("DELETE FROM change WHERE number <= (SELECT max(number) FROM change) - ?", (CHANGES_KEPT,))
    return sum(counts), max(counts) >= BATCH


def turn(connection: sqlite3.Connection, now: int) -> tuple[int, bool]:
    """One batch of sessions past their limits into tombstones: how many, and whether more may be waiting."""
    codes = {"idle": _ENDINGS[Ending.IDLE], "expired": _ENDINGS[Ending.EXPIRED], "actor": _ACTORS[Actor.SYSTEM]}
    turned = connection.execute(_TURN, {"now": now, **codes}).fetchall()
    for (key,) in turned:
        log(connection, session=key)
    return len(turned), len(turned) >= BATCH


def put(connection: sqlite3.Connection, key: bytes, value: bytes, until: int) -> None:
    """A value, in place of any other."""
    connection.execute("INSERT OR REPLACE INTO value (key, value, until) VALUES (?, ?, ?)", (key, value, until))


def take(connection: sqlite3.Connection, key: bytes, now: int) -> bytes | None:
    """A value that is gone afterwards."""
    found = connection.execute("DELETE FROM value WHERE key = ? RETURNING value, until", (key,)).fetchall()
    return found[0][0] if found and now < found[0][1] else None


def hit(connection: sqlite3.Connection, key: bytes, window: int, now: int) -> Hits:
    """One more in the running window, or the first of a new one."""
    found = connection.execute(
        "INSERT INTO hit (key, count, until) VALUES (:key, 1, :now + :window) ON CONFLICT (key) DO UPDATE SET "
        "count = iif(until > :now, count + 1, 1), until = iif(until > :now, until, :now + :window) "
        "RETURNING count, until",
        {"key": key, "window": window, "now": now},
    ).fetchall()
    return Hits(*found[0])


def prove(connection: sqlite3.Connection) -> None:
    """Write something of no meaning, to see whether writing works."""
    connection.execute("UPDATE meta SET checks = checks + 1")
