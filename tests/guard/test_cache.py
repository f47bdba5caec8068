"""What is kept of evidence: only what says yes, only while it holds, and no more than was allowed."""

from __future__ import annotations

import asyncio
import gc
import secrets
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from demur.core import fields, sessions
from demur.core.model import Actor, End, Ended, Ending, Live, Session, StoreUnavailable, Subject, Touch, Unknown
from demur.guard.cache import Cache
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.core.model import Change

NOW = 1_800_000_000
BO = Subject("0192-bo", "bo", frozenset(("staff",)))


class Counting(MemoryStore):
    """A store that remembers what it was asked for, can be slow, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[bytes]] = []
        self.answer: asyncio.Event | None = None
        self.down = False
        self.during: list[Change] = []

    async def load(self, ids: Sequence[bytes]) -> list[Live | Ended | Unknown]:
        self.asked.append(list(ids))
        found = await super().load(ids)
        if self.answer is not None:
            await self.answer.wait()
        if self.down:
            raise StoreUnavailable("it is down")
        if self.during:
            changes, self.during = self.during, []
            await self.apply(changes)
        return found


@pytest.fixture
def store() -> Counting:
    """An empty store."""
    return Counting()


@pytest.fixture
def cache(store: Counting) -> Cache:
    """An empty cache of it."""
    return Cache(store)


async def issue(store: Counting, subject: Subject = BO, **other: object) -> bytes:
    key = secrets.token_bytes(32)
    session = Session(key, subject.id, NOW, NOW, NOW, NOW + 86400, idle=3600)
    await store.issue(replace(session, **other), subject)  # type: ignore[arg-type]
    return key


def end(key: bytes) -> End:
    return End(key, Ending.ENDED, Actor.SELF, NOW)


async def test_a_live_session_is_loaded_once(store: Counting, cache: Cache) -> None:
    """Whoever asks again is not asked for again."""
    key = await issue(store)
    assert cache.get(key, NOW) is None
    found = await cache.load(key, NOW)
    assert isinstance(found, Live)
    assert cache.get(key, NOW + 100) is found
    assert store.asked == [[key]]


@pytest.mark.parametrize("what", ["unknown", "ended", "idle", "expired", "suspended"])
async def test_nothing_is_kept_that_does_not_say_yes(store: Counting, cache: Cache, what: str) -> None:
    """Whoever is not in may be in the next moment, and is told what is true then."""
    subject = replace(BO, suspended=what == "suspended")
    key = secrets.token_bytes(32) if what == "unknown" else await issue(store, subject)
    if what == "ended":
        await store.apply([end(key)])
    now = NOW + {"idle": 3600, "expired": 86400}.get(what, 0)
    await cache.load(key, now)
    assert cache.get(key, now) is None


async def test_a_change_empties_it(store: Counting, cache: Cache) -> None:
    """At once, whatever it was."""
    key = await issue(store)
    await cache.load(key, NOW)
    await store.publish(replace(BO, version=2, groups=frozenset()))
    assert cache.get(key, NOW) is None
    again = await cache.load(key, NOW)
    assert isinstance(again, Live)
    assert again.subject.groups == frozenset()
    await store.apply([end(key)])
    assert cache.get(key, NOW) is None
    assert isinstance(await cache.load(key, NOW), Ended)


async def test_what_changed_while_it_was_loaded_is_not_kept(store: Counting, cache: Cache) -> None:
    """It was true when it was read, and is not any more."""
    key = await issue(store)
    store.during = [end(key)]
    assert isinstance(await cache.load(key, NOW), Live)
    assert cache.get(key, NOW) is None


@pytest.mark.parametrize(
    ("other", "grants", "last"),
    [
        ({}, (), 3599),
        ({"idle": 0}, (), 86399),
        ({"expires_at": NOW + 50}, (), 49),
        ({}, (("report:read", NOW + 20), ("report:write", NOW - 5)), 19),
    ],
)
async def test_time_alone_ends_it(
    store: Counting, cache: Cache, other: dict[str, int], grants: tuple[tuple[str, int], ...], last: int
) -> None:
    """At the second of a limit, or at which a grant of its person ends, the store is asked."""
    key = await issue(store, replace(BO, grants=grants), **other)
    await cache.load(key, NOW)
    assert cache.get(key, NOW + last) is not None
    assert cache.get(key, NOW + last + 1) is None


async def test_whoever_was_seen_goes_on(store: Counting, cache: Cache) -> None:
    """The idle limit counts from when they were seen last, which is written later; it never moves back."""
    key = await issue(store)
    found = await cache.load(key, NOW)
    assert isinstance(found, Live)
    cache.seen(key, NOW + 400, moved=True)
    cache.seen(key, NOW + 100, moved=True)
    kept = cache.get(key, NOW + 3999)
    assert kept is not None
    assert kept.session.last_seen == NOW + 400
    assert cache.get(key, NOW + 4000) is None


async def test_another_process_may_have_seen_them(store: Counting, cache: Cache) -> None:
    """What is kept knows nothing of that, so it asks before it would say that somebody was away too long; and at once,
    if it is found that somebody else was first."""
    key = await issue(store)
    await cache.load(key, NOW)
    await store.apply([Touch(key, NOW + 3000)])
    cache.seen(await issue(store), NOW + 3001, moved=False)
    assert cache.get(key, NOW + 3599) is not None
    cache.seen(key, NOW + 3001, moved=False)
    assert cache.get(key, NOW + 3001) is None
    await store.apply([Touch(key, NOW + 3000)])
    assert cache.get(key, NOW + 3600) is None
    found = await cache.load(key, NOW + 3600)
    assert isinstance(found, Live)
    assert found.session.last_seen == NOW + 3000
    assert cache.get(key, NOW + 3601) is not None


async def test_misses_of_one_moment_are_loaded_together(store: Counting, cache: Cache) -> None:
    """The first is asked for at once; whoever comes while that takes its time is asked for in one question."""
    keys = [await issue(store) for _ in range(20)]
    store.answer = asyncio.Event()
    asking = [asyncio.create_task(cache.load(key, NOW)) for key in [*keys, *keys]]
    await asyncio.sleep(0)
    store.answer.set()
    found = await asyncio.gather(*asking)
    assert [each.session.id for each in found if isinstance(each, Live)] == [*keys, *keys]
    assert [len(asked) for asked in store.asked] == [1, 20]
    assert all(cache.get(key, NOW) for key in keys)


async def test_whoever_leaves_takes_nobody_along(store: Counting, cache: Cache) -> None:
    """A request that is given up, the first or another, does not keep the others waiting."""
    keys = [await issue(store) for _ in range(4)]
    store.answer = asyncio.Event()
    asking = [asyncio.create_task(cache.load(key, NOW)) for key in [*keys, keys[1]]]
    await asyncio.sleep(0)
    asking[0].cancel()
    asking[1].cancel()
    await asyncio.sleep(0)
    store.answer.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in found] == [True, True, False, False, False]
    assert all(isinstance(each, Live) for each in found[2:])


async def test_a_store_that_is_away_is_waited_for_once(store: Counting, cache: Cache) -> None:
    """Whoever waited with the first is told with the first; afterwards it is asked again."""
    keys = [await issue(store) for _ in range(3)]
    store.answer, store.down = asyncio.Event(), True
    asking = [asyncio.create_task(cache.load(key, NOW)) for key in keys]
    await asyncio.sleep(0)
    store.answer.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(each, StoreUnavailable) for each in found)
    assert len(store.asked) == 1
    store.down = False
    assert isinstance(await cache.load(keys[0], NOW), Live)


async def test_nobody_waits_for_the_sum(store: Counting, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes while the store is asked waits no longer than one question may take, however long that one and
    the next do; and what is said later is good for the next request."""
    monkeypatch.setattr("demur.guard.cache.PATIENCE", 0.001)
    keys = [await issue(store) for _ in range(2)]
    store.answer = asyncio.Event()
    first = asyncio.create_task(cache.load(keys[0], NOW))
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable):
        await cache.load(keys[1], NOW)
    store.answer.set()
    assert isinstance(await first, Live)
    assert isinstance(await cache.load(keys[1], NOW), Live)


