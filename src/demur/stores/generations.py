"""What has changed in the file of sessions, told to all processes of this host without a question to the database.

- Beside the database lies a small file that all of them map into memory: a few thousand counters. A change (an end, a
  rotation, a new snapshot of a person) belongs to the counter of its session or person, and moves that one only;
  issuing and touching move none.
- A counter is odd while a change of its own is committed, so from before anybody can read it until after: then the
  database is asked. Who tells holds a lock on the small file, so there is never more than one at it.
- A process that is killed there leaves odd counters behind. They say "ask", until the next writer puts them right.
- Once a second each process looks: whether both files are still the same, whether the database can be read, and
  whether anything was changed that was not told here (by an older version, say). If in doubt, what was known before
  is not known any more.
- Who cannot map the file asks the database every time. Who cannot write it changes nothing that it would have to tell.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import sqlite3
import stat
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from zlib import crc32

from demur.core.model import StoreUnavailable
from demur.stores import forks, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from demur.core.model import Live
    from demur.core.ports import Changed
    from demur.stores.database import File, Identity

SUFFIX = "-generations"

STRIPES = 4096
"""So many counters, for all sessions and persons together."""

LOOK = 1.0
"""After how many seconds a process looks whether the files are still the same."""

_PATIENCE = 0.5
"""Seconds for which a writer waits for another to have told what it changed."""

# The first words of the file: whether a change is being committed, and the last one that was told.
_BUSY, _TOLD, _HEAD = 0, 1, 16
_SIZE = 4 * (_HEAD + STRIPES)
_MASK = 0xFFFFFFFF

Stamp: TypeAlias = "tuple[_Mapped, int, int, int, int]"


@dataclass(eq=False, frozen=True, slots=True)
class _Mapped:
    """The counters, in memory that is shared, and which files they belong to. A new one disowns the stamps of the one
    before."""

    words: memoryview
    identity: Identity
    database: Identity


@dataclass(frozen=True, slots=True)
class Moment:
    """All counters as they were."""

    mapped: _Mapped
    words: memoryview

    def stamp(self, live: Live) -> Stamp | None:
        """What tells later whether this session or its person has changed since; None if one is changing."""
        session, person = _of_session(live.session.id), _of_person(live.subject.id)
        first, second = self.words[session], self.words[person]
        return None if (first | second) & 1 else (self.mapped, session, first, person, second)


class Generations:
    """The counters beside one database, for one process: all its threads and event loops."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._path = Path(f"{file.path}{SUFFIX}")
        self._mapped: _Mapped | None = None
        self._look_at = 0.0
        self._heard: int | None = None
        self._looking = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        forks.watch(self)

    # --- reading ----------------------------------------------------------------------------------

    def moment(self) -> Moment | None:
        """What there is now; None if that cannot be told."""
        if not self._current() or (mapped := self._mapped) is None:
            return None
        return Moment(mapped, memoryview(mapped.words.tobytes()).cast("I"))

    def holds(self, stamp: Stamp) -> bool:
        """Whether nothing has changed since a stamp's moment, as far as can be told. On the way of every check."""
        mapped, session, first, person, second = stamp
        if mapped is not self._mapped or (time.monotonic() >= self._look_at and not self._current()):
            return False
        words = mapped.words
        return mapped is self._mapped and words[session] == first and words[person] == second

    def _current(self) -> bool:
        """Whether what is mapped can be relied on; look, if it is time to."""
        now = time.monotonic()
        if now < self._look_at:
            return self._mapped is not None
        if not self._looking.acquire(blocking=False):
            # Another thread is at it. It is not waited for, nor relied on for ever.
            return self._mapped is not None and now < self._look_at + LOOK
        try:
            self._look()
        except (OSError, sqlite3.Error, StoreUnavailable):
            self._lose()
        finally:
            self._look_at = now + LOOK
            self._looking.release()
        return self._mapped is not None

    def _look(self) -> None:
        database = self._file.look()
        mapped = self._mapped
        if mapped is None or mapped.database != database or mapped.identity != _there(self._path):
            self._lose()
            mapped = _Mapped(*_map(self._path, writing=False), database)
        if self._reader is None:
            self._reader, _ = self._file.open(patience=0)
            self._reader.execute("PRAGMA query_only = 1").fetchall()
        last = rows.look(self._reader) & _MASK
        if last not in (mapped.words[_TOLD], self._heard):
            # Somebody has changed what they did not tell, or is just about to tell it.
            mapped = replace(mapped)
        self._heard = last
        self._mapped = mapped

    def _lose(self) -> None:
        self._mapped = None
        self._close()

    def _close(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            with contextlib.suppress(sqlite3.Error):
                reader.close()

    def forget(self) -> None:
        """Let go of what is open; it is opened again at need."""
        with self._looking:
            self._lose()
            self._look_at = 0.0

    def pause(self) -> None:
        """See `forks.Forkable`. What is mapped is shared by both sides."""
        self._looking.acquire()
        self._close()

    def resume(self) -> None:
        """See `forks.Forkable`."""
        self._looking.release()

    def restart(self) -> None:
        """See `forks.Forkable`."""
        self._looking.release()


class Teller:
    """Tells what one connection changes. Whoever calls it holds the database's write lock until the commit; from before
    that until all is told there is a lock on the file of counters, too."""

    def __init__(self, file: File) -> None:
        self._path = Path(f"{file.path}{SUFFIX}")
        self._words: memoryview | None = None
        self._identity: Identity | None = None

    def position(self, connection: sqlite3.Connection) -> int:
        """What was changed last, before a transaction does anything."""
        return rows.newest(connection)

    @contextlib.contextmanager
    def telling(self, connection: sqlite3.Connection, position: int) -> Iterator[None]:
        """Around a commit: what was changed since that position is told. Raises `StoreUnavailable` if it cannot be."""
        last = rows.newest(connection)
        if last == position:
            yield
            return
        words = self._current()
        changed, _ = rows.changes_since(connection, position)
        with self._alone():
            yield from self._tell(words, changed, position, last)

    def _tell(self, words: memoryview, changed: Iterable[Changed], position: int, last: int) -> Iterator[None]:
        # If somebody else had something to tell and did not, or was killed there, nothing of what is known is sure.
        unsure = words[_BUSY] or words[_TOLD] != position & _MASK
        moved = range(_HEAD, _HEAD + STRIPES) if unsure else _stripes(changed)
        words[_BUSY] = 1
        for stripe in moved:
            words[stripe] |= 1
        try:
            yield
            words[_TOLD] = last & _MASK
        finally:
            for stripe in moved:
                words[stripe] = (words[stripe] + 1) & _MASK
            words[_BUSY] = 0

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time: a commit lets the next writer in before what it changed is told. The file is opened anew for
        it, so that a forked child never holds what its parent locked. Raises `StoreUnavailable`."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise StoreUnavailable(f"sessions: {self._path}: {error.strerror or error}") from error
        try:
            _lock(descriptor, self._path)
            yield
        finally:
            os.close(descriptor)

    def _current(self) -> memoryview:
        if self._words is None or _there(self._path) != self._identity:
            try:
                self._words, self._identity = _map(self._path)
            except OSError as error:
                raise StoreUnavailable(f"sessions: {self._path}: {error.strerror or error}") from error
        return self._words


def _lock(descriptor: int, path: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise StoreUnavailable(f"sessions: {path}: another process does not let go of it") from None
            time.sleep(0.0002)
        else:
            return


def _stripes(changed: Iterable[Changed]) -> Iterable[int]:
    stripes = set()
    for each in changed:
        if each.session is not None:
            stripes.add(_of_session(each.session))
        elif each.subject is not None:
            stripes.add(_of_person(each.subject))
        else:
            return range(_HEAD, _HEAD + STRIPES)
    return stripes


def _of_session(key: bytes) -> int:
    return _HEAD + int.from_bytes(key[:4], "big") % STRIPES


def _of_person(subject: str) -> int:
    return _HEAD + crc32(subject.encode()) % STRIPES


# --- the file -------------------------------------------------------------------------------------


def _there(path: Path) -> Identity | None:
    try:
        return _identity(os.stat(path))  # noqa: PTH116 - as in `File.look`
    except FileNotFoundError:
        return None


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino


def _map(path: Path, *, writing: bool = True) -> tuple[memoryview, Identity]:
    """Map the file, which is made if there is none. Raises `OSError`."""
    descriptor, writing = _open(path, writing=writing)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size not in {0, _SIZE}:
            raise OSError(errno.EINVAL, "is not a file of generations; remove it", str(path))
        if found.st_size == 0:
            if not writing:
                raise OSError(errno.EACCES, "is empty, and may not be written", str(path))
            # Room for all of it, now: to find the disk full when memory is written would be the end of the process.
            os.posix_fallocate(descriptor, 0, _SIZE)
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writing else 0)
        return memoryview(mmap.mmap(descriptor, _SIZE, prot=protection)).cast("I"), _identity(found)
    finally:
        os.close(descriptor)


def _open(path: Path, *, writing: bool) -> tuple[int, bool]:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW), True
    except FileNotFoundError:
        return _make(path), True
    except PermissionError:
        if writing:
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), False


def _make(path: Path) -> int:
    """The file, for whoever may use the database (as SQLite does with its own files beside it)."""
    database = os.stat(str(path).removesuffix(SUFFIX))  # noqa: PTH116 - as in `File.look`
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, database.st_mode & 0o666)
    if os.geteuid() == 0:
        os.fchown(descriptor, database.st_uid, database.st_gid)
    return descriptor
