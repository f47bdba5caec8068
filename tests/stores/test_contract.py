"""What every store promises (core.ports.Store), sentence by sentence."""

from __future__ import annotations

import asyncio
import gc
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from demur import stores
from demur.core.model import Actor, End, Ended, Ending, Live, Rotate, Touch, Unknown
from demur.core.ports import Changed, Hits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.stores.conftest import Make

    from demur.core.model import Change, Session, Subject
    from demur.core.ports import Store

NOW = 1_800_000_000
HOUR = 3600
DAY = 24 * HOUR
MONTH = 30 * DAY

# From Python 3.12 on, forking with threads gives a warning. That it works all the same is what is tested.
forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


async def one(store: Store, key: bytes) -> Live | Ended | Unknown:
    return (await store.load([key]))[0]


async def keep(store: Store, make: Make, *sessions: Session) -> None:
    for session in sessions:
        await store.issue(session, make.subject(session.subject))


# --- issue and load -------------------------------------------------------------------------------


async def test_an_issued_session_is_loaded_with_its_person(store: Store, make: Make) -> None:
    """What goes in comes out, every member of both."""
    session = make.session(acr="phr", persistent=True, authenticated_at=NOW - 5, issued_at=NOW - 9)
    person = make.subject(suspended=True, version=7)
    await store.issue(session, person)
    assert await one(store, session.id) == Live(session, person)


@pytest.mark.parametrize("scopes", [None, (), ("report:read",), ("report:read", "a b", 'é"\\')])
async def test_a_token_is_loaded_as_it_was_made(store: Store, make: Make, scopes: tuple[str, ...] | None) -> None:
    """No scopes are not all of them, and a label is any text."""
    token = make.token(scopes=scopes, label="nightly ✓")
    await store.issue(token, make.subject())
    assert await one(store, token.id) == Live(token, make.subject())


async def test_an_id_nobody_issued_is_unknown(store: Store, make: Make) -> None:
    """Neither a session nor a tombstone."""
    await keep(store, make, make.session(1))
    near_miss = make.id(1)[:8] + make.id(2)[8:]
    assert await store.load([make.id(2), near_miss, b""]) == [Unknown(), Unknown(), Unknown()]


async def test_load_answers_in_the_order_asked_for(store: Store, make: Make) -> None:
    """A batch may mix live, ended and unknown ids, and name one twice."""
    await keep(store, make, make.session(1), make.session(2), make.session(3, "bob"))
    await store.apply([End(make.id(2), Ending.ENDED, Actor.SELF, NOW + 1)])
    ended = Ended(Ending.ENDED, NOW + 1, Actor.SELF, "alice")
    asked = [make.id(n) for n in (3, 9, 2, 1, 3)]
    assert await store.load(asked) == [make.live(3, "bob"), Unknown(), ended, make.live(1), make.live(3, "bob")]
    assert await store.load([]) == []


async def test_a_large_batch_is_loaded_whole(store: Store, make: Make) -> None:
    """More ids than a store reads in one go."""
    numbers = range(250)
    await asyncio.gather(*(keep(store, make, make.session(n)) for n in numbers))
    found = await store.load([make.id(n) for n in range(260)])
    assert found == [make.live(n) for n in numbers] + [Unknown()] * 10


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [(1, 2, 2), (2, 1, 2), (2, 2, 2)],
    ids=["newer", "older", "the same"],
)
@pytest.mark.parametrize("how", ["issue", "publish"])
async def test_a_newer_snapshot_is_never_replaced_by_an_older_one(
    store: Store, make: Make, how: str, before: int, after: int, kept: int
) -> None:
    """Whichever way it comes; and all sessions of the person see the one that is kept."""
    await store.issue(make.session(1), make.subject(version=before, name=f"v{before}"))
    person = make.subject(version=after, name=f"v{after}")
    await (store.issue(make.session(2), person) if how == "issue" else store.publish(person))
    found = await one(store, make.id(1))
    assert isinstance(found, Live)
    assert (found.subject.version, found.subject.name) == (kept, f"v{kept}")


async def test_the_same_version_may_be_published_again(store: Store, make: Make) -> None:
    """Only a newer one is in the way."""
    await store.issue(make.session(), make.subject(version=3, name="before"))
    await store.publish(make.subject(version=3, name="after"))
    assert await one(store, make.id(1)) == Live(make.session(), make.subject(version=3, name="after"))


async def test_an_unknown_person_is_kept(store: Store, make: Make) -> None:
    """A snapshot that was published before the first session counts."""
    await store.publish(make.subject(version=5, groups=frozenset()))
    await store.issue(make.session(), make.subject(version=4))
    assert await one(store, make.id(1)) == Live(make.session(), make.subject(version=5, groups=frozenset()))


