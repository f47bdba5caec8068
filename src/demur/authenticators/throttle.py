"""The brake on guessing passwords.

Three things are counted, for a day at most: tries of one name from one network, failures of one network, and tries
of one name from everywhere. The first few are free; then one try is let through at a time, and the wait after it
doubles up to a bound. Rules that hold:

- A count belongs to the account, however its name is spelled; for a name that nobody has, to the name. Both behave
  alike, so the brake does not tell which names exist. (Somebody who shares a network with a person can tell: the
  next rule makes that network special.)
- Strangers lock nobody out. A network from which the account has signed in within 30 days is not held up by what
  others do: only by its own tries of this account. "Accepting only authentication requests that come from a
  white list of IP addresses from which the subscriber has been successfully authenticated before" is one of the
  measures that NIST SP 800-63B names (5.2.2, rate limiting).
- "The verifier SHALL limit consecutive failed authentication attempts on a single account to no more than 100"
  (same place): from unfamiliar networks fewer than 100 fit into a day, all together. It is a wait and never a lock.
- Whoever is signed in is not held up by anybody: confirming a password within a session counts for that session
  alone. Its place is `within` the session, in place of a network.

A try is counted when it is admitted and not when it has failed: a hundred sent at once must not all pass before
the first of them has failed. Success forgets: the counters are named after the last success.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from precis_i18n import get_profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.core.ports import Store

UNKNOWN_NETWORK: Final = "unknown"
FAMILIAR_FOR: Final = 30 * 24 * 3600
"""How long a network stays familiar to an account after the last sign-in from there, in seconds."""


@dataclass(frozen=True, slots=True)
class Limit:
    """`free` tries within `window` seconds pass at once; then the wait doubles from 1 second up to `longest`."""

    free: int
    window: int
    longest: int

    def wait(self, count: int) -> int:
        """How many seconds must lie between the try number `count` + 1 and the one after it; 0 for none."""
        beyond = count - self.free
        if beyond < 0:
            return 0
        return min(1 << min(beyond, 30), self.longest)


_HOUR: Final = 3600
PAIR: Final = Limit(free=5, window=24 * _HOUR, longest=_HOUR // 2)
ACCOUNT: Final = Limit(free=40, window=24 * _HOUR, longest=_HOUR)
# Wide, because a school or a mobile network is one address to us, and only failures count.
NETWORK: Final = Limit(free=100, window=_HOUR, longest=60)


def network(address: str) -> str:
    """What of a client's address is counted: an IPv4 address, an IPv6 /64, or "unknown".

    A /64 is what one subscriber gets at least (RFC 6177, 2); counting single addresses of it would count nothing.
    An IPv4 address within IPv6 is that IPv4 address; a zone (`%eth0`) does not matter.
    """
    try:
        found = ipaddress.ip_address(address.strip().strip("[]").partition("%")[0])
    except ValueError:
        return UNKNOWN_NETWORK
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((found, 64), strict=False))
        found = found.ipv4_mapped
    return str(found)


_WITHIN: Final = "session "


def within(session: str) -> str:
    """The place of somebody who is signed in and confirms the password; `session` is the handle of the session."""
    return f"{_WITHIN}{session}"


@dataclass(frozen=True, slots=True)
class _Counter:
    """One of the things that are counted: its limit, the keys of its count and of its one try at a time, and whether
    it counts tries (when they are admitted) or failures."""

    limit: Limit
    count: bytes
    gate: bytes
    tries: bool


class Throttle:
    """Counts in the session store, so that it holds on every node. Everything raises `StoreUnavailable`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def admit(self, account: str | None, name: str, network: str, now: int) -> int | None:
        """Ask before a password is checked. None: go on, it has been counted. Else the seconds to wait.

        `account` is the id, None if nobody has that `name` (as it was typed). `network` is what `network()` or
        `within()` gives, `now` in seconds.
        """
        counters = await self._counters(account, name, network, now)
        # All at once: from a store on the network each answer takes its time.
        asked = [self._store.hits(key, now) for one in counters for key in (one.gate, one.count)]
        found = await asyncio.gather(*asked)
        waits = [gate.until - now for gate in found[::2] if gate.count]
        if waits:
            return max(1, *waits)
        seen = [hits.count for hits in found[1::2]]
        for one, count in zip(counters, seen, strict=True):
            if wait := await self._pass_gate(one, count, now):
                return wait
        for one, count in zip(counters, seen, strict=True):
            if not one.tries:
                continue
            before = (await self._store.hit(one.count, one.limit.window, now)).count - 1
            # Others were counted since we looked, and the gate that we found open is no longer.
            if count < one.limit.free <= before and (wait := await self._pass_gate(one, before, now)):
                return wait
        return None

    async def failed(self, account: str | None, name: str, network: str, now: int) -> None:
        """Tell that an admitted try was wrong."""
        del account, name  # counted when they were admitted
        if network.startswith(_WITHIN):
            return
        await self._store.hit(_network(network).count, NETWORK.window, now)

    async def succeeded(self, account: str, name: str, network: str, now: int) -> None:
        """Tell that an admitted try was right: the account's counts start anew, and the network is familiar."""
        del name
        who = _account(account)
        mark = secrets.token_bytes(8)  # and not the time, which two of them may share
        kept = [
            self._store.put(_key("since", *parts), mark, now + limit.window)
            for parts, limit in (((who, network), PAIR), ((who,), ACCOUNT))
        ]
        if network != UNKNOWN_NETWORK and not network.startswith(_WITHIN):
            kept.append(self._store.put(_key("familiar", who, network), b"1", now + FAMILIAR_FOR))
        await asyncio.gather(*kept)

    async def _counters(self, account: str | None, name: str, network: str, now: int) -> Sequence[_Counter]:
        """What may hold this try up."""
        who = _account(account) if account is not None else _nobody(name)
        if network.startswith(_WITHIN):
            return (await self._since(PAIR, now, who, network),)
        pair, familiar, everywhere = await asyncio.gather(
            self._since(PAIR, now, who, network),
            self._store.peek(_key("familiar", who, network), now),
            self._since(ACCOUNT, now, who),
        )
        return (pair,) if familiar else (pair, everywhere, _network(network))

    async def _since(self, limit: Limit, now: int, *parts: str) -> _Counter:
        """The counter of an account since its last success."""
        mark = (await self._store.peek(_key("since", *parts), now) or b"").hex()
        return _Counter(limit, _key("count", mark, *parts), _key("gate", mark, *parts), tries=True)

    async def _pass_gate(self, one: _Counter, count: int, now: int) -> int | None:
        """Go through, and close the gate behind: of any number at once one passes. The seconds to wait if not."""
        wait = one.limit.wait(count)
        if not wait:
            return None
        gate = await self._store.hit(one.gate, wait, now)
        return None if gate.count == 1 else max(1, gate.until - now)


def _network(network: str) -> _Counter:
    return _Counter(NETWORK, _key("network", network), _key("network gate", network), tries=False)


def _key(*parts: str) -> bytes:
    """A key that tells neither names nor addresses to whoever reads the store. No two lists of parts share one."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return b"throttle:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _account(account: str) -> str:
    return f"id {account}"


_NAMES = get_profile("UsernameCaseMapped")
_LONGEST_NAME: Final = 256


def _nobody(name: str) -> str:
    """All spellings that would be one account are one name here, as accounts reads them (RFC 8265, 3.3). What is too
    long to be anybody's is taken as it was typed: to put the marks of a long text in order takes seconds."""
    text = name.strip()
    if len(text) > _LONGEST_NAME:
        return f"text {text}"
    try:
        return f"name {_NAMES.enforce(text)}"
    except UnicodeError:
        return f"text {text}"
