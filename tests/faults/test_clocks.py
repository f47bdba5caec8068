"""Clocks that differ between hosts, go back an hour or forward a day.

Limits come early or late by as much as a clock is wrong, and by no more; nobody is out besides, and nobody whom
somebody or the sweep has put out is in again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.core.support import make_site

from demur import stores
from demur.core.model import Actor, Allow, End, Ending, Refuse, Request, Session, Subject
from demur.core.reasons import Reason
from demur.core.sessions import identify, mint
from demur.guard import Guard
from demur.stores.keys import MemoryKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from demur.core.ports import Store

NOW = 1_800_000_000
MINUTE, HOUR, DAY = 60, 3600, 86400
ABSOLUTE = 40 * DAY
BO = Subject("0192-bo", "bo")


class Host:
    """A gateway on a host whose clock is wrong by so many seconds."""

    def __init__(self, store: Store, keys: MemoryKeys, true: Time, wrong: int = 0) -> None:
        self.store, self.keys, self.true, self.wrong = store, keys, true, wrong
        self.guard = Guard(make_site(), store, keys, clock=lambda: self.now)

    @property
    def now(self) -> int:
        """What its clock says."""
        return self.true.now + self.wrong

    async def sign_in(self, secret: bytes = b"t") -> str:
        """Somebody signs in here."""
        token = mint(secret * 32, self.keys.ring().current)
        session = Session(identify(token), BO.id, self.now, self.now, self.now, self.now + ABSOLUTE, HOUR)
        await self.store.issue(session, BO)
        return token

    async def ask(self, token: str) -> Reason | None:
        """Somebody asks for a page here; why they may not have it, if so. What was seen of them is written at once."""
        cookie = (b"cookie", b"__Host-demur=" + token.encode())
        request = Request("GET", b"/members/", "https", "app.example.com", "192.0.2.7", (cookie,))
        decision = (await self.guard.acheck(request)).decision
        await self.guard.aclose()
        assert isinstance(decision, Allow | Refuse)
        return None if isinstance(decision, Allow) else decision.reason


class Time:
    """The true one."""

    now = NOW


@pytest.fixture
def time() -> Time:
    """A time that is put forward by hand."""
    return Time()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    opened = stores.open({"memory": "memory:", "sqlite": f"sqlite:{tmp_path / 'sessions.db'}"}[request.param])
    yield opened
    await opened.aclose()


@pytest.mark.parametrize(("one", "other"), [(150, -150), (-150, 150), (300, 0), (0, 300)])
async def test_two_hosts_five_minutes_apart(store: Store, time: Time, one: int, other: int) -> None:
    """Whoever is active at either host, or at both in turn, stays in at both, all day long."""
    keys = MemoryKeys()
    hosts = [Host(store, keys, time, one), Host(store, keys, time, other)]
    tokens = [await hosts[0].sign_in(b"a"), await hosts[0].sign_in(b"b"), await hosts[1].sign_in(b"c")]
    for step in range(100):
        time.now += 5 * MINUTE
        assert await hosts[0].ask(tokens[0]) is None
        assert await hosts[1].ask(tokens[1]) is None
        assert await hosts[step % 2].ask(tokens[2]) is None
    assert [await hosts[1].ask(tokens[0]), await hosts[0].ask(tokens[1])] == [None, None]


@pytest.mark.parametrize("wrong", [300, -300])
async def test_a_limit_is_off_by_as_much_as_the_clock(store: Store, time: Time, wrong: int) -> None:
    """Nobody uses the session: at the other host it ends as much early, or late, as that clock is wrong."""
    keys = MemoryKeys()
    here, there = Host(store, keys, time), Host(store, keys, time, wrong)
    token = await here.sign_in()
    time.now = NOW + HOUR - wrong
    assert await there.ask(token) is Reason.SESSION_IDLE
    time.now = NOW + HOUR - max(wrong, 0) - 1
    assert await here.ask(token) is None


async def test_an_hour_back(store: Store, time: Time) -> None:
    """Nobody is signed out by it, what has ended stays ended, and the limit comes an hour later at most."""
    host = Host(store, MemoryKeys(), time)
    alive, ended, idle = [await host.sign_in(secret) for secret in (b"a", b"e", b"i")]
    time.now += HOUR - 1
    assert await host.ask(alive) is None
    await store.apply([End(identify(ended), Ending.ENDED, Actor.SELF, host.now)])
    time.now += 2
    assert await host.ask(idle) is Reason.SESSION_IDLE
    await store.sweep(host.now)
    host.wrong = -HOUR
    for _ in range(24):
        assert await host.ask(alive) is None
        assert await host.ask(ended) is Reason.SESSION_ENDED
        assert await host.ask(idle) is Reason.SESSION_IDLE
        time.now += 5 * MINUTE
    time.now += HOUR + 1
    assert await host.ask(alive) is Reason.SESSION_IDLE


async def test_a_day_forward(store: Store, time: Time) -> None:
    """By that clock everybody was away for a day. With the clock put right whoever was not swept is in again."""
    host = Host(store, MemoryKeys(), time)
    token = await host.sign_in()
    host.wrong = DAY
    assert await host.ask(token) is Reason.SESSION_IDLE
    host.wrong = 0
    assert await host.ask(token) is None
    host.wrong = DAY
    await store.sweep(host.now)
    host.wrong = 0
    assert await host.ask(token) is Reason.SESSION_IDLE, "a tombstone was dug up"


async def test_a_day_forward_on_one_of_two_hosts(store: Store, time: Time) -> None:
    """What that host sees of people does not sign them out at the other, nor keep them in beyond the limits there."""
    keys = MemoryKeys()
    right, ahead = Host(store, keys, time), Host(store, keys, time, DAY)
    token = await right.sign_in()
    assert await ahead.ask(token) is Reason.SESSION_IDLE
    assert await right.ask(token) is None
    begun_ahead = await ahead.sign_in(b"x")
    assert await right.ask(begun_ahead) is None
    time.now += DAY + HOUR + 1
    assert await right.ask(begun_ahead) is Reason.SESSION_IDLE, "later than the clock was wrong"
