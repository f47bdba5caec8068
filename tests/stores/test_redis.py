"""What is the Redis store's own: how it is told, what it does when the server is not there, and who may ask what."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.noise import NOISE
from tests.servers.postgres import certificate
from tests.servers.redis import Sentinel, Server
from tests.stores.test_state import Stores

from demur import stores
from demur.core.model import Actor, End, Ended, Ending, Live, StoreUnavailable, Touch, Unknown
from demur.core.ports import Changed
from demur.stores import PATIENCE
from demur.stores.heard import SILENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.stores.conftest import Make

    from demur.core.ports import Store

pytestmark = pytest.mark.redis

NOW = 1_800_000_000
HOUR = 3600
DAY = 24 * HOUR

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "redis.md"
ACL = next(line for line in GUIDE.read_text().splitlines() if line.startswith("user demur ")).removeprefix("user ")
"""What our user may do, as the guide says."""


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = stores.open(url)
    try:
        yield store
    finally:
        await store.aclose()


async def until(condition: Callable[[], object], within: float = 20.0) -> None:
    """Wait for what is to come."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.002)


async def stamped(store: Store, make: Make, number: int = 1) -> object:
    """A stamp of a session that is loaded now."""
    await until(lambda: store.moment() is not None)
    moment = store.moment()
    assert moment is not None
    (live,) = await store.load([make.id(number)])
    assert isinstance(live, Live)
    return moment.stamp(live)


def end(make: Make, number: int = 1) -> End:
    return End(make.id(number), Ending.REVOKED, Actor.ADMINISTRATOR, NOW)


@pytest.fixture
def server() -> Iterator[Server]:
    """One to break."""
    with Server() as mine:
        yield mine


# --- being told -------------------------------------------------------------------------------------


async def test_a_revocation_is_heard_elsewhere(redis_url: str, make: Make) -> None:
    """By a store that has nothing to do with the one that revokes but the server."""
    async with opened(redis_url) as here, opened(redis_url) as there:
        await there.issue(make.session(1), make.subject())
        await there.issue(make.session(2, "bob"), make.subject("bob"))
        await here.check()
        gone, stays = await stamped(here, make, 1), await stamped(here, make, 2)
        await there.apply([end(make)])
        await until(lambda: not here.holds(gone))
        assert here.holds(stays)


async def test_neither_issuing_nor_touching_says_anything(redis_server: Server, redis_url: str, make: Make) -> None:
    """So the caches of a busy site stay warm."""
    async with opened(redis_url) as here, opened(redis_url) as there:
        await there.issue(make.session(1), make.subject())
        await here.check()
        stamps = [await stamped(here, make, 1)]
        feed = here.changes()
        for number in range(2, 50):
            await there.issue(make.session(number), make.subject())
            assert await there.apply([Touch(make.id(1), NOW + 360 * (number - 1))]) == [True]
        await there.apply([end(make, 2)])
        assert await anext(feed) == Changed(session=make.id(2))
        assert all(map(here.holds, stamps))
    assert not any(key.startswith(b"demur:!") for key in redis_server.say("KEYS", "*"))  # type: ignore[attr-defined]


async def test_an_emptied_server_is_heard_and_is_not_believed(redis_server: Server, redis_url: str, make: Make) -> None:
    """Nothing holds any more, and nobody is signed out: whether those data come back is for people to say."""
    async with opened(redis_url) as store:
        await store.issue(make.session(1), make.subject())
        await store.check()
        stamp, feed = await stamped(store, make), store.changes()
        before = redis_server.say("DUMP", "demur:m"), redis_server.say("DUMP", b"demur:s" + make.id(1)[:16])
        redis_server.say("FLUSHALL")
        assert await anext(feed) == Changed()
        assert not store.holds(stamp)
        for ask in (store.load([make.id(1)]), store.check(), store.apply([end(make)])):
            with pytest.raises(StoreUnavailable, match="has lost the sessions"):
                await ask
        async with opened(redis_url) as new:  # who comes now cannot know: for them it is a first start
            assert await new.load([make.id(1)]) == [Unknown()]
        with pytest.raises(StoreUnavailable, match="has lost the sessions"):
            await store.load([make.id(1)])
        redis_server.say("RESTORE", "demur:m", 0, before[0], "REPLACE")  # type: ignore[arg-type]
        await store.check()


