"""The database of the accounts: opened at its first use, once for each process, and asked in a few threads of its own.
What is said here is for an SQLite file; `accounts.postgres` has what differs.

- A change is one transaction, begun at once as a writing one (`BEGIN IMMEDIATE`), so that two commands wait for each
  other and none fails half way.
- The tables are made and moved on when the database is opened, all in one transaction: another process sees them
  as they were or as they are now.
- Nothing is open while the process forks. SQLite keeps the locks that a process holds in that process's memory; a
  child inherits the list and not the locks, and would write beside others ("How To Corrupt An SQLite Database File",
  2.6). So a fork waits for what is going on, closes all connections, and both sides open new ones at need.
- Whatever goes wrong here is `StoreUnavailable`, and its cause names the file.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from demur.accounts import schema
from demur.core.model import ConfigError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_THREADS = 4
_LOCK_WAIT = 5  # seconds that a change waits for another one to end


def file_of(url: str) -> Path:
    """The file that a database URL names. Raises `ConfigError` for everything but `sqlite:PATH`."""
    scheme, colon, path = url.partition(":")
    if colon and scheme == "sqlite" and path and not path.startswith(":memory:"):
        # SQLAlchemy's spelling has three slashes before a relative path, and four before an absolute one.
        return Path(path.removeprefix("///"))
    raise ConfigError(
        f'"{scheme}{colon}…" does not name a database for accounts.',
        place="accounts.database",
        fix='Write "sqlite:" and a file, such as "sqlite:accounts.db", or "postgresql://ROLE@HOST/DATABASE".',
    )


class _Gate:
    """Lets jobs through, any number at once, until it is closed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody in, and wait until nobody is inside."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._inside)

    def open(self) -> None:
        """Let everybody in again."""
        with self._changed:
            self._closed = False
            self._changed.notify_all()


class Database:
    """One SQLite file. Nothing is opened before the first `read` or `write`; survives a fork; any event loop."""

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self._start()
        _databases.add(self)

    def _start(self) -> None:
        self._gate = _Gate()
        self._opening = threading.Lock()
        self._engine: Engine | None = None
        self._pool: ThreadPoolExecutor | None = None

    async def read(self, job: Callable[[Connection], T], *, long: bool = False) -> T:
        """Do what only reads, in one transaction, in a thread. `long` is what goes through all persons. Raises
        `StoreUnavailable`."""
        return await self._run(job, writing=False, long=long)

    async def write(self, job: Callable[[Connection], T], *, long: bool = False) -> T:
        """Do what changes something, in one transaction, in a thread: it is kept when this returns, and if the job
        raises, nothing of it is. Raises `StoreUnavailable`."""
        return await self._run(job, writing=True, long=long)

    async def aclose(self) -> None:
        """Let go of file and threads; the next use opens them again."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, wait=True)
        self._close()

    def before_fork(self) -> None:
        """Wait for what is going on, and close the file."""
        self._gate.close()
        self._close()

    def in_parent(self) -> None:
        """Go on after a fork."""
        self._gate.open()

    def in_child(self) -> None:
        """Begin anew after a fork: the threads are the parent's."""
        self._start()

    def _close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    async def _run(self, job: Callable[[Connection], T], *, writing: bool, long: bool) -> T:
        # A file answers, or is locked for a while; `long` is of no interest to it.
        return await asyncio.wrap_future(self._threads().submit(self._in_thread, job, writing=writing))

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="demur-accounts")
        return self._pool

    def _in_thread(self, job: Callable[[Connection], T], *, writing: bool) -> T:
        try:
            with self._gate:
                with self._opening:
                    engine = self._engine = self._engine or self._open()
                return self._do(engine, job, writing=writing)
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self.path}: {_reason(error)}") from error

    def _do(self, engine: Engine, job: Callable[[Connection], T], *, writing: bool) -> T:
        options = {"demur_begin": "BEGIN IMMEDIATE" if writing else "BEGIN"}
        with engine.connect().execution_options(**options) as connection, connection.begin():
            return job(connection)

    def _open(self) -> Engine:
        engine = self._engine_of()
        try:
            self._move_on(engine)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def _engine_of(self) -> Engine:
        _make_private(Path(self.path))
        engine = create_engine(
            URL.create("sqlite", database=str(self.path)),
            connect_args={"check_same_thread": False, "timeout": _LOCK_WAIT},
            pool_size=_THREADS,
            max_overflow=0,
        )
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        return engine

    def _move_on(self, engine: Engine) -> None:
        """Bring the tables to the newest version."""
        if self._do(engine, self._is_new, writing=False):
            return
        self._do(engine, self._move, writing=True)

    def _is_new(self, connection: Connection) -> bool:
        found = self._version(connection)
        return found is not None and found >= schema.VERSIONS[-1]

    def _move(self, connection: Connection) -> None:
        if not self._is_new(connection):  # nobody else was quicker
            migrate(connection)

    def _version(self, connection: Connection) -> str | None:
        if not connection.dialect.has_table(connection, schema.VERSION_TABLE):
            return None
        found = connection.exec_driver_sql(f"SELECT version_num FROM {schema.VERSION_TABLE}").scalar()  # noqa: S608
        if found is not None and int(found) > int(schema.VERSIONS[-1]) + 1:
            raise StoreUnavailable(
                f"{self.path} was written by a newer demur (schema {found}; this one knows {schema.VERSIONS[-1]}, and "
                "can use the next). Install that version again, or restore the backup from before the upgrade."
            )
        return str(found) if found is not None else None


