"""A connection on which something arrives that is no answer."""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING

import pytest
from tests.faults.wire import Wire

from demur.stores.postgres.line import Line, Lost, open_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers.postgres import Server

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture
async def wire(postgres: Server) -> AsyncIterator[Wire]:
    """A wire to the server."""
    made = await Wire(("127.0.0.1", postgres.port)).start()
    yield made
    await made.aclose()


async def opened(wire: Wire, postgres: Server) -> Line:
    """A connection by that wire."""
    line = await open_line(postgres.tcp(port=wire.port).encode())
    assert await line.ask("SELECT 1") == [(1,)]
    return line


async def test_noise_ends_it_at_once(wire: Wire, postgres: Server) -> None:
    """libpq closes its socket then, and the next connection of anybody has that number: whoever listens there still
    would make that one fail, or take it from the loop."""
    line = await opened(wire, postgres)
    wire.garble()
    asking = asyncio.create_task(line.ask("SELECT 1"))
    await asyncio.sleep(0)
    loop, number = asyncio.get_running_loop(), line._socket
    assert loop.remove_reader(number)  # from here on by hand
    while not line.ended and line._waiting is not None:
        await asyncio.to_thread(select.select, [number], [], [], 10)
        line._readable()
        if line._pg.status != 0:
            assert line.ended
    with pytest.raises(Lost):
        await asking


async def test_a_connection_that_ended_unheard_of_is_lost(wire: Wire, postgres: Server) -> None:
    """Who asks on it is told so in our own words."""
    line = await opened(wire, postgres)
    line._pg.finish()  # as libpq does when it has had enough
    asyncio.get_running_loop().remove_reader(line._socket)
    with pytest.raises(Lost):
        await line.ask("SELECT 1")
    assert line.ended
