"""How demur grows: what a session takes on each engine, what it costs to look one up among many, what the store is
asked for a thousand checks, and what many nodes on one store do in a storm of revocations and with lost channels.

- Bytes: a store is filled with persons, and then with sessions; what it grew by is divided.
- Look-ups: random sessions of a file with a thousand and of one with a million (`--sessions 10000000`: and of one with
  ten), in turns.
- Questions: a real guard, cache and SQLite file, a thousand people who ask once a second, by a clock that does not
  wait.
- Nodes: real guards and caches on a network that is simulated (`nodes.py`, tests/simulation), on virtual time.

    benchmarks/scale.py [--sessions 1000000] [--json FILE]

`--json docs/explanation/growing.json` keeps what the page about growing is made of; `growing.py` writes its tables.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib
import json
import platform
import random
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from demur import stores
from demur.core import rules
from demur.core.model import Actor, Allow, End, Ended, Ending, Live, Request, Session, Subject
from demur.core.ports import Tombstone
from demur.core.sessions import identify, mint
from demur.core.site import Cookie, Site
from demur.guard import Cache, Guard
from demur.stores import keys
from demur.stores.database import File
from demur.stores.rows import snapshot_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from demur.core.ports import Kept, Store

# Somebody else's wheel brings a package of this name along.
_tests = ModuleType("tests")
_tests.__path__ = [str(Path(__file__).parents[1] / "tests")]
sys.modules.setdefault("tests", _tests)

Row: TypeAlias = "tuple[str, float | None, float, float, str, str]"
NOW = 1_800_000_000
SITE = Site(
    "https://app.example.com",
    "Bench",
    rules.load([{"path": "/**", "allow": "signed-in"}]),
    cookie=Cookie("demur-dev", secure=False),
)
LEAST = {"SQLite": 200, "Redis": 300, "PostgreSQL": 300}  # bytes
SESSIONS_EACH = 4
"""Sessions of a person, where bytes are counted: a computer and a phone, at home and at work."""


def _person(number: int) -> Subject:
    return Subject(
        f"0192f0c4-0000-7000-8000-{number:012}",
        f"person{number}",
        frozenset({"members", "staff"}),
        display_name=f"Person {number}",
        email=f"person{number}@example.com",
    )


def _session(number: int, person: int) -> Session:
    key = hashlib.sha256(b"%d" % number).digest()
    began = NOW - number % 3600
    subject, device, network = f"0192f0c4-0000-7000-8000-{person:012}", "Firefox on Linux", "203.0.113.0/24"
    return Session(key, subject, began, began, began, began + 86_400, 3600, device=device, network=network)


def _tombstone(number: int, person: int) -> Tombstone:
    session = _session(number, person)
    return Tombstone(session.id, Ended(Ending.ENDED, session.issued_at + 60, Actor.SELF, session.subject))


def _pages(count: int, make: Callable[[int], Kept], most: int = 500) -> Iterator[list[Kept]]:
    for start in range(0, count, most):
        yield [make(number) for number in range(start, min(count, start + most))]


# --- bytes ------------------------------------------------------------------------------------------


async def _grown(url: str, count: int, size: Callable[[], float]) -> dict[str, float]:
    """Bytes that a session, a person and a tombstone take."""
    store = stores.open(url)
    persons = [_person(number) for number in range(count // SESSIONS_EACH)]
    try:
        await _patiently(store, [_person(-1), Live(_session(-1, -1), _person(-1))])
        empty = size()
        for page in _pages(len(persons), persons.__getitem__):
            await _patiently(store, page)
        peopled = size()
        for page in _pages(count, lambda n: Live(_session(n, n % len(persons)), persons[n % len(persons)])):
            await _patiently(store, page)
        lived = size()
        for page in _pages(count, lambda n: _tombstone(n + count, n % len(persons))):
            await _patiently(store, page)
        return {
            "session": (lived - peopled) / count,
            "person": (peopled - empty) / len(persons),
            "tombstone": (size() - lived) / count,
        }
    finally:
        await store.aclose()


async def _patiently(store: Store, page: Sequence[Kept]) -> None:
    for start in range(0, len(page), 100):
        await store.adopt(page[start : start + 100])


def _sqlite_bytes(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="demur-scale-") as folder:
        path = Path(folder) / "sessions.db"

        def size() -> float:
            connection, _ = File(path).open(patience=5)
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                return float(connection.execute("PRAGMA page_count").fetchone()[0]) * 4096
            finally:
                connection.close()

        return asyncio.run(_grown(f"sqlite:{path}", count, size))


def _redis_bytes(count: int) -> dict[str, float]:
    with importlib.import_module("tests.servers.redis").Server() as server:

        def size() -> float:
            said = server.say("INFO", "memory")
            text = said.decode() if isinstance(said, bytes) else str(said)
            return float(text.partition("\nused_memory:")[2].split()[0])

        return asyncio.run(_grown(server.url(), count, size))


def _postgres_bytes(count: int) -> dict[str, float]:
    with importlib.import_module("tests.servers.postgres").Server() as server:

        def size() -> float:
            ((found,),) = server.sql("SELECT pg_database_size(current_database())")
            return float(found)

        return asyncio.run(_grown(server.url(), count, size))


ENGINES = {"SQLite": _sqlite_bytes, "Redis": _redis_bytes, "PostgreSQL": _postgres_bytes}


def _bytes(count: int, found: dict[str, Any]) -> Iterator[Row]:
    for name, measure in ENGINES.items():
        try:
            found[name] = measure(count)
        except BaseException as missing:  # pytest's Skipped is no Exception
            if isinstance(missing, KeyboardInterrupt):
                raise
            yield f"memory: a stored session, {name}", None, 0, 0, f"≤ {LEAST[name]}", f"not run: {missing}"
            continue
        each, person, tombstone = (found[name][what] for what in ("session", "person", "tombstone"))
        remark = f"bytes, over {count:,}; {person:.0f} for each person, {tombstone:.0f} for a tombstone"
        yield f"memory: a stored session, {name}", each, each, each, f"≤ {LEAST[name]}", remark


# --- looking up -------------------------------------------------------------------------------------


def _fill(path: Path, count: int) -> None:
    """A file with so many sessions, written as fast as it goes: nobody needs it after a power cut, and the indexes are
    made when everything is there."""
    connection, _ = File(path).open()
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -1000000")
    indexes = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'session'")
    made = indexes.fetchall()
    connection.execute("BEGIN IMMEDIATE")
    for name, _ in made:
        connection.execute(f"DROP INDEX {name}")
    persons = max(1, count // SESSIONS_EACH)
    insert = "INSERT INTO person (number, id, version, snapshot) VALUES (?, ?, 1, ?)"
    snapshots = ((n + 1, _person(n).id, snapshot_of(_person(n))) for n in range(persons))
    connection.executemany(insert, snapshots)
    one = _session(0, 0)
    rest = (one.expires_at, one.idle, one.acr, one.persistent, one.device, one.network)
    columns = "id, person, issued_at, authenticated_at, last_seen, expires_at, idle, acr, persistent, device, network"
    insert = f"INSERT INTO session ({columns}) VALUES ({', '.join('?' * 11)})"
    at = (NOW, NOW, NOW)
    sessions = ((hashlib.sha256(b"%d" % n).digest(), n % persons + 1, *at, *rest) for n in range(count))
    connection.executemany(insert, sessions)
    for _, sql in made:
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


def _warm(path: Path) -> None:
    """What was asked for lately is in the memory of the system, if there is room."""
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass


async def _looked_up(folder: Path, counts: Sequence[int], rounds: int) -> dict[int, list[float]]:
    """Microseconds of processor time for a look-up of a random session, in turns."""
    opened = {count: stores.open(f"sqlite:{folder}/{count}.db") for count in counts}
    chance = random.Random(7)
    taken: dict[int, list[float]] = {count: [] for count in counts}
    for count, store in opened.items():
        _warm(folder / f"{count}.db")
        await store.check()
        for _ in range(2000):
            await store.load([_session(chance.randrange(count), 0).id])
    for _ in range(rounds):
        for count, store in opened.items():
            ids = [_session(chance.randrange(count), 0).id for _ in range(2000)]
            began = time.process_time()
            for key in ids:
                await store.load([key])
            taken[count].append((time.process_time() - began) / len(ids) * 1e6)
    for store in opened.values():
        await store.aclose()
    return taken


def _lookups(sessions: int, rounds: int, found: dict[str, Any]) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="demur-scale-") as folder:
        counts = sorted({1_000, min(sessions, 1_000_000), sessions})
        for count in counts:
            _fill(Path(folder) / f"{count}.db", count)
        taken = asyncio.run(_looked_up(Path(folder), counts, rounds))
    found["lookup"] = {str(count): statistics.median(times) for count, times in taken.items()}
    for count in counts[1:]:
        ratios = sorted(many / few for many, few in zip(taken[count], taken[1_000], strict=True))
        lower, median, upper = statistics.quantiles(ratios, n=4, method="inclusive")
        yield f"uncached look-up on SQLite, CPU: {count:,} stored / 1,000", median, lower, upper, "≤ 2.5", ""


# --- questions to the store -------------------------------------------------------------------------


class _Counted:
    """A store of which is counted what it is asked; everything else is the store's own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.holds = store.holds
        self.reads = self.writes = 0
        self.checking = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def load(self, ids: Sequence[bytes]) -> Any:
        self.reads += 1
        return await self._store.load(ids)

    async def apply(self, changes: Sequence[Any]) -> Any:
        self.writes += self.checking
        return await self._store.apply(changes)


