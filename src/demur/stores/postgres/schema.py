"""The tables in PostgreSQL: how they come to be, and which of them this version of demur can use.

- They stand in a schema of their own, `demur_sessions`. Who comes first makes it, in one transaction; the others wait.
- A schema only ever grows, in steps. Version N of the tables serves programs that know N, and those that know N - 1:
  so nodes are upgraded one by one. What a step leaves unused goes with a later step, when nobody knows it any more.
- `epoch` tells one database from another. A process that has seen it takes no other in its place.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from demur.core.model import StoreUnavailable
from demur.stores.postgres.line import Failed

if TYPE_CHECKING:
    from demur.stores.postgres.line import Line

SCHEMA = "demur_sessions"

_MAKING = 120.0
"""Seconds in which tables are made or moved on. Nobody waits for all of it."""

_LOCK = 0x64656D7572
"""Of all that make or move on the tables, one at a time: "demur" as a number."""

# `session` is a session or its tombstone, so that one look-up tells both. Fifteen bytes of its id find it: as good a
# key as all 32, and a smaller one. The columns stand in the order that wastes least; none of them is NULL, which
# would cost eight bytes a row. `how` 0 says that nobody has ended it; an ended one has in `last_seen` the second at
# which it ended, and has lost all else but its person and by whom. `about` is a JSON list: acr, device, network; of a
# token also its label and scopes. `serial` tells which of one second came later.
# `due` is the second at which a sweep has to look at it. It comes before its limit and is not moved by a touch, which
# would have to be written to an index each time; of a tombstone it is the second at which it is forgotten.
_FIRST = f"""
CREATE TABLE {SCHEMA}.meta (
    one boolean PRIMARY KEY DEFAULT true CHECK (one), version integer NOT NULL, epoch bytea NOT NULL,
    checks bigint NOT NULL DEFAULT 0
);
CREATE TABLE {SCHEMA}.person (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, version bigint NOT NULL, id text NOT NULL UNIQUE,
    snapshot text NOT NULL
);
CREATE SEQUENCE {SCHEMA}.serial AS integer CYCLE;
CREATE TABLE {SCHEMA}.session (
    issued_at bigint NOT NULL, authenticated_at bigint NOT NULL, last_seen bigint NOT NULL, expires_at bigint NOT NULL,
    due bigint NOT NULL, person integer NOT NULL REFERENCES {SCHEMA}.person, idle integer NOT NULL,
    serial integer NOT NULL DEFAULT nextval('{SCHEMA}.serial'), kind smallint NOT NULL, how smallint NOT NULL,
    actor smallint NOT NULL, persistent boolean NOT NULL, id bytea NOT NULL, about text NOT NULL
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
ALTER SEQUENCE {SCHEMA}.serial OWNED BY {SCHEMA}.session.serial;
CREATE UNIQUE INDEX session_id ON {SCHEMA}.session (substr(id, 1, 15));
CREATE INDEX session_person ON {SCHEMA}.session (person) WHERE how = 0;
CREATE INDEX session_due ON {SCHEMA}.session (due);
CREATE TABLE {SCHEMA}.value (key bytea PRIMARY KEY, until bigint NOT NULL, value bytea NOT NULL);
CREATE INDEX value_until ON {SCHEMA}.value (until);
CREATE TABLE {SCHEMA}.hit (key bytea PRIMARY KEY, until bigint NOT NULL, count bigint NOT NULL);
CREATE INDEX hit_until ON {SCHEMA}.hit (until);
CREATE FUNCTION {SCHEMA}.closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'closed to writing: its sessions are being moved'
    USING ERRCODE = 'object_not_in_prerequisite_state';
END $$;
"""

STEPS = (_FIRST,)
VERSION = len(STEPS)
"""The version of the tables that this demur knows; each step leads from one to the next."""

_MISSING = {"42P01", "3F000"}  # undefined_table, invalid_schema_name
_LOOK = f"SELECT version, epoch FROM {SCHEMA}.meta"  # noqa: S608 - a constant


async def look(line: Line, *, known: bool) -> bytes:
    """The epoch of the tables, which are made, unless they are `known` to have been there, or moved on if need be.
    Raises `Failed`, `Lost`, `StoreUnavailable`."""
    found = await _seen(line)
    if found is None and known:
        raise StoreUnavailable(f"the schema {SCHEMA} is gone; put it back, or restart to begin with an empty one")
    if found is None or found[0] < VERSION:
        async with asyncio.timeout(_MAKING):
            await _move_on(line, empty=found is None)
            found = await _seen(line)
        assert found is not None  # noqa: S101 - just made
    version, epoch = found
    if version > VERSION + 1:
        raise StoreUnavailable(
            f"the tables in schema {SCHEMA} have version {version}, made by a newer demur; "
            f"this one knows {VERSION}, and can use {VERSION + 1}. Run the newer one"
        )
    return epoch


async def _seen(line: Line) -> tuple[int, bytes] | None:
    try:
        ((version, epoch),) = await line.ask(_LOOK)
    except Failed as error:
        if error.state in _MISSING:
            return None
        raise
    return version, epoch


async def _move_on(line: Line, *, empty: bool) -> None:
    try:
        await line.command("BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'")
        await line.command(f"SELECT pg_advisory_xact_lock({_LOCK})")
        # Somebody else may have been first. Names are looked up anew, and not out of what was there before.
        there = bool((await line.command(f"SELECT to_regclass('{SCHEMA}.meta') IS NOT NULL"))[0][0])
        version = int((await line.command(_LOOK))[0][0]) if there else 0
        if version == 0 and not await _has_schema(line):
            await line.command(f"CREATE SCHEMA {SCHEMA}")
        for step in STEPS[version:]:
            await line.command(step)
        if version == 0:
            await line.do(f"INSERT INTO {SCHEMA}.meta (version, epoch) VALUES ($1, $2)", VERSION, os.urandom(16))  # noqa: S608
        elif version < VERSION:
            await line.do(f"UPDATE {SCHEMA}.meta SET version = $1", VERSION)  # noqa: S608 - a constant
        await line.command("COMMIT")
    except Failed as error:
        await line.command("ROLLBACK")
        if error.state == "42501":
            raise StoreUnavailable(await _who_may(line, empty=empty)) from error
        raise


async def _has_schema(line: Line) -> bool:
    found = await line.command(f"SELECT count(*) FROM pg_namespace WHERE nspname = '{SCHEMA}'")  # noqa: S608 - a constant
    return str(found[0][0]) != "0"


async def _who_may(line: Line, *, empty: bool) -> str:
    role, database = (await line.command("SELECT current_user, current_database()"))[0]
    if not empty:
        return f'the role "{role}" may not change the tables in schema {SCHEMA}: let their owner start demur once'
    return (
        f'the role "{role}" may not make the tables. As the owner of the database "{database}": '
        f'CREATE SCHEMA IF NOT EXISTS {SCHEMA} AUTHORIZATION "{role}"'
    )
