"""Faults of a Redis: on the wire to it, and in the server itself. Each has a server of its own: they start at once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, TypeVar

from tests.faults.networked import Networked, fill, mount, unmount
from tests.servers.redis import Sentinel, Server

from demur import stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.faults.app import App

    from demur.core.ports import Store

S = TypeVar("S", bound=Server)

MOST = 40
"""Connections that the server takes, where that is what runs out."""


class Ground(Networked):
    """A Redis, and a wire to it."""

    async def open(self, fault: str) -> None:
        """What has to be there before anybody comes."""
        settings = {"maxclients": str(MOST)} if fault == "pool_spent" else {}
        self.disk = self.folder / "disk"
        if fault == "full_disk":
            mount(self.disk, "4m")
            self.stack.callback(unmount, self.disk)
            settings = {"dir": str(self.disk), "appendfsync": "everysec"}
        kept = fault in {"full_disk", "restart"}
        self.server = await self._serve(Server(appendonly=kept, settings=settings))
        await self.lay(self.server.port, tls=fault == "tls_expired")
        host = self.name if fault == "dns_gone" else "127.0.0.1"
        self.url = f"redis://{host}:{self.wire.port}/0"
        if fault == "tls_expired":
            self.url = f"rediss://127.0.0.1:{self.wire.port}/0?ca={self.authorities}"
        if fault == "failover":
            self.replica = await self._serve(Server(of=self.server))
            self.sentinel = await self._serve(Sentinel(self.server))
            await asyncio.to_thread(self.sentinel.knows, self.replica)
            self.url = f"redis+sentinel://127.0.0.1:{self.sentinel.port}/demur/0"

    async def _serve(self, server: S) -> S:
        await asyncio.to_thread(server.__enter__)
        self.stack.push_async_callback(asyncio.to_thread, server.remove)
        return server

    def neighbour(self) -> Store:
        """The store as another process sees it, by a way of its own."""
        return stores.open(self.server.url())

    # --- the faults of the server -----------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def read_only(self, app: App, other: Store) -> AsyncIterator[None]:
        self.server.say("REPLICAOF", "127.0.0.1", 1)
        yield
        self.server.say("REPLICAOF", "NO", "ONE")

    @contextlib.asynccontextmanager
    async def failover(self, app: App, other: Store) -> AsyncIterator[None]:
        await asyncio.to_thread(self.server.caught_up)
        await asyncio.to_thread(self.server.kill)
        yield
        await asyncio.to_thread(self.sentinel.follows, self.replica)

    @contextlib.asynccontextmanager
    async def full_disk(self, app: App, other: Store) -> AsyncIterator[None]:
        fill(self.disk)
        yield
        (self.disk / "filler").unlink()

    @contextlib.asynccontextmanager
    async def pool_spent(self, app: App, other: Store) -> AsyncIterator[None]:
        with contextlib.ExitStack() as idle:
            # All of it before the loop comes round again: nobody is quicker.
            self.server.say("CLIENT", "KILL", "TYPE", "normal")
            self.server.say("CLIENT", "KILL", "TYPE", "pubsub")
            for _ in range(MOST):
                one = idle.enter_context(socket.socket(socket.AF_UNIX))
                one.connect(str(self.server.path))
            yield

    @contextlib.asynccontextmanager
    async def restart(self, app: App, other: Store) -> AsyncIterator[None]:
        await asyncio.to_thread(self.server.kill)

        async def again() -> None:
            await asyncio.sleep(1)
            await asyncio.to_thread(self.server.start)

        starting = asyncio.create_task(again())
        yield
        await starting
