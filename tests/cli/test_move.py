"""`demur sessions move`: whoever is signed in stays so, whoever is signed out stays so, whenever it is killed."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from demur import stores
from demur.core.model import Actor, End, Ended, Ending, Live, Session, StoreUnavailable, Subject, Touch
from demur.core.ports import Hits, Value
from demur.stores.agreement import AgreedKeys
from demur.stores.keys import MemoryKeys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from demur.core.ports import Kept, Store

NOW = int(time.time())
HOUR = 3600
ANN = Subject("ann", "ann", frozenset({"staff"}))
OLD, NEW = "sqlite:old.db", "sqlite:new.db"


def key(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def session(number: int, **other: Any) -> Session:
    plain = Session(key(number), "ann", NOW - 60, NOW - 60, NOW - 60, NOW + 24 * HOUR, HOUR, device="Firefox")
    return replace(plain, **other)


def use(url: str, *work: Callable[[Store], Awaitable[Any]]) -> list[Any]:
    """Do something with a store, in a loop of its own."""

    async def inside() -> list[Any]:
        store = stores.open(url)
        try:
            return [await each(store) for each in work]
        finally:
            await store.aclose()

    return asyncio.run(inside())


async def everything(store: Store) -> list[Kept]:
    found: list[Kept] = []
    after: bytes | None = b""
    while after is not None:
        page, after = await store.each(after)
        found += page
    return found


def moved(url: str) -> set[Kept]:
    """All that is there, but for how far a move has come."""
    (found,) = use(url, everything)
    return {row for row in found if not (isinstance(row, Value) and row.key.startswith(b"demur.move."))}


def end(number: int) -> Callable[[Store], Awaitable[Any]]:
    return lambda store: store.apply([End(key(number), Ending.ENDED, Actor.SELF, NOW)])


@pytest.fixture
def filled(folder: Path) -> str:
    """Three sessions, one of them ended, a token, a person who has none, a value and a counter."""
    token = session(4, kind="token", scopes=("a", "b"), label="nightly", idle=0, last_seen=0)
    use(
        OLD,
        *(lambda store, n=n: store.issue(session(n), ANN) for n in (1, 2, 3)),
        lambda store: store.issue(token, ANN),
        lambda store: store.publish(Subject("bob", "bob", version=7)),
        lambda store: store.put(b"challenge", b"value", NOW + HOUR),
        lambda store: store.hit(b"throttle", HOUR, NOW),
        end(3),
    )
    return OLD


def test_all_that_is_kept_moves(run, filled):
    """In two runs; then the old store is closed to writing, and what was there is here."""
    first = run("sessions", "move", "--from", filled, "--to", NEW)
    assert first.exit_code == 0, first.output
    assert 'once more with "--last"' in first.stdout
    assert not any(isinstance(row, Value) for row in moved(NEW))  # a challenge is answered once: here or there
    last = run("sessions", "move", "--from", filled, "--to", NEW, "--last")
    assert last.exit_code == 0, last.output
    assert 'store = "sqlite:new.db"' in last.stdout
    assert "closed to writing" in last.stderr
    assert moved(NEW) == moved(OLD)
    with pytest.raises(StoreUnavailable, match="being moved"):
        use(OLD, end(1))
    assert use(NEW, end(1), lambda store: store.take(b"challenge", NOW)) == [[True], b"value"]


def test_what_changed_meanwhile_is_taken_in_the_second_run(run, filled):
    """Who signed out is signed out, who was seen was seen, who signed in is there; nobody else notices."""
    run("sessions", "move", "--from", filled, "--to", NEW)
    use(
        OLD,
        end(1),
        lambda store: store.apply([Touch(key(2), NOW + 900)]),
        lambda store: store.issue(session(5), replace(ANN, version=2, groups=frozenset())),
    )
    again = run("sessions", "move", "--from", filled, "--to", NEW)
    assert again.exit_code == 0, again.output
    assert "4 of them new or changed" in again.stdout  # the person as well
    after = replace(ANN, version=2, groups=frozenset())
    assert use(NEW, lambda store: store.load([key(n) for n in (1, 2, 3, 5)])) == [
        [
            Ended(Ending.ENDED, NOW, Actor.SELF, "ann"),
            Live(session(2, last_seen=NOW + 900), after),
            Ended(Ending.ENDED, NOW, Actor.SELF, "ann"),
            Live(session(5), after),
        ]
    ]
    assert "0 of them new or changed" in run("sessions", "move", "--from", filled, "--to", NEW).stdout


def test_the_last_run_is_the_last(run, filled):
    """To run it again by mistake, when the new store is in use, does not bring back what was used there."""
    run("sessions", "move", "--from", filled, "--to", NEW, "--last")
    use(NEW, lambda store: store.take(b"challenge", NOW))
    again = run("sessions", "move", "--from", filled, "--to", NEW, "--last")
    assert again.exit_code == 0
    assert "Everything was taken" in again.stdout
    assert use(NEW, lambda store: store.peek(b"challenge", NOW)) == [None]


def test_who_thinks_better_of_it_goes_on_in_the_old_store(run, filled):
    """And may move later, with all that was done in between."""
    run("sessions", "move", "--from", filled, "--to", NEW, "--last")
    reopened = run("sessions", "move", "--from", filled, "--to", NEW, "--reopen")
    assert reopened.exit_code == 0, reopened.output
    assert use(OLD, end(1), lambda store: store.hit(b"throttle", HOUR, NOW))[0] == [True]
    run("sessions", "move", "--from", filled, "--to", NEW, "--last")
    assert moved(NEW) == moved(OLD)
    assert use(NEW, lambda store: store.hits(b"throttle", NOW)) == [Hits(2, NOW + HOUR)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--from", OLD, "--to", OLD), "the same store"),
        (("--from", OLD, "--to", "sqlite:./sub/../old.db"), "the same store"),
        (("--from", "postgresql://a@db/x", "--to", "postgresql://b:secret@db/x"), "the same store"),
        (("--from", "memory:", "--to", NEW), "memory of one process"),
        (("--from", OLD, "--to", "memory:"), "memory of one process"),
        (("--from", "sqlite:nothing.db", "--to", NEW), "no file nothing.db"),
        (("--from", OLD, "--to", "mysql://db/x"), "is not a store"),
        (("--from", OLD, "--to", "sqlite:/no/such/folder/new.db"), "--to names cannot be used"),
        (("--from", OLD, "--to", "postgresql://127.0.0.1:1/x"), "--to names cannot be used"),
        (("--from", OLD, "--to", "redis://127.0.0.1:1/0"), "--to names cannot be used"),
        (("--from", OLD, "--to", NEW, "--last", "--reopen"), "contradict"),
        (("--from", "sqlite:text.db", "--to", NEW), "--from names cannot be used"),
    ],
)
def test_what_a_person_can_put_right_is_said(run, filled, folder, words, says):
    """In one message, with nothing moved and the old store as open as it was."""
    (folder / "sub").mkdir()
    (folder / "text.db").write_text("not a database, but long enough to be taken for one by mistake")
    result = run("sessions", "move", *words)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "secret" not in result.stderr
    assert not (folder / "nothing.db").exists()
    assert use(OLD, end(1)) == [[True]]


def test_a_store_of_gateways_with_other_keys_is_refused(run, filled):
    """They would take the cookies for forged; with the same keys it may be in use already."""

    def agree(keys: MemoryKeys) -> Callable[[Store], Awaitable[Any]]:
        return lambda store: AgreedKeys(keys, store).agree(NOW)

    mine = MemoryKeys()
    use(OLD, agree(mine))
    use(NEW, agree(MemoryKeys()))
    use("sqlite:third.db", agree(mine))
    refused = run("sessions", "move", "--from", OLD, "--to", NEW)
    assert refused.exit_code == 2
    assert "other keys" in refused.stderr
    assert run("sessions", "move", "--from", OLD, "--to", "sqlite:third.db").exit_code == 0


# --- in the middle of things ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("--last",)], ids=["open", "last"])
def test_a_move_that_is_killed_goes_on(run, folder, words):
    """Twice with kill -9, somewhere in the middle: nothing is lost, and nothing is there twice."""
    count = 6_000
    rows = [Live(session(number), replace(ANN, id="ann")) for number in range(count)]
    use(OLD, *(lambda store, n=n: store.adopt(rows[n : n + 500]) for n in range(0, count, 500)))
    command = [sys.executable, "-c", "from demur.cli import main; main()", "sessions", "move", *words]
    killed = 0
    while killed < 2:
        before = _rows_there(folder / "new.db")
        with subprocess.Popen([*command, "--from", OLD, "--to", NEW], cwd=folder, stdout=-3, stderr=-3) as moving:
            while _rows_there(folder / "new.db") < before + 250 and moving.poll() is None:
                time.sleep(0.002)  # until there is something to be killed in the middle of
            moving.send_signal(signal.SIGKILL)
        assert moving.returncode == -signal.SIGKILL, "too few rows: it was done before"
        killed += 1
    assert 500 <= _rows_there(folder / "new.db") < count
    done = run("sessions", "move", "--from", OLD, "--to", NEW, *words)
    assert done.exit_code == 0, done.output
    assert "Going on after" in done.stderr
    assert moved(NEW) == moved(OLD)
    assert _rows_there(folder / "new.db") == count


@pytest.mark.slow
def test_who_stops_it_is_told_what_to_do(folder):
    """With Ctrl-C in the middle, no traceback, and that the old store is closed."""
    rows = [Live(session(number), ANN) for number in range(6_000)]
    use(OLD, *(lambda store, n=n: store.adopt(rows[n : n + 500]) for n in range(0, 6_000, 500)))
    command = [sys.executable, "-c", "from demur.cli import main; main()", "sessions", "move", "--last"]
    with subprocess.Popen(
        [*command, "--from", OLD, "--to", NEW], cwd=folder, stdout=-3, stderr=subprocess.PIPE, text=True
    ) as moving:
        while _rows_there(folder / "new.db") < 250 and moving.poll() is None:
            time.sleep(0.002)  # until there is something to be stopped in the middle of
        moving.send_signal(signal.SIGINT)
        _, said = moving.communicate(timeout=30)
    assert moving.returncode == 2, said
    assert "goes on where it was" in said
    assert "--reopen opens it" in said
    assert "Traceback" not in said


def _rows_there(path: Path) -> int:
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
            return int(connection.execute("SELECT count(*) FROM session").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # it is just being made


@pytest.mark.slow
def test_nothing_that_was_said_to_be_done_is_lost(run, folder):
    """People sign in and out all the while, until the old store says that it is closed. What they were told counts."""
    use(OLD, *(lambda store, n=n: store.issue(session(n), ANN) for n in range(50)))
    issued, ended, refused = set(range(50)), set[int](), list[str]()

    async def live() -> None:
        store, number = stores.open(OLD), 50
        try:
            while number < 100_000:
                await store.issue(session(number), ANN)
                issued.add(number)
                if number % 3 == 0:
                    await end(number // 2)(store)
                    ended.add(number // 2)
                number += 1
        except StoreUnavailable as closed:
            refused.append(closed.cause)
        finally:
            await store.aclose()

    people = threading.Thread(target=asyncio.run, args=(live(),))
    people.start()
    for words in ((), (), ("--last",)):
        result = run("sessions", "move", "--from", OLD, "--to", NEW, *words)
        assert result.exit_code == 0, result.output
    people.join()
    assert len(refused) == 1
    assert "being moved" in refused[0]
    numbers = sorted(issued)
    (found,) = use(NEW, lambda store: store.load([key(number) for number in numbers]))
    wrong = [n for n, row in zip(numbers, found, strict=True) if isinstance(row, Ended) != (n in ended)]
    assert wrong == []
    assert moved(NEW) == moved(OLD)
    assert len(ended) > 5


@pytest.mark.postgres
@pytest.mark.redis
@pytest.mark.parametrize("redis", ["redis_url", pytest.param("redis_cluster_url", marks=pytest.mark.slow)])
def test_from_engine_to_engine(run, filled, folder, postgres_url, redis, request):
    """And back: everybody is who they were."""
    way = [filled, postgres_url, request.getfixturevalue(redis), "sqlite:back.db"]
    for source, target in itertools.pairwise(way):
        for words in ((), ("--last",)):
            result = run("sessions", "move", "--from", source, "--to", target, *words)
            assert result.exit_code == 0, result.output
        with pytest.raises(StoreUnavailable, match="being moved"):
            use(source, end(1))
    ids = [key(number) for number in (1, 2, 3, 4)]
    before, after = (use(url, lambda store: store.load(ids)) for url in (OLD, "sqlite:back.db"))
    assert before == after
    assert use("sqlite:back.db", lambda store: store.take(b"challenge", NOW)) == [b"value"]