_databases: weakref.WeakSet[Database] = weakref.WeakSet()


def _at_fork(what: Callable[[Database], None]) -> Callable[[], None]:
    def call() -> None:
        for database in list(_databases):
            what(database)

    return call


os.register_at_fork(
    before=_at_fork(Database.before_fork),
    after_in_parent=_at_fork(Database.in_parent),
    after_in_child=_at_fork(Database.in_child),
)


# What a migration calls (`alembic.op`) belongs to the process, and would write into another thread's database.
_migrating = threading.Lock()


def migrate(connection: Connection) -> None:
    """Run every migration that has not been run, within the transaction of this connection."""
    with _migrating:
        _migrate(connection)


def _migrate(connection: Connection) -> None:
    # Here and not above: it takes a tenth of a second to load, and is needed once in the life of a file.
    from alembic.operations import Operations  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory(str(Path(__file__).parent / "migrations"))

    def steps(revision: Any, _: MigrationContext) -> Any:  # noqa: ANN401 - Alembic's own types are as wide
        return scripts._upgrade_revs(schema.VERSIONS[-1], revision)  # noqa: SLF001 - as `alembic upgrade` calls it

    context = MigrationContext.configure(
        connection, opts={"fn": steps, "version_table": schema.VERSION_TABLE, "target_metadata": schema.metadata}
    )
    with Operations.context(context):
        context.run_migrations()


def _make_private(path: Path) -> None:
    """Make the file if it is not there, for its owner's eyes only: it holds password hashes. SQLite gives the files
    that it keeps beside it the same mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    # The driver would begin transactions by itself, late and without saying how; `_begin` does it.
    connection.isolation_level = None
    _keep_a_log(connection)
    connection.execute("PRAGMA synchronous=FULL")  # what was reported as done survives a power cut
    connection.execute("PRAGMA foreign_keys=ON")


def _keep_a_log(connection: sqlite3.Connection) -> None:
    """Write ahead. Of several that say so of a new file at once, SQLite lets one, and does not wait for the others."""
    until = time.monotonic() + _LOCK_WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.005)
        else:
            return


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("demur_begin", "BEGIN"))


def _reason(error: Exception) -> str:
    if isinstance(error, SQLAlchemyError):
        cause = getattr(error, "orig", None) or error
        return str(cause).partition("\n")[0]
    return getattr(error, "strerror", None) or str(error)