async def _asked(path: Path, people: int, pace: int, seconds: int) -> tuple[float, int]:
    """Reads of the store for a thousand checks, and writes on the way of one, with so many sign-ins and sign-outs a
    second, and everybody asking once a second."""
    store, ring, at = _Counted(stores.open(f"sqlite:{path}")), keys.MemoryKeys(), [float(NOW)]
    given: Any = store
    guard = Guard(SITE, given, ring, clock=lambda: at[0], cache=Cache(given))
    here: list[tuple[Request, bytes]] = []
    number = 0

    async def sign_in() -> None:
        nonlocal number
        number += 1
        token = mint(hashlib.sha256(b"%d" % number).digest(), ring.ring().current)
        person, now = _person(number), int(at[0])
        await store.issue(Session(identify(token), person.id, now, now, now, now + 86_400, 3600), person)
        fields = ((b"host", b"app.example.com"), (b"cookie", b"demur-dev=" + token.encode()))
        here.append((Request("GET", b"/x", "https", "app.example.com", "203.0.113.9", fields), identify(token)))

    for _ in range(people):
        await sign_in()
    await store.check()
    chance, checks = random.Random(7), 0
    for second in range(-5, seconds):
        if second == 0:  # until then everybody becomes known
            store.reads, checks = 0, 0
        for tick in range(pace):
            at[0] = NOW + second + tick / pace
            _, gone = here.pop(chance.randrange(len(here)))
            await store.apply([End(gone, Ending.ENDED, Actor.SELF, int(at[0]))])
            await sign_in()
            for request, _ in here[tick * people // pace : (tick + 1) * people // pace]:
                store.checking = True
                checked = await guard.acheck(request)
                store.checking = False
                checks += 1
                assert isinstance(checked.decision, Allow), checked.decision
    await guard.aclose()
    await store.aclose()
    return store.reads / checks * 1000, store.writes


def _questions(found: dict[str, Any]) -> Iterator[Row]:
    written = 0
    for pace, least in ((1, 2), (10, 20)):
        with tempfile.TemporaryDirectory(prefix="demur-scale-") as folder:
            reads, writes = asyncio.run(_asked(Path(folder) / "sessions.db", 1000, pace, 20))
        written += writes
        found[f"reads_{pace}"] = reads
        name = f"store reads per 1,000 checks, 1,000 active, {pace} sign-ins and -outs a second"
        yield name, reads, reads, reads, f"≤ {least}", "each of them asks once a second"
    yield "store writes on the way of a check", written, written, written, "≤ 0", ""


# --- many nodes -------------------------------------------------------------------------------------


def _nodes(found: dict[str, Any]) -> Iterator[Row]:
    nodes = importlib.import_module("nodes")  # it needs the tests
    calm, storming, longest, wrong = nodes.storm()
    found["nodes"] = {"calm": calm, "storm": storming, "longest": longest, "wrong": wrong}
    name = f"{nodes.NODES} nodes, {nodes.PEOPLE:,} people"
    for pace, reads in ((nodes.CALM, calm), (nodes.STORM, storming)):
        yield f"{name}, {pace} sign-outs a second: reads per 1,000 checks", reads, reads, reads, "", "network simulated"
    remark = f"seconds from a sign-out to the last yes, network simulated; {wrong} wrong answers"
    yield f"{name}, a quarter of the channels silent", longest, longest, longest, "≤ 2.0", remark


# --- all of it --------------------------------------------------------------------------------------


def rows(rounds: int, seconds: float, sessions: int = 0, found: dict[str, Any] | None = None) -> Iterator[Row]:
    """What is measured, the median, the quartiles, what is asked for, and a remark."""
    found = found if found is not None else {}
    few = rounds * seconds < 5
    yield from _bytes(20_000 if few else 100_000, found)
    yield from _lookups(sessions or (100_000 if few else 1_000_000), max(5, rounds), found)
    yield from _questions(found)
    yield from _nodes(found)


def main() -> None:
    """Read the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%B %Y"),
        "python": platform.python_version(),
        "machine": "two virtual cores",
    }
    if options.json:  # before anything else takes memory and gives it back
        found["cached"] = asyncio.run(importlib.import_module("inside").session_bytes())[0]
    for name, median, lower, upper, asked, remark in rows(options.rounds, 2, options.sessions, found):
        said = "not run" if median is None else f"{median:10.2f} ({lower:.2f} to {upper:.2f})"
        print(f"{name:<75} {said}  {asked}  {remark}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
