"""Threads that give way, and that let nobody wait for ever."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest

from demur.authenticators import pool
from demur.authenticators.pool import Job, Line, Pool
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
    monkeypatch.setattr(pool, "WINDOW", 0.01)
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


async def test_who_comes_while_all_are_helped_is_helped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who help sleep while there is nobody to help; whoever comes wakes them."""
    monkeypatch.setattr(pool, "WINDOW", 0.01)
    threads, stuck, begun = Pool(1, 10), threading.Event(), list[int]()

    def starved() -> None:
        begun.append(1)
        if len(begun) == 1:
            stuck.wait(30)

    async with asyncio.timeout(20):
        for _ in range(3):
            await threads.run(starved)
    stuck.set()
    threads.close()


@pytest.mark.skipif(sys.platform != "linux", reason="as above")
@pytest.mark.parametrize(("due", "least"), [("WINDOW", 10), ("TOO_LONG", -20)])
async def test_who_helps_has_priority(monkeypatch: pytest.MonkeyPatch, due: str, least: int) -> None:
    """At first a little: less than checks have, and more than idle time. In the end as much as everything else."""
    monkeypatch.setattr(pool, due, 0.01)
    threads, stuck, seen = Pool(1, 10), threading.Event(), []

    def starved() -> None:
        seen.append((os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
        if len(seen) < 2:
            stuck.wait(30)

    async with asyncio.timeout(20):
        await threads.run(starved)
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert seen[:2] == [(os.SCHED_IDLE, usual), (os.SCHED_OTHER, max(least, usual))]
    stuck.set()
    threads.close()


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (8, 3)])
async def test_no_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch, cores: int, threads: int) -> None:
    """Of two that share a core, one could hold the interpreter's lock while it is the other's turn."""
    monkeypatch.setattr(pool, "_cores", lambda: cores)
    before = set(threading.enumerate())
    many = Pool(3, 1)
    await many.run(lambda: None)
    assert len(set(threading.enumerate()) - before) == threads + 2  # those who help
    many.close()


async def test_a_thread_that_rests_says_so() -> None:
    """Once there is nothing more to do, and in that very thread."""
    rested, worked = list[str](), threading.Event()

    def rest() -> None:
        rested.append(threading.current_thread().name)
        worked.set()

    threads = Pool(1, 10, rest)
    name = await threads.run(lambda: threading.current_thread().name)
    await asyncio.to_thread(worked.wait, 30)
    threads.close()
    assert name in rested


# --- whose turn it is: all times are given ------------------------------------------------------------


def line(*since: float) -> tuple[Line, list[Job]]:
    """People who came at these times, in seconds."""
    made, jobs = Line(), [Job(lambda: None, at) for at in since]
    for job in jobs:
        made.add(job)
    return made, jobs


def test_nobody_helps_while_there_is_headway() -> None:
    """A job that takes long in idle time is left to it, as long as it gets its tenth of a core."""
    made, (first, second) = line(0.0, 0.0)
    assert made.next(0.0, 7.0) is first
    assert made.until_overdue(0.0) == 1.0
    for second_passed in (1.0, 2.0, 3.0, 4.0):
        assert made.overdue(second_passed, 7.0 + second_passed * 0.125) is None
        assert made.until_overdue(second_passed) == 1.0
    assert second in made.waiting()


def test_without_headway_the_oldest_is_helped_first() -> None:
    """Also if it is under way: nobody knows when it would end. Each is helped once."""
    made, jobs = line(0.0, 0.1, 0.2)
    assert made.next(0.0, 7.0) is jobs[0]
    assert made.overdue(0.999, 7.0) is None
    assert made.overdue(1.0, 7.099) is jobs[0]
    assert [made.overdue(1.0, 7.1) for _ in range(3)] == [jobs[1], jobs[2], None]


def test_headway_is_counted_anew_with_each_job_that_is_begun() -> None:
    """Whoever comes to a new job has got somewhere."""
    made, jobs = line(0.0, 0.0, 0.0)
    made.next(0.0, 7.0)
    assert made.overdue(1.0, 7.0) is jobs[0]
    made.forget(jobs[0])
    assert made.next(1.5, 7.05) is jobs[1]
    assert made.overdue(2.4, 7.05) is None
    assert made.overdue(2.5, 7.16) is None
    assert made.overdue(3.5, 7.17) is jobs[1]


def test_who_has_waited_long_is_helped_however_it_goes() -> None:
    """The oldest that waits: what is under way makes headway, and is not done twice."""
    made, jobs = line(0.0, 0.5, 1.0)
    assert made.next(0.0, 0.0) is jobs[0]
    assert made.overdue(4.9, 4.0) is None
    assert made.until_overdue(5.4) == pytest.approx(0.1)
    assert made.overdue(5.499, 4.4) is None
    assert made.overdue(5.5, 4.5) is jobs[1]
    assert made.overdue(5.5, 4.5) is None
    assert made.until_overdue(5.5) == pytest.approx(0.4)  # the next look at how it goes
    assert made.overdue(6.0, 5.0) is jobs[2]


def test_who_has_waited_too_long_is_pressing() -> None:
    """Whatever is done for them already: a little priority is next to none beside many who are busy."""
    made, jobs = line(0.0, 2.0, 4.0)
    assert made.until_pressing(0.0) == 10.0
    made.next(0.0, 0.0)
    assert made.overdue(6.0, 0.0) is jobs[0]
    assert made.pressing(9.9, 0.0) is None
    assert made.pressing(10.0, 0.0) is jobs[0]
    assert made.pressing(10.0, 0.0) is None
    assert made.until_pressing(10.0) == 2.0
    jobs[1].future.cancel()
    assert made.pressing(14.0, 0.0) is jobs[2]  # nobody has begun it
    assert made.next(14.0, 0.0) is None


def test_who_left_is_not_helped() -> None:
    """Neither while they are being taken out nor afterwards."""
    made, jobs = line(0.0, 0.0, 0.0)
    jobs[0].future.cancel()
    jobs[1].future.cancel()
    made.forget(jobs[1])
    assert made.overdue(9.0, 0.0) is jobs[2]
    assert made.next(9.0, 0.0) is None


def test_where_nobody_waits_there_is_nothing_to_look_at() -> None:
    """So the thread sleeps until somebody comes."""
    made, (only,) = line(0.0)
    assert made.until_overdue(0.0) == 1.0
    assert made.until_overdue(4.5) == 0.5
    made.next(0.0, 0.0)
    assert made.until_overdue(0.5) == 0.5
    made.forget(only)
    assert made.until_overdue(0.5) is None
    assert made.overdue(99.0, 0.0) is None


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