@pytest.mark.parametrize("ended", [False, True], ids=["live", "ended"])
async def test_an_id_is_used_once(store: Store, make: Make, ended: bool) -> None:
    """To issue it again changes nothing: neither the session, nor a tombstone, nor the person."""
    await keep(store, make, make.session())
    if ended:
        await store.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)])
    before = await one(store, make.id(1))
    with pytest.raises(ValueError, match="once"):
        await store.issue(make.session(device="another"), make.subject(version=9))
    assert await one(store, make.id(1)) == before


async def test_a_session_comes_with_its_own_person(store: Store, make: Make) -> None:
    """Anything else is a mistake of ours, and nothing is kept."""
    with pytest.raises(ValueError, match="own person"):
        await store.issue(make.session(1, "alice"), make.subject("bob"))
    assert await one(store, make.id(1)) == Unknown()


# --- touch ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("idle", "absolute", "after", "effect"),
    [
        (HOUR, DAY, 600, True),
        (HOUR, DAY, 0, False),  # nothing new
        (HOUR, DAY, -60, False),  # never back
        (HOUR, DAY, 359, False),  # once per tenth of the idle limit is enough
        (HOUR, DAY, 360, True),
        (HOUR, DAY, HOUR - 1, True),
        (HOUR, DAY, HOUR, False),  # at the second of the limit it is over
        (HOUR, DAY, HOUR + 1, False),
        (HOUR, 600, 599, True),
        (HOUR, 600, 600, False),  # past the other limit
        (0, DAY, 1, True),  # no idle limit, nothing to throttle by
        (0, DAY, DAY, False),
    ],
)
async def test_a_touch_moves_last_seen_on_or_has_no_effect(
    store: Store, make: Make, idle: int, absolute: int, after: int, effect: bool
) -> None:
    """Never back, never beyond a limit, and at most once per tenth of the idle limit."""
    session = make.session(idle=idle, expires_at=NOW + absolute)
    await keep(store, make, session)
    assert await store.apply([Touch(session.id, NOW + after)]) == [effect]
    seen = NOW + after if effect else NOW
    assert await one(store, session.id) == Live(replace(session, last_seen=seen), make.subject())


@pytest.mark.parametrize(
    ("seen", "at", "effect"),
    [
        (0, 0, True),  # the first use, at once
        (0, 300, True),
        (NOW, 599, False),  # afterwards it is known to ten minutes
        (NOW, 600, True),
        (NOW, -600, False),
        (NOW, DAY - 1, True),
        (NOW, DAY, False),
    ],
)
async def test_a_touch_says_when_a_token_was_last_used(
    store: Store, make: Make, seen: int, at: int, effect: bool
) -> None:
    """At most every ten minutes, however many ask for it; and there is no limit that it would move."""
    token = make.token(last_seen=seen)
    await keep(store, make, token)
    assert await store.apply([Touch(token.id, NOW + at)]) == [effect]
    assert await one(store, token.id) == Live(replace(token, last_seen=NOW + at if effect else seen), make.subject())
    assert await store.sweep(NOW + DAY - 1) == 0


@pytest.mark.parametrize("how", list(Ending))
async def test_a_touch_never_revives(store: Store, make: Make, how: Ending) -> None:
    """What is ended stays as it ended."""
    await keep(store, make, make.session())
    await store.apply([End(make.id(1), how, Actor.SYSTEM, NOW)])
    assert await store.apply([Touch(make.id(1), NOW + 600), Touch(make.id(2), NOW + 600)]) == [False, False]
    assert await store.load([make.id(1), make.id(2)]) == [Ended(how, NOW, Actor.SYSTEM, "alice"), Unknown()]


async def test_touches_come_in_batches(store: Store, make: Make) -> None:
    """Each for itself, in one transaction, and of several for one session only what moves it on."""
    await keep(store, make, *(make.session(n) for n in range(1, 4)))
    touches = [Touch(make.id(n), NOW + at) for n, at in [(1, 500), (2, 10), (3, 900), (1, 400), (1, 1000)]]
    assert await store.apply(touches) == [True, False, True, False, True]
    found = await store.load([make.id(n) for n in (1, 2, 3)])
    assert [live.session.last_seen - NOW for live in found if isinstance(live, Live)] == [1000, 0, 900]


# --- rotate and end -------------------------------------------------------------------------------


async def test_a_rotated_session_goes_on_under_its_new_id(store: Store, make: Make) -> None:
    """The old id is a tombstone, `replaced`, and the person is the same."""
    await keep(store, make, make.session(1))
    new = make.session(2, authenticated_at=NOW + 5, acr="phr")
    assert await store.apply([Rotate(make.id(1), new, NOW + 5)]) == [True]
    old = Ended(Ending.REPLACED, NOW + 5, Actor.SYSTEM, "alice")
    assert await store.load([make.id(1), make.id(2)]) == [old, Live(new, make.subject())]


