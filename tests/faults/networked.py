"""What the grounds of stores on the network have in common: a wire before the server, which can be bent."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.faults import names
from tests.faults.wire import Wire
from tests.servers.postgres import certificate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.faults.app import App

    from demur.core.ports import Store

_numbers = itertools.count(1)


def mount(disk: Path, size: str) -> None:
    """A small disk."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a file system")
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "none", disk], check=True)


def unmount(disk: Path) -> None:
    """It is gone, whoever still has something open there."""
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk: Path) -> None:
    """Nothing more fits there."""
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


class Networked:
    """A wire to a server. Whoever knows the server says where it leads and what the gateway is given."""

    starttls = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.database = ""
        self.name = f"store{next(_numbers)}{names.DOMAIN}"
        self.wire = Wire(("127.0.0.1", 0), starttls=self.starttls)
        self.stack = contextlib.AsyncExitStack()

    async def aclose(self) -> None:
        """Leave nothing behind."""
        await self.stack.aclose()

    async def lay(self, port: int, *, tls: bool = False) -> None:
        """Lead the wire to that port."""
        self.wire.target = ("127.0.0.1", port)
        if tls:
            self.wire.tls = self._tls("now")
            authorities = [self._certificate(which)[0].read_text() for which in ("now", "expired")]
            self.authorities.write_text("".join(authorities))
        await self.wire.start()
        self.stack.push_async_callback(self.wire.aclose)

    @property
    def authorities(self) -> Path:
        """Whom to believe that the server is who it says."""
        return self.folder / "authorities.pem"

    def _certificate(self, which: str) -> tuple[Path, Path]:
        folder = self.folder / which
        if not folder.exists():
            folder.mkdir()
            certificate(folder, expired=which == "expired")
        return folder / "server.crt", folder / "server.key"

    def _tls(self, which: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._certificate(which))
        return context

    def fault(self, name: str, app: App, other: Store) -> AbstractAsyncContextManager[None]:
        """The fault, for as long as the block lasts."""
        made: AbstractAsyncContextManager[None] = getattr(self, name)(app, other)
        return made

    # --- the faults -----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def refused(self, app: App, other: Store) -> AsyncIterator[None]:
        await self.wire.refuse()
        yield
        await self.wire.mend()

    @contextlib.asynccontextmanager
    async def swallowed(self, app: App, other: Store) -> AsyncIterator[None]:
        self.wire.swallow()
        yield
        await self.wire.mend()

    @contextlib.asynccontextmanager
    async def slow(self, app: App, other: Store) -> AsyncIterator[None]:
        self.wire.slow(0.3)
        yield
        await self.wire.mend()

    @contextlib.asynccontextmanager
    async def too_slow(self, app: App, other: Store) -> AsyncIterator[None]:
        self.wire.slow(2)
        yield
        await self.wire.mend()

    @contextlib.asynccontextmanager
    async def reset(self, app: App, other: Store) -> AsyncIterator[None]:
        self.wire.cut(5)
        yield
        await self.wire.mend()

    @contextlib.asynccontextmanager
    async def wrong_data(self, app: App, other: Store) -> AsyncIterator[None]:
        self.wire.garble()
        yield
        await self.wire.mend()

    @contextlib.asynccontextmanager
    async def dns_gone(self, app: App, other: Store) -> AsyncIterator[None]:
        with names.gone(self.name):
            await self.wire.drop()
            yield

    @contextlib.asynccontextmanager
    async def tls_expired(self, app: App, other: Store) -> AsyncIterator[None]:
        self.wire.tls = self._tls("expired")
        await self.wire.drop()
        yield
        self.wire.tls = self._tls("now")
        await self.wire.drop()


async def in_thread(*calls: object) -> None:
    """What waits for a server, one after the other, beside the loop."""
    for call in calls:
        await asyncio.to_thread(call)  # type: ignore[arg-type]
