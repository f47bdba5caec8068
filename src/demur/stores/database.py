"""The SQLite file: how it comes to be, how it is opened, and what may be wrong with it.

- The file is made at first use, with mode 0600, and its schema in one transaction.
- Once it has been seen it is never made anew: a file that has vanished, or in whose place another database lies, is
  `StoreUnavailable`. An empty one in its place would tell everybody that their credentials are not valid.
- One number, `PRAGMA user_version`, says which schema it has. An older one is moved on, in one transaction, when the
  file is opened. The next one serves this version, too, so that processes are upgraded one by one; one that is newer
  still is refused.
- This process opens the file through SQLite only: closing any other descriptor of it would drop SQLite's locks
  (POSIX, `fcntl`: all locks of a process on a file go when it closes any descriptor of that file).
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from demur.core.model import StoreUnavailable

Identity: TypeAlias = tuple[int, int]
"""Device and inode: which file lies under the path."""

_APPLICATION = 0x646D7572  # "dmur"

SLICE = 0.05
"""For how many seconds SQLite itself waits for a lock; who needs more patience tries again."""

# One row a session, live or ended, so that one look-up tells both. `substr(id, 1, 8)` finds it: eight bytes of a
# hash are as good a key as 32, and four times smaller. An ended one has lost all but its person, how, when and by whom.
_SCHEMA = """
CREATE TABLE meta (epoch BLOB NOT NULL, checks INTEGER NOT NULL);
CREATE TABLE person (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL, snapshot TEXT NOT NULL
);
CREATE TABLE session (
    number INTEGER PRIMARY KEY, id BLOB NOT NULL, person INTEGER NOT NULL,
    issued_at INTEGER, authenticated_at INTEGER, last_seen INTEGER, expires_at INTEGER, idle INTEGER,
    acr TEXT, persistent INTEGER, device TEXT, network TEXT,
    how INTEGER, ended_at INTEGER, actor INTEGER
);
CREATE INDEX session_id ON session (substr(id, 1, 8));
CREATE INDEX session_person ON session (person) WHERE how IS NULL;
CREATE INDEX session_limit ON session (min(expires_at, iif(idle = 0, expires_at, last_seen + idle))) WHERE how IS NULL;
CREATE INDEX session_ended ON session (ended_at) WHERE how IS NOT NULL;
CREATE TABLE value (key BLOB PRIMARY KEY, value BLOB NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX value_until ON value (until);
CREATE TABLE hit (key BLOB PRIMARY KEY, count INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX hit_until ON hit (until);
CREATE TABLE change (number INTEGER PRIMARY KEY, session BLOB, subject TEXT);
"""

# A schema only ever grows: what is there keeps its place and its meaning, and what is new can be left out. What a step
# leaves unused may go with the step after the next.
# 2: API tokens. `kind` 0 is a sign-in, 1 a token; `scopes` is a JSON list, NULL for all that its person may.
_TOKENS = """
ALTER TABLE session ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN scopes TEXT;
ALTER TABLE session ADD COLUMN label TEXT;
"""

_STEPS = (_SCHEMA, _TOKENS)
VERSION = len(_STEPS)
"""The schema that this version of demur knows; each step leads from one to the next."""

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}

_CAUSES = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_BUSY: "locked by another process",
    sqlite3.SQLITE_LOCKED: "locked by another process",
    sqlite3.SQLITE_PROTOCOL: "locked by another process",
    sqlite3.SQLITE_READONLY: "cannot be written: the file, its directory or the file system is read-only",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database",
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk fails, or is full",
    sqlite3.SQLITE_PERM: "may not be opened",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
}


def is_busy(error: BaseException) -> bool:
    """Whether another process holds a lock, so that it is worth asking again."""
    return isinstance(error, sqlite3.Error) and _code(error) in _BUSY


def _code(error: sqlite3.Error) -> int:
    # The lower eight bits are the primary result code (SQLite, Result and Error Codes, 2).
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


class File:
    """A path, and what is known of the database under it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._epoch: bytes | None = None

    def look(self) -> Identity:
        """Which file lies under the path now. Raises `StoreUnavailable` if there is none."""
        try:
            found = os.stat(self.path)  # noqa: PTH116 - half the cost of Path.stat, and on the way of every check
        except OSError as error:
            raise self.unavailable(error) from error
        return found.st_dev, found.st_ino

    def open(self, patience: float = SLICE) -> tuple[sqlite3.Connection, Identity]:
        """A connection to the database, which is made if it never was, and which file that is.

        The connection waits for a lock for `patience` seconds, now and later.
        Raises `sqlite3.Error`, which may be busy, or `StoreUnavailable`.
        """
        if self._epoch is None:
            self._make()
        identity = self.look()
        connection = self._connect(patience)
        try:
            self._establish(connection, patience)
            self._see_that_it_is_still(identity)
        except BaseException:
            connection.close()
            raise
        return connection, identity

    def unavailable(self, error: BaseException) -> StoreUnavailable:
        """What to tell the log: the file, and what is wrong with it."""
        if isinstance(error, StoreUnavailable):
            return error
        if isinstance(error, sqlite3.Error):
            return StoreUnavailable(self._says(self._cause(error)))
        if isinstance(error, FileNotFoundError):
            return StoreUnavailable(self._says(self._missing()))
        return StoreUnavailable(self._says(getattr(error, "strerror", None) or str(error)))

    def _cause(self, error: sqlite3.Error) -> str:
        code = _code(error)
        if code != sqlite3.SQLITE_CANTOPEN:
            return _CAUSES.get(code, str(error))
        if self.path.is_dir():
            return "is a directory, not a file"
        return "cannot be opened: permission denied" if self.path.exists() else self._missing()

    def _missing(self) -> str:
        if not self.path.parent.is_dir():
            return f"the directory {self.path.parent} does not exist"
        return "has been removed; put it back, or restart to begin with an empty one"

    def _says(self, what: str) -> str:
        return f"sessions: {self.path}: {what}"

    def _make(self) -> None:
        """An empty file that only we may read, unless there is one."""
        try:
            if self.path.is_dir():
                raise StoreUnavailable(self._says("is a directory, not a file"))
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return
        except OSError as error:
            raise self.unavailable(error) from error

    def _connect(self, patience: float) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=rw",
            uri=True,
            timeout=patience,
            isolation_level=None,
            check_same_thread=False,  # whoever forks closes it from another thread, under its lock
        )
        # What is deleted is overwritten where that costs no more writing: a tombstone keeps no device and no network.
        connection.execute("PRAGMA secure_delete = FAST").fetchall()
        return connection

    def _establish(self, connection: sqlite3.Connection, patience: float) -> None:
        """See that the database is ours, make the schema where there is nothing at all, and move an older one on."""
        version = self._version(connection)
        fresh = version == 0 and self._epoch is None
        if not 0 < version <= VERSION + 1 and not fresh:
            raise StoreUnavailable(self._says(_version_cause(version)))
        if not fresh:
            self._recognise(connection)
        # Readers never wait for the writer, nor the writer for them. Kept in the file; a copy may have lost it.
        if _write_ahead(connection, patience) != "wal":
            raise StoreUnavailable(self._says("cannot use a write-ahead log on this file system"))
        if version < VERSION:
            self._move_on(connection)
        connection.execute("PRAGMA journal_size_limit = 16777216").fetchall()
        if fresh:
            self._recognise(connection)

    def _see_that_it_is_still(self, identity: Identity) -> None:
        if self.look() != identity:
            raise StoreUnavailable(self._says("was replaced while it was opened"))

    def _recognise(self, connection: sqlite3.Connection) -> None:
        epoch = connection.execute("SELECT epoch FROM meta").fetchone()[0]
        if self._epoch is None:
            self._epoch = epoch
        elif self._epoch != epoch:
            raise StoreUnavailable(self._says("was replaced by another database; put it back, or restart to use this"))

    def _version(self, connection: sqlite3.Connection) -> int:
        """The schema's number; 0 for an empty file, -1 for somebody else's database. All read as of one moment:
        another process may be making the schema now."""
        if not connection.in_transaction:
            connection.execute("BEGIN")
            try:
                return self._version(connection)
            finally:
                _roll_back(connection)
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if application == _APPLICATION:
            return version
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        return -1 if tables or version or application else 0

    def _move_on(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = self._version(connection)  # another process may have been first
            for step in _STEPS[version:]:
                for statement in step.split(";\n"):
                    connection.execute(statement)
            if version == 0:
                connection.execute("INSERT INTO meta VALUES (?, 0)", (os.urandom(16),))
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:  # some errors have ended it already
        connection.execute("ROLLBACK")


def _version_cause(version: int) -> str:
    if version < 0:
        return "is a database of something else; name another file"
    if version == 0:
        return "has been emptied; put it back, or restart to begin with an empty one"
    known = f"this one knows {VERSION}, and can use {VERSION + 1}"
    return f"has schema {version}, made by a newer demur; {known}. Run the newer one"


def _write_ahead(connection: sqlite3.Connection, patience: float) -> str:
    """How the file is written from now on. Of several that say so of a new file at once, SQLite lets one, and does not
    wait for the others by itself."""
    until = time.monotonic() + patience
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            time.sleep(0.005)