async def test_of_two_rotations_at_once_one_wins(store: Store, make: Make) -> None:
    """And the loser changes nothing."""
    await keep(store, make, make.session(1))
    tries = [store.apply([Rotate(make.id(1), make.session(n), NOW + n)]) for n in range(2, 10)]
    effects = [effect for (effect,) in await asyncio.gather(*tries)]
    assert effects.count(True) == 1
    winner = 2 + effects.index(True)
    found = await store.load([make.id(n) for n in range(1, 10)])
    assert found[0] == Ended(Ending.REPLACED, NOW + winner, Actor.SYSTEM, "alice")
    assert [2 + n for n, what in enumerate(found[1:]) if what != Unknown()] == [winner]


@pytest.mark.parametrize("how", [None, *Ending])
async def test_only_a_live_session_is_rotated(store: Store, make: Make, how: Ending | None) -> None:
    """Neither an ended nor an unknown one."""
    if how:
        await keep(store, make, make.session(1))
        await store.apply([End(make.id(1), how, Actor.SELF, NOW)])
    before = await one(store, make.id(1))
    assert await store.apply([Rotate(make.id(1), make.session(2), NOW + 1)]) == [False]
    assert await store.load([make.id(1), make.id(2)]) == [before, Unknown()]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda make: make.session(2), id="to an id in use"),
        pytest.param(lambda make: make.session(1), id="to itself"),
        pytest.param(lambda make: make.session(3, "bob"), id="to another person"),
    ],
)
async def test_changes_happen_whole_or_not_at_all(store: Store, make: Make, wrong: Callable[[Make], Session]) -> None:
    """A contradiction in the last of several leaves the first ones undone."""
    await keep(store, make, make.session(1), make.session(2), make.session(4, "bob"))
    changes: list[Change] = [
        Touch(make.id(2), NOW + 600),
        End(make.id(4), Ending.ENDED, Actor.SELF, NOW),
        Rotate(make.id(1), wrong(make), NOW),
    ]
    with pytest.raises(ValueError, match="session"):
        await store.apply(changes)
    expected = [make.live(1), make.live(2), Unknown(), make.live(4, "bob")]
    assert await store.load([make.id(n) for n in (1, 2, 3, 4)]) == expected


@pytest.mark.parametrize("how", list(Ending))
@pytest.mark.parametrize("actor", list(Actor))
async def test_an_end_has_effect_once(store: Store, make: Make, how: Ending, actor: Actor) -> None:
    """The tombstone says how, when, by which class of actor and whose; nothing changes it again."""
    await keep(store, make, make.session())
    assert await store.apply([End(make.id(1), how, actor, NOW + 7)]) == [True]
    again = [End(make.id(1), Ending.REVOKED, Actor.ADMINISTRATOR, NOW + 9), End(make.id(2), how, actor, NOW)]
    assert await store.apply(again) == [False, False]
    assert await one(store, make.id(1)) == Ended(how, NOW + 7, actor, "alice")


async def test_changes_follow_one_another(store: Store, make: Make) -> None:
    """Within a batch each change sees what the ones before it did."""
    await keep(store, make, make.session(1))
    changes: list[Change] = [
        Touch(make.id(1), NOW + 600),
        Rotate(make.id(1), make.session(2), NOW + 601),
        Touch(make.id(1), NOW + 1200),
        End(make.id(2), Ending.ENDED, Actor.SELF, NOW + 602),
        Rotate(make.id(2), make.session(3), NOW + 603),
    ]
    assert await store.apply(changes) == [True, True, False, True, False]
    assert await store.apply([]) == []
    assert await store.load([make.id(n) for n in (1, 2, 3)]) == [
        Ended(Ending.REPLACED, NOW + 601, Actor.SYSTEM, "alice"),
        Ended(Ending.ENDED, NOW + 602, Actor.SELF, "alice"),
        Unknown(),
    ]


# --- lists, and ends of many ----------------------------------------------------------------------


async def test_sessions_are_listed_newest_first(store: Store, make: Make) -> None:
    """Of one person or of all; those that somebody ended are not there."""
    first, second = make.session(1, issued_at=NOW - 50), make.session(2)
    bobs, third, ended = make.session(3, "bob", issued_at=NOW - 20), make.session(4), make.session(5)
    await keep(store, make, second, first, bobs, third, ended)
    await store.apply([End(ended.id, Ending.ENDED, Actor.SELF, NOW)])
    assert await store.sessions("alice") == [third, second, first]
    assert await store.sessions() == [third, second, bobs, first]
    assert await store.sessions("carol") == []


