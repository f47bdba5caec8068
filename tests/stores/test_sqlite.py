"""What the SQLite store promises beyond the contract: many processes, one file, and no harm when that fails."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import time
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from tests.noise import NOISE
from tests.stores.life import live

from demur import stores
from demur.core.model import Actor, End, Ended, Ending, Live, Rotate, StoreUnavailable, Touch, Unknown
from demur.core.ports import Changed
from demur.stores import database, rows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.stores.conftest import Make

    from demur.core.ports import Store

NOW = 1_800_000_000
HOUR = 3600

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


async def one(store: Store, key: bytes) -> Live | Ended | Unknown:
    return (await store.load([key]))[0]


async def unavailable(work: Awaitable[object]) -> str:
    """The cause for which something could not be done."""
    with pytest.raises(StoreUnavailable) as caught:
        await work
    return caught.value.cause


# --- the file -------------------------------------------------------------------------------------


async def test_nothing_is_opened_before_it_is_needed(path: Path, make: Make) -> None:
    """A store is configuration until it is used; then its file is there, and only its owner may read it."""
    store = stores.open(f"sqlite:{path}")
    await store.aclose()
    assert not path.exists()
    assert await one(store, make.id(1)) == Unknown()
    await store.issue(make.session(), make.subject())
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == {"sessions.db": 0o600, "sessions.db-wal": 0o600, "sessions.db-shm": 0o600}
    await store.aclose()


async def test_a_read_takes_no_detour(sqlite: Store, make: Make) -> None:
    """Once the file is open, a load runs through without giving way: nothing but one statement."""
    await sqlite.issue(make.session(), make.subject())
    await sqlite.check()
    with pytest.raises(StopIteration) as done:
        sqlite.load([make.id(1)]).send(None)
    assert done.value.value == [make.live(1)]


async def test_no_statement_reads_the_whole_table(sqlite: Store, path: Path) -> None:
    """What happens for each request, and what is done for one person, finds its rows by an index."""
    await sqlite.check()
    asked: list[str] = []
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.set_trace_callback(asked.append)
        key = b"k" * 32
        rows.load(connection, key)
        rows.live(connection, "alice", "session")
        rows.end_all(connection, "alice", Ending.ENDED, Actor.SELF, NOW, None, "token")
        rows.make(connection, Touch(key, NOW))
        rows.make(connection, End(key, Ending.ENDED, Actor.SELF, NOW))
        rows.forget(connection, NOW)
        rows.turn(connection, NOW)
        connection.set_trace_callback(None)
        plans = [step[3] for sql in asked for step in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert len(asked) >= 10
    assert [plan for plan in plans if plan.startswith("SCAN") and "CONSTANT" not in plan] == []


async def test_a_tombstone_keeps_no_device_and_no_network(path: Path, make: Make) -> None:
    """Not in the table, and not in what is left of the row in the file."""
    store = stores.open(f"sqlite:{path}")
    for number in range(40):
        about = "Netscape on Amiga" if number % 2 else "Firefox on Linux"
        await store.issue(make.session(number, device=about, network=f"{about}'s network"), make.subject())
    await store.apply([End(make.id(number), Ending.ENDED, Actor.SELF, NOW) for number in range(1, 40, 2)])
    await store.aclose()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT * FROM session WHERE how IS NOT NULL").fetchall()
    assert found == [
        (number + 1, make.id(number), 1, *[None] * 9, 3, NOW, 1, 0, None, None) for number in range(1, 40, 2)
    ]
    content = path.read_bytes()
    assert b"Firefox on Linux" in content
    assert b"Netscape" not in content


async def test_a_session_takes_less_than_200_bytes(path: Path, make: Make) -> None:
    """Row, indexes and the room between them; persons apart."""
    store = stores.open(f"sqlite:{path}")
    await asyncio.gather(*(store.issue(make.session(n), make.subject()) for n in range(2000)))
    await store.aclose()
    assert path.stat().st_size / 2000 < 200


# --- a file of an earlier version ------------------------------------------------------------------

BEFORE = Path(__file__).parent / "schema-1.sql"
"""A session of alice, a revoked one of bob's, a value and a hit, as the version before API tokens kept them."""