async def test_a_fault_is_everybodys(store: Counting, cache: Cache) -> None:
    """Nobody waits for ever because somebody else's question failed, nor is told of their fault."""
    keys = [await issue(store) for _ in range(3)]

    class Broken(Counting):
        async def load(self, ids: Sequence[bytes]) -> list[Live | Ended | Unknown]:
            await asyncio.sleep(0)
            raise ZeroDivisionError

    broken = Cache(Broken())
    found = await asyncio.gather(*(broken.load(key, NOW) for key in keys), return_exceptions=True)
    assert [type(each) for each in found] == [ZeroDivisionError] * 3


async def test_nothing_is_begun_in_a_loop_that_ends(store: Counting, cache: Cache) -> None:
    """Whoever asks is cancelled, and whoever asks for them, too; nobody is left to be asked for."""
    store.answer = asyncio.Event()
    first = asyncio.create_task(cache.load(b"1" * 32, NOW))
    await asyncio.sleep(0)
    second = asyncio.create_task(cache.load(b"2" * 32, NOW))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    third = asyncio.create_task(cache.load(b"3" * 32, NOW))
    await asyncio.sleep(0)
    here = asyncio.current_task()
    ended = [task for task in asyncio.all_tasks() if task is not here]
    for task in ended:
        task.cancel()
    await asyncio.gather(*ended, return_exceptions=True)
    assert second.cancelled()
    assert third.cancelled()
    assert asyncio.all_tasks() == {here}
    assert store.asked == [[b"1" * 32], [b"2" * 32]]


