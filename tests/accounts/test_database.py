"""The file that accounts are kept in."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
import threading
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert

from demur.accounts import database, schema
from demur.accounts.database import Database
from demur.core.model import StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection


def nothing(connection: Connection) -> None:
    """A job that does nothing."""


async def test_migrations_lead_to_the_tables(file: Path) -> None:
    """What the migrations make is what the program reads and writes."""

    def compare(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        return list(compare_metadata(context, schema.metadata))

    made = Database(file)
    assert await made.read(compare) == []
    await made.aclose()


def test_every_migration_is_known() -> None:
    """The versions that the program names are those that it brings, in their order."""
    folder = database.__file__.replace("database.py", "migrations")
    scripts = ScriptDirectory(folder)
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == schema.VERSIONS


async def test_the_file_is_its_owners(file: Path) -> None:
    """Nobody else on the machine can read password hashes, and not from SQLite's own files either."""
    made = Database(file)
    await made.write(nothing)
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in file.parent.glob("accounts.db*")}
    assert set(modes.values()) == {0o600}, modes
    await made.aclose()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:accounts.db", "accounts.db"),
        ("sqlite:/var/lib/accounts.db", "/var/lib/accounts.db"),
        ("sqlite:///accounts.db", "accounts.db"),
        ("sqlite:////var/lib/accounts.db", "/var/lib/accounts.db"),
    ],
)
def test_urls_name_files(url: str, path: str) -> None:
    """Our spelling and SQLAlchemy's both work."""
    assert str(database.file_of(url)) == path


async def test_many_open_it_at_once(file: Path) -> None:
    """Whoever comes first makes the tables; the others wait and find them."""
    many = [Database(file) for _ in range(5)]
    await asyncio.gather(*(one.read(nothing) for one in many))
    await asyncio.gather(*(one.aclose() for one in many))


async def test_a_job_that_raises_leaves_nothing(file: Path) -> None:
    """A change happens whole or not at all."""
    made = Database(file)

    def half(connection: Connection) -> None:
        row = {"at": 1, "actor": "", "action": "", "person": "", "name": "", "detail": ""}
        connection.execute(insert(schema.audit).values(**row))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await made.write(half)
    count = await made.read(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM audit").scalar())
    assert count == 0
    await made.aclose()


async def test_a_newer_file_is_left_alone(file: Path) -> None:
    """What a later version wrote is not touched, and the error says what to do."""
    made = Database(file)
    await made.write(nothing)
    await made.aclose()
    with sqlite3.connect(file) as connection:
        connection.execute(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(StoreUnavailable, match=r"accounts\.db was written by a newer demur \(schema 9999;.*"):
        await made.read(nothing)
    await made.aclose()
    assert file.read_bytes() == before


async def test_a_migration_that_fails_leaves_nothing(file: Path) -> None:
    """A file in which a table is in the way stays as it was, and is opened when that is gone."""
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE audit (x)")
    made = Database(file)
    with pytest.raises(StoreUnavailable, match=r"accounts\.db: table audit already exists"):
        await made.read(nothing)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert tables == {"audit"}
    connection.execute("DROP TABLE audit")
    connection.commit()
    connection.close()
    await made.read(nothing)
    await made.aclose()


async def test_what_is_wrong_with_the_file_is_said(tmp_path: Path) -> None:
    """No folder, a folder in its place, no database: each is our failure, names the file, and can heal."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("not a database, but long enough to be looked at" * 100)
    for name, reason in (("no/x.db", "No such file"), ("folder", "unable to open"), ("text", "not a database")):
        made = Database(tmp_path / name)
        with pytest.raises(StoreUnavailable, match=reason) as unavailable:
            await made.read(nothing)
        assert str(tmp_path / name) in unavailable.value.cause
        await made.aclose()
    healing = Database(tmp_path / "no" / "x.db")
    with pytest.raises(StoreUnavailable):
        await healing.read(nothing)
    (tmp_path / "no").mkdir()
    await healing.read(nothing)
    await healing.aclose()


async def test_a_lock_that_lasts_is_our_failure(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program holds the file, reading works, and writing says why it does not."""
    monkeypatch.setattr(database, "_LOCK_WAIT", 0.05)
    made = Database(file)
    await made.write(nothing)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    await made.read(nothing)
    with pytest.raises(StoreUnavailable, match="locked"):
        await made.write(nothing)
    other.execute("ROLLBACK")
    other.close()
    await made.write(nothing)
    await made.aclose()


async def test_a_full_disk_is_our_failure(file: Path) -> None:
    """A change that does not fit is not made, and what was there stays."""
    made = Database(file)

    def fill(connection: Connection) -> None:
        # as SQLite itself says it when there is no more room
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        row = {"at": 1, "actor": "x" * 100_000, "action": "", "person": "", "name": "", "detail": ""}
        connection.execute(insert(schema.audit).values(**row))

    with pytest.raises(StoreUnavailable, match="full"):
        await made.write(fill)
    assert await made.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar()) == 1
    await made.aclose()


async def test_two_databases_are_made_at_once(tmp_path: Path) -> None:
    """Each has its own tables, whichever thread is quicker."""
    databases = [Database(tmp_path / f"accounts{number}.db") for number in range(8)]
    try:
        await asyncio.gather(*(database.write(lambda connection: None) for database in databases))
    finally:
        for database in databases:
            await database.aclose()


def test_a_new_file_is_opened_by_many_connections_at_once(tmp_path: Path) -> None:
    """SQLite refuses all but one of those that change how a new file is written; nobody notices."""
    failed: list[Exception] = []

    def prepare(path: Path, together: threading.Barrier) -> None:
        with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
            together.wait(10)
            try:
                database._prepare(connection, None)
            except sqlite3.Error as error:
                failed.append(error)

    for number in range(60):
        together = threading.Barrier(6)
        threads = [threading.Thread(target=prepare, args=(tmp_path / f"{number}.db", together)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == []
