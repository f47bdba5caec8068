"""The accounts in PostgreSQL, beside other programs' tables or alone, for any number of nodes.

- The tables stand in a schema of their own, `demur_accounts`. Who comes first makes it; the others wait.
- Whoever writes holds one lock until the commit, as on SQLite: changes come one after the other, and so do their rows
  in the outbox. People change rarely.
- Every call ends within a second, but for what goes through all persons. A thread that waits for a server that does
  not answer is set free by closing its connection.
- Nothing that is said of the database contains a password.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import threading
from typing import TYPE_CHECKING, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError

from demur.accounts.database import Database
from demur.core.model import ConfigError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

SCHEMA = "demur_accounts"

_PATIENCE = 0.8
_OPENING = 5.0
"""Seconds for the first call, which connects, and may have to make the tables."""

_LONG = 30.0
_MOST = 4
_LOCK = 0x64656D7573
"""Of all who write: "demus" as a number; the tables of the sessions have "demur"."""

_DEFAULTS = {
    "application_name": "demur accounts",
    "connect_timeout": "2",
    "client_encoding": "UTF8",
    "gssencmode": "disable",
    "target_session_attrs": "read-write",
    "tcp_user_timeout": "5000",
}
_SETTINGS = f"""
SET search_path = {SCHEMA}; SET statement_timeout = '{_LONG:.0f}s'; SET lock_timeout = '5s';
SET idle_in_transaction_session_timeout = '30s'
"""
_LOCALLY = _SETTINGS.replace("SET ", "SET LOCAL ")

# What the server or libpq says, and what helps.
_FIXES = (
    ("no password supplied", 'Put the password into ~/.pgpass, a file that "passfile=" names, or PGPASSWORD'),
    ("password authentication failed", "Look at the role in the URL, at ~/.pgpass, and at PGPASSWORD"),
    ("no pg_hba.conf entry", "The server does not let this role in from here: add a line to its pg_hba.conf"),
    (r'database ".*" does not exist', "Make it: createdb --owner ROLE DATABASE"),
    (r'role ".*" does not exist', "Make it: createuser --pwprompt ROLE"),
    ("permission denied for database", f"As its owner: CREATE SCHEMA {SCHEMA} AUTHORIZATION the role in the URL"),
    ("too many (clients|connections)|remaining connection slots", "Raise max_connections, or run fewer processes"),
    ("[Cc]onnection refused|No such file or directory", "Is PostgreSQL running there? See the host and the port"),
    ("read-only|hot standby", "It is a standby: name the primary, or all servers"),
)


class PostgresDatabase(Database):
    """A database that libpq's words name. Nothing is opened before the first `read` or `write`; survives a fork."""

    def __init__(self, url: str) -> None:
        words = _parsed(url)
        self._conninfo = make_conninfo("", **{**_DEFAULTS, **words})
        super().__init__(_shown(words))
        self._pooled = False

    def _start(self) -> None:
        super()._start()
        self._watch = _Watch()

    async def _run(self, job: Callable[[Connection], T], *, writing: bool, long: bool) -> T:
        token = object()
        opening = self._engine is None
        patience = _LONG if long else _OPENING if opening else _PATIENCE
        running = asyncio.wrap_future(self._threads().submit(self._for, token, job, writing=writing))
        running.add_done_callback(_seen)
        try:
            async with asyncio.timeout(patience):
                return await asyncio.shield(running)
        except TimeoutError as error:
            if not opening:  # the tables may be being made
                self._watch.cut(token)
            running.cancel()
            raise StoreUnavailable(f"{self.path}: no answer within {patience} s") from error

    def _for(self, token: object, job: Callable[[Connection], T], *, writing: bool) -> T:
        self._watch.here.token = token
        return self._in_thread(job, writing=writing)

    def _in_thread(self, job: Callable[[Connection], T], *, writing: bool) -> T:
        try:
            return super()._in_thread(job, writing=writing)
        except StoreUnavailable as error:
            raise StoreUnavailable(_advised(error.cause)) from error.__cause__

    def _do(self, engine: Engine, job: Callable[[Connection], T], *, writing: bool) -> T:
        for again in (True, False):
            committing = False
            try:
                with engine.connect() as connection, self._watch.over(connection):
                    # A snapshot of a person is of one moment.
                    level = "READ COMMITTED" if writing else "REPEATABLE READ"
                    connection.execution_options(isolation_level=level)
                    if self._pooled:
                        connection.exec_driver_sql(_LOCALLY)
                    if writing:
                        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
                    result = job(connection)
                    committing = True
                    connection.commit()
                    return result
            except DBAPIError as error:
                # A connection of the pool may have ended since it was used: the server was restarted.
                if not (again and error.connection_invalidated and not committing):
                    raise
        raise AssertionError("not reached")

    def _engine_of(self) -> Engine:
        return create_engine(
            "postgresql+psycopg://", creator=self._connect, pool_size=_MOST, max_overflow=0, pool_timeout=_PATIENCE
        )

    def _connect(self) -> psycopg.Connection:
        connection = psycopg.connect(self._conninfo, autocommit=True)
        try:
            said = connection.execute("SELECT pg_backend_pid()").fetchone()
            # A pooler gives each client a number of its own, and its next transaction perhaps another connection.
            self._pooled = said != (connection.info.backend_pid,)
            if self._pooled:
                connection.prepare_threshold = None
            else:
                connection.execute(_SETTINGS)
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
        return connection

    def _move(self, connection: Connection) -> None:
        if self._pooled:
            connection.exec_driver_sql(_LOCALLY)
        there = connection.exec_driver_sql(f"SELECT 1 FROM pg_namespace WHERE nspname = '{SCHEMA}'")  # noqa: S608
        if there.first() is None:
            connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
        super()._move(connection)