async def test_tokens_and_sessions_are_told_apart(store: Store, make: Make) -> None:
    """Each kind has its list, and the end of all of one kind leaves the other."""
    session, first, second, bobs = make.session(1), make.token(2), make.token(3), make.token(4, "bob")
    await keep(store, make, session, first, second, bobs)
    assert await store.sessions("alice") == [session]
    assert await store.sessions("alice", kind="token") == [second, first]
    assert await store.sessions(kind="token") == [bobs, second, first]
    assert await store.end_all("alice", Ending.REVOKED, Actor.SELF, NOW + 1) == 1
    assert await one(store, first.id) == Live(first, make.subject())
    count = await store.end_all("alice", Ending.REVOKED, Actor.ADMINISTRATOR, NOW + 2, keep=second.id, kind="token")
    assert count == 1
    assert await store.load([session.id, first.id, second.id]) == [
        Ended(Ending.REVOKED, NOW + 1, Actor.SELF, "alice"),
        Ended(Ending.REVOKED, NOW + 2, Actor.ADMINISTRATOR, "alice"),
        Live(second, make.subject()),
    ]
    assert await store.end_all(None, Ending.ENDED, Actor.SELF, NOW + 3) == 0
    assert await store.end_all(None, Ending.ENDED, Actor.SELF, NOW + 3, kind="token") == 2


async def test_a_token_past_its_time_is_swept(store: Store, make: Make) -> None:
    """Its tombstone is an expiry, dated at its end, used or not."""
    used = make.token(2, last_seen=NOW + 5)
    await keep(store, make, make.token(1), used)
    assert await store.sweep(NOW + DAY) == 2
    assert set(await store.load([make.id(1), used.id])) == {Ended(Ending.EXPIRED, NOW + DAY, Actor.SYSTEM, "alice")}


@pytest.mark.parametrize(
    ("subject", "spared", "ended"),
    [
        ("alice", None, {1, 2, 3}),
        ("alice", 2, {1, 3}),
        ("alice", 4, {1, 2, 3}),  # somebody else's session spares none
        ("alice", 99, {1, 2, 3}),
        ("bob", None, {4}),
        ("carol", None, set()),
        (None, None, {1, 2, 3, 4}),
        (None, 1, {2, 3, 4}),
    ],
)
async def test_all_sessions_of_a_person_end_but_one(
    store: Store, make: Make, subject: str | None, spared: int | None, ended: set[int]
) -> None:
    """All, all others, or everybody's; what was ended before stays as it was, and is not counted."""
    await keep(store, make, *(make.session(n) for n in (1, 2, 3, 5)), make.session(4, "bob"))
    await store.apply([End(make.id(5), Ending.IDLE, Actor.SYSTEM, NOW)])
    spare = None if spared is None else make.id(spared)
    count = await store.end_all(subject, Ending.REVOKED, Actor.ADMINISTRATOR, NOW + 3, keep=spare)
    assert count == len(ended)
    found = await store.load([make.id(n) for n in (1, 2, 3, 4)])
    assert {n for n, what in enumerate(found, 1) if isinstance(what, Ended)} == ended
    assert {what for what in found if isinstance(what, Ended)} <= {
        Ended(Ending.REVOKED, NOW + 3, Actor.ADMINISTRATOR, whose) for whose in ("alice", "bob")
    }
    assert await one(store, make.id(5)) == Ended(Ending.IDLE, NOW, Actor.SYSTEM, "alice")


# --- sweep ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("idle", "absolute", "after", "how", "when"),
    [
        (HOUR, DAY, HOUR - 1, None, 0),
        (HOUR, DAY, HOUR, Ending.IDLE, HOUR),
        (HOUR, DAY, 20 * DAY, Ending.IDLE, HOUR),  # dated at the limit, not at the sweep
        (HOUR, 1800, 1799, None, 0),
        (HOUR, 1800, 1800, Ending.EXPIRED, 1800),
        (HOUR, 1800, DAY, Ending.EXPIRED, 1800),
        (HOUR, HOUR, HOUR, Ending.IDLE, HOUR),  # both at once: idle, as core.sessions says
        (0, DAY, DAY - 1, None, 0),
        (0, DAY, DAY, Ending.EXPIRED, DAY),
    ],
)
async def test_a_sweep_turns_what_is_past_its_limit(
    store: Store, make: Make, idle: int, absolute: int, after: int, how: Ending | None, when: int
) -> None:
    """The tombstone is dated at the limit that came first."""
    session = make.session(idle=idle, expires_at=NOW + absolute)
    await keep(store, make, session)
    assert await store.sweep(NOW + after) == (1 if how else 0)
    ended = Ended(how, NOW + when, Actor.SYSTEM, "alice") if how else Live(session, make.subject())
    assert await one(store, session.id) == ended
    assert await store.sweep(NOW + after) == 0
    assert len(await store.sessions("alice")) == (0 if how else 1)


