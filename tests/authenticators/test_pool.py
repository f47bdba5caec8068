"""Threads that give way, and that let nobody wait for ever."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest

from demur.authenticators import pool
from demur.authenticators.pool import Pool
from demur.core.model import StoreUnavailable


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has no priority of its own elsewhere")
async def test_it_runs_when_nothing_else_wants_to() -> None:
    """Whoever comes to a machine that has nothing to do is served in idle time, and nobody else is kept from it."""
    threads = Pool(1, 1)
    assert await threads.run(lambda: os.sched_getscheduler(0)) == os.SCHED_IDLE
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    threads.close()


async def test_whoever_waits_gets_a_thread_that_gets_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job in a thread that never comes to its end is done again in another, and so is what waits behind it."""
    monkeypatch.setattr(pool, "PATIENCE", 0.01)
    monkeypatch.setattr(pool, "LIMIT", 60.0)
    threads, stuck, seen = Pool(1, 10), threading.Event(), []

    def starved() -> str:
        seen.append(threading.current_thread().name)
        if len(seen) == 1:
            stuck.wait(30)
        return threading.current_thread().name

    async with asyncio.timeout(20):
        done = await asyncio.gather(threads.run(starved), *(threads.run(starved) for _ in range(3)))
    assert seen[0] not in done
    assert len(set(done)) == 1
    stuck.set()
    threads.close()


@pytest.mark.skipif(sys.platform != "linux", reason="as above")
async def test_in_the_end_it_is_as_important_as_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """First with a little priority, then with that of the process."""
    monkeypatch.setattr(pool, "PATIENCE", 0.01)
    monkeypatch.setattr(pool, "LIMIT", 0.05)
    threads, stuck, seen = Pool(1, 10), threading.Event(), []

    def starved() -> None:
        thread = threading.get_native_id()
        seen.append((os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, thread)))
        if len(seen) < 3:
            stuck.wait(30)

    async with asyncio.timeout(20):
        await asyncio.gather(*(threads.run(starved) for _ in range(3)))
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert seen[:3] == [(os.SCHED_IDLE, usual), (os.SCHED_OTHER, max(10, usual)), (os.SCHED_OTHER, usual)]
    stuck.set()
    threads.close()


async def test_what_goes_wrong_is_told() -> None:
    """To whoever waits, and to nobody else."""
    threads = Pool(1, 1)

    def wrong() -> None:
        raise StoreUnavailable("no memory")

    with pytest.raises(StoreUnavailable):
        await threads.run(wrong)
    assert await threads.run(lambda: 1) == 1
    threads.close()


async def test_closing_gives_up_what_waits() -> None:
    """What is under way comes to its end."""
    threads, begun, go_on = Pool(1, 5), threading.Event(), threading.Event()

    def long() -> int:
        begun.set()
        go_on.wait(30)
        return 1

    first = asyncio.ensure_future(threads.run(long))
    await asyncio.to_thread(begun.wait, 30)
    second = asyncio.ensure_future(threads.run(long))
    await asyncio.sleep(0)
    closing = asyncio.create_task(asyncio.to_thread(threads.close))
    with pytest.raises(asyncio.CancelledError):
        await second
    go_on.set()
    await closing
    assert await first == 1
    assert await threads.run(lambda: 2) == 2
    threads.close()
