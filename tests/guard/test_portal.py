"""The thread in which a surface without an event loop has things awaited."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from demur.guard.portal import Portal

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


async def where() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


async def fail() -> None:
    raise ZeroDivisionError


def in_threads(count: int, work: object) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_it_starts_when_it_is_needed() -> None:
    """And once, whoever needs it first."""
    before = threading.active_count()
    portal = Portal()
    assert threading.active_count() == before
    said: list[str] = []
    in_threads(8, lambda: said.append(portal.run(where())))
    assert said == ["demur-portal"] * 8
    assert threading.active_count() == before + 1


def test_what_is_raised_there_is_raised_here() -> None:
    """And the portal goes on."""
    portal = Portal()
    with pytest.raises(ZeroDivisionError):
        portal.run(fail())
    assert portal.run(where()) == "demur-portal"


def test_it_is_called_without_waiting() -> None:
    """What is to be done there is done some time."""
    portal, done = Portal(), threading.Event()
    portal.call(done.set)
    assert done.wait(10)


def test_it_does_not_wait_for_itself() -> None:
    """Who is there already is told so, and nothing stands still."""
    portal = Portal()

    async def again() -> str:
        return portal.run(where())

    with pytest.raises(RuntimeError, match="would be waited for"):
        portal.run(again())
    assert portal.run(where()) == "demur-portal"


def test_both_sides_of_a_fork_have_their_own() -> None:
    """The child starts one, and the parent's goes on after the child has ended, and what it left was collected."""
    portal = Portal()
    portal.run(where())
    for _ in range(3):
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            try:
                said = portal.run(where())
            finally:
                os._exit(0 if said == "demur-portal" else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert portal.run(where()) == "demur-portal"


def test_a_loop_that_was_stopped_is_replaced() -> None:
    """Whoever stopped it, nobody waits for ever."""
    portal = Portal()

    async def stop() -> None:
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().stop)

    portal.run(stop())
    thread = portal._thread
    assert thread is not None
    loop = portal._loop
    thread.join(10)
    assert portal.run(where()) == "demur-portal"
    assert loop is not None
    loop.close()
