"""What every store promises whoever moves sessions from one to another (core.ports.Store), sentence by sentence."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from demur import stores
from demur.core.model import Actor, End, Ended, Ending, Live, Rotate, StoreUnavailable, Subject, Touch
from demur.core.ports import Changed, Counter, Hits, Tombstone, Value
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.stores.conftest import Make

    from demur.core.model import Session
    from demur.core.ports import Kept, Store

NOW = 1_800_000_000
HOUR = 3600
DAY = 24 * HOUR


async def fill(store: Store, make: Make) -> set[Kept]:
    """Something of everything; and what it is, as rows."""
    await store.publish(make.subject("dora", version=3))
    await store.issue(make.session(1, device='"é', last_seen=NOW + 5), make.subject())
    await store.issue(make.session(2, idle=0, persistent=True), make.subject())
    await store.issue(make.session(3, "bob", expires_at=NOW + 1), make.subject("bob", version=2, groups=frozenset()))
    await store.issue(make.token(4, "bob", scopes=("a b", "c")), make.subject("bob"))
    await store.issue(make.session(5, "carol"), make.subject("carol"))
    await store.apply([End(make.id(5), Ending.REVOKED, Actor.ADMINISTRATOR, NOW + 7)])
    await store.apply([Rotate(make.id(2), make.session(6, acr="phr"), NOW + 9)])
    await store.put(b"challenge", b"\0value", NOW + 60)
    await store.hit(b"throttle", 100, NOW)
    await store.hit(b"throttle", 100, NOW)
    bob = make.subject("bob", version=2, groups=frozenset())
    return {
        make.subject("dora", version=3),
        Live(make.session(1, device='"é', last_seen=NOW + 5), make.subject()),
        Live(make.session(3, "bob", expires_at=NOW + 1), bob),
        Live(make.token(4, "bob", scopes=("a b", "c")), bob),
        Live(make.session(6, acr="phr"), make.subject()),
        Tombstone(make.id(2), Ended(Ending.REPLACED, NOW + 9, Actor.SYSTEM, "alice")),
        Tombstone(make.id(5), Ended(Ending.REVOKED, NOW + 7, Actor.ADMINISTRATOR, "carol")),
        Value(b"challenge", b"\0value", NOW + 60),
        Counter(b"throttle", Hits(2, NOW + 100)),
    }


async def everything(store: Store, most: int = 500) -> list[Kept]:
    """All pages."""
    found: list[Kept] = []
    after: bytes | None = b""
    while after is not None:
        page, after = await store.each(after, most)
        found += page
        assert after is None or len(after) <= 200
    return found


def rows(found: list[Kept]) -> set[Kept]:
    """What was found, without persons that come with a session, or had one: whether they are told of is left open."""
    with_session = {each.subject.id for each in found if isinstance(each, Live)}
    with_session |= {each.ended.subject for each in found if isinstance(each, Tombstone)}
    return {each for each in found if not (isinstance(each, Subject) and each.id in with_session)}


# --- out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 500])
async def test_each_page_after_page_is_everything(store: Store, make: Make, most: int) -> None:
    """Sessions with their persons, tombstones, persons nobody signed in as, values and counters."""
    kept = await fill(store, make)
    assert rows(await everything(store, most)) == kept


async def test_an_empty_store_has_nothing(store: Store) -> None:
    """Nor does asking make anything."""
    assert await everything(store) == []
    assert await everything(store, 1) == []


async def test_a_page_is_bounded(store: Store, make: Make) -> None:
    """However much there is."""
    for number in range(60):
        await store.issue(make.session(number), make.subject())
    page, after = await store.each(most=10)
    assert after is not None
    assert len(page) <= 40


async def test_what_changes_meanwhile_is_told_before_or_after(store: Store, make: Make) -> None:
    """What was there all the time is there, whatever comes and goes around it."""
    for number in range(20):
        await store.issue(make.session(number), make.subject())
    found, after = await store.each(most=5)
    await store.apply([End(make.id(number), Ending.ENDED, Actor.SELF, NOW) for number in range(0, 20, 2)])
    await store.issue(make.session(99), make.subject())
    while after is not None:
        page, after = await store.each(after, 5)
        found += page
    assert {make.id(number) for number in range(20)} <= {
        each.session.id if isinstance(each, Live) else each.id for each in found if isinstance(each, Live | Tombstone)
    }
    assert {each for each in found if isinstance(each, Live)} >= {make.live(number) for number in range(1, 20, 2)}


async def test_another_process_goes_on_where_one_was_killed(store: Store, url: str, make: Make) -> None:
    """The place of a page is worth something to whoever opens the store later."""
    kept = await fill(store, make)
    other = store if url.startswith("memory") else stores.open(url)
    found, after = await store.each(most=2)
    while after is not None:
        page, after = await other.each(after, 2)
        found += page
    assert rows(found) == kept
    await other.aclose()


# --- in -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["in", "out"])
async def test_what_was_adopted_is_as_it_was(store: Store, make: Make, way: str) -> None:
    """Every member of everything, in both directions; and a second time it is no news."""
    other = MemoryStore()
    source, target = (other, store) if way == "in" else (store, other)
    kept = await fill(source, make)
    await target.check()
    assert await target.adopt(await everything(source)) >= len(kept)
    assert rows(await everything(target)) == kept
    assert await target.adopt(await everything(source)) == 0
    assert rows(await everything(target)) == kept
    assert set(await target.load([make.id(1), make.id(5)])) == set(await source.load([make.id(1), make.id(5)]))
    assert await target.take(b"challenge", NOW) == b"\0value"
    assert await target.hit(b"throttle", 100, NOW) == Hits(3, NOW + 100)


def _stone(make: Make, **other: object) -> Tombstone:
    ended = Ended(Ending.ENDED, NOW + 3, Actor.SELF, "alice")
    return Tombstone(make.id(1), replace(ended, **other))  # type: ignore[arg-type]


JOINS: dict[str, Callable[[Make], tuple[Kept | None, Kept, Kept, bool]]] = {
    # what is here, what comes, what is here then, and whether it was news
    "a later sight moves on": lambda make: (
        make.live(1),
        make.live(1, last_seen=NOW + 60),
        make.live(1, last_seen=NOW + 60),
        True,
    ),
    "an earlier sight does not": lambda make: (
        make.live(1, last_seen=NOW + 60),
        make.live(1),
        make.live(1, last_seen=NOW + 60),
        False,
    ),
    "nothing else moves": lambda make: (make.live(1), make.live(1, device="another"), make.live(1), False),
    "an end ends": lambda make: (make.live(1), _stone(make), _stone(make), True),
    # its person is
    "an end stays": lambda make: (_stone(make), make.live(1, last_seen=NOW + 60), _stone(make), True),
    "the first end stays": lambda make: (_stone(make), _stone(make, when=NOW, how=Ending.IDLE), _stone(make), False),
    "an end is kept of whom nobody knows": lambda make: (
        None,
        _stone(make, subject="nobody"),
        _stone(make, subject="nobody"),
        True,
    ),
    "past its limits it is kept as it is": lambda make: (
        None,
        make.live(1, expires_at=NOW - 5),
        make.live(1, expires_at=NOW - 5),
        True,
    ),
}


@pytest.mark.parametrize("join", JOINS)
async def test_to_adopt_is_to_join(store: Store, make: Make, join: str) -> None:
    """Time moves on only, and an end is for good."""
    here, comes, then, news = JOINS[join](make)
    if here is not None:
        await store.adopt([here])
    assert await store.adopt([comes]) == news
    assert rows(await everything(store)) == {then}
    (found,) = await store.load([make.id(1)])
    assert found == (then.ended if isinstance(then, Tombstone) else then)


@pytest.mark.parametrize("with_session", [False, True])
@pytest.mark.parametrize(("here", "comes", "then"), [(1, 2, 2), (2, 1, 2), (2, 2, 2)])
async def test_the_newer_person_counts(
    store: Store, make: Make, here: int, comes: int, then: int, with_session: bool
) -> None:
    """Of the same version, the one that is here."""
    await store.issue(make.session(1), make.subject(version=here, name=f"here{here}"))
    person = make.subject(version=comes, name=f"comes{comes}")
    assert await store.adopt([Live(make.session(1), person) if with_session else person]) == (then > here)
    (found,) = await store.load([make.id(1)])
    assert isinstance(found, Live)
    assert found.subject.name == ("comes2" if then > here else f"here{here}")


async def test_a_value_takes_the_place_of_another(store: Store) -> None:
    """And so does a counter."""
    await store.put(b"key", b"here", NOW + 60)
    await store.hit(b"key", 10, NOW)
    assert await store.adopt([Value(b"key", b"there", NOW + 61), Counter(b"key", Hits(9, NOW + 20))]) == 2
    assert await store.peek(b"key", NOW) == b"there"
    assert await store.hits(b"key", NOW) == Hits(9, NOW + 20)


async def test_to_adopt_nothing(store: Store) -> None:
    """Is nothing."""
    assert await store.adopt([]) == 0


@pytest.mark.parametrize("news", ["tombstone", "person", "nothing"])
async def test_whoever_listens_is_told(store: Store, make: Make, news: str) -> None:
    """Of an end and of a newer person, as of any other; and what was known of them does not hold."""
    await store.issue(make.session(1), make.subject())
    await store.check()
    moment = store.moment()
    (live,) = await store.load([make.id(1)])
    assert isinstance(live, Live)
    assert moment is not None
    stamp = moment.stamp(live)
    changes = aiter(store.changes())
    comes: dict[str, Kept] = {
        "tombstone": _stone(make),
        "person": make.subject(version=2),
        "nothing": make.live(1, last_seen=NOW + 60),
    }
    await store.adopt([comes[news], make.live(2)])
    assert store.holds(stamp) is (news == "nothing")
    if news != "nothing":
        changed = await anext(changes)
        assert changed in {Changed(session=make.id(1)), Changed(subject="alice"), Changed()}


# --- closed to writing ----------------------------------------------------------------------------


def _writes() -> dict[str, Callable[[Store, Make], Awaitable[object]]]:
    return {
        "issue": lambda store, make: store.issue(make.session(7), make.subject()),
        "end": lambda store, make: store.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)]),
        "touch": lambda store, make: store.apply([Touch(make.id(1), NOW + HOUR - 1)]),
        "rotate": lambda store, make: store.apply([Rotate(make.id(1), make.session(7), NOW)]),
        "end_all": lambda store, make: store.end_all(None, Ending.REVOKED, Actor.SYSTEM, NOW),
        "publish": lambda store, make: store.publish(make.subject(version=9)),
        "sweep": lambda store, make: store.sweep(NOW + 40 * DAY),
        "put": lambda store, make: store.put(b"new", b"value", NOW),
        "take": lambda store, make: store.take(b"challenge", NOW),
        "hit": lambda store, make: store.hit(b"throttle", 10, NOW),
        "adopt": lambda store, make: store.adopt([make.live(7)]),
    }


async def test_a_frozen_store_refuses_whatever_would_change_it(store: Store, url: str, make: Make) -> None:
    """As our own failure, in every process, whenever it opened the store; reads go on as if nothing were."""
    kept = await fill(store, make)
    before = store if url.startswith("memory") else stores.open(url)
    await before.load([make.id(1)])
    moment = store.moment()
    await store.freeze()
    await store.freeze()
    after = store if url.startswith("memory") else stores.open(url)
    for write in _writes().values():
        for each in (store, before, after):
            with pytest.raises(StoreUnavailable, match="being moved"):
                await write(each, make)
    assert rows(await everything(store)) == kept
    live = Live(make.session(1, device='"é', last_seen=NOW + 5), make.subject())
    assert await store.load([make.id(1)]) == [live]
    assert moment is None or store.holds(moment.stamp(live))
    assert await store.peek(b"challenge", NOW) == b"\0value"
    for each in (store, before, after):
        await each.check()  # or whoever asks for readiness would take all nodes out of service at once
        if each is not store:
            await each.aclose()


async def test_a_store_is_opened_again(store: Store, url: str, make: Make) -> None:
    """Who thinks better of it goes on where they were."""
    await fill(store, make)
    await store.freeze()
    await store.freeze(frozen=False)
    await store.freeze(frozen=False)
    other = store if url.startswith("memory") else stores.open(url)
    for name, write in _writes().items():
        assert await write(other, make) is not False, name
    await other.aclose()


async def test_what_was_under_way_is_done_or_refused(store: Store, make: Make) -> None:
    """When it is closed, whatever was said to be done is there, and nothing comes later."""
    sessions: list[Session] = [make.session(number) for number in range(40)]
    kept: list[Session] = []

    async def issue(session: Session) -> None:
        try:
            await store.issue(session, make.subject())
        except StoreUnavailable:
            return
        kept.append(session)

    issuing = [asyncio.ensure_future(issue(session)) for session in sessions]
    await asyncio.sleep(0)
    await store.freeze()
    frozen = rows(await everything(store))
    await asyncio.gather(*issuing)
    assert {each.session.id for each in frozen if isinstance(each, Live)} == {session.id for session in kept}
    assert rows(await everything(store)) == frozen
