"""Faults of a file: each is made by other processes and by the file system, as it would be."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demur import stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from tests.faults.app import App

    from demur.core.ports import Store

# Each is run by a program of its own, with the path of the file; what it does lasts until it is killed.

# As one that was stopped while it recovers the file, with every lock in its hands and the index not yet written: from
# WAL_WRITE_LOCK on, and before them two copies of the header (SQLite, WAL-mode File Format, 2.3.1 and 2.1).
_HOLD_ALL = """
import fcntl, sys, time
index = open(sys.argv[1] + "-shm", "r+b", buffering=0)
fcntl.lockf(index, fcntl.LOCK_EX, 8, 120)
index.write(bytes(96))
print("ready", flush=True)
time.sleep(600)
"""
_WRITE = """
import sqlite3, sys, time
held = float(sys.argv[2])
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
while True:
    database.execute("BEGIN IMMEDIATE")
    print("ready", flush=True)
    time.sleep(held)
    database.execute("ROLLBACK")
    time.sleep(0.02)
"""
_DIE = """
import os, sqlite3, sys
from demur.stores.database import File
from demur.stores.generations import Teller
path = sys.argv[1]
database = sqlite3.connect(path, isolation_level=None, timeout=10)
teller = Teller(File(path))
database.execute("BEGIN IMMEDIATE")
position = teller.position(database)
database.execute("INSERT INTO change (subject) VALUES ('nobody')")
with teller.telling(database, position):
    os.kill(os.getpid(), 9)
"""
_COPY = """
import sqlite3, sys
sqlite3.connect(sys.argv[1]).execute("VACUUM INTO ?", sys.argv[2:])
"""


async def _run(*command: str | Path) -> None:
    """Nothing but SQLite opens the file here: to close it again would be to let go of SQLite's locks."""
    other = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = await other.communicate()
    assert other.returncode == 0, said.decode()


class Ground:
    """A folder with a file of sessions, on a disk of its own where that is needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disk = folder / "disk"
        self.disk.mkdir()
        self.path = self.disk / "sessions.db"
        self.url = f"sqlite:{self.path}"
        self.database = ""
        self._mounted = False

    async def open(self, fault: str) -> None:
        """What has to be there before anybody comes."""
        if fault in {"read_only", "full_disk"}:
            if os.geteuid() != 0:
                pytest.skip("needs root, to mount a file system")
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", self.disk], check=True)
            self._mounted = True

    async def aclose(self) -> None:
        """Leave nothing behind."""
        if self._mounted:
            subprocess.run(["umount", "--lazy", self.disk], check=True)

    def neighbour(self) -> Store:
        """The store as another process sees it."""
        return stores.open(self.url)

    def fault(self, name: str, app: App, other: Store) -> AbstractAsyncContextManager[None]:
        """The fault, for as long as the block lasts."""
        made: AbstractAsyncContextManager[None] = getattr(self, name)(app, other)
        return made

    # --- the faults -----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def refused(self, app: App, other: Store) -> AsyncIterator[None]:
        away = self.folder / "away"
        self.disk.rename(away)
        yield
        away.rename(self.disk)

    @contextlib.asynccontextmanager
    async def swallowed(self, app: App, other: Store) -> AsyncIterator[None]:
        async with self._other(_HOLD_ALL):
            yield

    @contextlib.asynccontextmanager
    async def slow(self, app: App, other: Store) -> AsyncIterator[None]:
        async with self._other(_WRITE, "0.3"):
            yield

    @contextlib.asynccontextmanager
    async def too_slow(self, app: App, other: Store) -> AsyncIterator[None]:
        async with self._other(_WRITE, "2"):
            yield

    @contextlib.asynccontextmanager
    async def pool_spent(self, app: App, other: Store) -> AsyncIterator[None]:
        async with self._other(_WRITE, "600"):
            yield

    @contextlib.asynccontextmanager
    async def reset(self, app: App, other: Store) -> AsyncIterator[None]:
        async def kill_some() -> None:
            while True:
                dying = await asyncio.create_subprocess_exec(sys.executable, "-c", _DIE, self.path)
                assert await dying.wait() == -9

        killing = asyncio.create_task(kill_some())
        yield
        killing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await killing

    @contextlib.asynccontextmanager
    async def read_only(self, app: App, other: Store) -> AsyncIterator[None]:
        # A mount of its own on top: who opens the file from now on opens it there.
        await other.aclose()
        await app.stop()
        subprocess.run(["mount", "--bind", self.disk, self.disk], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", self.disk], check=True)
        app.start()
        yield
        subprocess.run(["umount", "--lazy", self.disk], check=True)

    @contextlib.asynccontextmanager
    async def full_disk(self, app: App, other: Store) -> AsyncIterator[None]:
        filler = self.disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        yield
        filler.unlink()

    @contextlib.asynccontextmanager
    async def wrong_data(self, app: App, other: Store) -> AsyncIterator[None]:
        kept = self.folder / "kept"
        await _run("cp", "-a", self.disk, kept)
        for path in (self.path, Path(f"{self.path}-wal")):
            await _run("dd", "if=/dev/urandom", f"of={path}", "conv=notrunc", "bs=1", f"count={path.stat().st_size}")
        yield
        for path in self.disk.glob("sessions.db*"):
            path.unlink()
        for path in kept.iterdir():
            await _run("cp", "-a", path, self.disk)

    @contextlib.asynccontextmanager
    async def failover(self, app: App, other: Store) -> AsyncIterator[None]:
        copy = self.disk / "copy.db"
        await _run(sys.executable, "-c", _COPY, self.path, copy)
        for path in self.disk.glob("sessions.db-*"):
            path.unlink()
        copy.rename(self.path)
        yield

    @contextlib.asynccontextmanager
    async def restart(self, app: App, other: Store) -> AsyncIterator[None]:
        await app.stop()
        app.start()
        yield

    @contextlib.asynccontextmanager
    async def _other(self, program: str, *more: str) -> AsyncIterator[None]:
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, self.path, *more, stdout=asyncio.subprocess.PIPE
        )
        assert other.stdout is not None
        assert await other.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            other.kill()
            await other.communicate()
