"""What is read from and written to the tables: plain functions of a connection, each within its caller's transaction.

- Whatever changes what a snapshot shows, or ends sessions, raises `version`, leaves a line in the audit log and a
  row in the outbox, in the same transaction.
- A new person leaves no row: nobody holds a session of an id that was just made, and every sign-in brings the
  snapshot along.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from demur.accounts.schema import audit, membership, outbox, person
from demur.core.model import Actor, Ending, Subject

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Row


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as an administrator sees them. Times are seconds since the epoch; `password` is the encoded hash."""

    subject: Subject
    disabled: bool
    created_at: int
    password: str | None
    password_changed_at: int | None

    @property
    def name(self) -> str:
        """The name to sign in with, as it was written when the account was made."""
        return self.subject.name


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the audit log: who did what to whom. `detail` says what changed, never a password or a hash."""

    seq: int
    at: int
    actor: str
    action: str
    person: str
    name: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pending:
    """Something that the session store has yet to be told."""

    seq: int
    at: int
    subject: Subject
    ending: Ending | None
    actor: Actor | None
    keep: bytes | None


@dataclass(frozen=True, slots=True)
class By:
    """Who does something, and when."""

    actor: str
    at: int


# Made once: to put a statement together takes SQLAlchemy longer than to run it, and two of them take twice as long.
_WITH_GROUPS = select(person, membership.c.group_name).outerjoin(membership, membership.c.person == person.c.id)
_BY_KEY = _WITH_GROUPS.where(person.c.name_key == bindparam("key"))
_BY_ID = _WITH_GROUPS.where(person.c.id == bindparam("id"))


# --- reading ----------------------------------------------------------------------------------------------


def by_key(connection: Connection, key: str) -> Person | None:
    """The person whose name has that key."""
    return _one(connection.execute(_BY_KEY, {"key": key}).all())


def by_id(connection: Connection, subject: str) -> Person | None:
    """The person of that id."""
    if "\0" in subject:  # which PostgreSQL cannot even be asked for
        return None
    return _one(connection.execute(_BY_ID, {"id": subject}).all())


def everybody(connection: Connection) -> list[Person]:
    """All persons, by name."""
    groups: dict[str, set[str]] = {}
    for row in connection.execute(select(membership)):
        groups.setdefault(row.person, set()).add(row.group_name)
    rows = connection.execute(select(person).order_by(person.c.name_key))
    return [_person(row, groups.get(row.id, set())) for row in rows]


def hash_samples(connection: Connection) -> list[str]:
    """One whole hash of each kind that there is: of those that begin alike up to the salt, any one."""
    samples: dict[str, str] = {}
    for (encoded,) in connection.execute(select(person.c.password).where(person.c.password.is_not(None))):
        parts = encoded.split("$")
        beginning = encoded[:7] if encoded.startswith("$2") else "$".join(parts[: len(parts) - 2])
        samples.setdefault(beginning, encoded)
    return list(samples.values())


def entries(connection: Connection, subject: str | None, most: int) -> list[Entry]:
    """The newest lines of the audit log, of one person or of all, newest first."""
    query = select(audit).order_by(audit.c.seq.desc()).limit(most)
    if subject is not None:
        query = query.where(audit.c.person == subject)
    return [
        Entry(row.seq, row.at, row.actor, row.action, row.person, row.name, json.loads(row.detail))
        for row in connection.execute(query)
    ]


def pending(connection: Connection, most: int) -> list[Pending]:
    """What has yet to be published, oldest first."""
    rows = connection.execute(select(outbox).order_by(outbox.c.seq).limit(most))
    return [
        Pending(
            row.seq,
            row.at,
            _subject(json.loads(row.subject)),
            Ending(row.ending) if row.ending else None,
            Actor(row.actor) if row.actor else None,
            row.keep,
        )
        for row in rows
    ]


def is_pending(connection: Connection, seq: int) -> bool:
    """Whether this has yet to be published."""
    return connection.execute(select(outbox.c.seq).where(outbox.c.seq == seq)).first() is not None


def count_pending(connection: Connection) -> int:
    """How much has yet to be published."""
    return connection.execute(select(func.count()).select_from(outbox)).scalar_one()


# --- writing ----------------------------------------------------------------------------------------------


def add(connection: Connection, subject: Subject, key: str, encoded: str | None, by: By, action: str = "add") -> None:
    """A new person. The caller has seen that nobody has that key."""
    connection.execute(
        insert(person).values(
            id=subject.id,
            name=subject.name,
            name_key=key,
            display_name=subject.display_name,
            email=subject.email,
            disabled=False,
            version=subject.version,
            created_at=by.at,
            password=encoded,
            password_changed_at=None if encoded is None else by.at,
        )
    )
    _join(connection, subject.id, subject.groups)
    note(connection, subject, action, by, {"groups": sorted(subject.groups), "password": encoded is not None})


def change(
    connection: Connection,
    found: Person,
    action: str,
    by: By,
    values: Mapping[str, Any],
    detail: Mapping[str, Any],
    *,
    groups: Collection[str] | None = None,
    ends: Actor | None = None,
    keep: bytes | None = None,
) -> Person:
    """Write new `values` of the columns of a person, and other groups; `ends` says that all sessions but `keep`
    are revoked with it, and by whom."""
    connection.execute(
        update(person).where(person.c.id == found.subject.id).values(version=person.c.version + 1, **values)
    )
    if groups is not None:
        connection.execute(delete(membership).where(membership.c.person == found.subject.id))
        _join(connection, found.subject.id, groups)
    changed = by_id(connection, found.subject.id)
    assert changed is not None  # noqa: S101 - it was found in this transaction
    note(connection, changed.subject, action, by, detail)
    _announce(connection, changed.subject, by.at, ends, keep)
    return changed


def remove(connection: Connection, found: Person, by: By) -> None:
    """Forget a person. What the store still has of them is suspended, and their sessions end."""
    connection.execute(delete(person).where(person.c.id == found.subject.id))
    note(connection, found.subject, "delete", by, {})
    gone = Subject(found.subject.id, found.subject.name, suspended=True, version=found.subject.version + 1)
    _announce(connection, gone, by.at, Actor.ADMINISTRATOR, None)


def upgrade_password(connection: Connection, subject: str, encoded: str, replacing: str, by: By) -> bool:
    """Put a better hash of the same password in place of the one that was checked, if that one is still there.
    Nothing changes for the person, so nothing is announced."""
    done = connection.execute(
        update(person).where(person.c.id == subject, person.c.password == replacing).values(password=encoded)
    )
    if not done.rowcount:
        return False
    found = by_id(connection, subject)
    assert found is not None  # noqa: S101 - it was just updated
    note(connection, found.subject, "password-upgrade", by, {})
    return True


def delivered(connection: Connection, seq: int) -> None:
    """The session store has been told."""
    connection.execute(delete(outbox).where(outbox.c.seq == seq))


def note(connection: Connection, subject: Subject, action: str, by: By, detail: Mapping[str, Any]) -> None:
    """A line in the audit log."""
    connection.execute(
        insert(audit).values(
            at=by.at,
            actor=by.actor,
            action=action,
            person=subject.id,
            name=subject.name,
            detail=json.dumps(detail, ensure_ascii=False, sort_keys=True),
        )
    )


def _announce(connection: Connection, subject: Subject, at: int, ends: Actor | None, keep: bytes | None) -> None:
    connection.execute(
        insert(outbox).values(
            at=at,
            subject=_json(subject),
            ending=None if ends is None else Ending.REVOKED.value,
            actor=None if ends is None else ends.value,
            keep=keep,
        )
    )


def _join(connection: Connection, subject: str, groups: Iterable[str]) -> None:
    rows = [{"person": subject, "group_name": group} for group in sorted(groups)]
    if rows:
        connection.execute(insert(membership), rows)


def _one(rows: Sequence[Row[Any]]) -> Person | None:
    """The person of whom there is a row for each group, or one without."""
    return _person(rows[0], [row.group_name for row in rows if row.group_name is not None]) if rows else None


def _person(row: Row[Any], groups: Iterable[str]) -> Person:
    # A disabled person's sessions have ended. Should one come into being at the same moment, it is of somebody who
    # is suspended.
    subject = Subject(
        id=row.id,
        name=row.name,
        groups=frozenset(groups),
        suspended=row.disabled,
        version=row.version,
        display_name=row.display_name,
        email=row.email,
    )
    return Person(subject, row.disabled, row.created_at, row.password, row.password_changed_at)


def _json(subject: Subject) -> str:
    return json.dumps(
        {
            "id": subject.id,
            "name": subject.name,
            "groups": sorted(subject.groups),
            "suspended": subject.suspended,
            "version": subject.version,
            "display_name": subject.display_name,
            "email": subject.email,
        }
    )


def _subject(data: dict[str, Any]) -> Subject:
    return Subject(**{**data, "groups": frozenset(data["groups"])})