@pytest.mark.parametrize("how", list(Ending))
async def test_a_tombstone_lasts_thirty_days(store: Store, make: Make, how: Ending) -> None:
    """Then its id is one that nobody knows."""
    await keep(store, make, make.session())
    await store.apply([End(make.id(1), how, Actor.SELF, NOW + 5)])
    assert await store.sweep(NOW + 5 + MONTH - 1) == 0
    assert isinstance(await one(store, make.id(1)), Ended)
    assert await store.sweep(NOW + 5 + MONTH) == 1
    assert await one(store, make.id(1)) == Unknown()


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_tombstone_lasts_no_longer_for_what_would_have_lasted(store: Store, make: Make, at_once: bool) -> None:
    """A token for a year, and one day's session, are forgotten on the same day."""
    await keep(store, make, make.token(1, expires_at=NOW + 12 * MONTH))
    if at_once:
        assert await store.end_all("alice", Ending.REVOKED, Actor.SELF, NOW, kind="token") == 1
    else:
        await store.apply([End(make.id(1), Ending.REVOKED, Actor.SELF, NOW)])
    assert await store.sweep(NOW + MONTH - 1) == 0
    assert await store.sweep(NOW + MONTH) == 1
    assert await one(store, make.id(1)) == Unknown()


async def test_a_sweep_forgets_values_and_hits_after_their_time(store: Store, make: Make) -> None:
    """And nothing before; each row counts once."""
    await keep(store, make, make.session(1), make.session(2, expires_at=NOW + 10 * DAY, idle=0))
    await store.put(b"short", b"1", NOW + 10)
    await store.put(b"long", b"2", NOW + 20)
    await store.hit(b"short", 10, NOW)
    await store.hit(b"long", 20, NOW)
    assert await store.sweep(NOW + 9) == 0
    assert await store.sweep(NOW + 10) == 2
    assert await store.peek(b"long", NOW + 10) == b"2"
    assert await store.hits(b"long", NOW + 10) == Hits(1, NOW + 20)
    assert await store.sweep(NOW + HOUR) == 3


async def test_a_sweep_of_many_leaves_none(store: Store, make: Make) -> None:
    """More than one batch of them; and a session long past its end is turned first and forgotten next."""
    for start in range(0, 1201, 20):  # all at once would keep the last ones waiting
        batch = (make.session(n) for n in range(start, min(start + 20, 1201)))
        await asyncio.gather(*(keep(store, make, session) for session in batch))
    assert await store.sweep(NOW + 10 * MONTH) == 1201
    assert await store.sessions() == []
    assert await one(store, make.id(7)) == Ended(Ending.IDLE, NOW + HOUR, Actor.SYSTEM, "alice")
    assert await store.sweep(NOW + 10 * MONTH) == 1201
    assert await one(store, make.id(7)) == Unknown()


# --- memory that expires --------------------------------------------------------------------------


async def test_a_value_is_kept_until_its_second(store: Store) -> None:
    """Peek leaves it, take takes it, and at the second it is gone for both."""
    await store.put(b"key", b"value", NOW + 10)
    assert await store.peek(b"key", NOW + 9) == b"value"
    assert await store.peek(b"key", NOW + 10) is None
    assert await store.peek(b"other", NOW) is None
    assert await store.take(b"key", NOW + 9) == b"value"
    assert await store.take(b"key", NOW + 9) is None
    await store.put(b"key", b"value", NOW + 10)
    assert await store.take(b"key", NOW + 10) is None


async def test_a_value_replaces_another(store: Store) -> None:
    """With its own time, be it shorter; and an empty one is a value."""
    await store.put(b"key", b"first", NOW + 100)
    await store.put(b"key", b"", NOW + 10)
    assert await store.peek(b"key", NOW + 10) is None
    assert await store.take(b"key", NOW + 9) == b""


async def test_exactly_one_taker_gets_a_value(store: Store) -> None:
    """Of any number at once, in one loop."""
    for turn in range(20):
        await store.put(b"%d" % turn, b"once", NOW + 10)
        taken = await asyncio.gather(*(store.take(b"%d" % turn, NOW) for _ in range(10)))
        assert sorted(taken, key=str) == [None] * 9 + [b"once"] or taken.count(b"once") == 1


def test_exactly_one_thread_takes_a_value(url: str) -> None:
    """Of several threads, each with a loop of its own on the same store."""
    store = stores.open(url)
    asyncio.run(_put_many(store))
    start = threading.Barrier(4)
    taken: list[list[bytes | None]] = []

    def take() -> None:
        start.wait()
        taken.append(asyncio.run(_take_many(store)))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sorted(filter(None, values)) for values in zip(*taken, strict=True)] == [[b"%d" % n] for n in range(50)]


