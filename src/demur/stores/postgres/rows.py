"""What is said to PostgreSQL, and how rows are read. Each statement is atomic by itself.

How an ending, an actor and a kind are written is part of the schema: numbers are added here, never changed.
Whatever a statement changes for others it tells them (`pg_notify`) in the same transaction; issue and touch do not.
"""

# ruff: noqa: S608 - what is put together here are constants
from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from demur.core import sessions
from demur.core.model import Actor, Ended, Ending, Live, Session
from demur.stores.postgres.schema import SCHEMA
from demur.stores.rows import person, snapshot_of

if TYPE_CHECKING:
    from demur.core.model import Kind, Subject
    from demur.stores.postgres.line import Row, Value

ENDINGS = {Ending.IDLE: 1, Ending.EXPIRED: 2, Ending.ENDED: 3, Ending.REVOKED: 4, Ending.REPLACED: 5}
ACTORS = {Actor.SELF: 1, Actor.ADMINISTRATOR: 2, Actor.SYSTEM: 3}
KINDS: dict[Kind, int] = {"session": 0, "token": 1}
_ENDING_OF = {number: ending for ending, number in ENDINGS.items()}
_ACTOR_OF = {number: actor for actor, number in ACTORS.items()}
_KIND_OF = {number: kind for kind, number in KINDS.items()}

NOBODY = -1
"""The version of a person of whom nothing is known but that they had a session: anybody's snapshot is newer."""

CHANNEL = SCHEMA
BATCH = 500
"""How many rows a sweep turns or forgets in one transaction, so that nobody waits for it."""

KEY = 15
"""So many bytes of an id find its row."""

EPOCH = f"SELECT epoch FROM {SCHEMA}.meta"

_COLUMNS = (
    "s.id, s.how, s.actor, s.last_seen, s.issued_at, s.authenticated_at, s.expires_at, s.idle, s.kind, "
    "s.persistent, s.about"
)
_KEYS = "substr(s.id, 1, 15) = ANY ($1::bytea[])"
_JOINED = (
    f"{_COLUMNS}, p.id, p.snapshot, p.number FROM {SCHEMA}.session s JOIN {SCHEMA}.person p ON p.number = s.person"
)

LOAD = f"SELECT {_JOINED} WHERE {_KEYS}"

# In the order of their keys, so that no two transactions wait for each other.
LOCK = f"SELECT {_JOINED} WHERE {_KEYS} ORDER BY substr(s.id, 1, 15) FOR UPDATE OF s"

PAGE = f"SELECT {_JOINED} WHERE substr(s.id, 1, 15) > $1 ORDER BY substr(s.id, 1, 15) LIMIT $2"

# Whoever else is busy with one has it.
DUE = f"SELECT {_JOINED} WHERE s.due <= $1 AND s.how = 0 ORDER BY s.due LIMIT {BATCH} FOR UPDATE OF s SKIP LOCKED"

LIVE = f"SELECT {_JOINED} WHERE s.how = 0 AND s.kind = $1 ORDER BY s.issued_at DESC, s.serial DESC"
LIVE_OF = LIVE.replace("ORDER BY", f"AND s.person = (SELECT number FROM {SCHEMA}.person WHERE id = $2) ORDER BY")

# The row of a person, with this snapshot unless a newer one is there. `news` has a row if it took the place of another.
_PERSON = f"""
WITH old AS (SELECT number FROM {SCHEMA}.person WHERE id = $1),
made AS (
    INSERT INTO {SCHEMA}.person (id, version, snapshot)
    SELECT $1, $2::bigint, $3::text WHERE NOT EXISTS (SELECT 1 FROM old)
    ON CONFLICT (id) DO NOTHING RETURNING number
),
news AS (
    UPDATE {SCHEMA}.person SET version = $2, snapshot = $3
    WHERE id = $1 AND version <= $2 AND snapshot <> $3 RETURNING 1
),
told AS (SELECT pg_notify('{CHANNEL}', $4) FROM news)
"""

# How often somebody was told, and the person's number: NULL if somebody else made them at this moment.
PUBLISH = f"{_PERSON} SELECT (SELECT count(*) FROM told), coalesce((SELECT number FROM made), (SELECT number FROM old))"

_NEW = "issued_at, authenticated_at, last_seen, expires_at, due, person, idle, kind, how, actor, persistent, id, about"

ISSUE = f"""{_PERSON}, issued AS (
    INSERT INTO {SCHEMA}.session ({_NEW})
    VALUES ($5, $6, $7, $8, $9, coalesce((SELECT number FROM made), (SELECT number FROM old)),
            $10, $11, 0, 0, $12, $13, $14)
    RETURNING 1
) SELECT (SELECT count(*) FROM told), (SELECT count(*) FROM issued)"""

INSERT = f"""
INSERT INTO {SCHEMA}.session ({_NEW})
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]::integer[],
    $7::bigint[]::integer[], $8::bigint[]::smallint[], $9::bigint[]::smallint[], $10::bigint[]::smallint[],
    $11::bigint[]::integer[]::boolean[], $12::bytea[], $13::text[])
"""

# A touch stays on its page, and touches no index.
TOUCH = f"""
UPDATE {SCHEMA}.session s SET last_seen = a.at FROM unnest($1::bytea[], $2::bigint[]) AS a(id, at)
WHERE substr(s.id, 1, 15) = substr(a.id, 1, 15)
"""

POSTPONE = TOUCH.replace("last_seen = a.at", "due = a.at")

_FORGET = "issued_at = 0, authenticated_at = 0, expires_at = 0, idle = 0, kind = 0, persistent = false, about = ''"