async def test_a_killed_channel_empties_what_is_known_and_comes_back(
    redis_server: Server, redis_url: str, make: Make
) -> None:
    """And whoever reads of changes is told to look at everything."""
    async with opened(redis_url) as store:
        await store.issue(make.session(1), make.subject())
        await store.check()
        stamp, feed = await stamped(store, make), store.changes()
        redis_server.say("CLIENT", "KILL", "TYPE", "normal")
        await until(lambda: not store.holds(stamp))
        assert await asyncio.wait_for(anext(feed), 20) == Changed()
        assert store.holds(await stamped(store, make))


async def test_a_silent_server_is_a_lost_one(server: Server, make: Make) -> None:
    """Nothing holds two seconds after the last that was heard; each question is answered in time, with 503; and then
    all goes on."""
    async with opened(server.url()) as store:
        await store.issue(make.session(1), make.subject())
        await store.check()
        stamp = await stamped(store, make)
        server.pause()
        began = time.monotonic()
        for ask in (store.load([make.id(1)]), store.apply([end(make, 9)]), store.check(), store.take(b"key", NOW)):
            asked = time.monotonic()
            with pytest.raises(StoreUnavailable, match="does not answer"):
                await ask
            assert time.monotonic() - asked < PATIENCE + NOISE
        await until(lambda: not store.holds(stamp))
        assert time.monotonic() - began < PATIENCE * 4 + SILENCE + NOISE
        assert store.moment() is None
        server.resume()
        assert store.holds(await stamped(store, make))


async def test_a_restarted_server_signs_nobody_out(make: Make) -> None:
    """It was killed, and keeps an append only file."""
    with Server(appendonly=True) as server:
        async with opened(server.url()) as store:
            await store.issue(make.session(1), make.subject())
            await store.issue(make.session(2), make.subject())
            await store.apply([end(make, 2)])
            server.kill()
            with pytest.raises(StoreUnavailable, match=r"Redis at .*redis\.sock"):
                await store.load([make.id(1)])
            server.start()
            found = await store.load([make.id(1), make.id(2)])
            assert found == [make.live(1), Ended(Ending.REVOKED, NOW, Actor.ADMINISTRATOR, "alice")]
            assert store.holds(await stamped(store, make))


# --- asking -----------------------------------------------------------------------------------------


async def test_an_answer_reaches_only_who_asked(redis_url: str, make: Make) -> None:
    """However many stop waiting, and whenever they do."""
    async with opened(redis_url) as store:
        for number in range(50):
            await store.issue(make.session(number, f"person {number}"), make.subject(f"person {number}"))

        async def ask(number: int, patience: float) -> bool:
            try:
                async with asyncio.timeout(patience):
                    (live,) = await store.load([make.id(number)])
            except TimeoutError:
                return False
            assert live == make.live(number, f"person {number}")
            return True

        answered = 0
        for turn in range(40):
            asked = [asyncio.create_task(ask(n, (n * 7 + turn) % 11 * 0.0003)) for n in range(50)]
            for task in asked[turn % 5 :: 5]:
                asyncio.get_running_loop().call_soon(task.cancel)
            done = await asyncio.gather(*asked, return_exceptions=True)
            answered += done.count(True)
            assert {type(each) for each in done} <= {bool, asyncio.CancelledError}
            assert await store.load([make.id(7)]) == [make.live(7, "person 7")]
        assert 0 < answered < 2000