async def _put_many(store: Store) -> None:
    for n in range(50):
        await store.put(b"key %d" % n, b"%d" % n, NOW + 10)
    await store.aclose()


async def _take_many(store: Store) -> list[bytes | None]:
    taken = [await store.take(b"key %d" % n, NOW) for n in range(50)]
    await store.aclose()
    return taken


async def test_hits_are_counted_within_their_window(store: Store) -> None:
    """It starts at the first hit, does not move with the next ones, and a new one starts after its end."""
    seen = [await store.hit(b"key", 60, NOW + at) for at in (0, 10, 59, 60, 61)]
    assert seen == [
        Hits(1, NOW + 60),
        Hits(2, NOW + 60),
        Hits(3, NOW + 60),
        Hits(1, NOW + 120),
        Hits(2, NOW + 120),
    ]
    assert await store.hits(b"key", NOW + 119) == Hits(2, NOW + 120)
    assert await store.hits(b"key", NOW + 120) == Hits(0, NOW + 120)
    assert await store.hits(b"other", NOW) == Hits(0, NOW)


async def test_no_hit_is_lost(store: Store) -> None:
    """Of many at once each is counted."""
    seen = await asyncio.gather(*(store.hit(b"key", 60, NOW) for _ in range(200)))
    assert sorted(hits.count for hits in seen) == list(range(1, 201))
    assert await store.hits(b"key", NOW) == Hits(200, NOW + 60)


# --- changes --------------------------------------------------------------------------------------


async def gather(changes: object, last: Changed) -> list[Changed]:
    """All that is told, up to one that is known to come; "everything" may stand for any of them."""
    told: list[Changed] = []
    async with asyncio.timeout(10):
        async for changed in changes:  # type: ignore[attr-defined]
            told.append(changed)
            if changed == last:
                return told
    raise AssertionError(told)


async def test_changes_tells_ends_rotations_and_snapshots(store: Store, make: Make) -> None:
    """Each of them; neither issue nor touch, and nothing that had no effect."""
    await keep(store, make, *(make.session(n) for n in range(1, 6)), make.session(7, expires_at=NOW + 9))
    await store.check()
    changes = store.changes()
    await keep(store, make, make.session(6), make.session(8, "bob"))
    await store.apply([Touch(make.id(1), NOW + 600)])
    await store.apply([End(make.id(99), Ending.ENDED, Actor.SELF, NOW)])
    await store.apply([End(make.id(2), Ending.ENDED, Actor.SELF, NOW)])
    await store.apply([Rotate(make.id(3), make.session(9), NOW)])
    await store.publish(make.subject("bob", version=3))
    await store.publish(make.subject("bob", version=2))
    await store.sweep(NOW + 9)
    await store.issue(make.session(10), make.subject(version=4))
    await store.end_all("carol", Ending.ENDED, Actor.SELF, NOW)
    await store.end_all("alice", Ending.ENDED, Actor.SELF, NOW)
    await store.end_all("bob", Ending.ENDED, Actor.SELF, NOW)
    told = await gather(changes, Changed(subject="bob")) + await gather(changes, Changed(subject="bob"))
    expected = [
        Changed(session=make.id(2)),
        Changed(session=make.id(3)),
        Changed(subject="bob"),
        Changed(session=make.id(7)),
        Changed(subject="alice"),
        Changed(subject="alice"),
        Changed(subject="bob"),
    ]
    assert [changed for changed in told if changed != Changed()] == expected


async def test_the_end_of_everybody_is_a_change_of_everything(store: Store, make: Make) -> None:
    """One row says it, however many sessions there were."""
    await keep(store, make, make.session(1), make.session(2, "bob"))
    await store.check()
    changes = store.changes()
    await store.end_all(None, Ending.REVOKED, Actor.ADMINISTRATOR, NOW)
    assert await gather(changes, Changed()) == [Changed()]
    await store.publish(make.subject(version=2))
    told = await gather(changes, Changed(subject="alice"))
    assert [changed for changed in told if changed != Changed()] == [Changed(subject="alice")]


async def test_each_reader_of_changes_is_told(store: Store, make: Make) -> None:
    """Also one that waits already, and one that comes back after a while."""
    await keep(store, make, *(make.session(n) for n in range(1, 4)))
    await store.check()
    waiting, late = store.changes(), store.changes()
    first = asyncio.create_task(gather(waiting, Changed(session=make.id(1))))
    await asyncio.sleep(0)
    await store.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)])
    await first
    await store.apply([End(make.id(2), Ending.ENDED, Actor.SELF, NOW)])
    assert await gather(waiting, Changed(session=make.id(2))) == [Changed(session=make.id(2))]
    told = await gather(late, Changed(session=make.id(2)))
    assert told[-2:] == [Changed(session=make.id(1)), Changed(session=make.id(2))]


