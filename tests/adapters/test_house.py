"""Where no gateway keeps house, an app does, off the path of its requests."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from demur.adapters.house import ROUND, House
from demur.adapters.options import assemble
from demur.core.model import Ended, Ending, Request, Session, StoreUnavailable, Subject
from demur.core.sessions import identify, mint
from demur.stores import open as open_store
from demur.stores.keys import MemoryKeys

NOW = 1_795_000_000
BO = Subject("0192f0c4-0000-7000-8000-000000000001", "bo")


def session(name: bytes, at: int, idle: int = 3600) -> Session:
    return Session(name, BO.id, at, at, at, at + 86400, idle)


class People:
    """Demur's own accounts, as far as the house goes: something is still to be told to the store."""

    def __init__(self) -> None:
        self.told = 0

    async def deliver(self) -> None:
        self.told += 1
        raise StoreUnavailable("away")


async def test_a_round():
    """What is past its limits becomes a tombstone, and what could not be told is told, once a minute."""
    now, store, people = [float(NOW)], open_store("memory:"), People()
    await store.issue(session(b"old", NOW - 7200), BO)
    house = House(store, cast("Any", people), lambda: now[0], MemoryKeys())
    await house.keep()
    assert await store.load([b"old"]) == [Ended(Ending.IDLE, NOW - 3600, subject=BO.id)]
    await house.keep()
    assert people.told == 1
    now[0] += ROUND
    await house.keep()
    assert people.told == 2


async def test_it_is_kept_while_people_are_about():
    """A person who is seen is reason enough, and nobody waits for it."""
    keys, store = MemoryKeys(), open_store("memory:")
    site = assemble(
        origin="http://localhost",
        store=store,
        keys=keys,
        clock=lambda: NOW,
        rules=[{"path": "/**", "allow": "signed-in"}],
    )
    token = mint(b"r" * 32, keys.ring().current)
    await store.issue(session(identify(token), NOW - 1800), BO)
    await store.issue(session(b"old", NOW - 7200), BO)
    fields = ((b"cookie", f"demur-dev={token}".encode()),)
    await site.guard.acheck(Request("GET", b"/x", "http", "localhost", "192.0.2.7", fields))
    while not isinstance((await store.load([b"old"]))[0], Ended):
        await asyncio.sleep(0.01)
    await site.aclose()