async def test_a_change_that_nobody_waited_for_does_not_hold(redis_url: str, make: Make) -> None:
    """It may have been made."""
    async with opened(redis_url) as store:
        await store.issue(make.session(1), make.subject())
        await store.check()
        stamp = await stamped(store, make)
        task = asyncio.create_task(store.apply([end(make)]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        (found,) = await store.load([make.id(1)])
        assert isinstance(found, Live) or not store.holds(stamp)


NONSENSE = (b"+OK\r\n", b"*0\r\n", b"_\r\n", b":1\r\n", b"*3\r\n_\r\n_\r\n_\r\n", b"$5000\r\n", b"garbage\r\n")


async def test_an_answer_that_nobody_asked_for_signs_nobody_out(server: Server, make: Make) -> None:
    """Neither it nor what comes after it on that connection is believed."""
    inserted: list[bytes] = []

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other, there = await asyncio.open_connection("127.0.0.1", server.port)

        async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, *, back: bool) -> None:
            while data := await source.read(65536):
                target.write((inserted.pop() if back and inserted else b"") + data)
            target.close()

        ways = pass_on(reader, there, back=False), pass_on(other, writer, back=True)
        await asyncio.gather(*ways, return_exceptions=True)

    proxy = await asyncio.start_server(between, "127.0.0.1", 0)
    async with opened(server.tcp(port=proxy.sockets[0].getsockname()[1])) as store:
        for number in range(20):
            await store.issue(make.session(number), make.subject())
        ids = [make.id(number) for number in range(20)]
        for wrong in NONSENSE:
            await until(lambda: store.moment() is not None)
            inserted.append(wrong)
            asked = await asyncio.gather(*(store.load([key]) for key in ids), return_exceptions=True)
            for number, each in enumerate(asked):
                assert isinstance(each, StoreUnavailable) or each == [make.live(number)]
        await until(lambda: store.moment() is not None)
        assert all(isinstance(each, Live) for each in await store.load(ids))
    proxy.close()
    await proxy.wait_closed()


@pytest.mark.parametrize(
    ("setting", "value", "cause"),
    [
        ("maxmemory-policy", "allkeys-lru", "maxmemory-policy to noeviction"),
        ("maxmemory-policy", "volatile-ttl", "maxmemory-policy to noeviction"),
        ("maxmemory", "1", "raise its maxmemory"),
        ("min-replicas-to-write", "1", "min-replicas-to-write"),
    ],
)
async def test_a_server_that_cannot_keep_sessions_says_what_to_do(
    server: Server, setting: str, value: str, cause: str
) -> None:
    """Before anybody relies on it."""
    async with opened(server.url()) as store:
        await store.check()
        server.say("CONFIG", "SET", setting, value)
        with pytest.raises(StoreUnavailable, match=cause):
            await store.check()


async def test_a_full_server_still_ends_sessions(server: Server, make: Make) -> None:
    """It only takes no new ones."""
    async with opened(server.url()) as store:
        await store.issue(make.session(1), make.subject())
        server.say("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreUnavailable, match="no memory left"):
            await store.issue(make.session(2), make.subject())
        assert await store.load([make.id(1)]) == [make.live(1)]
        await store.publish(make.subject(version=2, groups=frozenset()))
        assert await store.apply([end(make)]) == [True]


async def test_something_else_under_our_keys_is_not_overwritten(redis_server: Server, redis_url: str) -> None:
    """Nor taken for an empty store."""
    redis_server.say("RPUSH", "demur:m", "x")
    async with opened(redis_url) as store:
        with pytest.raises(StoreUnavailable, match="prefix="):
            await store.check()
    redis_server.say("DEL", "demur:m")
    redis_server.say("SET", "demur:m", "9" * 32)
    async with opened(redis_url) as store:
        with pytest.raises(StoreUnavailable, match="newer demur"):
            await store.check()


async def test_prefixes_and_databases_share_a_server(redis_server: Server, redis_url: str, make: Make) -> None:
    """Without a word of one another."""
    urls = [redis_url, f"{redis_url}&prefix=other:", redis_server.url(3)]
    for url in urls:
        async with opened(url) as store:
            assert await store.load([make.id(1)]) == [Unknown()]
            await store.issue(make.session(1), make.subject())
            assert await store.sessions() == [make.session(1)]
    redis_server.say("FLUSHALL")


async def test_a_replica_is_not_asked(make: Make) -> None:
    """It may not know yet who was signed out."""
    with Server() as master, Server(of=master) as replica:
        async with opened(replica.url()) as store:
            with pytest.raises(StoreUnavailable, match="is a replica"):
                await store.load([make.id(1)])


def test_the_gateways_event_loop_will_do(redis_url: str, make: Make, tmp_path_factory: pytest.TempPathFactory) -> None:
    """uvloop's transports are not asyncio's."""
    uvloop = pytest.importorskip("uvloop")

    async def use(url: str) -> None:
        async with opened(url) as store:
            await store.check()
            await store.issue(make.session(1), make.subject())
            stamp = await stamped(store, make)
            await store.apply([end(make)])
            assert not store.holds(stamp)

    uvloop.run(use(redis_url))
    tls = certificate(tmp_path_factory.mktemp("tls"))
    with Server(tls=tls) as server:
        uvloop.run(use(server.tcp(more=f"?ca={tls[0]}")))


# --- who we are -------------------------------------------------------------------------------------


async def test_a_user_with_the_least_rights_is_enough(make: Make) -> None:
    """All that the store does is within the line that the guide shows."""
    with Server(acl=["default off", ACL]) as server:
        async with opened(server.tcp(who="demur:secret@")) as store:
            await store.check()
            await store.issue(make.session(1), make.subject())
            await store.issue(make.session(2), make.subject())
            await store.apply([Touch(make.id(1), NOW + 600), end(make, 2)])
            await store.publish(make.subject(version=2))
            await store.put(b"key", b"value", NOW + 10)
            await store.hit(b"key", 10, NOW)
            assert (await store.peek(b"key", NOW), await store.take(b"key", NOW)) == (b"value", b"value")
            await store.adopt((await store.each())[0])
            assert len(await store.sessions()) == 1
            assert store.holds(await stamped(store, make))
            assert await store.end_all(None, Ending.REVOKED, Actor.ADMINISTRATOR, NOW) == 1
            await store.sweep(NOW + 40 * DAY)
            await store.freeze()
        assert server.say("ACL", "LOG") == []
        assert server.say("ACL", "DRYRUN", "demur", "GET", "other") != b"OK"
        for who, cause in [("demur:wrong@", "user name or password"), ("", "wants a password")]:
            async with opened(server.tcp(who=who)) as store:
                with pytest.raises(StoreUnavailable, match=cause) as caught:
                    await store.check()
                assert "wrong" not in caught.value.cause.replace("WRONGPASS", "")
        server.say("ACL", "SETUSER", "demur", "-evalsha")
        async with opened(server.tcp(who="demur:secret@")) as store:
            with pytest.raises(StoreUnavailable, match="ACL line in the guide"):
                await store.check()


async def test_a_password_in_a_file_is_read_for_each_connection(tmp_path: Path) -> None:
    """So it can be changed while demur runs."""
    file = tmp_path / "password"
    file.write_text("first\n")
    with Server(acl=["default on >first ~* &* +@all"]) as server:
        async with opened(server.tcp(more=f"?password_file={file}")) as store:
            await store.check()
            server.say("ACL", "SETUSER", "default", ">second", "<first")
            file.write_text("second\n")
            server.say("CLIENT", "KILL", "TYPE", "normal")
            await until(lambda: store.moment() is None)
            await store.check()
            file.unlink()
            server.say("CLIENT", "KILL", "TYPE", "normal")
            await until(lambda: store.moment() is None)
            with pytest.raises(StoreUnavailable, match="password of the session store cannot be read"):
                await store.check()


async def test_tls_is_judged_by_the_authority_that_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    """And by no other; and plain text is no answer to it."""
    mine, others = (certificate(tmp_path_factory.mktemp("tls")) for _ in range(2))
    with Server(tls=(*mine, mine[0])) as server:
        ours = f"&certificate={mine[0]}&key={mine[1]}"
        async with opened(server.tcp(more=f"?ca={mine[0]}{ours}")) as store:
            await store.check()
        for more, cause in [
            (f"?ca={others[0]}{ours}", "certificate of Redis at localhost"),
            (f"?ca={mine[0]}", "Redis at localhost"),
            (f"?ca={mine[0].parent / 'nothing'}", "TLS files"),
        ]:
            async with opened(server.tcp(more=more)) as store:
                with pytest.raises(StoreUnavailable, match=cause):
                    await store.check()
        plain = server.tcp().replace("rediss://", "redis://")
        async with opened(plain) as store:
            with pytest.raises(StoreUnavailable, match="Redis at localhost"):
                await store.check()


async def test_a_place_where_no_redis_is(server: Server, tmp_path: Path) -> None:
    """Refused, not there at all, or something else that answers."""
    port = server.port
    server.stop()

    async def something(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    other = await asyncio.start_server(something, "127.0.0.1", 0)
    there = other.sockets[0].getsockname()[1]
    for url, cause in [
        (f"redis://127.0.0.1:{port}", "cannot be reached"),
        (f"redis://{tmp_path}/nothing.sock", "cannot be reached"),
        ("redis://nowhere.invalid", "cannot be reached"),
        (f"redis://127.0.0.1:{there}", "is no Redis"),
        (f"redis+sentinel://127.0.0.1:{port}/demur", "cannot be reached"),
        (f"redis+cluster://127.0.0.1:{port}", "cannot be reached"),
    ]:
        async with opened(url) as store:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match=cause):
                await store.check()
            assert time.monotonic() - began < PATIENCE + NOISE
    other.close()
    await other.wait_closed()


# --- replicas ---------------------------------------------------------------------------------------


async def test_what_replicas_have_not_confirmed_is_not_done(make: Make) -> None:
    """It is said, in time; and what they have confirmed survives the master."""
    with Server() as master, Server(of=master) as replica, Sentinel(master, silence=0.3) as sentinel:
        master.caught_up()
        sentinel.knows(replica)
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/demur?replicas=1"
        async with opened(url) as store, opened(url) as reader:
            await store.check()
            await reader.check()
            for number in range(1, 30):
                await store.issue(make.session(number), make.subject())
            assert await store.apply([end(make, number) for number in range(1, 20)]) == [True] * 19
            stamp = await stamped(reader, make, 25)
            replica.pause()
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
                await store.apply([end(make, 20)])
            assert time.monotonic() - began < PATIENCE + NOISE
            replica.resume()
            await store.issue(make.session(30), make.subject())
            master.kill()
            await until(lambda: not reader.holds(stamp))
            with pytest.raises(StoreUnavailable):
                await store.load([make.id(1)])
            sentinel.follows(replica)
            await until(lambda: store.moment() is not None, 10)
            found = await store.load([make.id(number) for number in range(1, 31)])
            assert [number for number, each in enumerate(found, 1) if isinstance(each, Live)] == [*range(21, 31)]
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
                await store.check()


async def test_a_master_that_was_deposed_is_left(make: Make) -> None:
    """Its channel does not count from then on: the changes are told elsewhere."""
    with Server() as master, Server(of=master) as replica, Sentinel(master, silence=5) as sentinel:
        master.caught_up()
        sentinel.knows(replica)
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/demur"
        async with opened(url) as store:
            await store.issue(make.session(1), make.subject())
            master.caught_up()
            await store.check()
            stamp = await stamped(store, make)
            sentinel.promote(replica)
            await until(lambda: not store.holds(stamp))
            await until(lambda: store.moment() is not None, 10)
            assert await store.load([make.id(1)]) == [make.live(1)]
            await store.apply([end(make)])
            assert replica.say("ROLE")[0] == b"master"  # type: ignore[index]


# --- any sequence of anything ------------------------------------------------------------------------


@pytest.mark.slow
def test_any_sequence_has_the_same_outcome_as_in_memory(redis_server: Server) -> None:
    """Redis never differs from the model that the file is held to."""

    class InRedis(Stores):
        def __init__(self) -> None:
            super().__init__()
            redis_server.say("FLUSHALL")
            self.file = stores.open(redis_server.url())

    slow = [HealthCheck.too_slow]
    run_state_machine_as_test(
        InRedis, settings=settings(max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=slow)
    )


# --- what it costs ----------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_session_takes_less_than_300_bytes(redis_server: Server, redis_url: str, make: Make) -> None:
    """With all that belongs to it: its index, its place in the list of what is to be swept, its expiry."""

    def used() -> int:
        info: bytes = redis_server.say("INFO", "memory")  # type: ignore[assignment]
        return int(next(line for line in info.split() if line.startswith(b"used_memory:")).partition(b":")[2])

    people = [f"0199c0de-0000-7000-8000-{number:012x}" for number in range(1024)]
    async with opened(redis_url) as store:
        for start in range(0, len(people), 64):
            await asyncio.gather(*(store.publish(make.subject(each)) for each in people[start : start + 64]))
        before = used()
        for start in range(0, 8 * len(people), 64):
            numbers = range(start, start + 64)
            sessions = [make.session(n, people[n % len(people)], last_seen=NOW + n % 3000) for n in numbers]
            await asyncio.gather(*(store.issue(each, make.subject(each.subject)) for each in sessions))
        assert (used() - before) / (8 * len(people)) <= 300
