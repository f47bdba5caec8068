"""Every store under uvloop, which is what a gateway runs on: its transports are not asyncio's by inheritance."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from demur import stores
from demur.core.model import Actor, End, Ended, Ending, Live

if TYPE_CHECKING:
    from tests.stores.conftest import Make

uvloop = pytest.importorskip("uvloop")


async def _use(url: str, make: Make) -> None:
    store = stores.open(url)
    session = make.session()
    await store.issue(session, make.subject())
    (live,) = await store.load([session.id])
    moment = store.moment()
    while moment is None:
        await asyncio.sleep(0.01)
        moment = store.moment()
    assert isinstance(live, Live)
    stamp = moment.stamp(live)
    assert store.holds(stamp)
    assert await store.apply([End(session.id, Ending.ENDED, Actor.SELF, make.now)]) == [True]
    assert not store.holds(stamp)
    assert isinstance((await store.load([session.id]))[0], Ended)
    await store.check()
    await store.aclose()


def test_a_session_lives_and_ends(url: str, make: Make) -> None:
    """From being issued to being ended, with what holds in between."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(_use(url, make), 20))