async def _publish(store: Store, people: Sequence[Subject]) -> None:
    for start in range(0, len(people), 200):
        await asyncio.gather(*map(store.publish, people[start : start + 200]))


async def test_a_reader_far_behind_is_told_everything(store: Store, make: Make) -> None:
    """None is lost: what is too much to keep becomes one "everything"."""
    await keep(store, make, make.session(1))
    await store.check()
    people = [f"person {n}" for n in range(2400)]  # each their own: what happens to one may be told once
    await _publish(store, [make.subject(person) for person in people])
    changes = store.changes()
    await _publish(store, [make.subject(person, version=2) for person in people])
    await store.sweep(NOW)
    assert Changed() in await gather(changes, Changed())


# --- what still holds -----------------------------------------------------------------------------


async def stamped(store: Store, key: bytes) -> object:
    """A stamp of what is loaded now."""
    moment = store.moment()
    assert moment is not None
    found = await one(store, key)
    assert isinstance(found, Live)
    stamp = moment.stamp(found)
    assert stamp is not None
    return stamp


async def test_what_nothing_happens_to_holds(store: Store, make: Make) -> None:
    """Neither issuing nor touching is a change, nor anything that is not about sessions, nor what had no effect."""
    await keep(store, make, make.session(1))
    await store.check()
    stamp = await stamped(store, make.id(1))
    assert store.holds(stamp)
    await keep(store, make, make.session(2), make.session(3, "bob"))
    await store.apply([Touch(make.id(1), NOW + 600), End(make.id(9), Ending.ENDED, Actor.SELF, NOW)])
    await store.publish(make.subject())
    await store.end_all("carol", Ending.ENDED, Actor.SELF, NOW)
    await store.put(b"key", b"value", NOW)
    await store.hit(b"key", 10, NOW)
    await store.sweep(NOW)
    assert store.holds(stamp)


def _changes() -> dict[str, Callable[[Store, Make], Awaitable[object]]]:
    return {
        "end": lambda store, make: store.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)]),
        "rotation": lambda store, make: store.apply([Rotate(make.id(1), make.session(7), NOW)]),
        "publish": lambda store, make: store.publish(make.subject(version=2)),
        "issue": lambda store, make: store.issue(make.session(7), make.subject(version=2)),
        "end of a person's": lambda store, make: store.end_all("alice", Ending.REVOKED, Actor.SYSTEM, NOW),
        "end of all": lambda store, make: store.end_all(None, Ending.REVOKED, Actor.SYSTEM, NOW),
        "sweep": lambda store, make: store.sweep(NOW + DAY),
    }


@pytest.mark.parametrize("change", _changes())
async def test_what_was_changed_does_not_hold(store: Store, make: Make, change: str) -> None:
    """From the moment at which it is said to be done; and what is loaded afterwards holds again."""
    await keep(store, make, make.session(1))
    await store.check()
    stamp, moment = await stamped(store, make.id(1)), store.moment()
    await _changes()[change](store, make)
    assert not store.holds(stamp)
    assert moment is not None
    # Loaded before or after the change: nobody can say, so it does not count.
    assert not store.holds(moment.stamp(make.live(1)))
    await keep(store, make, make.session(5, "carol"))
    assert store.holds(await stamped(store, make.id(5)))


def test_what_holds_is_told_in_any_thread_and_after_a_loop(url: str, make: Make) -> None:
    """A stamp outlives the loop in which it was made, and no loop is needed to ask."""
    store = stores.open(url)

    async def begin() -> object:
        await keep(store, make, make.session(1))
        await store.check()
        return await stamped(store, make.id(1))

    async def end() -> bool:
        stamp = await begin_again()
        said: list[bool] = []
        thread = threading.Thread(target=lambda: said.append(store.holds(stamp)))
        thread.start()
        thread.join()
        await store.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)])
        return said == [True] and not store.holds(stamp)

    async def begin_again() -> object:
        await store.check()
        return await stamped(store, make.id(1))

    stamp = asyncio.run(begin())
    assert asyncio.run(end())
    assert not store.holds(stamp)