class _Watch:
    """Which thread waits on which socket, so that it need not wait for ever."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._sockets: dict[object, socket.socket] = {}
        self.here = threading.local()

    @contextlib.contextmanager
    def over(self, connection: Connection) -> Iterator[None]:
        """Watch a connection while this thread does something on it."""
        token = getattr(self.here, "token", None)
        driver = connection.connection.driver_connection
        # A descriptor of our own: that of the connection may be another's by the time at which we need it.
        ours = socket.socket(fileno=os.dup(driver.fileno())) if driver is not None else socket.socket()
        with self._changing:
            self._sockets[token] = ours
        try:
            yield
        finally:
            with self._changing:
                self._sockets.pop(token, None)
            ours.close()

    def cut(self, token: object) -> None:
        """Whoever waits on it learns that nobody answers."""
        with self._changing:
            ours = self._sockets.get(token)
            if ours is not None:
                with contextlib.suppress(OSError):
                    ours.shutdown(socket.SHUT_RDWR)


def _seen(running: asyncio.Future[T]) -> None:
    if not running.cancelled():
        running.exception()  # whoever asked may have left


def _parsed(url: str) -> dict[str, str]:
    try:
        words = {key: str(word) for key, word in conninfo_to_dict(url).items() if word is not None}
    except psycopg.Error:
        raise ConfigError(
            "This is not an address that PostgreSQL understands.",
            place="accounts.database",
            fix='Write "postgresql://ROLE@HOST:5432/DATABASE"; percent-encode what is special in names (@ is %40).',
        ) from None
    return words


def _shown(words: dict[str, str]) -> str:
    where = words.get("host") or words.get("hostaddr") or words.get("service") or "this machine"
    database = words.get("dbname", "(of the role's name)")
    return f"accounts: PostgreSQL at {where}:{words.get('port', '5432')}, database {database}"


def _advised(cause: str) -> str:
    cause = re.sub(r"connection failed: |connection to server .*? failed: |FATAL: +", "", cause)
    for pattern, fix in _FIXES:
        if re.search(pattern, cause):
            return f"{cause}. {fix}"
    return cause
