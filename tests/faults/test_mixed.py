"""Requests that are given up half way leave nothing behind: nobody is ever told what was the answer to somebody else.

(A client that left a connection with an unread answer to the next request has shown people other people's accounts.)
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from typing import TYPE_CHECKING

import pytest
from tests.faults.wire import Wire

from demur import stores
from demur.core.model import Live, Session, StoreUnavailable, Subject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from demur.core.ports import Store

NOW = 1_800_000_000
PEOPLE = 40
ROUNDS = 12

pytestmark = pytest.mark.slow


@pytest.fixture(
    params=[pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("redis", marks=pytest.mark.redis)]
)
async def far(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Wire, Store]]:
    """A store at the end of a long wire, and the wire."""
    kind = request.param
    direct = stores.open(request.getfixturevalue(f"{kind}_url"))
    server = request.getfixturevalue({"postgres": "postgres", "redis": "redis_server"}[kind])
    for number in range(PEOPLE):
        subject = Subject(f"p{number}", f"p{number}")
        await direct.issue(Session(_id(number), subject.id, NOW, NOW, NOW, NOW + 86400, 3600), subject)
    wire = await Wire(("127.0.0.1", server.port)).start()
    store = stores.open(server.tcp(port=wire.port))
    yield wire, store
    await store.aclose()
    await direct.aclose()
    await wire.aclose()


def _id(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


async def _own(store: Store, number: int) -> bool:
    """Ask for somebody; whether there was an answer, which then is about them."""
    try:
        (found,) = await store.load([_id(number)])
    except StoreUnavailable:
        return False
    assert isinstance(found, Live)
    assert (found.session.id, found.subject.id) == (_id(number), f"p{number}")
    return True


@pytest.mark.parametrize("seed", range(3))
async def test_nobody_is_told_somebody_elses_answer(far: tuple[Wire, Store], seed: int) -> None:
    """Many ask at once, over a wire that is slow, and half of them give up at some moment."""
    wire, store = far
    chance = random.Random(seed)
    while not await _own(store, 0):
        pass
    answered = 0
    for _ in range(ROUNDS):
        wire.slow(chance.choice([0.0, 0.01, 0.05]))
        asking = [asyncio.create_task(_own(store, chance.randrange(PEOPLE))) for _ in range(30)]
        for task in chance.sample(asking, 15):
            asyncio.get_running_loop().call_later(chance.uniform(0, 0.06), task.cancel)
        said = await asyncio.gather(*asking, return_exceptions=True)
        assert [each for each in said if isinstance(each, Exception)] == []
        answered += said.count(True)
    await wire.mend()
    assert answered > ROUNDS
    for number in range(PEOPLE):
        while not await _own(store, number):
            pass
