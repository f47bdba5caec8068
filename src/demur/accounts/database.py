"""The database of the accounts: opened at its first use, once for each process, and asked in a few threads of its own.

- A change is one transaction, begun at once as a writing one (`BEGIN IMMEDIATE`), so that two commands wait for each
  other and none fails half way.
- The tables are made and moved on when the database is opened, all in one transaction: another process sees them
  as they were or as they are now.
- Whatever goes wrong here is `StoreUnavailable`, and its cause names the file.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
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
        return Path(path)
    if colon and scheme.partition("+")[0] in {"postgresql", "postgres"}:
        message = "accounts in PostgreSQL are not possible yet."
    else:
        message = f'"{scheme}{colon}…" does not name a database for accounts.'
    raise ConfigError(
        message, place="accounts.database", fix='Write "sqlite:" and a file, such as "sqlite:accounts.db".'
    )


class _Opened:
    """What belongs to one process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.engine: Engine | None = None
        self.pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="demur-accounts")


class Database:
    """One SQLite file. Nothing is opened before the first `read` or `write`; survives a fork; any event loop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: _Opened | None = None

    async def read(self, job: Callable[[Connection], T]) -> T:
        """Do what only reads, in one transaction, in a thread. Raises `StoreUnavailable`."""
        return await self._run(job, "BEGIN")

    async def write(self, job: Callable[[Connection], T]) -> T:
        """Do what changes something, in one transaction, in a thread: it is kept when this returns, and if the job
        raises, nothing of it is. Raises `StoreUnavailable`."""
        return await self._run(job, "BEGIN IMMEDIATE")

    async def aclose(self) -> None:
        """Let go of file and threads; the next use opens them again."""
        opened, self._opened = self._opened, None
        if opened is None or opened.pid != os.getpid():
            return
        await asyncio.to_thread(opened.pool.shutdown, wait=True)
        if opened.engine is not None:
            opened.engine.dispose()

    async def _run(self, job: Callable[[Connection], T], begin: str) -> T:
        opened = self._opened
        if opened is None or opened.pid != os.getpid():
            # What a fork brought along is left alone: closing a copied SQLite connection would drop locks.
            opened = self._opened = _Opened()
        return await asyncio.wrap_future(opened.pool.submit(self._in_thread, opened, job, begin))

    def _in_thread(self, opened: _Opened, job: Callable[[Connection], T], begin: str) -> T:
        try:
            with opened.lock:
                if opened.engine is None:
                    opened.engine = self._open()
            with opened.engine.connect().execution_options(demur_begin=begin) as connection, connection.begin():
                return job(connection)
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self.path}: {_reason(error)}") from error

    def _open(self) -> Engine:
        _make_private(self.path)
        engine = create_engine(
            URL.create("sqlite", database=str(self.path)),
            connect_args={"check_same_thread": False, "timeout": _LOCK_WAIT},
            pool_size=_THREADS,
            max_overflow=0,
        )
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        try:
            self._move_on(engine)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def _move_on(self, engine: Engine) -> None:
        """Bring the tables to the newest version."""
        newest = schema.VERSIONS[-1]
        with engine.connect() as connection, connection.begin():
            if self._version(connection) == newest:
                return
        with engine.connect().execution_options(demur_begin="BEGIN IMMEDIATE") as connection, connection.begin():
            if self._version(connection) != newest:  # nobody else was quicker
                migrate(connection)

    def _version(self, connection: Connection) -> str | None:
        if not connection.dialect.has_table(connection, schema.VERSION_TABLE):
            return None
        found = connection.exec_driver_sql(f"SELECT version_num FROM {schema.VERSION_TABLE}").scalar()  # noqa: S608
        if found is not None and found not in schema.VERSIONS:
            raise StoreUnavailable(
                f"{self.path} was written by a newer demur (schema {found}; this one knows up to "
                f"{schema.VERSIONS[-1]}). Install that version again, or restore the backup from before the upgrade."
            )
        return str(found) if found is not None else None


def migrate(connection: Connection) -> None:
    """Run every migration that has not been run, within the transaction of this connection."""
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
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")  # what was reported as done survives a power cut
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("demur_begin", "BEGIN"))


def _reason(error: Exception) -> str:
    if isinstance(error, SQLAlchemyError):
        cause = getattr(error, "orig", None) or error
        return str(cause).partition("\n")[0]
    return getattr(error, "strerror", None) or str(error)
