"""The check listener at work: who may connect, how many, and an orderly end.

- Over TCP only this machine and the networks in `trusted_proxies` may ask; anybody else is cut off. Who may open a unix
  socket, its permissions say.
- A listener that is full lets go of the connections that have rested longest. Clients know that a connection may be
  closed whenever nothing is asked on it (RFC 9112, 9.5).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import resource
import socket
import time
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final, Protocol

from demur.gateway.check.protocol import Answers, Connection
from demur.gateway.server.crowd import room
from demur.gateway.server.sockets import LastOnes
from demur.gateway.server.turns import Turns
from demur.gateway.server.wire import LAST_CALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.gateway.server.crowd import Network

BEAT: Final = 1.0
"""Seconds between two looks at all connections."""
FORGET: Final = 60
"""Beats after which what nobody asked for is forgotten."""
TURNS: Final = 5
"""Looks in a beat at how much is asked."""
_AT_ONCE: Final = 256
_ROOM: Final = 32 * 1024
"""Bytes of answers that the system keeps for a client that does not read (it takes twice that). Left to itself it would
keep thousands of them, each of which somebody has to decide."""

_log = logging.getLogger("demur")


class Remembers(Protocol):
    """The short way: `gateway.check.short.Short`."""

    @property
    def told(self) -> int: ...
    def answer(self, data: bytes) -> bytes | None: ...
    def forget(self) -> None: ...
    def tell(self) -> None: ...


class Checks(Answers, Protocol):
    """Who decides, and the short way to them: `gateway.check.Check`."""

    @property
    def short(self) -> Remembers: ...


@dataclass(frozen=True, slots=True)
class Listening:
    """A bound socket, and who answers there."""

    socket: socket.socket
    check: Checks
    trusted: Sequence[Network] = ()

    def serving(self) -> Serving:
        """It at work."""
        return Serving(self)


@dataclass(slots=True, eq=False)
class Shared:
    """What the connections of one listener share. `now` is when it was looked last, by the loop's clock."""

    check: Checks
    short: Remembers
    trusted: tuple[Network, ...]
    local: bool
    now: float
    room: int
    draining: bool = False
    connections: dict[Connection, None] = field(default_factory=dict)
    told: float = 0.0
    resting: list[Connection] = field(default_factory=list)
    full: float = 0.0

    def enter(self, connection: Connection) -> bool:
        """Take a connection in; False if it is none of ours, or there is no room."""
        if not self.local and not self._may_ask(connection.transport):
            return False
        if len(self.connections) >= self.room and not self._make_room():
            return False
        self.connections[connection] = None
        return True

    def leave(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.pop(connection, None)

    def _may_ask(self, transport: asyncio.Transport) -> bool:
        peer, here = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if peer and here and may_ask(peer[0], here[0], self.trusted):
            return True
        if self.now - self.told > FORGET or not self.told:
            self.told = self.now
            _log.warning(
                "demur has cut off %s at check_listen, where only proxies may ask. If it is one, name it in "
                "gateway.trusted_proxies.",
                peer[0] if peer else "somebody",
            )
        return False

    def _make_room(self) -> bool:
        if not self.resting and self.full != self.now:
            # Once in a beat at most: to look through all of them for each that comes would be work for whoever comes.
            self.full = self.now
            found = sorted((each for each in self.connections if each.rests), key=lambda each: each.seen)
            self.resting = found[_AT_ONCE::-1]
        while self.resting:
            oldest = self.resting.pop()
            if oldest.rests and oldest in self.connections:
                self.leave(oldest)
                oldest.transport.close()
                return True
        return False


@lru_cache(maxsize=1024)
def may_ask(peer: str, here: str, trusted: tuple[Network, ...]) -> bool:
    """Whether somebody at that address may ask at ours."""
    if peer == here:
        return True  # no other machine can have a connection from an address of this one
    try:
        found = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return found.is_loopback or any(found in network for network in trusted)


class Serving:
    """The listener of one process, from its start to its end."""

    def __init__(self, listening: Listening) -> None:
        self._socket = listening.socket
        limit = room(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        unix = listening.socket.family == socket.AF_UNIX
        self.shared = Shared(
            listening.check, listening.check.short, tuple(listening.trusted), unix, time.monotonic(), limit
        )
        self._server: asyncio.Server | None = None
        self._beating: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Accept connections."""
        loop, shared = asyncio.get_running_loop(), self.shared
        make = loop.create_unix_server if shared.local else loop.create_server
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)  # what is accepted takes after it
        self._server = await make(lambda: Connection(shared), sock=self._socket, backlog=2048)
        self._beating = loop.create_task(self._beat())

    async def _beat(self) -> None:
        """Look at the time, for all connections at once, and at how much is asked."""
        shared, turns = self.shared, Turns(time.monotonic())
        try:
            for beat in itertools.count(1):
                for _ in range(TURNS):
                    await asyncio.sleep(BEAT / TURNS)
                    turns.look(time.monotonic(), shared.short.told)
                shared.now = now = time.monotonic()
                shared.resting.clear()
                for connection in list(shared.connections):
                    connection.look(now)
                if beat % FORGET == 0:
                    shared.short.forget()
        finally:
            turns.end()

    async def end(self, seconds: float) -> bool:
        """Accept nothing more, and wait until everybody has been answered; break off what takes longer."""
        shared = self.shared
        shared.draining = True
        late = self._close()
        for connection in list(shared.connections):
            connection.last_call()
        clean = True
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*late, return_exceptions=True)
                # A question may be on its way already; a client that was let in should not find the door shut.
                await self._empty(LAST_CALL)
                for connection in list(shared.connections):
                    connection.leave()
                await self._empty()
        except TimeoutError:
            clean = False
            for connection in list(shared.connections):
                connection.transport.abort()
            await asyncio.sleep(0)
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait((self._beating,))
        shared.short.tell()
        return clean

    def _close(self) -> list[asyncio.Task[Any]]:
        """Let nobody in any more but those who have come already."""
        if self._server is None:
            return []
        last, loop = LastOnes(self._socket), asyncio.get_running_loop()
        self._server.close()
        return [
            loop.create_task(loop.connect_accepted_socket(lambda: Connection(self.shared), connection))
            for connection in last.taken()
        ]

    async def _empty(self, patience: float = float("inf")) -> None:
        """Wait until nobody is there, at most that long."""
        await asyncio.sleep(0.01)  # a connection that was accepted a moment ago may be on its way to its protocol
        until = time.monotonic() + patience
        while self.shared.connections and time.monotonic() < until:  # noqa: ASYNC110 - it is looked at once in a life
            await asyncio.sleep(0.02)
