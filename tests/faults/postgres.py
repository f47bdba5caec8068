"""Faults of a PostgreSQL: on the wire to it, and in the server itself.

One server serves all faults that leave it whole, each with a database of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from tests.faults.networked import Networked, fill, mount, unmount
from tests.servers.postgres import PASSWORD, ROLE, Server

from demur import stores
from demur.core.model import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.faults.app import App

    from demur.core.ports import Store

S = TypeVar("S", bound=Server)

_OWN = ("restart", "failover", "full_disk")
"""What a server does not survive as it was."""

_WHO = f"{ROLE}:{quote(PASSWORD)}"


class Ground(Networked):
    """A database, and a wire to its server."""

    starttls = True

    def __init__(self, folder: Path, shared: Server) -> None:
        super().__init__(folder)
        self.server = shared
        self._shared = shared

    async def open(self, fault: str) -> None:
        """What has to be there before anybody comes."""
        name = f"faults_{fault}"
        if fault in _OWN:
            self.server = await self._serve(Server(template=self._shared._template))
        else:
            self.stack.push_async_callback(asyncio.to_thread, self.server.drop, name)
        if fault == "full_disk":
            await self._on_a_small_disk(name)
        else:
            await asyncio.to_thread(self.server.create, name)
        self.name_of_database = name
        await self.lay(self.server.port, tls=fault == "tls_expired")
        self.url = self.server.tcp(name, port=self.wire.port)
        if fault == "tls_expired":
            self.url += f"?sslmode=verify-full&sslrootcert={self.authorities}"
        if fault == "dns_gone":
            self.url = f"postgresql://{_WHO}@{self.name}:{self.wire.port}/{name}"
        if fault == "failover":
            self.standby = await self._serve(Server(of=self.server))
            both = f"127.0.0.1:{self.server.port},127.0.0.1:{self.standby.port}"
            self.url = f"postgresql://{_WHO}@{both}/{name}?target_session_attrs=read-write"
        self.database = self.url

    async def _serve(self, server: S) -> S:
        await asyncio.to_thread(server.__enter__)
        self.stack.push_async_callback(asyncio.to_thread, server.remove)
        return server

    async def _on_a_small_disk(self, name: str) -> None:
        self.disk = self.server.folder / "disk"
        mount(self.disk, "12m")
        self.stack.callback(unmount, self.disk)
        there = self.disk / "space"
        there.mkdir()
        subprocess.run(["chown", "postgres:postgres", there], check=True)

        def make() -> None:
            self.server.sql(f"CREATE TABLESPACE small OWNER {ROLE} LOCATION '{there}'", database="postgres")
            self.server.sql(f"CREATE DATABASE {name} OWNER {ROLE} TABLESPACE small", database="postgres")

        await asyncio.to_thread(make)

    def neighbour(self) -> Store:
        """The store as another process sees it, by a way of its own."""
        return stores.open(self.server.url(self.name_of_database))

    async def _say(self, *statements: str) -> None:
        await asyncio.to_thread(self.server.sql, *statements, database="postgres")

    # --- the faults of the server -----------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def read_only(self, app: App, other: Store) -> AsyncIterator[None]:
        name = self.name_of_database
        await self._say(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await asyncio.to_thread(self.server.disconnect, name)
        yield
        await self._say(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
        await asyncio.to_thread(self.server.disconnect, name)

    @contextlib.asynccontextmanager
    async def failover(self, app: App, other: Store) -> AsyncIterator[None]:
        await asyncio.to_thread(self.server.caught_up)
        await asyncio.to_thread(self.server.kill)

        async def take_over() -> None:
            await asyncio.sleep(1)
            await asyncio.to_thread(self.standby.promote)

        taking = asyncio.create_task(take_over())
        yield
        await taking

    @contextlib.asynccontextmanager
    async def full_disk(self, app: App, other: Store) -> AsyncIterator[None]:
        fill(self.disk)
        with contextlib.suppress(StoreUnavailable):  # there is room in pages that are there
            for _ in range(1000):
                await app.somebody(other)
        yield
        (self.disk / "filler").unlink()

    @contextlib.asynccontextmanager
    async def pool_spent(self, app: App, other: Store) -> AsyncIterator[None]:
        name = self.name_of_database
        await self._say(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
        await asyncio.to_thread(self.server.disconnect, name)
        yield
        await self._say(f"ALTER DATABASE {name} CONNECTION LIMIT -1")

    @contextlib.asynccontextmanager
    async def restart(self, app: App, other: Store) -> AsyncIterator[None]:
        await asyncio.to_thread(self.server.kill)

        async def again() -> None:
            await asyncio.sleep(1)
            await asyncio.to_thread(self.server.start)

        starting = asyncio.create_task(again())
        yield
        await starting
