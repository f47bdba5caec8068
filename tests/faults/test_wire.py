"""The wire does to connections what it is told, and undoes it: a fault that is none would prove nothing."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from tests.faults.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """A wire to somebody who says everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while said := await reader.read(100):
                writer.write(said)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    made = await Wire(server.sockets[0].getsockname()).start()
    yield made
    await made.aclose()
    server.close()


class Caller:
    """Who is connected."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def of(cls, wire: Wire) -> Caller:
        return cls(*await asyncio.open_connection("127.0.0.1", wire.port))

    async def say(self, what: bytes) -> bytes:
        """Say something, and hear as much."""
        self.writer.write(what)
        async with asyncio.timeout(10):
            return await self.reader.readexactly(len(what))

    def close(self) -> None:
        self.writer.close()


async def test_a_wire_passes_everything_on(wire: Wire) -> None:
    """Both ways, and the end, too."""
    caller = await Caller.of(wire)
    assert await caller.say(b"hello") == b"hello"
    caller.writer.write_eof()
    async with asyncio.timeout(10):
        assert await caller.reader.read() == b""
    caller.close()


async def test_refused(wire: Wire) -> None:
    """Who is connected is reset, and nobody else comes in; afterwards it is the same port."""
    caller = await Caller.of(wire)
    await caller.say(b"x")
    await wire.refuse()
    with pytest.raises(ConnectionResetError):
        await caller.reader.read()
    with pytest.raises(ConnectionRefusedError):
        await Caller.of(wire)
    await wire.mend()
    again = await Caller.of(wire)
    assert await again.say(b"x") == b"x"
    for each in (caller, again):
        each.close()


async def test_swallowed(wire: Wire) -> None:
    """Nothing comes through, also to whoever connects; what was said comes through when it is mended."""
    caller = await Caller.of(wire)
    await caller.say(b"x")
    wire.swallow()
    other = await Caller.of(wire)
    heard = [asyncio.create_task(each.say(b"late")) for each in (caller, other)]
    done, _ = await asyncio.wait(heard, timeout=0.05)
    assert not done
    await wire.mend()
    assert await asyncio.gather(*heard) == [b"late", b"late"]
    for each in (caller, other):
        each.close()


async def test_slow(wire: Wire) -> None:
    """Answers come late, in order, and not one after the other; what was late before the mend is not overtaken."""
    wire.slow(0.05)
    caller = await Caller.of(wire)
    began = asyncio.get_running_loop().time()
    for each in (b"1", b"2", b"3"):
        caller.writer.write(each)
        await asyncio.sleep(0)
    assert await caller.reader.readexactly(1) == b"1"
    assert asyncio.get_running_loop().time() - began >= 0.05
    await wire.mend()
    assert await caller.say(b"45") == b"23"
    assert await caller.reader.readexactly(2) == b"45"
    caller.close()


async def test_reset_in_the_middle(wire: Wire) -> None:
    """So many bytes of the answer, and then a reset."""
    wire.cut(3)
    caller = await Caller.of(wire)
    caller.writer.write(b"hello")
    heard = b""
    with contextlib.suppress(ConnectionResetError):
        while said := await caller.reader.read(100):
            heard += said
    assert heard == b"hel"
    await wire.mend()
    again = await Caller.of(wire)
    assert await again.say(b"hello") == b"hello"
    for each in (caller, again):
        each.close()


async def test_noise(wire: Wire) -> None:
    """As long as the answer, and something else."""
    wire.garble()
    caller = await Caller.of(wire)
    assert await caller.say(b"a long sentence") != b"a long sentence"
    await wire.mend()
    assert await caller.say(b"a long sentence") == b"a long sentence"
    caller.close()
