"""Somebody tries to use the gateway up, and others notice next to nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from benchmarks import exhaustion
from benchmarks.exhaustion import BELOW, CHECKS, MOST_MEMORY, PAGES

if TYPE_CHECKING:
    from tests.exhaustion.conftest import Running

pytestmark = pytest.mark.slow

ROUNDS = 8
"""How many are tried: whatever else the machine does can spoil some of them, and an attack that works spoils all."""


@pytest.mark.parametrize("name", PAGES)
def test_others_go_on(name: str, running: Running) -> None:
    """Everybody else is answered 200, the slowest hundredth of them in less than twice the time; memory is bounded."""
    found = running.do(exhaustion.compare(running.gateway, name, ROUNDS, 1.5, enough=BELOW))
    assert found.others == []
    assert found.memory < MOST_MEMORY
    assert found.ratio < BELOW, f"{found.quiet * 1000:.1f} ms without, {found.loaded * 1000:.1f} ms with"


@pytest.mark.parametrize("name", CHECKS)
def test_other_checks_go_on(name: str, running: Running) -> None:
    """The same on the check listener, for a proxy that asks there."""
    found = running.do(exhaustion.compare(running.gateway, name, ROUNDS, 1.0, enough=BELOW, asks=True))
    assert found.others == []
    assert found.memory < MOST_MEMORY
    assert found.ratio < BELOW, f"{found.quiet * 1000:.1f} ms without, {found.loaded * 1000:.1f} ms with"


def test_an_address_that_has_its_share_gets_no_more(running: Running) -> None:
    """Whoever holds as many connections as one address may is turned away, and others are not."""

    async def fill() -> tuple[int, list[int]]:
        port = running.gateway.port
        async with exhaustion.attacked("idle", port), exhaustion.attacked("drip", port):
            status = await exhaustion.say(port, running.ask("/members/"))
            return status, (await exhaustion.people(running.gateway, 0.5)).others

    status, others = running.do(fill())
    assert status in {429, 0}  # closed at once, so that the answer may be lost
    assert others == []


def test_it_is_over_when_it_is_over(running: Running) -> None:
    """Once the attackers are gone, nothing of them stays: the same address is served again."""

    async def ask() -> int:
        async with asyncio.timeout(20):
            while (status := await exhaustion.say(running.gateway.port, running.ask("/members/"))) in {429, 0}:
                await asyncio.sleep(0)
        return status

    assert running.do(ask()) == 401
