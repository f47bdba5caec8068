"""A long time of everything at once: whether memory stays flat, and whether any answer is wrong.

A real `demur serve` with two workers before a small site. One process asks at 70 % of what the gateway can do (which is
measured first), as many people, while others sign in, sign out, have their session ended by an administrator, and let
it run out. It is independent of demur: it knows who was signed in and who was not because it did it, or because of the
clock, and counts every answer that is not true. An answer that was under way while that changed may be either.

    benchmarks/soak.py [--minutes 20] [--people 200] [--share 0.7]

Exit status 1 if an answer was wrong, or if the memory of the workers at the end is more than a tenth, and more than
10 MB, above that after the first fifth.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from demur import stores
from demur.core.model import Actor, End, Ending, Session, Subject
from demur.core.sessions import identify, mint
from demur.stores.keys import FileKeys

if TYPE_CHECKING:
    from demur.core.ports import Store

CONNECTIONS: Final = 32
GRACE: Final = 1.0
"""Seconds around the end of a session by the clock in which either answer is right: clocks are read to the second."""
SHORTEST, LONGEST = 20, 90  # seconds of the sessions that run out by themselves
CONFIG: Final = """
version = 1

[gateway]
listen = "127.0.0.1:{port}"
workers = 2
log = "json"
connections_per_address = 1500

[sessions]
store = "sqlite:sessions.db"

[[site]]
origin = "http://localhost:{port}"
upstream = "http://127.0.0.1:{upstream}"