def test_one_loop_after_another(store: Counting, cache: Cache) -> None:
    """A loop that ended in the middle of a question leaves none behind."""

    async def begin() -> bytes:
        key = await issue(store)
        store.answer = asyncio.Event()
        for _ in range(2):
            _task = asyncio.create_task(cache.load(key, NOW))  # noqa: RUF006 - given up with the loop
            await asyncio.sleep(0)
        return key

    async def go_on(key: bytes) -> None:
        store.answer = None
        assert isinstance(await cache.load(key, NOW), Live)

    asyncio.run(go_on(asyncio.run(begin())))


async def test_it_is_bounded(store: Counting) -> None:
    """In bytes; who was asked for lately stays longer."""
    cache = Cache(store, most=100_000)
    often = await issue(store)
    await cache.load(often, NOW)
    keys = [await issue(store) for _ in range(300)]
    for key in keys:
        await cache.load(key, NOW)
        assert cache.get(often, NOW) is not None
    kept = [key for key in keys if cache.get(key, NOW)]
    assert 60 <= len(kept) <= 220
    assert keys[-1] in kept


async def test_what_a_person_holds_counts(store: Counting) -> None:
    """Somebody with many groups takes the room of many."""
    cache = Cache(store, most=30_000)
    many = frozenset(f"group-{number}" for number in range(600))
    keys = [await issue(store, replace(BO, id=f"bo-{number}", groups=many)) for number in range(10)]
    for key in keys:
        await cache.load(key, NOW)
    assert sum(cache.get(key, NOW) is not None for key in keys) <= 5


async def test_what_is_counted_is_what_is_taken(store: Counting) -> None:
    """The bound is one of memory: no less is counted than a session takes, and not twice as much."""
    cache, keys = Cache(store), [await issue(store, replace(BO, id=f"bo-{number}")) for number in range(6000)]
    for key in keys[:3000]:
        await cache.load(key, NOW)
    gc.collect()
    tracemalloc.start()
    counted = cache.size
    for key in keys[3000:]:
        await cache.load(key, NOW)
        known = cache.known(key, NOW)
        assert known is not None
        known.shut()  # some are kept open, and their number is bounded by itself
    gc.collect()
    taken, counted = tracemalloc.get_traced_memory()[0], cache.size - counted
    tracemalloc.stop()
    assert taken <= counted <= 2 * taken


@pytest.mark.parametrize("id_", ["0192-bo", 'Bö "the\\boss"\r\n'])
async def test_what_was_forgotten_is_as_it_was(store: Counting, cache: Cache, id_: str) -> None:
    """Not all that is kept is kept open: what is packed comes out as it went in, and says what it would have said."""
    who = replace(BO, id=id_, grants=(("report:read", NOW + 50),))
    key = await issue(store, who, device="Büro", idle=0)
    found = await cache.load(key, NOW)
    known = cache.known(key, NOW)
    assert known is not None
    assert known.live is found
    brief = known.brief()
    known.shut()
    again = known.brief()
    assert (again.subject, again.timing(NOW), known.live) == (brief.subject, brief.timing(NOW), found)
    assert again.timing(NOW) == fields.session_timing(sessions.ends(found.session), id_, NOW)
    assert known.live is not found
