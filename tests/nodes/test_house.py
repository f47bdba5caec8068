"""What every node does now and then, done by many at once: nothing is left out, and nothing is done twice."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from demur import accounts, stores
from demur.accounts.people import New
from demur.core.model import Actor, Ended, Ending, Live, Session, Subject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from demur.core.ports import Store

NOW = 1_800_000_000
NODES = 4


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("redis", marks=pytest.mark.redis),
        pytest.param("postgres", marks=pytest.mark.postgres),
    ]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store of each kind."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'sessions.db'}"
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def nodes(url: str) -> AsyncIterator[list[Store]]:
    """That store, as several nodes have it open."""
    made = [stores.open(url) for _ in range(NODES)]
    yield made
    for store in made:
        await store.aclose()


def session(number: int, subject: str = "bo") -> Session:
    return Session(sha256(b"%d" % number).digest(), subject, NOW, NOW, NOW, NOW + 9000, 600)


async def test_all_sweep_at_once(nodes: list[Store]) -> None:
    """Each session that is over becomes one tombstone, by whomever; who is alive stays so."""
    over = [session(number) for number in range(120)]
    for each in over:
        await nodes[0].issue(each, Subject("bo", "bo"))
    alive = Session(b"a" * 32, "bo", NOW, NOW, NOW + 500, NOW + 9000, 600)
    await nodes[0].issue(alive, Subject("bo", "bo"))
    done = await asyncio.gather(*(store.sweep(NOW + 700) for store in nodes))
    assert sum(done) == len(over)
    tombstone = Ended(Ending.IDLE, NOW + 600, Actor.SYSTEM, "bo")
    for store in nodes:
        assert set(await store.load([each.id for each in over])) == {tombstone}
        assert await store.load([alive.id]) == [Live(alive, Subject("bo", "bo"))]


async def test_all_deliver_at_once(nodes: list[Store], tmp_path: Path) -> None:
    """What changed about people is told by all at once: the store ends up with what is so now, and nothing waits."""
    database = f"sqlite:{tmp_path / 'accounts.db'}"
    alone = accounts.open(database)
    names = [f"p{number}" for number in range(12)]
    people = {name: await alone.add(New(name, frozenset()), by="tests") for name in names}
    for number, name in enumerate(names):
        await nodes[0].issue(session(number, people[name].subject.id), people[name].subject)
        for groups in ({"a"}, {"a", "b"}, {"b"}):
            await alone.set_groups(name, only=groups, by="tests")
    assert await alone.pending() > 0
    telling = [accounts.open(database, store) for store in nodes]
    await asyncio.gather(*(each.deliver() for each in telling))
    assert await alone.pending() == 0
    for store in nodes:
        found = await store.load([session(number).id for number in range(len(names))])
        assert [each.subject.groups for each in found if isinstance(each, Live)] == [frozenset({"b"})] * len(names)
    for each in (alone, *telling):
        await each.aclose()
