"""The check listener on the wire: whatever is sent, whenever, one answer for each request, in order, or none."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import time
from typing import TYPE_CHECKING, Any, cast

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.gateway.checking import bare, connected, read, shared, written
from tests.gateway.test_check import World, about

from demur.adapters.asgi.wire import LONGEST_DROP
from demur.gateway.check import protocol
from demur.gateway.check.listening import Listening, may_ask
from demur.gateway.check.protocol import IDLE_SECONDS
from demur.gateway.server.answers import READ_SECONDS
from demur.gateway.server.wire import HEAD_LIMIT, HEAD_SECONDS
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
NOBODY = [("Host", "check"), *about("/members/x"), ("Accept", "application/json")]


class Slow(MemoryStore):
    """A store that says nothing until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()
        self.asked = 0

    async def load(self, ids: Any) -> Any:
        """Wait, and load."""
        self.asked += 1
        await self.may.wait()
        return await super().load(ids)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that still comes."""
    async with asyncio.timeout(10):
        return await reader.read()


# --- what is no request ------------------------------------------------------------------------------

LINES = b"Host: a\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400),
        (b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400),
        (b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", 400),
        (b"POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\nHost: a\n\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nX\x00: ab\r\n\r\n", 400),
        (b"GET /hea\x00lth HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /health\rX HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n: a\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nX: a\rb\r\n\r\n", 400),
        (b"GET /health HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET /health\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 257 + b"\r\n", 431),
        (b"GET /health HTTP/1.1\r\nX: " + b"a" * HEAD_LIMIT + b"\r\n\r\n", 431),
        (b"GET /health HTTP/1.1\r\nX: " + b"a" * 3 * HEAD_LIMIT, 431),
    ],
)
@pytest.mark.parametrize("known", [False, True])
async def test_what_is_refused(sent: bytes, status: int, known: bool) -> None:
    """It is answered once, after what came before it, and nothing behind it is heard."""
    world = World()
    async with connected(world.check) as (reader, writer, _):
        if known:
            for _ in range(3):
                writer.write(written("/check?answer=fields", NOBODY))
                assert (await read(reader)).status == 401
        writer.write(HEALTH + sent + HEALTH * 3)
        assert (await read(reader)).status == 200
        answer = await rest(reader)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer


async def test_a_known_request_with_another_framing_is_not_known() -> None:
    """One more field, and the request is read like any other: its content is no second request."""
    world = World()
    async with connected(world.check) as (reader, writer, _):
        for _ in range(3):
            writer.write(written("/check?answer=fields", NOBODY))
            await read(reader)
        inside = written("/check?answer=fields", NOBODY)
        writer.write(written("/check?answer=fields", [*NOBODY, ("Content-Length", str(len(inside)))]) + inside + HEALTH)
        assert [(await read(reader)).status, (await read(reader)).status] == [401, 200]


@pytest.mark.parametrize(
    "uri",
    [b"/x y", b"/x\x00", b"/x\ny", b"/x\ry", b"/x\ty", b"", b" /x", b"/\xff", b"/x\r\nX-Forwarded-Uri: /public/x"],
)
async def test_an_address_that_is_none(uri: bytes) -> None:
    """Also where all the rest is known: it is a no, as it is where nothing is known."""
    asked = (
        b"GET /check HTTP/1.1\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\n"
        b"X-Forwarded-Host: app.example.com\r\nX-Forwarded-Uri: %b\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"
    )
    world, seen = World(), []
    for known in (False, True):
        async with connected(world.check) as (reader, writer, _):
            if known:
                for _ in range(3):
                    writer.write(asked % b"/public/x")
                    assert (await read(reader)).status == 200
            writer.write(asked % uri)
            answer = await read(reader)
            assert answer.status >= 400
            seen.append(bare(answer)[0])
    assert seen[0] == seen[1]


# --- pieces -------------------------------------------------------------------------------------------

REQUESTS = [
    written("/check?answer=fields", NOBODY),
    written("/check", NOBODY),
    written("/check?for=envoy", [("Host", "a"), *about("/public/a?b=c")]),
    written("/check?answer=fields", [("Host", "a"), *about("/hello")]),
    written("/refusal", [*NOBODY, ("Content-Length", "12")], "POST", b"hello\r\n\r\nGET"),
    written("/check", [*NOBODY, ("Transfer-Encoding", "chunked")], "POST", b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"),
    written("/nowhere", [("Host", "a")]),
    HEALTH,
]


async def _answers(world: World, pieces: list[bytes], count: int) -> list[Any]:
    async with connected(world.check) as (reader, writer, _):
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        return [bare(await read(reader)) for _ in range(count)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    which=st.lists(st.sampled_from(range(len(REQUESTS))), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 3000), max_size=8),
    slice_=st.sampled_from([7, 300, 8192]),
)
def test_however_it_is_cut(which: list[int], cuts: list[int], slice_: int) -> None:
    """Bytes are cut anywhere, by the network and by ourselves: the answers are those to each request alone."""
    data = b"".join(REQUESTS[index] for index in which)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    world, before = World(), protocol.SLICE
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        alone = [runner.run(_answers(world, [REQUESTS[index]], 1))[0] for index in which]
        try:
            protocol.SLICE = slice_  # type: ignore[misc]
            assert runner.run(_answers(world, pieces, len(which))) == alone
        finally:
            protocol.SLICE = before  # type: ignore[misc]


# --- order --------------------------------------------------------------------------------------------


async def test_answers_come_in_order() -> None:
    """What is known at once waits for what has to be asked for before it."""
    store = Slow()
    world = World(store=store)
    cookie = ("Cookie", world.cookie_of(await world.sign_in()))
    async with connected(world.check) as (reader, writer, connection):
        writer.write(written("/check", [("Host", "a"), *about(), cookie]) + HEALTH + written("/check", NOBODY))
        writer.write(HEALTH)
        while not store.asked:
            await asyncio.sleep(0)
        assert connection.transport.get_write_buffer_size() == 0
        store.may.set()
        assert [(await read(reader)).status for _ in range(4)] == [200, 200, 401, 200]


async def test_many_at_once() -> None:
    """Thousands of requests in one piece are answered, and others are answered meanwhile."""
    world = World()
    both = shared(world.check)
    async with connected(world.check, with_=both) as (reader, writer, _), connected(world.check, with_=both) as other:
        writer.write(HEALTH * 5000)
        other[1].write(HEALTH)
        assert (await read(other[0])).status == 200
        for _ in range(5000):
            assert (await read(reader)).status == 200


async def test_whoever_reads_nothing_is_asked_for_no_more() -> None:
    """What waits for a client is bounded, whatever it sends; in the end it is left."""
    world = World()
    both = shared(world.check)
    async with connected(world.check, with_=both) as (_, writer, connection):
        cast("asyncio.Transport", writer.transport).pause_reading()
        sent = 0
        # Nothing on the wire tells whether it still reads, or how far it has read.
        while not connection._paused or sent < 64:
            writer.write(HEALTH * 1000)
            sent += 1
            await asyncio.sleep(0)
            assert sent < 5000
        assert connection.transport.get_write_buffer_size() < 1_000_000
        connection.look(both.now + READ_SECONDS - 1)
        assert not connection.transport.is_closing()
        connection.look(both.now + READ_SECONDS + 1)
        assert connection.transport.is_closing()


# --- content ------------------------------------------------------------------------------------------


async def test_content_is_taken_in_before_the_answer() -> None:
    """Caddy stops reading when it has an answer, and whoever is still sending would not read it."""
    async with connected(World().check) as (reader, writer, connection):
        writer.write(written("/refusal", [*NOBODY, ("Content-Length", "3")], "POST", b"xy"))
        while connection._question is None:
            await asyncio.sleep(0)
        assert not reader._buffer  # type: ignore[attr-defined]
        writer.write(b"z" + HEALTH)
        assert [(await read(reader)).status for _ in range(2)] == [503, 200]


@pytest.mark.parametrize(
    "more",
    [
        [("Content-Length", "3"), ("Expect", "100-continue")],
        [("Content-Length", str(10**12))],
        [("Connection", "Upgrade"), ("Upgrade", "websocket")],
        [("Connection", "close")],
    ],
)
async def test_the_last_answer(more: list[tuple[str, str]]) -> None:
    """Nothing is taken from a client that waits to be asked, nor more than there is room for; then it is over."""
    async with connected(World().check) as (reader, writer, _):
        writer.write(written("/check", [*NOBODY, *more]) + HEALTH)
        answer = await read(reader)
        assert (answer.status, dict(answer.fields)["connection"]) == (401, "close")
        assert await rest(reader) == b""


async def test_http_1_0() -> None:
    """It is answered, and that was it."""
    async with connected(World().check) as (reader, writer, _):
        writer.write(HEALTH.replace(b"1.1", b"1.0"))
        assert (await read(reader)).status == 200
        assert await rest(reader) == b""


async def test_endless_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """Content is dropped up to a bound; whoever sends more is answered all the same, once."""
    monkeypatch.setattr(protocol, "MOST_DROPPED", 100_000)
    async with connected(World().check) as (reader, writer, _):
        writer.write(
            b"POST /refusal HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n%b\r\n" % bytes(4096) * 50
        )
        assert (await read(reader)).status == 400
        assert await rest(reader) == b""


# --- time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "seconds", "status"),
    [
        (b"", IDLE_SECONDS, 0),
        (HEALTH, IDLE_SECONDS, 0),
        (b"GET /hea", HEAD_SECONDS, 408),
        (b"\r\n", HEAD_SECONDS, 408),
        (b"POST /refusal HTTP/1.1\r\nContent-Length: 9\r\n\r\nx", LONGEST_DROP, 400),
    ],
)
async def test_how_long_it_may_take(sent: bytes, seconds: float, status: int) -> None:
    """To say nothing, to send a head, and to send what nobody wants: then it is over."""
    world = World()
    both = shared(world.check)
    async with connected(world.check, with_=both) as (reader, writer, connection):
        writer.write(sent)
        if sent.startswith(HEALTH):
            await read(reader)
        async with asyncio.timeout(10):
            while sent.removeprefix(HEALTH) and not (connection._size or connection._question):
                await asyncio.sleep(0)
        connection.look(both.now + seconds - 1)
        assert not connection.transport.is_closing()
        assert connection._closing == 0
        connection.look(both.now + seconds + 1)
        answer = await rest(reader)
        assert int(answer.split()[1] if answer else 0) == status


async def test_a_head_that_drips_is_not_given_more_time() -> None:
    """It is counted from its first byte."""
    world = World()
    both = shared(world.check)
    async with connected(world.check, with_=both) as (reader, writer, connection):
        for piece in (b"G", b"E", b"T"):
            writer.write(piece)
            await asyncio.sleep(0)
            while not connection._size:
                await asyncio.sleep(0)
            both.now += HEAD_SECONDS / 2.5
            connection.look(both.now)
        assert (await rest(reader)).startswith(b"HTTP/1.1 408 ")


# --- who, and how many --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "here", "may"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.3.2.1", "127.0.0.1", True),
        ("::1", "::1", True),
        ("::ffff:127.0.0.1", "::", True),
        ("192.0.2.5", "192.0.2.5", True),
        ("192.0.2.9", "192.0.2.5", True),
        ("::ffff:192.0.2.9", "::", True),
        ("192.0.3.9", "192.0.2.5", False),
        ("::ffff:192.0.3.9", "::", False),
        ("fe80::1%eth0", "fe80::2", False),
        ("2001:db8::1", "::", False),
        ("nonsense", "192.0.2.5", False),
        ("", "192.0.2.5", False),
    ],
)
def test_who_may_ask(peer: str, here: str, may: bool) -> None:
    """This machine, and the networks of `trusted_proxies`."""
    from ipaddress import ip_network  # noqa: PLC0415 - for this one only

    assert may_ask(peer, here, (ip_network("192.0.2.8/29"),)) is may


async def test_others_are_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    """Without a word to them; the operator is told, once in a minute."""
    world = World()
    both = shared(world.check)
    both.local = False
    for _ in range(2):
        async with connected(world.check, with_=both) as (reader, writer, _):
            writer.write(HEALTH)
            with contextlib.suppress(ConnectionError):
                assert await rest(reader) == b""
    assert caplog.text.count("trusted_proxies") == 1
    assert not both.connections


async def test_whoever_rests_makes_room() -> None:
    """A full listener lets go of who has rested longest, and of nobody who asks."""
    store = Slow()
    world = World(store=store)
    cookie = ("Cookie", world.cookie_of(await world.sign_in()))
    both = shared(world.check)
    both.room = 2
    async with connected(world.check, with_=both) as busy, connected(world.check, with_=both) as idle:
        busy[1].write(written("/check", [("Host", "a"), *about(), cookie]))
        while not store.asked:
            await asyncio.sleep(0)
        async with connected(world.check, with_=both) as new:
            new[1].write(HEALTH)
            assert (await read(new[0])).status == 200
            assert await rest(idle[0]) == b""
            store.may.set()
            assert (await read(busy[0])).status == 200


# --- the end ------------------------------------------------------------------------------------------


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: Any) -> Any:
    """Both loops: the gateway's, and Python's own."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


