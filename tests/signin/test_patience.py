"""Nobody waits for the sum of what a page asks, and what was begun is not left half done."""

from __future__ import annotations

import asyncio

import pytest

from demur.core.model import StoreUnavailable
from demur.signin.patience import Clock, not_counted, still_waited_for


class Watch:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


async def test_what_is_quick_is_passed_on() -> None:
    """What the work gives, or raises."""

    async def gives() -> int:
        return 7

    async def raises() -> None:
        raise ValueError("x")

    clock = Clock(0.5)
    assert await clock.spend(gives()) == 7
    with pytest.raises(ValueError, match="x"):
        await clock.spend(raises())


async def test_what_takes_too_long_is_no_longer_waited_for() -> None:
    """It goes on to its end by itself, and knows that nobody would hear of what it began."""
    go_on, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        with pytest.raises(StoreUnavailable):
            still_waited_for()
        done.set()

    with pytest.raises(StoreUnavailable, match="longer than"):
        await Clock(0.001).spend(work())
    go_on.set()
    async with asyncio.timeout(10):
        await done.wait()


async def test_all_questions_together_count() -> None:
    """What the first has taken, the second has not."""
    watch = Watch()
    clock = Clock(0.8, watch)
    watch.at += 0.5
    assert clock.left == pytest.approx(0.3)
    with clock.stopped():
        watch.at += 60
    assert clock.left == pytest.approx(0.3)


async def test_a_password_may_take_its_time() -> None:
    """Whoever waits for a password to be checked does not wait for a store."""
    watch, checking, go_on = Watch(), asyncio.Event(), asyncio.Event()

    async def work() -> str:
        with not_counted():
            checking.set()
            await go_on.wait()
        return "signed in"

    clock = Clock(0.8, watch)
    waiting = asyncio.create_task(clock.spend(work()))
    await checking.wait()
    watch.at += 60
    go_on.set()
    assert await waiting == "signed in"
    with not_counted():  # nobody is waiting here
        assert clock.left == pytest.approx(0.8)
    still_waited_for()


async def test_who_is_gone_leaves_the_work_whole() -> None:
    """A request that is cancelled does not cancel what its page has begun."""
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go_on.wait()
        done.set()

    waiting = asyncio.create_task(Clock(60).spend(work()))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    async with asyncio.timeout(10):
        await done.wait()