[[site.rule]]
path = "/members/**"
allow = "signed-in"
"""
PAGE: Final = b"a small answer"


@dataclass(slots=True)
class Person:
    """What is true of one session: since when it is one, and when it ended, by monotonic seconds; `expires` is by the
    clock. `ending` says that it is being ended just now."""

    token: str
    expires: float
    ended: float | None = None
    ending: float | None = None

    def truth(self, began: float, over: float) -> set[int]:
        """The statuses that a request that was under way from then to then may have."""
        allowed = set()
        if (self.ended is None or began < self.ended) and began + self._ahead() < self.expires + GRACE:
            allowed.add(200)
        if (self.ending is not None and over >= self.ending) or over + self._ahead() > self.expires - GRACE:
            allowed.add(401)
        return allowed

    def _ahead(self) -> float:
        return time.time() - time.monotonic()


@dataclass(slots=True)
class Told:
    """What was counted."""

    statuses: Counter[int] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


class Soak:
    """One run."""

    def __init__(self, port: int, folder: Path, store: Store, people: int) -> None:
        self._port = port
        self._store = store
        self._keys = FileKeys(folder / "keys")
        self._people: list[Person] = []
        self._many = people
        self._gone: list[Person] = []
        self._number = 0
        self.told = Told()

    async def sign_in(self, *, lives: float = 0) -> Person:
        """A new session, of a new person; with `lives` it runs out by itself."""
        self._number += 1
        now = int(time.time())
        expires = now + int(lives or 86400)
        token = mint(os.urandom(32), self._keys.ring().current)
        subject = Subject(f"0192f0c4-0000-7000-8000-{self._number:012}", f"person-{self._number}")
        await self._store.issue(Session(identify(token), subject.id, now, now, now, expires, 0), subject)
        person = Person(token, expires)
        self._people.append(person)
        self.told.done["signed in"] += 1
        return person

    async def end(self, person: Person, ending: Ending, actor: Actor) -> None:
        """End one: from when this begins either is true, from when it is done only one."""
        person.ending = time.monotonic()
        await self._store.apply([End(identify(person.token), ending, actor, int(time.time()))])
        person.ended = time.monotonic()
        self._people.remove(person)
        self._gone = [*self._gone[-200:], person]
        self.told.done[ending.value] += 1

    async def change(self, until: float) -> None:
        """Sign in, sign out, revoke, let run out: some each second."""
        while time.monotonic() < until:
            await asyncio.sleep(random.expovariate(10))
            now = time.time()
            for person in [each for each in self._people if each.expires < now - GRACE]:
                self._people.remove(person)
                self._gone = [*self._gone[-200:], person]
                self.told.done["expired"] += 1
            lasting = [each for each in self._people if each.expires > now + 3600]
            if len(self._people) < self._many:
                short = random.random() < 0.3
                await self.sign_in(lives=random.uniform(SHORTEST, LONGEST) if short else 0)
            elif lasting:
                how = random.choice(((Ending.ENDED, Actor.SELF), (Ending.REVOKED, Actor.ADMINISTRATOR)))
                await self.end(random.choice(lasting), *how)

    async def ask(self, until: float, pause: float) -> None:
        """One connection: somebody who is in, somebody who was, nobody, or somebody who never was."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while time.monotonic() < until:
            chance = random.random()
            person = random.choice(self._gone if chance < 0.1 and self._gone else self._people)
            cookie, made_up = f"Cookie: demur-dev={person.token}\r\n", ""
            if chance > 0.97:
                cookie, made_up = "", "nobody"
            elif chance > 0.95:
                cookie, made_up = f"Cookie: demur-dev={person.token[:-4]}AAAA\r\n", "made up"
            began = time.monotonic()
            writer.write(f"GET /members/page HTTP/1.1\r\nHost: localhost:{self._port}\r\n{cookie}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"(?i)content-length: ([0-9]+)", head)
            body = await reader.readexactly(int(found[1]) if found else 0)
            self._count(person, made_up, int(head.split()[1]), body, began)
            if pause:
                await asyncio.sleep(random.expovariate(1 / pause))
        writer.close()

    def _count(self, person: Person, made_up: str, status: int, body: bytes, began: float) -> None:
        over = time.monotonic()
        self.told.statuses[status] += 1
        if len(self.told.times) < 2_000_000:
            self.told.times.append(over - began)
        true = {401} if made_up else person.truth(began, over)
        if status not in true or (status == 200) != (body == PAGE):
            self.told.wrong.append(f"{status} where {sorted(true)} is true: {made_up or person}")

    async def load(self, seconds: float, pause: float) -> float:
        """That many seconds of it; requests a second."""
        before, began = sum(self.told.statuses.values()), time.monotonic()
        until = began + seconds
        await asyncio.gather(self.change(until), *(self.ask(until, pause) for _ in range(CONNECTIONS)))
        return (sum(self.told.statuses.values()) - before) / (time.monotonic() - began)


async def _site(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(PAGE) + PAGE
            )
    writer.close()


async def _be_site() -> None:
    server = await asyncio.start_server(_site, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _memory(parent: int) -> float:
    """What all workers have in memory, in MB."""
    workers = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    found = [re.search(r"VmRSS:\s+([0-9]+) kB", Path(f"/proc/{each}/status").read_text()) for each in workers]
    return sum(int(each[1]) / 1024 for each in found if each)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def run(options: argparse.Namespace, folder: Path) -> bool:
    """Measure, soak, and print; whether all was well."""
    port = _free_port()
    site = subprocess.Popen((sys.executable, __file__, "--site"), stdout=subprocess.PIPE)
    assert site.stdout is not None
    upstream = site.stdout.readline().decode().strip()
    (folder / "demur.toml").write_text(CONFIG.format(port=port, upstream=upstream))
    store = stores.open(f"sqlite:{folder / 'sessions.db'}")
    with (folder / "log").open("wb") as log:
        command = (str(Path(sys.executable).with_name("demur")), "serve", "--config", "demur.toml")
        gateway = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        await _listening(port, gateway, folder)
        soak = Soak(port, folder, store, options.people)
        for _ in range(options.people):
            await soak.sign_in()
        return await _soak(soak, gateway, options)
    finally:
        gateway.send_signal(signal.SIGTERM)
        await asyncio.to_thread(gateway.wait, 60)
        site.kill()
        site.communicate()
        await store.aclose()


async def _listening(port: int, gateway: subprocess.Popen[bytes], folder: Path) -> None:
    while True:
        if gateway.poll() is not None:
            raise SystemExit((folder / "log").read_text())
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)


async def _soak(soak: Soak, gateway: subprocess.Popen[bytes], options: argparse.Namespace) -> bool:
    await soak.load(5, 0)  # until both workers are there and warm
    full = await soak.load(5, 0)
    pause = CONNECTIONS / (full * options.share) - CONNECTIONS / full
    print(f"demur: {full:,.0f} requests a second at most; {options.minutes:g} minutes at {options.share:.0%} of that")
    parts = max(10, int(options.minutes * 2))
    for number in range(parts):
        rate = await soak.load(options.minutes * 60 / parts, pause)
        soak.told.memory.append(_memory(gateway.pid))
        wrong = len(soak.told.wrong)
        print(
            f"  {number + 1:3}/{parts} {rate:7.0f} requests/s {soak.told.memory[-1]:7.1f} MB {wrong} wrong", flush=True
        )
    return _report(soak.told, parts)


def _report(told: Told, parts: int) -> bool:
    first, last = (statistics.median(each) for each in (told.memory[parts // 5 :][:3], told.memory[-3:]))
    flat = last <= max(first * 1.1, first + 10)
    p99 = statistics.quantiles(told.times, n=100)[98] * 1000
    print(f"{sum(told.statuses.values()):,} answers: {dict(told.statuses)}; p99 {p99:.1f} ms")
    print(f"{', '.join(f'{count:,} {what}' for what, count in told.done.items())}")
    print(
        f"memory: {first:.1f} MB after a fifth of the time, {last:.1f} MB at the end: {'flat' if flat else 'NOT flat'}"
    )
    print(f"{len(told.wrong)} wrong answers")
    for each in told.wrong[:10]:
        print(f"  {each}")
    return flat and not told.wrong


def main() -> int:
    """Read the arguments; soak."""
    if sys.argv[1:2] == ["--site"]:
        asyncio.run(_be_site())
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--share", type=float, default=0.7)
    options: Any = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="demur-soak-") as folder:
        return 0 if asyncio.run(run(options, Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main())
