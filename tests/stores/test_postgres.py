"""What is PostgreSQL's own: what is heard and when, and all ways in which it may be away."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from tests.noise import NOISE
from tests.servers.postgres import Server

from demur import stores
from demur.core.model import Actor, End, Ended, Ending, Live, Rotate, StoreUnavailable, Touch
from demur.core.ports import Changed
from demur.stores.postgres import rows
from demur.stores.postgres.line import open_line
from demur.stores.postgres.pool import MOST
from demur.stores.postgres.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tests.stores.conftest import Make

    from demur.core.model import Change
    from demur.core.ports import Store

pytestmark = pytest.mark.postgres

NOW = 1_800_000_000
DAY = 86400


@pytest.fixture(scope="module")
def server(postgres_template: Path) -> Iterator[Server]:
    """One that may be stopped and paused."""
    with Server(template=postgres_template) as made:
        yield made


@pytest.fixture
async def own(server: Server) -> AsyncIterator[Store]:
    """An empty store on it."""
    opened = stores.open(server.url())
    yield opened
    await opened.aclose()
    server.empty("demur")


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[Store]:
    """An empty store on the server of all tests."""
    opened = stores.open(postgres_url)
    yield opened
    await opened.aclose()


async def one(store: Store, key: bytes) -> object:
    return (await store.load([key]))[0]


async def until(what: Callable[[], object], within: float = 20.0) -> None:
    """Give way until something is so."""
    async with asyncio.timeout(within):
        while not what():
            await asyncio.sleep(0.005)


async def stamped(store: Store, make: Make, number: int = 1) -> object:
    moment = store.moment()
    assert moment is not None
    found = await one(store, make.id(number))
    assert isinstance(found, Live)
    return moment.stamp(found)


async def works(store: Store, within: float = 20.0) -> None:
    """Wait until it does."""
    async with asyncio.timeout(within):
        while True:
            try:
                return await store.check()
            except StoreUnavailable:
                await asyncio.sleep(0.02)


# --- what is heard --------------------------------------------------------------------------------


async def test_what_others_change_does_not_hold(store: Store, postgres_url: str, make: Make) -> None:
    """Of one session, of a person, or of all; and what nobody touched holds on."""
    for number, who in enumerate(("alice", "bob", "carol", "dora"), 1):
        await store.issue(make.session(number, who), make.subject(who))
    await store.check()
    other = stores.open(postgres_url)
    stamps = [await stamped(store, make, number) for number in (1, 2, 3, 4)]
    await other.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)])
    await until(lambda: not store.holds(stamps[0]))
    await other.publish(make.subject("bob", version=2))
    await until(lambda: not store.holds(stamps[1]))
    await other.apply([Touch(make.id(4), NOW + 600)])
    await other.issue(make.session(9, "carol"), make.subject("carol"))
    assert [store.holds(stamp) for stamp in stamps] == [False, False, True, True]
    await other.end_all(None, Ending.REVOKED, Actor.ADMINISTRATOR, NOW)
    await until(lambda: not store.holds(stamps[2]) and not store.holds(stamps[3]))
    await other.aclose()


async def test_neither_issue_nor_touch_is_notified(postgres: Server, store: Store, make: Make) -> None:
    """A notification is a lock that all who notify share: only what ends something takes it."""
    await store.check()
    line = await open_line(f"{postgres.url()}".encode())
    told: list[str] = []
    line.notified = told.append
    await line.command(f"LISTEN {rows.CHANNEL}")
    await store.issue(make.session(1), make.subject())
    await store.issue(make.session(2), make.subject())
    await store.apply([Touch(make.id(1), NOW + 600)])
    await store.put(b"key", b"value", NOW)
    await store.hit(b"key", 10, NOW)
    await store.apply([End(make.id(9), Ending.ENDED, Actor.SELF, NOW)])
    await line.ask(rows.LISTENING, rows.CHANNEL)
    assert told == []
    await store.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)])
    await line.ask(rows.LISTENING, rows.CHANNEL)
    assert len(told) == 1
    line.close()


async def test_an_answer_comes_after_what_was_acknowledged_before(postgres: Server) -> None:
    """What the heartbeat relies on: who listens, and asks after a commit was acknowledged, has heard of it first."""
    listening, writing = [await open_line(postgres.url().encode()) for _ in range(2)]
    told: list[str] = []
    listening.notified = told.append
    await listening.command("LISTEN here")
    for number in range(300):
        await writing.ask("SELECT pg_notify('here', $1)", str(number))
        await listening.ask(rows.LISTENING, "here")
        assert told[-1:] == [str(number)]
    listening.close()
    writing.close()


async def test_many_ends_at_once_are_all_heard(store: Store, postgres_url: str, make: Make) -> None:
    """More than one notification can say; and of a person whose id is longer than one can be."""
    somebody = "x" * 9000
    await store.adopt([Live(make.session(n), make.subject()) for n in range(300)])
    await store.issue(make.session(500, somebody), make.subject(somebody))
    await store.check()
    other = stores.open(postgres_url)
    changes = store.changes()
    await other.apply([End(make.id(n), Ending.ENDED, Actor.SELF, NOW) for n in range(300)])
    async with asyncio.timeout(5):
        told = {(await anext(changes)).session for _ in range(300)}
    assert told == {make.id(n) for n in range(300)}
    await other.publish(make.subject(somebody, version=2))
    async with asyncio.timeout(5):
        assert await anext(changes) == Changed()
    await other.aclose()


LISTENERS = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%pg_listening_channels%'"


def kill_listener(server: Server) -> None:
    server.sql(*(f"SELECT pg_terminate_backend({pid})" for (pid,) in server.sql(LISTENERS)))


async def test_a_lost_channel_empties_what_was_known(own: Store, server: Server, make: Make) -> None:
    """At once; then every check asks, and reads work; and it is made again. Who reads of changes is told everything."""
    await own.issue(make.session(), make.subject())
    await own.check()
    stamp, changes = await stamped(own, make), own.changes()
    kill_listener(server)
    await until(lambda: not own.holds(stamp))
    assert await one(own, make.id(1)) == make.live(1)
    async with asyncio.timeout(5):
        assert await anext(changes) == Changed()
    await until(lambda: own.moment() is not None)
    again = await stamped(own, make)
    assert own.holds(again)
    assert not own.holds(stamp)


async def test_what_happens_while_nobody_listens_is_not_missed(own: Store, server: Server, make: Make) -> None:
    """Revoked between the loss of one channel and the next: what was known before does not come back."""
    await own.issue(make.session(), make.subject())
    await own.check()
    stamp = await stamped(own, make)
    kill_listener(server)
    server.sql(f"UPDATE {SCHEMA}.session SET how = 4, actor = 2, last_seen = {NOW}")
    await until(lambda: own.moment() is not None and not own.holds(stamp))
    assert await one(own, make.id(1)) == Ended(Ending.REVOKED, NOW, Actor.ADMINISTRATOR, "alice")


async def test_a_pooler_that_swaps_connections_is_noticed(own: Store, server: Server, make: Make) -> None:
    """A connection that does not listen (any more) keeps nothing alive, though it answers."""
    await own.issue(make.session(), make.subject())
    await own.check()
    stamp = await stamped(own, make)
    channel = own._here.here().channel  # type: ignore[attr-defined]
    line = next(
        line for line in gc.get_objects() if type(line).__name__ == "Line" and line.notified == channel._notified
    )
    with contextlib.suppress(AssertionError):
        await line.command(f"UNLISTEN {rows.CHANNEL}")
    await until(lambda: not own.holds(stamp))


async def test_the_listener_is_not_collected(store: Store, postgres_url: str, make: Make) -> None:
    """However often the collector runs, and whoever else lets go."""
    await store.issue(make.session(), make.subject())
    await store.check()
    stamp = await stamped(store, make)
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0)
    other = stores.open(postgres_url)
    await other.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)])
    await until(lambda: not store.holds(stamp))
    await other.aclose()


async def test_silence_is_loss(own: Store, server: Server, make: Make) -> None:
    """A server that answers nothing: two seconds after the last answer nothing holds, and no call waits for long."""
    await own.issue(make.session(), make.subject())
    await own.check()
    stamp = await stamped(own, make)
    server.pause()
    begun = time.monotonic()
    try:
        with pytest.raises(StoreUnavailable, match=r"no answer within 0\.8 s"):
            await own.load([make.id(1)])
        assert time.monotonic() - begun < 1 + NOISE
        await until(lambda: not own.holds(stamp))
        assert time.monotonic() - begun < 2.5 + NOISE
    finally:
        server.resume()
    await works(own)
    assert await one(own, make.id(1)) == make.live(1)


# --- many at once ---------------------------------------------------------------------------------


async def test_nobody_waits_in_a_circle(store: Store, postgres_url: str, make: Make) -> None:
    """Batches of the same sessions in any order, ends of all, new snapshots and sweeps, from several nodes at once."""
    random = Random(7)
    await store.adopt([Live(make.session(n, f"p{n % 5}"), make.subject(f"p{n % 5}")) for n in range(60)])
    nodes = [store, *(stores.open(postgres_url) for _ in range(2))]

    async def batch(node: Store, turn: int) -> None:
        numbers = random.sample(range(60), 30)
        changes: list[Change] = [Touch(make.id(n), NOW + 400 * (turn + 1)) for n in numbers]
        changes.append(Rotate(make.id(numbers[0]), make.session(1000 + 10 * turn + nodes.index(node), "p0"), NOW))
        changes.append(End(make.id(numbers[1]), Ending.ENDED, Actor.SELF, NOW))
        with contextlib.suppress(ValueError):  # of another person
            await node.apply(changes)

    for turn in range(8):
        await asyncio.gather(
            *(batch(node, turn) for node in nodes for _ in range(3)),
            nodes[turn % 3].end_all(f"p{turn % 5}", Ending.REVOKED, Actor.SYSTEM, NOW),
            nodes[0].publish(make.subject("p1", version=turn + 2)),
            nodes[1].issue(make.session(2000 + turn, "p1"), make.subject("p1", version=turn + 2)),
            nodes[2].sweep(NOW + turn),
        )
    await asyncio.gather(*(node.aclose() for node in nodes[1:]))


async def test_many_nodes_sweep_at_once(store: Store, postgres_url: str, make: Make) -> None:
    """Each has its share, and together they are done."""
    for start in range(0, 3000, 500):
        await store.adopt([Live(make.session(n), make.subject()) for n in range(start, start + 500)])
    nodes = [stores.open(postgres_url) for _ in range(4)]
    assert sum(await asyncio.gather(*(node.sweep(NOW + DAY) for node in nodes))) == 3000
    assert await store.sessions() == []
    assert sum(await asyncio.gather(*(node.sweep(NOW + 60 * DAY) for node in nodes))) == 3000
    await asyncio.gather(*(node.aclose() for node in nodes))


async def test_the_same_new_person_signs_in_twice_at_once(store: Store, make: Make) -> None:
    """Both have a session of one person."""
    for turn in range(10):
        who = make.subject(f"new {turn}")
        sessions = [make.session(turn * 10 + n, who.id) for n in range(5)]
        await asyncio.gather(*(store.issue(session, who) for session in sessions))
        assert len(await store.sessions(who.id)) == 5


async def test_a_touched_session_is_swept_when_its_time_comes(store: Store, make: Make) -> None:
    """A touch moves its limit; a sweep in between sees that, and comes again."""
    await store.issue(make.session(), make.subject())
    assert await store.apply([Touch(make.id(1), NOW + 3000)]) == [True]
    assert await store.sweep(NOW + 3600) == 0
    assert await store.sweep(NOW + 6599) == 0
    assert await store.sweep(NOW + 6600) == 1
    assert await one(store, make.id(1)) == Ended(Ending.IDLE, NOW + 6600, Actor.SYSTEM, "alice")


async def test_when_all_connections_are_in_use_nobody_waits_for_long(own: Store, server: Server, make: Make) -> None:
    """Somebody has locked the table: each call ends within the second, and all is well afterwards."""
    await own.issue(make.session(), make.subject())
    blocker = await open_line(server.url(role="postgres").encode())
    await blocker.command(f"BEGIN; LOCK TABLE {SCHEMA}.session")
    begun = time.monotonic()
    asked = await asyncio.gather(*(own.load([make.id(1)]) for _ in range(4 * MOST)), return_exceptions=True)
    assert time.monotonic() - begun < 1.2 + NOISE
    assert {type(each) for each in asked} == {StoreUnavailable}
    await blocker.command("COMMIT")
    blocker.close()
    await works(own)
    assert await one(own, make.id(1)) == make.live(1)


async def test_a_call_that_nobody_waits_for_poisons_nothing(own: Store, make: Make) -> None:
    """Given up in the middle: the next one gets its own answer, and what was begun is done."""
    await own.adopt([Live(make.session(n), make.subject()) for n in range(100)])
    random = Random(3)
    for number in range(100):
        task = asyncio.create_task(own.apply([End(make.id(number), Ending.ENDED, Actor.SELF, NOW)]))
        for _ in range(random.randrange(6)):
            await asyncio.sleep(0)
        task.cancel()
        other = (number + 1) % 100
        found = await one(own, make.id(other))
        assert isinstance(found, Live | Ended)
        if isinstance(found, Live):
            assert found.session.id == make.id(other)
    await own.aclose()
    ended = [each for each in await own.load([make.id(n) for n in range(100)]) if isinstance(each, Ended)]
    assert len(ended) > 50  # all but those that were given up before they had begun


# --- away, and back -------------------------------------------------------------------------------


async def test_a_restart_is_hardly_noticed(own: Store, server: Server, make: Make) -> None:
    """Connections that were open before are not taken for a failure, and nobody is signed out."""
    await own.issue(make.session(), make.subject())
    await own.check()
    stamp = await stamped(own, make)
    server.restart()
    assert await one(own, make.id(1)) == make.live(1)
    assert not own.holds(stamp)
    assert await own.apply([Touch(make.id(1), NOW + 600)]) == [True]


async def test_a_server_that_is_away_says_so_and_comes_back(own: Store, server: Server, make: Make) -> None:
    """Every method; and the first question after it is there again is answered."""
    await own.issue(make.session(), make.subject())
    server.kill()
    begun = time.monotonic()
    for ask in (
        lambda: own.load([make.id(1)]),
        lambda: own.apply([Touch(make.id(1), NOW + 600)]),
        lambda: own.issue(make.session(2), make.subject()),
        own.check,
    ):
        with pytest.raises(StoreUnavailable, match=r"sessions: PostgreSQL at .*Is PostgreSQL running there"):
            await ask()
    assert time.monotonic() - begun < 3 + NOISE
    server.start()
    assert await one(own, make.id(1)) == make.live(1)


@pytest.mark.parametrize("what", ["load", "end", "touch", "issue", "take"])
async def test_a_connection_that_is_killed_in_the_middle(own: Store, server: Server, make: Make, what: str) -> None:
    """It is done, or `StoreUnavailable`, and never half; what is tried again is done once."""
    await own.issue(make.session(1), make.subject())
    await own.put(b"key", b"value", NOW + 10)
    calls: dict[str, Callable[[], Any]] = {
        "load": lambda: own.load([make.id(1)]),
        "end": lambda: own.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)]),
        "touch": lambda: own.apply([Touch(make.id(1), NOW + 600)]),
        "issue": lambda: own.issue(make.session(2), make.subject()),
        "take": lambda: own.take(b"key", NOW),
    }
    blocker = await open_line(server.url(role="postgres").encode())
    await blocker.command(f"BEGIN; LOCK TABLE {SCHEMA}.session, {SCHEMA}.value")
    task = asyncio.create_task(calls[what]())
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with asyncio.timeout(20):
        while not (found := await blocker.ask(waiting)):
            if task.done():  # it has given up before anybody saw it wait
                with contextlib.suppress(StoreUnavailable):
                    await task
                task = asyncio.create_task(calls[what]())
            await asyncio.sleep(0.005)
    await blocker.ask("SELECT pg_terminate_backend($1)", found[0][0])
    await blocker.command("COMMIT")
    blocker.close()
    with contextlib.suppress(StoreUnavailable):
        await task
    (found_now,) = await own.load([make.id(1)])
    assert found_now in (
        make.live(1),
        Live(make.session(1, last_seen=NOW + 600), make.subject()),
        Ended(Ending.ENDED, NOW, Actor.SELF, "alice"),
    )


async def test_a_read_only_server_is_away(own: Store, server: Server, make: Make) -> None:
    """A standby may be behind: what it would say of a session may not be so any more."""
    await own.issue(make.session(), make.subject())
    server.sql("ALTER DATABASE demur SET default_transaction_read_only = on")
    try:
        server.disconnect("demur")
        with pytest.raises(StoreUnavailable, match=r"read-only.*standby.*Name the primary"):
            await works_once(own, make)
    finally:
        server.sql(
            "SET default_transaction_read_only = off", "ALTER DATABASE demur RESET default_transaction_read_only"
        )
    await works(own)


async def works_once(store: Store, make: Make) -> None:
    await store.load([make.id(1)])


async def test_a_standby_takes_over(postgres_template: Path, make: Make) -> None:
    """Both are named; whichever can be written to is asked, and what was replicated is there."""
    with Server(template=postgres_template) as primary, Server(of=primary) as standby:
        url = f"postgresql://demur@/demur?host={standby.folder},{primary.folder}&port={standby.port},{primary.port}"
        store = stores.open(url)
        await store.issue(make.session(1), make.subject())
        await store.issue(make.session(2), make.subject())
        await store.apply([End(make.id(2), Ending.REVOKED, Actor.ADMINISTRATOR, NOW)])
        await store.check()
        stamp = await stamped(store, make)
        primary.caught_up()
        primary.kill()
        with pytest.raises(StoreUnavailable):
            await store.load([make.id(1)])
        assert not store.holds(stamp)
        standby.promote()
        await works(store)
        revoked = Ended(Ending.REVOKED, NOW, Actor.ADMINISTRATOR, "alice")
        assert await store.load([make.id(1), make.id(2)]) == [make.live(1), revoked]
        assert await store.apply([Touch(make.id(1), NOW + 600)]) == [True]
        await store.aclose()


async def test_what_is_acknowledged_with_a_synchronous_standby_survives(postgres_template: Path, make: Make) -> None:
    """Without it being there, nothing is acknowledged."""
    with Server(template=postgres_template) as primary, Server(of=primary) as standby:
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()", database="postgres")
        url = f"postgresql://demur@/demur?host={primary.folder},{standby.folder}&port={primary.port},{standby.port}"
        store = stores.open(url)
        await works(store)
        await store.issue(make.session(), make.subject())
        standby.pause()
        with pytest.raises(StoreUnavailable):
            await store.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)])
        standby.resume()
        await store.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)])
        primary.kill()
        standby.sql("ALTER SYSTEM SET synchronous_standby_names = ''", database="postgres")
        standby.promote()
        standby.sql("SELECT pg_reload_conf()", database="postgres")
        await works(store)
        assert isinstance(await one(store, make.id(1)), Ended)
        await store.aclose()
