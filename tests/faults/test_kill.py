"""Workers are killed (SIGKILL) while people sign in, confirm who they are, sign out and lose a group.

A truth keeper in a process of its own notes what was begun and what was acknowledged, and asks a neighbour's guard,
which keeps what it knows: nothing is half done, nobody is out, and nobody is let in after an acknowledged end or
removal. A round is a seed; a failure names it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.faults.app import CONFIG

from demur import accounts, stores
from demur.core.model import Actor, Allow, End, Ended, Ending, Live, Request, Session
from demur.core.sessions import identify, mint
from demur.gateway.config.findings import load
from demur.guard import Guard
from demur.stores.keys import FileKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ZYGOTE = Path(__file__).with_name("zygote.py")
PEOPLE = 24
LONGEST = 0.015
"""Seconds after which a worker is killed at the latest; it does about four things in that time."""
OPERATIONS = ("sign_in", "rotate", "sign_out", "remove")
KILLS = {"sqlite": 1000, "postgres": 100, "redis": 100}


@dataclass
class Person:
    """What is true of somebody. `tokens` are the sessions that nobody has ended."""

    name: str
    id: str = ""
    tokens: list[str] = field(default_factory=list)
    staff: bool = True


@dataclass
class Count:
    """How often it happened."""

    kills: int = 0
    during: dict[str, int] = field(default_factory=dict)
    unheard: dict[str, int] = field(default_factory=dict)


class Keeper:
    """The truth, and a neighbour of the workers who is asked."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.people = [Person(f"p{number}") for number in range(PEOPLE)]
        self.ended: list[str] = []
        self.count = Count()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Keeper]:
        """Start the program that forks workers, and what the neighbour needs."""
        database = f"sqlite:{self.folder / 'accounts.db'}"
        text = CONFIG.format(port=8000, database=database, store=self.url, keys=self.folder / "keys", upstream=9)
        (self.folder / "demur.toml").write_text(text)
        config = load(self.folder / "demur.toml")
        self.store = stores.open(self.url)
        self.accounts = accounts.open(database, self.store)
        self.guard = Guard(config.sites()[0], self.store, FileKeys(self.folder / "keys"))
        with (self.folder / "log").open("wb") as log:
            self.zygote = await asyncio.create_subprocess_exec(
                *(sys.executable, ZYGOTE, self.folder / "demur.toml", str(PEOPLE)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        try:
            assert await self._hear() == {"ready": True}
            for person in self.people:
                await self._sign_in(person)
                await self._sign_in(person)
            yield self
        finally:
            assert self.zygote.stdin is not None
            self.zygote.stdin.close()
            await asyncio.wait_for(self.zygote.wait(), 20)
            await self.guard.aclose()
            await self.accounts.aclose()
            await self.store.aclose()

    async def _sign_in(self, person: Person) -> None:
        subject = (await self.accounts.get(person.name)).subject
        person.id, now = subject.id, int(time.time())
        token = mint(os.urandom(32), FileKeys(self.folder / "keys").ring().current)
        await self.store.issue(Session(identify(token), subject.id, now, now, now, now + 86400, 3600), subject)
        person.tokens.append(token)

    async def _hear(self) -> dict[str, Any]:
        assert self.zygote.stdout is not None
        line = await asyncio.wait_for(self.zygote.stdout.readline(), 30)
        assert line, (self.folder / "log").read_text()[-3000:]
        heard: dict[str, Any] = json.loads(line)
        return heard

    # --- a round --------------------------------------------------------------------------------------

    async def round(self, seed: int, longest: float = LONGEST) -> None:
        """A worker begins some things and is killed. Raises AssertionError if anything is not as it should be."""
        chance = random.Random(seed)
        cast = chance.sample(self.people, 4)
        plan = [self._step(chance, person) for person in cast]
        told = await self._killed(plan, chance.uniform(0, longest))
        for number, (what, person) in enumerate(zip([step[0] for step in plan], cast, strict=True)):
            if number in told:
                await self._acknowledged(what, person, plan[number], told[number])
            elif number == self.begun:
                self.count.during[what] = self.count.during.get(what, 0) + 1
                await self._uncertain(what, person, plan[number])
        for person in (*cast, *chance.sample(self.people, 2)):
            await self._see(person)
        for token in self.ended[-3:]:
            assert not await self._allowed(token), "let in after the end"
        self.count.kills += 1

    def _step(self, chance: random.Random, person: Person) -> list[str]:
        what = chance.choice(OPERATIONS if person.tokens else ("sign_in",))
        if what == "remove" and not person.staff:
            what = "add"
        return [what, person.name, *([chance.choice(person.tokens)] if what in {"rotate", "sign_out"} else [])]

    async def _killed(self, plan: list[list[str]], after: float) -> dict[int, str | int]:
        """What was acknowledged, by its number; `begun` is what was begun last."""
        assert self.zygote.stdin is not None
        self.zygote.stdin.write(json.dumps(plan).encode() + b"\n")
        pid, self.begun, killed = 0, -1, False
        told: dict[int, str | int] = {}
        while "gone" not in (heard := await self._hear()):
            pid = heard.get("pid", pid)
            self.begun = heard.get("begins", self.begun)
            if "done" in heard:
                told[heard["done"]] = heard["told"]
            if pid and self.begun >= 0 and not killed:
                killed = True
                await asyncio.sleep(after)
                os.kill(pid, signal.SIGKILL)
        assert heard["gone"] == -9, (self.folder / "log").read_text()[-3000:]
        return told

    async def _acknowledged(self, what: str, person: Person, step: list[str], told: str | int) -> None:
        if told == 429:
            return  # so many of their sign-ins were killed that this one had to wait
        if what in {"sign_in", "rotate"}:
            assert isinstance(told, str), f"{what} was answered {told}"
            person.tokens.append(told)
        if what in {"rotate", "sign_out"}:
            assert what == "rotate" or told == 204, told
            person.tokens.remove(step[2])
            self.ended.append(step[2])
            if what == "sign_out":
                assert not await self._allowed(step[2]), "let in after signing out"
        if what in {"add", "remove"}:
            person.staff = what == "add"
            for token in person.tokens:
                assert await self._allowed(token, "/staff") is person.staff, f"after an acknowledged {what}"

    async def _uncertain(self, what: str, person: Person, step: list[str]) -> None:
        """Killed in the middle of it: it has happened whole, or not at all."""
        await self.accounts.deliver()
        if what in {"add", "remove"}:
            person.staff = "staff" in (await self.accounts.get(person.name)).subject.groups
            return
        unknown = await self._unheard(person)
        if what == "sign_in":
            assert len(unknown) <= 1
        else:
            (found,) = await self.store.load([identify(step[2])])
            over = isinstance(found, Ended)
            assert over or isinstance(found, Live), f"{what}: neither the old one nor its tombstone"
            assert len(unknown) == (over if what == "rotate" else 0), f"{what}: out, or in twice"
            if over:
                person.tokens.remove(step[2])
                self.ended.append(step[2])
                assert isinstance(found, Ended)
                assert found.how is (Ending.REPLACED if what == "rotate" else Ending.ENDED)
        # Their tokens died with the worker: nobody has them.
        now = int(time.time())
        self.count.unheard[what] = self.count.unheard.get(what, 0) + len(unknown)
        for key in unknown:
            assert await self.store.apply([End(key, Ending.REVOKED, Actor.SYSTEM, now)]) == [True]

    async def _unheard(self, person: Person) -> list[bytes]:
        """The live sessions of somebody that the truth knows nothing of; each is whole."""
        known = {identify(token) for token in person.tokens}
        unknown = [session.id for session in await self.store.sessions(person.id) if session.id not in known]
        for found in await self.store.load(unknown):
            assert isinstance(found, Live)
            assert found.subject.id == person.id
        return unknown

    async def _see(self, person: Person) -> None:
        """Everything is as the truth has it."""
        live = {session.id for session in await self.store.sessions(person.id)}
        assert live == {identify(token) for token in person.tokens}, "half a session, or one too many"
        for token in person.tokens:
            assert await self._allowed(token), "out"
            assert await self._allowed(token, "/staff") is person.staff

    async def _allowed(self, token: str, target: str = "/page") -> bool:
        cookie = (b"cookie", b"demur-dev=" + token.encode())
        request = Request("GET", target.encode(), "http", "localhost:8000", "192.0.2.8", (cookie,))
        checked = await self.guard.acheck(request)
        return isinstance(checked.decision, Allow)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("redis", marks=pytest.mark.redis),
    ]
)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A store, by its name and its URL."""
    if request.param == "sqlite":
        return "sqlite", f"sqlite:{tmp_path / 'sessions.db'}"
    return request.param, request.getfixturevalue(f"{request.param}_url")


@pytest.mark.slow
async def test_killed_workers_leave_nothing_half_done(where: tuple[str, str], tmp_path: Path) -> None:
    """Many rounds, each with a seed of its own."""
    store, url = where
    async with Keeper(tmp_path, url).open() as keeper:
        for seed in range(KILLS[store]):
            try:
                await keeper.round(seed)
            except AssertionError as wrong:
                raise AssertionError(f"seed {seed}: {wrong}") from wrong
    count = keeper.count
    print(f"{store}: {count}")
    assert count.kills == KILLS[store]
    assert all(count.during.get(what, 0) >= count.kills // 50 for what in OPERATIONS), count
