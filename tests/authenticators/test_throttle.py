"""The brake on guessing."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from demur import stores
from demur.accounts import names
from demur.authenticators.throttle import (
    ACCOUNT,
    FAMILIAR_FOR,
    NETWORK,
    PAIR,
    UNKNOWN_NETWORK,
    Limit,
    Throttle,
    network,
    within,
)

if TYPE_CHECKING:
    from pathlib import Path

    from demur.core.ports import Store

NOW = 1_800_000_000
DAY = 24 * 3600
HOME, CAFE, FAR = "192.0.2.1", "192.0.2.2", "2001:db8::/64"


@pytest.fixture
def store() -> Store:
    """A store that forgets."""
    return stores.open("memory:")


@pytest.fixture
def throttle(store: Store) -> Throttle:
    """A brake on that store."""
    return Throttle(store)


async def fail(throttle: Throttle, account: str | None, name: str, place: str, now: int) -> int | None:
    """One try with a wrong password, if it is let through; the seconds to wait if not."""
    wait = await throttle.admit(account, name, place, now)
    if wait is None:
        await throttle.failed(account, name, place, now)
    return wait


async def tries(throttle: Throttle, account: str | None, place: str, start: int, until: int) -> int:
    """How many wrong passwords somebody gets in who tries again as soon as possible."""
    now, count = start, 0
    while now < until:
        wait = await fail(throttle, account, "alice", place, now)
        count += wait is None
        now += wait or 0
    return count


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7 ", "192.0.2.7"),
        ("", UNKNOWN_NETWORK),
        ("unix:", UNKNOWN_NETWORK),
        ("192.0.2.7:80", UNKNOWN_NETWORK),
        ("192.0.2", UNKNOWN_NETWORK),
    ],
)
def test_what_of_an_address_counts(address: str, expected: str) -> None:
    """One subscriber is one network, however many addresses they have."""
    assert network(address) == expected


@pytest.mark.parametrize(
    ("count", "expected"), [(0, 0), (4, 0), (5, 1), (6, 2), (7, 4), (14, 512), (16, 1800), (1_000_000, 1800)]
)
def test_the_wait_doubles_up_to_a_bound(count: int, expected: int) -> None:
    """The first few are free, then each costs twice as long as the one before."""
    assert Limit(free=5, window=DAY, longest=1800).wait(count) == expected


@pytest.mark.parametrize(("account", "name"), [("id-1", "alice"), (None, "alice"), (None, "no name at all!")])
async def test_a_few_are_free_and_then_it_gets_slow(throttle: Throttle, account: str | None, name: str) -> None:
    """The first five pass, the sixth closes the door for a second, the seventh for two, whoever has the name."""
    for _ in range(PAIR.free + 1):
        assert await fail(throttle, account, name, CAFE, NOW) is None
    assert await fail(throttle, account, name, CAFE, NOW) == 1
    assert await fail(throttle, account, name, CAFE, NOW + 1) is None
    assert await fail(throttle, account, name, CAFE, NOW + 1) == 2
    assert await fail(throttle, account, name, CAFE, NOW + 2) == 1
    assert await fail(throttle, account, name, CAFE, NOW + 3) is None
    assert await fail(throttle, account, name, CAFE, NOW + 3) == 4


async def test_waiting_is_not_punished(throttle: Throttle) -> None:
    """Asking again during the wait does not make it longer."""
    for _ in range(PAIR.free + 1):
        await fail(throttle, "id-1", "alice", CAFE, NOW)
    for _ in range(50):
        assert await fail(throttle, "id-1", "alice", CAFE, NOW) == 1
    assert await fail(throttle, "id-1", "alice", CAFE, NOW + 1) is None


@pytest.mark.parametrize("kind", ["memory:", "sqlite:"])
async def test_a_hundred_at_once_are_not_a_hundred_tries(tmp_path: Path, kind: str) -> None:
    """Tries that are sent before the first has failed count as well."""
    store = stores.open(kind if kind == "memory:" else f"{kind}{tmp_path / 'sessions.db'}")
    throttle = Throttle(store)
    waits = await asyncio.gather(*(throttle.admit("id-1", "alice", CAFE, NOW) for _ in range(100)))
    await store.aclose()
    assert waits.count(None) == PAIR.free + 1


@pytest.mark.parametrize("name", ["ALICE", " alice ", "\uff41lice", "Alice"])
async def test_all_spellings_of_an_unknown_name_are_one(throttle: Throttle, name: str) -> None:
    """Accounts reads these as one name, so they must count as one where nobody has it."""
    assert names.key(name) == names.key("alice")
    for _ in range(PAIR.free + 1):
        await fail(throttle, None, "alice", CAFE, NOW)
    assert await fail(throttle, None, name, CAFE, NOW) == 1
    assert await fail(throttle, None, "bob", CAFE, NOW) is None


async def test_success_forgets_within_a_second_too(throttle: Throttle) -> None:
    """Whoever gives the right password many times at once has not guessed."""
    for _ in range(3 * PAIR.free):
        assert await throttle.admit("id-1", "alice", CAFE, NOW) is None
        await throttle.succeeded("id-1", "alice", CAFE, NOW)


async def test_a_name_that_is_much_too_long_costs_nothing(throttle: Throttle) -> None:
    """It is counted like any other, and must not keep everybody else waiting meanwhile."""
    name = "a" + "\u0315\u0327" * 15_000
    began = time.thread_time()
    for _ in range(PAIR.free + 1):
        await fail(throttle, None, name, CAFE, NOW)
    assert await fail(throttle, None, name, CAFE, NOW) == 1
    assert time.thread_time() - began < 0.1


async def test_names_and_networks_do_not_count_for_each_other(throttle: Throttle) -> None:
    """Somebody else here, and the same person elsewhere, are not held up by a few failures."""
    for _ in range(PAIR.free + 1):
        await fail(throttle, "id-1", "alice", CAFE, NOW)
    assert await fail(throttle, "id-1", "alice", CAFE, NOW) == 1
    assert await fail(throttle, "id-2", "bob", CAFE, NOW) is None
    assert await fail(throttle, "id-1", "alice", FAR, NOW) is None


async def test_success_forgets(throttle: Throttle) -> None:
    """After the right password the free tries are back."""
    for second in range(20):
        await fail(throttle, "id-1", "alice", CAFE, NOW + second)
    assert await throttle.admit("id-1", "alice", CAFE, NOW + 19) is not None
    await throttle.succeeded("id-1", "alice", CAFE, NOW + 20)
    for _ in range(PAIR.free):
        assert await fail(throttle, "id-1", "alice", CAFE, NOW + 20) is None


async def test_one_account_bears_less_than_a_hundred_strangers_tries_a_day(throttle: Throttle) -> None:
    """However many networks guess at one account, all together get fewer than 100 tries in a day (NIST SP 800-63B)."""
    now, count = NOW, 0
    while now < NOW + DAY:
        waits = []
        for number in range(50):
            wait = await fail(throttle, "id-1", "alice", f"198.51.100.{number}", now)
            count += wait is None
            waits.append(wait or 1)
        now += min(waits)
    assert ACCOUNT.free < count < 100


async def test_one_network_gets_fewer_still(throttle: Throttle) -> None:
    """Who guesses from one place gets fewer than 100 tries in a day, even where the account is at home."""
    await throttle.succeeded("id-1", "alice", HOME, NOW)
    assert PAIR.free < await tries(throttle, "id-1", HOME, NOW, NOW + DAY) < 100


async def test_strangers_cannot_lock_anybody_out(throttle: Throttle) -> None:
    """A network from which the person has signed in is not held up by whatever happens elsewhere, or to others here."""
    await throttle.succeeded("id-1", "alice", HOME, NOW)
    for number in range(1000):
        await fail(throttle, "id-1", "alice", f"198.51.100.{number % 250}", NOW + number)
        await fail(throttle, None, f"name-{number}", HOME, NOW + number)
    assert await throttle.admit("id-1", "alice", FAR, NOW + 1000) is not None
    assert await throttle.admit("id-3", "carol", HOME, NOW + 1000) is not None
    assert await throttle.admit("id-1", "alice", HOME, NOW + 1000) is None


@pytest.mark.parametrize(("later", "familiar"), [(FAMILIAR_FOR - 1, True), (FAMILIAR_FOR + 1, False)])
async def test_a_network_is_familiar_for_thirty_days(throttle: Throttle, later: int, familiar: bool) -> None:
    """The exemption ends when nobody has signed in from there for a while."""
    await throttle.succeeded("id-1", "alice", HOME, NOW)
    start = NOW + later - 500
    for number in range(500):
        await fail(throttle, "id-1", "alice", f"198.51.100.{number % 250}", start + number)
    assert (await throttle.admit("id-1", "alice", HOME, NOW + later) is None) is familiar


async def test_an_unknown_network_is_never_familiar(throttle: Throttle) -> None:
    """Where everybody comes from "unknown", one person's success exempts nobody."""
    await throttle.succeeded("id-1", "alice", UNKNOWN_NETWORK, NOW)
    for number in range(500):
        await fail(throttle, "id-1", "alice", f"198.51.100.{number % 250}", NOW + number)
    assert await throttle.admit("id-1", "alice", UNKNOWN_NETWORK, NOW + 500) is not None