def made_before(path: Path) -> None:
    """The file as that version left it."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(BEFORE.read_text())


async def test_a_file_of_the_last_version_is_moved_on(path: Path, make: Make) -> None:
    """Nobody is signed out by an upgrade, what was ended stays as it ended, and tokens can be kept there."""
    made_before(path)
    store = stores.open(f"sqlite:{path}")
    ended = Ended(Ending.REVOKED, NOW + 7, Actor.ADMINISTRATOR, "bob")
    assert await store.load([make.id(1), make.id(2)]) == [make.live(1), ended]
    assert await store.sessions() == [make.session(1)]
    assert (await store.peek(b"key", NOW), (await store.hits(b"key", NOW)).count) == (b"value", 1)
    token = make.token(3)
    await store.issue(token, make.subject())
    assert await store.sessions(kind="token") == [token]
    await store.aclose()
    again = stores.open(f"sqlite:{path}")
    assert await again.load([make.id(1), make.id(3)]) == [make.live(1), Live(token, make.subject())]
    await again.aclose()


async def test_a_moved_file_is_as_a_new_one(path: Path, tmp_path: Path) -> None:
    """Table by table and index by index, whichever way it came to be."""

    def described(file: Path) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(file)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            columns = [connection.execute(f"PRAGMA table_info({name})").fetchall() for (name,) in sorted(tables)]
            indexes = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index' ORDER BY name")
            version = connection.execute("PRAGMA user_version").fetchone()
            return [*columns, indexes.fetchall(), version]

    made_before(path)
    for file in (path, tmp_path / "new.db"):
        store = stores.open(f"sqlite:{file}")
        await store.check()
        await store.aclose()
    assert described(path) == described(tmp_path / "new.db")


def made_after(path: Path) -> None:
    """The file as a version to come may leave it: it has grown, and what is new can be left out."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"""
            ALTER TABLE session ADD COLUMN colour TEXT;
            ALTER TABLE session ADD COLUMN weight INTEGER NOT NULL DEFAULT 7;
            ALTER TABLE person ADD COLUMN nickname TEXT NOT NULL DEFAULT '';
            CREATE TABLE novelty (number INTEGER PRIMARY KEY);
            CREATE INDEX session_colour ON session (colour);
            PRAGMA user_version = {database.VERSION + 1};
        """)


async def test_a_file_of_the_next_version_is_used(path: Path, make: Make) -> None:
    """Processes are upgraded one by one: the next one may have been here first."""
    first = stores.open(f"sqlite:{path}")
    await first.check()
    await first.aclose()
    made_after(path)
    store = stores.open(f"sqlite:{path}")
    await live(store, make)
    await store.aclose()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (database.VERSION + 1,)


def test_several_processes_move_a_file_on_together(
    path: Path, make: Make, in_children: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    """One of them does it, the others wait for it, and all go on with what was there."""
    made_before(path)

    async def work(number: int) -> bool:
        store = stores.open(f"sqlite:{path}")
        await store.issue(make.token(10 + number), make.subject())
        found = await one(store, make.id(1))
        await store.aclose()
        return found == make.live(1)

    assert in_children(6, lambda number: asyncio.run(work(number))) == [True] * 6
    assert len(asyncio.run(stores.open(f"sqlite:{path}").sessions("alice", kind="token"))) == 6


async def test_a_move_that_fails_changes_nothing(path: Path, make: Make) -> None:
    """A file that cannot be written is served by nobody, and can be moved on afterwards."""
    made_before(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL").fetchall()
        other.execute("BEGIN IMMEDIATE")
        assert "locked by another process" in await unavailable(stores.open(f"sqlite:{path}").load([make.id(1)]))
        other.execute("ROLLBACK")
        assert other.execute("PRAGMA user_version").fetchone() == (1,)
    store = stores.open(f"sqlite:{path}")
    assert await one(store, make.id(1)) == make.live(1)
    await store.aclose()


# --- several processes ----------------------------------------------------------------------------


async def test_what_one_process_ends_the_next_read_of_another_knows(
    sqlite: Store, path: Path, make: Make, in_child: Callable[[Callable[[], None]], None]
) -> None:
    """Ends, rotations, ends of all and a person's groups, each acknowledged there and seen here at once."""
    for number in range(1, 5):
        await sqlite.issue(make.session(number), make.subject())
    await sqlite.issue(make.session(5, "bob"), make.subject("bob"))

    async def there(*work: Callable[[Store], Awaitable[object]]) -> None:
        other = stores.open(f"sqlite:{path}")
        for each in work:
            await each(other)
        await other.aclose()

    def do(*work: Callable[[Store], Awaitable[object]]) -> None:
        in_child(lambda: asyncio.run(there(*work)))

    assert await one(sqlite, make.id(1)) == make.live(1)
    do(lambda other: other.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)]))
    assert await one(sqlite, make.id(1)) == Ended(Ending.ENDED, NOW, Actor.SELF, "alice")
    do(lambda other: other.apply([Rotate(make.id(2), make.session(6), NOW)]))
    assert await sqlite.load([make.id(2), make.id(6)]) == [
        Ended(Ending.REPLACED, NOW, Actor.SYSTEM, "alice"),
        make.live(6),
    ]
    do(lambda other: other.publish(make.subject(version=2, groups=frozenset())))
    found = await one(sqlite, make.id(6))
    assert isinstance(found, Live)
    assert found.subject.groups == frozenset()
    do(lambda other: other.end_all("alice", Ending.REVOKED, Actor.ADMINISTRATOR, NOW + 1))
    assert await one(sqlite, make.id(6)) == Ended(Ending.REVOKED, NOW + 1, Actor.ADMINISTRATOR, "alice")
    assert await sqlite.sessions() == [make.session(5, "bob")]


