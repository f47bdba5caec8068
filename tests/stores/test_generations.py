"""What the SQLite store promises of what still holds: to all processes of the host, whatever becomes of the file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from demur import stores
from demur.core.model import Actor, End, Ending, Live, StoreUnavailable, Touch
from demur.stores import rows
from demur.stores.database import File
from demur.stores.generations import STRIPES, SUFFIX, Teller

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.stores.conftest import Make

    from demur.core.model import Change
    from demur.stores.sqlite import SQLiteStore

NOW = 1_800_000_000

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def end(key: bytes) -> list[Change]:
    return [End(key, Ending.REVOKED, Actor.ADMINISTRATOR, NOW)]


async def stamped(store: SQLiteStore, key: bytes) -> Any:
    """A stamp of what is loaded now; None if there can be none."""
    moment = store.moment()
    (found,) = await store.load([key])
    return moment.stamp(found) if moment is not None and isinstance(found, Live) else None


@pytest.fixture
async def held(sqlite: SQLiteStore, make: Make) -> Any:
    """A stamp of the first of three sessions that holds."""
    for number, who in ((1, "alice"), (2, "alice"), (3, "bob")):
        await sqlite.issue(make.session(number, who), make.subject(who))
    await sqlite.check()
    stamp = await stamped(sqlite, make.id(1))
    assert sqlite.holds(stamp)
    return stamp


def look_again(store: SQLiteStore) -> None:
    """As if a second had passed."""
    store._generations._look_at = 0.0


async def test_a_change_concerns_nobody_else(sqlite: SQLiteStore, make: Make, held: Any) -> None:
    """Neither another session of the same person, nor another person."""
    others = [await stamped(sqlite, make.id(number)) for number in (2, 3)]
    await sqlite.apply(end(make.id(1)))
    assert [sqlite.holds(stamp) for stamp in (held, *others)] == [False, True, True]
    await sqlite.publish(make.subject("alice", version=2))
    assert [sqlite.holds(stamp) for stamp in others] == [False, True]


async def test_another_process_is_told_before_it_is_done(
    sqlite: SQLiteStore, path: Path, make: Make, held: Any, in_child: Callable[[Callable[[], None]], None]
) -> None:
    """What it ends there does not hold here, without a look at anything."""

    async def revoke() -> None:
        store = stores.open(f"sqlite:{path}")
        await store.apply(end(make.id(1)))

    other = await stamped(sqlite, make.id(3))
    sqlite._generations._look_at = float("inf")
    in_child(lambda: asyncio.run(revoke()))
    assert not sqlite.holds(held)
    assert sqlite.holds(other)


def change_and_die(path: Path, key: bytes, *, committed: bool) -> None:
    """End a session, and be killed while that is told."""
    connection, _ = File(path).open()
    teller = Teller(File(path))
    connection.execute("BEGIN IMMEDIATE")
    position = teller.position(connection)
    rows.make(connection, end(key)[0])
    with teller.telling(connection, position):
        if committed:
            connection.execute("COMMIT")
        os.kill(os.getpid(), 9)


@pytest.mark.parametrize("committed", [False, True])
async def test_who_is_killed_in_between_leaves_a_question(
    sqlite: SQLiteStore, path: Path, make: Make, held: Any, committed: bool
) -> None:
    """Whether it came to pass is asked of the database, until the next change puts the file right."""
    child = os.fork()
    if child == 0:
        change_and_die(path, make.id(1), committed=committed)
    os.waitpid(child, 0)
    assert not sqlite.holds(held)
    (found,) = await sqlite.load([make.id(1)])
    assert isinstance(found, Live) is not committed
    moment = sqlite.moment()
    assert moment is not None
    assert moment.stamp(make.live(1)) is None
    await sqlite.apply(end(make.id(3)))
    assert not sqlite.holds(held)
    assert sqlite.holds(await stamped(sqlite, make.id(2)))
    again = sqlite.moment()
    assert again is not None
    assert again.stamp(make.live(1)) is not None


def test_no_change_is_lost(
    path: Path, make: Make, in_children: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    """However many processes change at once, each of them is told, and none leaves a question behind."""

    async def begin() -> tuple[SQLiteStore, list[Any]]:
        store: Any = stores.open(f"sqlite:{path}")
        await asyncio.gather(*(store.issue(make.session(n), make.subject()) for n in range(80)))
        await store.check()
        stamps = [await stamped(store, make.id(n)) for n in range(80)]
        assert all(store.holds(stamp) for stamp in stamps)
        return store, stamps

    async def work(number: int) -> None:
        store = stores.open(f"sqlite:{path}")
        for n in range(number * 20, number * 20 + 20):
            await store.apply(end(make.id(n)))
        await store.aclose()

    store, stamps = asyncio.run(begin())
    store._generations._look_at = float("inf")
    assert in_children(4, lambda number: asyncio.run(work(number))) == [None] * 4
    moved = sum(not store.holds(stamp) for stamp in stamps)
    mapped = stamps[0][0]
    assert moved == 80
    assert not any(word & 1 for word in mapped.words[16:])
    assert sum(mapped.words[16:]) == 2 * 80


@pytest.mark.parametrize("told", [True, False])
async def test_a_change_that_is_not_told_is_found(
    sqlite: SQLiteStore, path: Path, make: Make, held: Any, told: bool
) -> None:
    """What an older version changes is noticed within a second here, or with the next change anywhere."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as older:
        rows.make(older, end(make.id(1))[0])
    assert sqlite.holds(held)
    if told:
        await sqlite.apply(end(make.id(3)))
    else:
        look_again(sqlite)
    assert not sqlite.holds(held)
    look_again(sqlite)
    assert sqlite.holds(await stamped(sqlite, make.id(2)))