END = f"""
UPDATE {SCHEMA}.session s SET how = a.how, actor = a.actor, last_seen = a.at, due = a.at + {sessions.TOMBSTONES_LAST},
{_FORGET} FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[]) AS a(id, how, actor, at)
WHERE substr(s.id, 1, 15) = substr(a.id, 1, 15)
"""

_END_ALL = f"""
WITH mine AS (
    SELECT id FROM {SCHEMA}.session
    WHERE how = 0 AND kind = $1 AND id IS DISTINCT FROM $2 AND WHOSE
    ORDER BY substr(id, 1, 15) FOR UPDATE
),
ended AS (
    UPDATE {SCHEMA}.session s SET how = $3, actor = $4, last_seen = $5,
    due = $5::bigint + {sessions.TOMBSTONES_LAST}, {_FORGET}
    FROM mine WHERE substr(s.id, 1, 15) = substr(mine.id, 1, 15) AND s.how = 0 RETURNING 1
)
SELECT count(*) FROM ended
"""
END_EVERYBODY = _END_ALL.replace("WHOSE", "true")
END_ALL = _END_ALL.replace("WHOSE", f"person = (SELECT number FROM {SCHEMA}.person WHERE id = $6)")

TELL = f"SELECT pg_notify('{CHANNEL}', $1)"

# `= ANY (ARRAY (…))` is asked once; `IN (…)` may be asked again for each row.
FORGET = tuple(
    f"DELETE FROM {SCHEMA}.{table} WHERE {key} = ANY (ARRAY (SELECT {key} FROM {SCHEMA}.{table} WHERE {over} "
    f"LIMIT {BATCH} FOR UPDATE SKIP LOCKED))"
    for table, key, over in (
        ("session", "substr(id, 1, 15)", "due <= $1 AND how <> 0"),
        ("value", "key", "until <= $1"),
        ("hit", "key", "until <= $1"),
    )
)

PUT = f"""
INSERT INTO {SCHEMA}.value (key, value, until) VALUES ($1, $2, $3)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, until = excluded.until
"""
TAKE = f"DELETE FROM {SCHEMA}.value WHERE key = $1 RETURNING value, until"
PEEK = f"SELECT value FROM {SCHEMA}.value WHERE key = $1 AND until > $2"

HIT = f"""
INSERT INTO {SCHEMA}.hit AS h (key, count, until) VALUES ($1, 1, $3::bigint + $2::bigint)
ON CONFLICT (key) DO UPDATE SET count = CASE WHEN h.until > $3 THEN h.count + 1 ELSE 1 END,
until = CASE WHEN h.until > $3 THEN h.until ELSE excluded.until END RETURNING count, until
"""
HITS = f"SELECT count, until FROM {SCHEMA}.hit WHERE key = $1 AND until > $2"

# Writing works, and all that a load reads can be read. Of many who ask at once, nobody waits.
PROVE = f"""
WITH one AS (SELECT one FROM {SCHEMA}.meta FOR UPDATE SKIP LOCKED),
written AS (UPDATE {SCHEMA}.meta m SET checks = checks + 1 FROM one WHERE m.one = one.one RETURNING 1)
SELECT (SELECT epoch FROM {SCHEMA}.meta), EXISTS (SELECT 1 FROM written),
    EXISTS (SELECT 1 FROM {SCHEMA}.session), EXISTS (SELECT 1 FROM {SCHEMA}.person)
"""

# Whether this very connection is being told: a pooler may have put another one in its place.
LISTENING = "SELECT 1 FROM pg_listening_channels() AS c WHERE c = $1"


def found(row: Row) -> Live | Ended:
    """What a row of `LOAD` and its like says."""
    how, actor, last_seen, snapshot = row[1], row[2], row[3], row[12]
    if how:
        return Ended(_ENDING_OF[how], last_seen, _ACTOR_OF[actor], row[11])
    subject = person(snapshot)
    return Live(session(row, subject.id), subject)


def session(row: Row, subject: str) -> Session:
    """The session in it, which nobody has ended."""
    key, _, _, last_seen, issued_at, authenticated_at, expires_at, idle, kind, persistent, about, *_ = row
    acr, device, network, label, scopes = _about(about)
    return Session(
        key,
        subject,
        issued_at,
        authenticated_at,
        last_seen,
        expires_at,
        idle,
        acr,
        persistent,
        device,
        network,
        _KIND_OF[kind],
        scopes,
        label,
    )


@lru_cache(maxsize=4096)
def _about(text: str) -> tuple[str, str, str, str, tuple[str, ...] | None]:
    acr, device, network, *token = json.loads(text)
    label, scopes = token or ("", None)
    return acr, device, network, label, None if scopes is None else tuple(scopes)


def about(session: Session) -> str:
    """The texts of a session."""
    texts: list[object] = [session.acr, session.device, session.network]
    if session.label or session.scopes is not None:
        texts += [session.label, session.scopes]
    return json.dumps(texts, separators=(",", ":"))


def limit(session: Session) -> int:
    """The second at which it ends by itself."""
    when = sessions.ends(session)
    return min(when.idle, when.absolute) if when.idle else when.absolute


def of_person(subject: Subject) -> tuple[Value, ...]:
    """The first parameters of `PUBLISH` and `ISSUE`."""
    return subject.id, subject.version, snapshot_of(subject)


def of_session(session: Session) -> tuple[Value, ...]:
    """The last parameters of `ISSUE`."""
    return (
        session.issued_at,
        session.authenticated_at,
        session.last_seen,
        session.expires_at,
        limit(session),
        session.idle,
        KINDS[session.kind],
        session.persistent,
        session.id,
        about(session),
    )
