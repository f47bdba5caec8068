"""A gateway for tests of the parent: `python guarded.py FILE`, where FILE holds a configuration as JSON.

Its apps tell which configuration and which process answered. `{"fault": …}` makes a worker fail.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demur.core.model import ConfigError
from demur.gateway.config.addresses import Address
from demur.gateway.server import supervise
from demur.gateway.server.serve import Listener

if TYPE_CHECKING:
    import socket


@dataclass(frozen=True)
class Tls:
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Gateway:
    listen: Address
    check_listen: Address | None
    admin_listen: Address | None
    tls: Tls | None
    workers: int
    drain: int
    connections_per_address: int = 1000
    trusted_proxies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    gateway: Gateway
    text: str
    fault: str


def load() -> Config:
    data = json.loads(Path(sys.argv[1]).read_text())
    if data.get("fault") == "load":
        raise ConfigError("this cannot be used.", place="demur.toml:1", fix="Write something else.")
    listen, check, admin = (
        None if (text := data.get(name)) is None else Address.parse(text)
        for name in ("listen", "check_listen", "admin_listen")
    )
    assert listen is not None
    tls = Tls(*(Path(path) for path in data["tls"])) if "tls" in data else None
    gateway = Gateway(listen, check, admin, tls, data.get("workers", 2), data.get("drain", 10))
    return Config(gateway, data.get("text", ""), data.get("fault", ""))


class Check:
    draining = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b"draining" if self.draining else b"ready"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    def drain(self) -> None:
        self.draining = True

    def listener(self, sock: socket.socket) -> Listener:
        return Listener(sock, self)


def lose_the_end() -> None:
    """Have the parent end, and lose what it says about that: as a worker does that is just being born."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    os.kill(os.getppid(), signal.SIGTERM)
    signal.sigwait({signal.SIGTERM})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


class Built:
    def __init__(self, config: Config) -> None:
        if config.fault == "build":
            raise ConfigError("the database is not one.")
        if config.fault == "crash":
            os.abort()
        if config.fault == "deaf":
            lose_the_end()
        self.config = config
        self.check = Check()
        self.admin = self.public
        self.house = 0

    async def public(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/die":
            os._exit(9)
        if scope["path"] == "/slow":
            sys.stderr.write("asked for something slow\n")
            await asyncio.sleep(float(scope["query_string"] or b"1"))
        told = {
            "text": self.config.text,
            "pid": os.getpid(),
            "parent": os.getppid(),
            "house": self.house,
            "metrics": os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""),
        }
        body = json.dumps(told).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def begin(self) -> None:
        """Nothing has to be agreed upon."""

    async def keep_house(self) -> None:
        self.house += 1
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        sys.stderr.write(f"closed {os.getpid()}\n")


if __name__ == "__main__":
    try:
        sys.exit(supervise.run(load, Built, ready=lambda config: print(f"ready {config.text}", flush=True)))
    except ConfigError as error:
        sys.exit(str(error))