async def test_a_network_that_tries_many_names_is_slowed(throttle: Throttle) -> None:
    """A list of names tried once each stops being quick after a hundred failures."""
    waits = [await fail(throttle, None, f"name-{number}", CAFE, NOW) for number in range(NETWORK.free + 20)]
    assert waits[: NETWORK.free] == [None] * NETWORK.free
    assert waits[-1] is not None
    assert await fail(throttle, None, "somebody else", HOME, NOW) is None


async def test_a_network_where_people_sign_in_is_not_slowed(throttle: Throttle) -> None:
    """A school full of people who type the right password is one network and no attack."""
    for number in range(3 * NETWORK.free):
        assert await throttle.admit(f"id-{number}", f"name-{number}", CAFE, NOW) is None
        await throttle.succeeded(f"id-{number}", f"name-{number}", CAFE, NOW)


async def test_who_is_signed_in_is_not_held_up(throttle: Throttle) -> None:
    """Confirming a password counts for the session alone, in both directions."""
    for number in range(500):
        await fail(throttle, "id-1", "alice", f"198.51.100.{number % 250}", NOW + number)
    here = within("0011223344556677")
    for _ in range(PAIR.free + 1):
        assert await fail(throttle, "id-1", "alice", here, NOW + 500) is None
    assert await fail(throttle, "id-1", "alice", here, NOW + 500) == 1
    assert await fail(throttle, "id-1", "alice", within("8899aabbccddeeff"), NOW + 500) is None


async def test_the_store_does_not_learn_names() -> None:
    """Keys show neither names nor addresses to whoever reads the session store."""
    store = stores.open("memory:")
    await fail(Throttle(store), None, "alice", "192.0.2.7", NOW)
    kept = repr({slot: getattr(store, slot) for slot in vars(store)})
    assert "throttle" in kept
    assert "alice" not in kept
    assert "192.0.2.7" not in kept
