"""Behind a real PgBouncer, in both modes: what is said is true, and what cannot be heard is not kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests.servers.pgbouncer import Bouncer
from tests.servers.postgres import Server

from demur import accounts, stores
from demur.accounts.people import New
from demur.core.model import Actor, End, Ended, Ending, Live
from demur.guard import Cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.stores.conftest import Make

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def server(postgres_template: Path) -> Iterator[Server]:
    """One of their own, for it is reached by TCP."""
    with Server(template=postgres_template) as made:
        yield made


@pytest.fixture(params=["session", "transaction"])
def mode(request: pytest.FixtureRequest) -> str:
    """Whether a client keeps its connection, or has any one for each transaction."""
    return str(request.param)


@pytest.fixture
def bouncer(server: Server, mode: str) -> Iterator[Bouncer]:
    """It, in that mode, before an empty database."""
    with Bouncer(server, mode) as made:
        yield made
    server.empty("demur")


async def until(what: Callable[[], object]) -> None:
    """Give way until something is so."""
    async with asyncio.timeout(20):
        while not what():
            await asyncio.sleep(0.005)


async def test_sessions(bouncer: Bouncer, mode: str, server: Server, make: Make) -> None:
    """What somebody else ends, through it or past it, is over here at once. What is known is kept only where that is
    heard; and whoever asks at the same time as many others is answered."""
    here, there, past = stores.open(bouncer.url()), stores.open(bouncer.url()), stores.open(server.url())
    cache = Cache(here)
    try:
        for number in range(1, 41):
            await past.issue(make.session(number), make.subject())
        await here.check()
        channel: Any = here._here.here().channel  # type: ignore[attr-defined]
        if mode == "session":
            await until(lambda: channel.heard.listening)
        else:
            await until(lambda: channel._proof >= 2)  # it has listened in vain once
        for number, ending in ((1, there), (2, past)):
            key = make.id(number)

            def gone(key: bytes = key) -> bool:
                return cache.get(key, NOW) is None

            assert isinstance(await cache.load(key, NOW), Live)
            assert (cache.get(key, NOW) is not None) is (mode == "session")
            assert await ending.apply([End(key, Ending.ENDED, Actor.SELF, NOW)]) == [True]
            await until(gone)
            assert isinstance(await cache.load(key, NOW), Ended)
        found = await asyncio.gather(*(here.load([make.id(number)]) for number in range(3, 41) for _ in range(5)))
        assert all(isinstance(evidence, Live) for (evidence,) in found)
    finally:
        for store in (here, there, past):
            await store.aclose()


async def test_people(bouncer: Bouncer) -> None:
    """So many at once that their transactions change connections, and each statement so often that it would have been
    prepared."""
    store = stores.open("memory:")
    people = accounts.open(bouncer.url(), store)
    try:
        made = [await people.add(New(f"person{number}"), by="test") for number in range(4)]
        for _ in range(8):
            found = await asyncio.gather(*(people.get(f"person{number}") for number in range(4)))
            assert [each.subject.id for each in found] == [each.subject.id for each in made]
    finally:
        await people.aclose()
        await store.aclose()
