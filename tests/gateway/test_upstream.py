"""How long a site may take to begin its answer, exchange after exchange on one connection."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from demur.core.model import UpstreamFailure
from demur.core.reasons import Reason
from demur.gateway.proxy.upstream import Connection, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(eq=False)
class Timer:
    """What is to be called, and when."""

    at: float
    call: Callable[[], None]
    loop: Loop

    def when(self) -> float:
        return self.at

    def cancel(self) -> None:
        self.loop.timers.remove(self)


@dataclass
class Loop:
    """As much of a loop as a connection asks for, at a time that a test sets."""

    now: float = 0.0
    timers: list[Timer] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def create_future(self) -> Any:
        return asyncio.get_running_loop().create_future()

    def call_at(self, at: float, call: Callable[[], None]) -> Timer:
        self.timers.append(made := Timer(at, call, self))
        return made

    def until(self, now: float) -> None:
        """Let time pass."""
        while due := [timer for timer in self.timers if timer.at <= now]:
            first = min(due, key=Timer.when)
            self.now = first.at
            self.timers.remove(first)
            first.call()
        self.now = now


@pytest.fixture
async def loop() -> Loop:
    return Loop()


@pytest.fixture
async def connection(loop: Any) -> Connection:
    return Connection(loop, Upstream("http://127.0.0.1:1"))


def failed(connection: Connection) -> bool:
    failure = connection.failure
    assert failure is None or (isinstance(failure, UpstreamFailure) and failure.reason is Reason.UPSTREAM_TIMEOUT)
    return failure is not None


async def test_each_exchange_has_its_time(loop: Loop, connection: Connection) -> None:
    """However late it began; and one timer is enough for all of them."""
    for number in range(20):
        loop.until(3.0 * number)
        connection.allow(10)
        assert len(loop.timers) == 1
        loop.until(3.0 * number + 1)
        connection.allow(None)
    connection.allow(10)
    loop.until(67.9)
    assert not failed(connection)
    loop.until(68)
    assert failed(connection)
    assert loop.timers == []


async def test_less_time_than_before(loop: Loop, connection: Connection) -> None:
    """It ends when the last word says, and not when an earlier one did."""
    connection.allow(60)
    loop.until(1)
    connection.allow(5)
    loop.until(5.9)
    assert not failed(connection)
    loop.until(6)
    assert failed(connection)


async def test_nobody_waits(loop: Loop, connection: Connection) -> None:
    """While it is the client's turn, or nothing is asked, no time is over; and no timer stays behind."""
    connection.allow(10)
    connection.allow(None)
    loop.until(1000)
    assert not failed(connection)
    assert loop.timers == []
    connection.allow(10)
    connection.connection_lost(None)
    assert loop.timers == []