async def test_without_a_change_a_look_changes_nothing(sqlite: SQLiteStore, make: Make, held: Any) -> None:
    """However often it is looked, and whoever was seen or signed in since."""
    for number in range(4, 7):
        await sqlite.issue(make.session(number), make.subject())
        await sqlite.apply([Touch(make.id(2), NOW + 600)])
        look_again(sqlite)
        assert sqlite.holds(held)


# --- the file -------------------------------------------------------------------------------------


async def test_the_file_is_made_by_whoever_needs_it_and_is_small(sqlite: SQLiteStore, path: Path, held: Any) -> None:
    """Only its owner may read it, as with the database; all of it is on the disk."""
    found = path.with_name(path.name + SUFFIX).stat()
    assert (found.st_mode & 0o777, found.st_size) == (0o600, 4 * (STRIPES + 16))
    assert found.st_blocks * 512 >= found.st_size


@pytest.mark.parametrize("also", ["", "and a change"])
async def test_a_file_that_was_removed_is_made_again(
    sqlite: SQLiteStore, path: Path, make: Make, held: Any, also: str
) -> None:
    """Nothing that was known before counts then, wherever a change was told in between."""
    path.with_name(path.name + SUFFIX).unlink()
    if also:
        await sqlite.apply(end(make.id(1)))
    look_again(sqlite)
    assert not sqlite.holds(held)
    stamp = await stamped(sqlite, make.id(2))
    assert sqlite.holds(stamp)
    await sqlite.apply(end(make.id(2)))
    assert not sqlite.holds(stamp)


async def test_a_database_that_is_gone_or_another_holds_nothing(
    sqlite: SQLiteStore, path: Path, make: Make, held: Any
) -> None:
    """The next look says so; when it is back, nobody relies on what was before."""
    path.rename(path.with_suffix(".away"))
    look_again(sqlite)
    assert not sqlite.holds(held)
    assert sqlite.moment() is None
    path.with_suffix(".away").rename(path)
    look_again(sqlite)
    assert not sqlite.holds(held)


async def test_a_database_that_cannot_be_read_holds_nothing(sqlite: SQLiteStore, path: Path, held: Any) -> None:
    """A yes does not outlive the store for long."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    path.write_bytes(b"no database " * 5000)
    sqlite._generations._close()
    look_again(sqlite)
    assert not sqlite.holds(held)


@pytest.mark.parametrize("table", ["session", "person", "change"])
async def test_a_table_that_is_gone_holds_nothing(sqlite: SQLiteStore, path: Path, table: str, held: Any) -> None:
    """Whatever a load would read."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
    look_again(sqlite)
    assert not sqlite.holds(held)


@pytest.mark.parametrize("what", ["directory", "link", "other"])
async def test_what_is_not_our_file_is_not_used(sqlite: SQLiteStore, path: Path, make: Make, what: str) -> None:
    """Then everything is asked, nobody signed out, and nothing changed that could not be told."""
    beside = path.with_name(path.name + SUFFIX)
    await sqlite.issue(make.session(1), make.subject())
    await sqlite.check()
    if what == "directory":
        beside.mkdir()
    elif what == "link":
        beside.symlink_to(path)
    else:
        beside.write_bytes(b"something else")
    assert sqlite.moment() is None
    assert await sqlite.load([make.id(1)]) == [make.live(1)]
    with pytest.raises(StoreUnavailable) as caught:
        await sqlite.apply(end(make.id(1)))
    assert str(beside) in caught.value.cause
    await sqlite.issue(make.session(2), make.subject())
    assert await sqlite.load([make.id(1)]) == [make.live(1)]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_file_that_may_only_be_read(common: Path, make: Make, in_child: Callable[[Callable[[], None]], None]) -> None:
    """Whoever may only read is told what others change, and changes nothing."""
    path = common / "sessions.db"
    store: Any = stores.open(f"sqlite:{path}")

    async def begin() -> None:
        await store.issue(make.session(1), make.subject())
        await store.check()
        assert store.moment() is not None

    async def read() -> None:
        here: Any = stores.open(f"sqlite:{path}")
        await here.load([make.id(1)])
        stamp = await stamped(here, make.id(1))
        assert here.holds(stamp)
        with pytest.raises(StoreUnavailable) as caught:
            await here.apply(end(make.id(1)))
        assert SUFFIX in caught.value.cause

    def without_rights() -> None:
        os.setgid(65534)
        os.setuid(65534)
        asyncio.run(read())

    asyncio.run(begin())
    for file in (common, *common.iterdir()):
        file.chmod(0o777 if file.is_dir() else 0o666)
    (common / f"sessions.db{SUFFIX}").chmod(0o444)
    in_child(without_rights)