def test_the_end_loses_no_request(run: Callable[[Any], Any]) -> None:
    """What was asked is answered, the last answer says so, and who is let in late is answered, too."""

    async def end() -> None:
        store = Slow()
        world = World(store=store)
        cookie = ("Cookie", world.cookie_of(await world.sign_in()))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            address = listening.getsockname()
            serving = Listening(listening, world.check).serving()
            await serving.start()
            waits, first = await asyncio.open_connection(*address)
            rests, second = await asyncio.open_connection(*address)
            second.write(HEALTH)
            await read(rests)
            first.write(written("/check", [("Host", "a"), *about(), cookie]))
            while not store.asked:
                await asyncio.sleep(0)
            began = time.monotonic()
            ending = asyncio.create_task(serving.end(60))
            while not serving.shared.draining:
                await asyncio.sleep(0)
            second.write(HEALTH)
            assert dict((await read(rests)).fields)["connection"] == "close"
            store.may.set()
            answer = await read(waits)
            assert (answer.status, dict(answer.fields)["connection"]) == (200, "close")
            assert await ending
            assert time.monotonic() - began < 30
            for writer in (first, second):
                writer.close()

    run(end())


def test_what_takes_too_long_is_broken_off(run: Callable[[Any], Any]) -> None:
    """And it is said that something was."""

    async def end() -> None:
        store = Slow()
        world = World(store=store)
        cookie = ("Cookie", world.cookie_of(await world.sign_in()))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            serving = Listening(listening, world.check).serving()
            await serving.start()
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(written("/check", [("Host", "a"), *about(), cookie]))
            while not store.asked:
                await asyncio.sleep(0)
            assert not await serving.end(0.05)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await read(reader)
            writer.close()

    run(end())


async def test_a_client_that_leaves_is_forgotten() -> None:
    """In the middle of a head, and while it waits."""
    store = Slow()
    world = World(store=store)
    cookie = ("Cookie", world.cookie_of(await world.sign_in()))
    both = shared(world.check)
    for sent in (b"GET /he", written("/check", [("Host", "a"), *about(), cookie])):
        async with connected(world.check, with_=both) as (_, writer, _connection):
            writer.write(sent)
            await asyncio.sleep(0.01)
        assert not both.connections