async def _until(condition: Callable[[], bool]) -> None:
    """What another process did is heard by an event loop as soon as it runs again."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


@forks
def test_a_child_knows_what_holds(url: str, make: Make, in_child: Callable[[Callable[[], None]], None]) -> None:
    """A stamp that was made before a fork is asked about after it."""
    store = stores.open(url)

    async def in_the_child(stamp: object) -> None:
        assert store.holds(stamp)
        await store.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)])
        assert not store.holds(stamp)

    async def parent() -> None:
        await keep(store, make, make.session(1))
        await store.check()
        stamp = await stamped(store, make.id(1))
        in_child(lambda: _in_new_loop(in_the_child(stamp)))
        await _until(lambda: store.holds(stamp) is url.startswith("memory"))
        await store.aclose()

    asyncio.run(parent())


# --- how it lives ---------------------------------------------------------------------------------


def test_two_loops_in_sequence(url: str, make: Make) -> None:
    """A store that was used in one event loop is used in the next, without a word in between."""
    store = stores.open(url)

    async def first() -> None:
        await keep(store, make, make.session(1))
        assert await one(store, make.id(1)) == make.live(1)

    async def second() -> None:
        assert await one(store, make.id(1)) == make.live(1)
        await store.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)])
        assert await one(store, make.id(1)) == Ended(Ending.ENDED, NOW, Actor.SELF, "alice")

    asyncio.run(first())
    asyncio.run(second())
    gc.collect()  # what the loops left open is closed with them: no ResourceWarning here


def test_two_loops_at_once(url: str, make: Make) -> None:
    """Each in a thread of its own: what one ends, the other sees ended with its next read."""
    store = stores.open(url)
    ready, ended = threading.Event(), threading.Event()
    seen: list[Sequence[object]] = []

    async def watch() -> None:
        seen.append(await store.load([make.id(1)]))
        ready.set()
        await asyncio.to_thread(ended.wait)
        seen.append(await store.load([make.id(1)]))

    async def end() -> None:
        await asyncio.to_thread(ready.wait)
        await store.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)])
        ended.set()

    asyncio.run(keep(store, make, make.session(1)))
    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for work in (watch, end)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [[make.live(1)], [Ended(Ending.ENDED, NOW, Actor.SELF, "alice")]]


@forks
def test_fork_after_construction(url: str, make: Make, in_child: Callable[[Callable[[], None]], None]) -> None:
    """A store made before the fork is used after it, on both sides."""
    store = stores.open(url)

    async def use(number: int) -> None:
        await keep(store, make, make.session(number))
        assert await one(store, make.id(number)) == make.live(number)

    in_child(lambda: asyncio.run(use(1)))
    asyncio.run(use(2))


@forks
def test_fork_after_use(url: str, make: Make, in_child: Callable[[Callable[[], None]], None]) -> None:
    """A store that was in use when the process forked works on both sides, and the child knows what was there."""
    store = stores.open(url)

    async def use() -> None:
        assert await one(store, make.id(1)) == make.live(1)
        await store.apply([Touch(make.id(1), NOW + 600)])
        await store.put(b"child", b"was here", NOW + 10)

    async def parent() -> None:
        await keep(store, make, make.session(1))
        assert await one(store, make.id(1)) == make.live(1)
        in_child(lambda: _in_new_loop(use()))
        assert isinstance(await one(store, make.id(1)), Live)
        await store.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)])
        assert isinstance(await one(store, make.id(1)), Ended)
        await store.aclose()

    asyncio.run(parent())


def _in_new_loop(work: object) -> None:
    threading.Thread(target=lambda: None).start()  # the child can have threads of its own
    asyncio.run(work)  # type: ignore[arg-type]


@forks
def test_fork_in_the_middle_of_writing(url: str, make: Make, in_child: Callable[[Callable[[], None]], None]) -> None:
    """However often a process forks while another of its threads writes, nobody inherits a lock that stays."""
    store = stores.open(url)
    stop = threading.Event()

    async def write() -> int:
        count = 0
        while not stop.is_set():
            await store.hit(b"parent", 1000, NOW)
            count += 1
        await store.aclose()
        return count

    async def child() -> None:
        async with asyncio.timeout(20):
            await store.hit(b"child", 1000, NOW)
            assert await one(store, make.id(1)) == make.live(1)

    asyncio.run(keep(store, make, make.session(1)))
    counted: list[int] = []
    thread = threading.Thread(target=lambda: counted.append(asyncio.run(write())))
    thread.start()
    try:
        for _ in range(10):
            in_child(lambda: asyncio.run(child()))
    finally:
        stop.set()
        thread.join()
    assert asyncio.run(store.hits(b"parent", NOW)) == Hits(counted[0], NOW + 1000)


async def test_a_closed_store_can_be_used_again(store: Store, make: Make) -> None:
    """Closing lets go of what is open, not of what is kept; closing twice, or before use, does nothing."""
    await store.aclose()
    await keep(store, make, make.session(1))
    await store.aclose()
    await store.aclose()
    assert await one(store, make.id(1)) == make.live(1)
    await store.check()


async def test_check_is_content(store: Store, make: Make) -> None:
    """Reading and writing work, also before anything else, and nothing is changed by asking."""
    await store.check()
    await keep(store, make, make.session(1))
    await store.check()
    assert await one(store, make.id(1)) == make.live(1)
