"""Who is connected to a listener: how many in all, how many from one address, and who makes room when it is full.

- One address cannot take all places: others are there, too. Proxies that are trusted speak for many, and are not
  counted; nor is whoever comes over a socket of this machine.
- A listener that is full lets go of the connection that has rested longest, and refuses only if none rests. Clients
  know that a connection may be closed whenever nothing is asked on it (RFC 9112, 9.5).
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Hashable

Network: TypeAlias = IPv4Network | IPv6Network

RESERVED: Final = 64
"""How many files a process may have open that are no connections: stores, keys, listeners, idle connections."""

MOST_CONNECTIONS: Final = 32768
"""How many connections there may be where the system sets no limit to files."""


def room(files: int) -> int:
    """How many connections a process may have open at once that may have that many files open. Each may take a second
    file, for the connection behind it; and if it were for clients to use up all of them, the store could not be opened
    for anybody."""
    return MOST_CONNECTIONS if files == resource.RLIM_INFINITY else max(1, (files - RESERVED) // 2)


class Connection(Protocol):
    """One that can be asked to go."""

    def make_room(self) -> None:
        """Close, as nothing is being asked."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many connections one address may hold, and the networks that are not counted."""

    each: int
    exempt: tuple[Network, ...] = ()


@lru_cache(maxsize=4096)
def _holder(address: str, share: Share) -> Hashable | None:
    """What connections from an address are counted by: itself, or its network, for whoever has one IPv6 address has
    2^64 of them (RFC 6177). None for those that are not counted."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    if any(found in network for network in share.exempt):
        return None
    return found if isinstance(found, IPv4Address) else int(found) >> 64


class Crowd:
    """The connections of one listener. `room` is how many there may be; without `share` an address may hold all."""

    def __init__(self, room: int, share: Share | None = None) -> None:
        self._room = room
        self._share = share
        self._held: dict[Hashable, int] = {}
        self._here: dict[Connection, Hashable | None] = {}
        self._resting: dict[Connection, None] = {}

    def enter(self, connection: Connection, address: str) -> tuple[int, str] | None:
        """Take a connection in, resting; or status and detail of the refusal."""
        holder = _holder(address, self._share) if self._share is not None else None
        if self._share is not None and holder is not None and self._held.get(holder, 0) >= self._share.each:
            return 429, "Too many connections are open from this address."
        if len(self._here) >= self._room and not self._make_room():
            return 503, "Too many connections are open."
        if holder is not None:
            self._held[holder] = self._held.get(holder, 0) + 1
        self._here[connection] = holder
        self._resting[connection] = None
        return None

    def leave(self, connection: Connection) -> None:
        """A connection is gone, or about to go. Telling it again does nothing."""
        self._resting.pop(connection, None)
        holder = self._here.pop(connection, None)
        if holder is None:
            return
        self._held[holder] -= 1
        if not self._held[holder]:
            del self._held[holder]

    def works(self, connection: Connection) -> None:
        """Something is asked on a connection."""
        self._resting.pop(connection, None)

    def rests(self, connection: Connection) -> None:
        """Nothing is asked on a connection any more."""
        if connection in self._here:
            self._resting[connection] = None

    def _make_room(self) -> bool:
        oldest = next(iter(self._resting), None)
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.make_room()
        return True