async def test_changes_are_told_across_processes(
    sqlite: Store, path: Path, make: Make, in_child: Callable[[Callable[[], None]], None]
) -> None:
    """A reader here learns of what a process there ended."""
    await sqlite.issue(make.session(1), make.subject())

    async def there() -> None:
        other = stores.open(f"sqlite:{path}")
        await other.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)])
        await other.aclose()

    await sqlite.check()
    changes = sqlite.changes()
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    in_child(lambda: asyncio.run(there()))
    assert await asyncio.wait_for(waiting, 20) in (Changed(session=make.id(1)), Changed())


async def test_a_lost_position_means_everything(sqlite: Store, path: Path, make: Make) -> None:
    """Whoever tampered with the log of changes: nobody goes on as if nothing had happened."""
    await sqlite.issue(make.session(1), make.subject())
    await sqlite.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)])
    await sqlite.check()
    changes = sqlite.changes()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE change SET number = number + 1000")
    assert await asyncio.wait_for(anext(changes), 20) == Changed()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM change")
    assert await asyncio.wait_for(anext(changes), 20) == Changed()


def test_several_processes_make_the_file_together(
    tmp_path: Path, make: Make, in_children: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    """All that start at once on no file at all have the same one afterwards."""

    async def work(path: Path, number: int) -> None:
        store = stores.open(f"sqlite:{path}")
        await store.issue(make.session(number), make.subject())
        await store.aclose()

    def start(path: Path, number: int) -> None:
        asyncio.run(work(path, number))

    for turn in range(5):
        path = tmp_path / f"{turn}.db"
        assert in_children(6, partial(start, path)) == [None] * 6
        assert len(asyncio.run(stores.open(f"sqlite:{path}").sessions("alice"))) == 6


def test_of_several_processes_one_wins(
    path: Path, make: Make, in_children: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    """Each rotation and each value goes to exactly one of them, and every hit counts."""
    store = stores.open(f"sqlite:{path}")
    turns = range(20)

    async def prepare() -> None:
        for turn in turns:
            await store.issue(make.session(turn), make.subject())
            await store.put(b"%d" % turn, b"once", NOW + 10)

    async def work(number: int) -> list[tuple[bool, bool, int]]:
        won = []
        for turn in turns:
            (rotated,) = await store.apply([Rotate(make.id(turn), make.session(1000 * (number + 1) + turn), NOW)])
            taken = await store.take(b"%d" % turn, NOW)
            won.append((rotated, taken == b"once", (await store.hit(b"key", 60, NOW)).count))
        await store.aclose()
        return won

    asyncio.run(prepare())
    results = in_children(4, lambda number: asyncio.run(work(number)))
    for turn in zip(*results, strict=True):
        assert [rotated for rotated, _, _ in turn].count(True) == 1
        assert [taken for _, taken, _ in turn].count(True) == 1
    counts = [count for result in results for _, _, count in result]
    assert sorted(counts) == list(range(1, 81))
    assert len(asyncio.run(store.sessions("alice"))) == 20


# --- kill -9 --------------------------------------------------------------------------------------


class Chain:
    """One browser's session as told by its acknowledged changes; the last one asked for may be in doubt."""

    def __init__(self) -> None:
        self.past: dict[int, Ending] = {}
        self.live: int | None = None
        self.doubt: tuple[str, int] | None = None

    def told(self, what: str, number: int) -> None:
        if what.startswith("ask "):
            self.doubt = (what[4:], number)
            return
        self.doubt = None
        if what in ("rotate", "end"):
            assert self.live is not None
            self.past[self.live] = Ending.REPLACED if what == "rotate" else Ending.ENDED
        self.live = None if what == "end" else number

    def check(self, found: dict[int, Live | Ended | Unknown]) -> None:
        ends = {number: found[number].how for number in self.past}  # type: ignore[union-attr]
        assert ends == self.past
        doubt, number = self.doubt or ("", -1)
        now = type(found[self.live]) if self.live is not None else None
        if doubt == "rotate":
            assert (now, type(found[number])) in [(Live, Unknown), (Ended, Live)]
        elif doubt == "end":
            assert now in (Live, Ended)
        elif doubt == "issue":
            assert type(found[number]) in (Live, Unknown)
        elif self.live is not None:
            assert now is Live


async def live_a_life(store: Store, make: Make, chain: int, say: Callable[[str], None]) -> None:
    """Sign in, be seen, step up, sign out, again and again; say each thing before it is asked and when it is done."""
    number = chain * 100_000
    while True:
        say(f"{chain} ask issue {number}")
        await store.issue(make.session(number), make.subject())
        say(f"{chain} issue {number}")
        for _ in range(3):
            await store.apply([Touch(make.id(number), NOW + 600)])
            say(f"{chain} ask rotate {number + 1}")
            assert await store.apply([Rotate(make.id(number), make.session(number + 1), NOW)]) == [True]
            number += 1
            say(f"{chain} rotate {number}")
        say(f"{chain} ask end {number}")
        assert await store.apply([End(make.id(number), Ending.ENDED, Actor.SELF, NOW)]) == [True]
        say(f"{chain} end {number}")
        number += 1


def killed_life(path: Path, make: Make, acknowledged: int) -> list[str]:
    """What a process said until it was killed, a little after so many lines."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)

        def say(line: str) -> None:
            os.write(write, line.encode() + b"\n")

        async def live() -> None:
            store = stores.open(f"sqlite:{path}")
            await asyncio.gather(*(live_a_life(store, make, chain, say) for chain in range(4)))

        with contextlib.suppress(BaseException):
            asyncio.run(live())
        os._exit(1)
    os.close(write)
    with os.fdopen(read) as said:
        lines = [said.readline() for _ in range(acknowledged)]
        os.kill(child, signal.SIGKILL)
        lines += said.readlines()
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    return lines


@pytest.mark.parametrize("seeds", [range(10), pytest.param(range(10, 250), marks=pytest.mark.slow)], ids=["10", "250"])
def test_a_killed_process_leaves_no_half_session(tmp_path: Path, make: Make, seeds: range) -> None:
    """What was acknowledged is there, what was not happened whole or not at all, and nobody is signed out."""
    for seed in seeds:
        path = tmp_path / f"{seed}.db"
        chains = {n: Chain() for n in range(4)}
        for line in killed_life(path, make, Random(seed).randrange(1, 120)):
            which, *what, number = line.split()
            chains[int(which)].told(" ".join(what), int(number))
        numbers = sorted({n for chain in chains.values() for n in mentioned(chain)})
        found = dict(zip(numbers, asyncio.run(load_all(path, [make.id(n) for n in numbers])), strict=True))
        for chain in chains.values():
            chain.check(found)


def mentioned(chain: Chain) -> set[int]:
    return {*chain.past, *([chain.live] if chain.live is not None else []), *([chain.doubt[1]] if chain.doubt else [])}


async def load_all(path: Path, ids: list[bytes]) -> list[Live | Ended | Unknown]:
    store = stores.open(f"sqlite:{path}")
    found = await store.load(ids)
    await store.check()
    await store.aclose()
    return found


# --- faults ---------------------------------------------------------------------------------------


def garbage(path: Path) -> None:
    path.write_bytes(b"These are not the bytes you are looking for. " * 100)


def directory(path: Path) -> None:
    path.mkdir()


def newer(path: Path) -> None:
    asyncio.run(load_all(path, []))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def foreign(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE session (id)")


def no_directory(path: Path) -> None:
    path.parent.rmdir()


def dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


FAULTS = [
    (garbage, "is not an SQLite database"),
    (directory, "is a directory, not a file"),
    (newer, "has schema 99, made by a newer demur; this one knows 2"),
    (foreign, "is a database of something else"),
    (no_directory, "does not exist"),
    (dangling, "has been removed"),
]


def everything(store: Store, make: Make) -> list[Awaitable[object]]:
    """Each thing that one can ask of a store."""
    return [
        store.load([make.id(1)]),
        store.load([make.id(1), make.id(2)]),
        store.sessions(),
        store.peek(b"key", NOW),
        store.hits(b"key", NOW),
        anext(store.changes()),
        *writes(store, make),
    ]


def writes(store: Store, make: Make) -> list[Awaitable[object]]:
    """Each thing that changes something, and the check, which needs both."""
    return [
        store.issue(make.session(77), make.subject()),
        store.apply([Touch(make.id(1), NOW + 600)]),
        store.apply([Rotate(make.id(1), make.session(78), NOW)]),
        store.apply([End(make.id(1), Ending.ENDED, Actor.SELF, NOW)]),
        store.end_all("alice", Ending.ENDED, Actor.SELF, NOW),
        store.publish(make.subject(version=9)),
        store.put(b"key", b"value", NOW + 10),
        store.take(b"key", NOW),
        store.hit(b"key", 60, NOW),
        store.check(),
    ]


@pytest.mark.parametrize(("spoil", "words"), FAULTS, ids=[spoil.__name__ for spoil, _ in FAULTS])
def test_a_file_that_cannot_be_used_is_unavailable(
    tmp_path: Path, make: Make, spoil: Callable[[Path], None], words: str
) -> None:
    """Every answer is `StoreUnavailable`, with the file and the cause; once that is mended, all is well."""
    path = tmp_path / "data" / "sessions.db"
    path.parent.mkdir()
    spoil(path)

    async def work() -> None:
        store = stores.open(f"sqlite:{path}")
        for ask in everything(store, make):
            cause = await unavailable(ask)
            assert str(path) in cause
            assert words in cause
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        await store.issue(make.session(), make.subject())
        await store.check()
        assert await one(store, make.id(1)) == make.live(1)
        await store.aclose()

    asyncio.run(work())


def other_database(path: Path) -> None:
    asyncio.run(load_all(path, []))


def empty(path: Path) -> None:
    path.touch()


def nothing(path: Path) -> None:
    """Leave it removed."""


UNDERNEATH = [
    (nothing, "has been removed"),
    (empty, "has been emptied"),
    (other_database, "was replaced by another database"),
    (garbage, "is not an SQLite database"),
    (directory, "is a directory"),
]


@pytest.mark.parametrize(("spoil", "words"), UNDERNEATH, ids=[spoil.__name__ for spoil, _ in UNDERNEATH])
async def test_a_file_that_changes_underneath_is_never_an_unknown_session(
    sqlite: Store, path: Path, make: Make, spoil: Callable[[Path], None], words: str
) -> None:
    """It is unavailable until it is put back, and then every session is alive."""
    await sqlite.issue(make.session(1), make.subject())
    await sqlite.check()
    assert await one(sqlite, make.id(1)) == make.live(1)
    aside = path.parent / "aside"
    aside.mkdir()
    for file in path.parent.glob("sessions.db*"):
        file.rename(aside / file.name)
    await asyncio.to_thread(spoil, path)
    assert words in await unavailable(sqlite.load([make.id(2)]))  # unknown here: is this still the file?
    for ask in everything(sqlite, make):
        assert words in await unavailable(ask)
    for file in path.parent.glob("sessions.db*"):
        file.rmdir() if file.is_dir() else file.unlink()
    for file in aside.iterdir():
        file.rename(path.parent / file.name)
    assert await sqlite.load([make.id(1), make.id(2)]) == [make.live(1), Unknown()]
    await sqlite.check()


async def test_a_restored_copy_is_used(sqlite: Store, path: Path, make: Make) -> None:
    """The same database in another file, as after a restore: the store goes on with it by itself."""
    await sqlite.issue(make.session(1), make.subject())
    await sqlite.check()
    assert await one(sqlite, make.id(1)) == make.live(1)
    copy = path.with_name("copy.db")
    with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    await sqlite.issue(make.session(2), make.subject())
    for file in path.parent.glob("sessions.db*"):
        file.unlink()
    copy.rename(path)
    assert await one(sqlite, make.id(9)) == Unknown()  # asking for this one makes it look
    assert await sqlite.load([make.id(1), make.id(2)]) == [make.live(1), Unknown()]
    await sqlite.issue(make.session(3), make.subject())
    assert await one(sqlite, make.id(3)) == make.live(3)


async def test_while_another_process_writes_reads_go_on_and_writes_give_up(
    sqlite: Store, path: Path, make: Make
) -> None:
    """After about a second, however many wait, and without keeping the event loop."""
    await sqlite.issue(make.session(1), make.subject())
    await sqlite.check()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        waiting = [asyncio.ensure_future(unavailable(ask)) for ask in writes(sqlite, make)]
        turns = 0
        while not all(done.done() for done in waiting):
            assert await one(sqlite, make.id(1)) == make.live(1)
            turns += 1
            await asyncio.sleep(0.001)
        took = time.monotonic() - began
        other.execute("ROLLBACK")
    assert {done.result() for done in waiting} == {f"sessions: {path}: locked by another process"}
    assert took < 2 + NOISE
    assert turns > 50
    await sqlite.check()
    assert await one(sqlite, make.id(1)) == make.live(1)


async def test_a_file_that_another_process_holds_for_itself_is_unavailable(
    sqlite: Store, path: Path, make: Make
) -> None:
    """Reads too, within about a second; when it is let go, everybody is still signed in."""
    await sqlite.issue(make.session(1), make.subject())
    await sqlite.aclose()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        causes = await asyncio.gather(*(unavailable(ask) for ask in everything(sqlite, make)))
        assert time.monotonic() - began < 2.5 + NOISE
        assert set(causes) == {f"sessions: {path}: locked by another process"}
    assert await one(sqlite, make.id(1)) == make.live(1)
    await sqlite.check()


async def use_to_the_full(store: Store, make: Make, *, fill: Callable[[], None], mend: Callable[[], None]) -> None:
    """Sessions before, failures while it is full, and the same sessions afterwards."""
    await store.issue(make.session(1), make.subject())
    await store.issue(make.session(2), make.subject())
    await store.check()
    fill()
    issued = []
    cause = ""
    for number in range(100, 5000):  # what is reserved already can still be written
        try:
            await store.issue(make.session(number, device="x" * 2000), make.subject())
        except StoreUnavailable as error:
            cause = error.cause
            break
        issued.append(number)
    assert "full" in cause
    assert "full" in await unavailable(store.put(b"large", b"x" * 200_000, NOW + 10))
    assert await store.load([make.id(1), make.id(2), make.id(len(issued) + 100)]) == [
        make.live(1),
        make.live(2),
        Unknown(),
    ]
    mend()
    await store.check()
    await store.put(b"large", b"x" * 200_000, NOW + 10)
    assert await store.apply([End(make.id(2), Ending.ENDED, Actor.SELF, NOW)]) == [True]
    assert await one(store, make.id(1)) == make.live(1)
    assert all(isinstance(what, Live) for what in await store.load([make.id(number) for number in issued]))
    await store.aclose()


def test_a_file_that_may_not_grow(path: Path, make: Make, in_child: Callable[[Callable[[], None]], None]) -> None:
    """The limit of a process on the size of its files does what a failing or full disk does."""

    def work() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        asyncio.run(
            use_to_the_full(
                stores.open(f"sqlite:{path}"),
                make,
                fill=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard)),
                mend=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard)),
            )
        )

    in_child(work)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=512k", "none", tmp_path], check=False).returncode
    ):
        pytest.skip("needs the right to mount a small file system")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


async def test_a_full_disk(small_disk: Path, make: Make) -> None:
    """Nothing is lost, nobody is unknown, and with room again all goes on."""
    ballast = small_disk / "ballast"

    def fill() -> None:
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass

    await use_to_the_full(stores.open(f"sqlite:{small_disk / 'sessions.db'}"), make, fill=fill, mend=ballast.unlink)


async def test_a_full_disk_at_the_start(small_disk: Path, make: Make) -> None:
    """No file at all can be made: unavailable, and made when there is room."""
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    store = stores.open(f"sqlite:{small_disk / 'sessions.db'}")
    for ask in everything(store, make):
        assert str(small_disk) in await unavailable(ask)
    ballast.unlink()
    await store.issue(make.session(), make.subject())
    assert await one(store, make.id(1)) == make.live(1)
    await store.aclose()


NOBODY = 65534


def test_a_read_only_file_is_still_read(
    common: Path, make: Make, in_child: Callable[[Callable[[], None]], None]
) -> None:
    """Whoever is signed in stays so; what would write is unavailable, until writing is allowed again."""
    path = common / "sessions.db"

    async def work() -> None:
        store = stores.open(f"sqlite:{path}")
        await store.issue(make.session(1), make.subject())
        await store.aclose()
        path.chmod(0o400)
        assert await store.load([make.id(1), make.id(2)]) == [make.live(1), Unknown()]
        assert await one(store, make.id(1)) == make.live(1)
        assert await store.sessions() == [make.session(1)]
        assert await store.peek(b"key", NOW) is None
        for ask in writes(store, make):
            cause = await unavailable(ask)
            assert "read-only" in cause
        assert await one(store, make.id(1)) == make.live(1)
        path.chmod(0o600)
        (common / "sessions.db-shm").chmod(0o600)
        (common / "sessions.db-wal").chmod(0o600)
        await store.issue(make.session(2), make.subject())
        assert await store.load([make.id(1), make.id(2)]) == [make.live(1), make.live(2)]
        await store.aclose()

    def without_rights() -> None:
        if os.getuid() == 0:  # whoever may do anything may write a read-only file
            os.chown(common, NOBODY, NOBODY)
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        asyncio.run(work())

    in_child(without_rights)


def test_a_directory_without_permission(
    common: Path, make: Make, in_child: Callable[[Callable[[], None]], None]
) -> None:
    """The cause says so, and nothing is made elsewhere."""

    async def work() -> None:
        store = stores.open(f"sqlite:{common / 'sessions.db'}")
        assert "ermission denied" in await unavailable(store.load([make.id(1)]))
        assert "ermission denied" in await unavailable(store.issue(make.session(), make.subject()))
        await store.aclose()

    def without_rights() -> None:
        if os.getuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        else:
            common.chmod(0o500)
        asyncio.run(work())

    in_child(without_rights)
    common.chmod(0o700)
