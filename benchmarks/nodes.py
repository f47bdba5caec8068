"""Eight nodes on one store on a network: real guards, caches and `stores.heard`, and a network that is simulated, on
virtual time (tests/simulation). Everybody asks any node, once a second: nothing is sticky.

- Calm: two people sign out each second, and two sign in.
- Storm: a hundred each second.
- Lost: calm again, and a quarter of the nodes hears nothing for six seconds.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from tests.core.support import NOW, RING, SITE, make_request
from tests.simulation import virtual
from tests.simulation.network import Node, Remote, Server

from demur.core import sessions
from demur.core.model import Actor, Allow, End, Ending, Session, Subject
from demur.guard import Cache, Guard

if TYPE_CHECKING:
    from demur.core.model import Request

NODES, PEOPLE, SECONDS = 8, 2000, 8
CALM, STORM = 2, 100


class _Keys:
    def ring(self) -> Any:
        return RING


@dataclass(slots=True)
class _Person:
    key: bytes
    request: Request
    signed_out: float | None = None


class Site:
    """All of it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._chance = Random(7)
        self._server = Server(self._chance, lambda commit: None)
        self.remotes = [Remote(Node(f"node{n}"), self._server, lambda: None) for n in range(NODES)]
        given: Any = self.remotes
        keys: Any = _Keys()
        self.guards = [Guard(SITE, each, keys, clock=self._clock, cache=Cache(each)) for each in given]
        self.here: list[_Person] = []
        self._gone: list[_Person] = []
        self._number = self._reads = 0
        self.checks = self.wrong = 0
        self.longest = 0.0
        for remote in self.remotes:
            remote.load = self._counting(remote.load)  # type: ignore[method-assign]

    def _clock(self) -> float:
        return NOW + self._loop.time()

    def _counting(self, load: Any) -> Any:
        async def counted(ids: Any) -> Any:
            self._reads += 1
            return await load(ids)

        return counted

    async def sign_in(self) -> None:
        """One more."""
        self._number += 1
        token = sessions.mint(b"%032d" % self._number, RING.current)
        key, subject, now = sessions.identify(token), f"person{self._number}", int(self._clock())
        await self.remotes[self._number % NODES].issue(
            Session(key, subject, now, now, now, now + 86_400, 3600), Subject(subject, subject)
        )
        self.here.append(_Person(key, make_request(target="/members/", cookie=f"__Host-demur={token}")))

    async def _sign_out(self) -> None:
        person = self.here.pop(self._chance.randrange(len(self.here)))
        remote = self._chance.choice(self.remotes)
        await remote.apply([End(person.key, Ending.ENDED, Actor.SELF, int(self._clock()))])
        person.signed_out = self._loop.time()
        self._gone.append(person)

    async def ask(self, person: _Person, guard: Guard) -> None:
        """Whether that was right: who is signed in gets in, and who is signed out does not, two seconds later."""
        began, out = self._loop.time(), person.signed_out
        yes = isinstance((await guard.acheck(person.request)).decision, Allow)
        self.checks += 1
        if out is None and not yes and person.signed_out is None and person in self.here:
            self.wrong += 1
        if out is not None and yes:
            self.longest = max(self.longest, began - out)
            self.wrong += began - out > 2

    async def live(self, pace: int, *, insists: bool = False) -> float:
        """Some seconds; reads of the store for a thousand checks. With `insists`, whoever signed out a moment ago still
        has a page open, and goes on asking every node."""
        reads, checks = self._reads, self.checks
        tasks: list[asyncio.Task[None]] = []
        ticks = max(pace, 20)
        for tick in range(SECONDS * ticks):
            await asyncio.sleep(1 / ticks)
            if tick * pace // ticks != (tick + 1) * pace // ticks:
                tasks += [self._loop.create_task(self._sign_out()), self._loop.create_task(self.sign_in())]
            for person in self._chance.sample(self.here, PEOPLE // ticks):
                tasks.append(self._loop.create_task(self.ask(person, self._chance.choice(self.guards))))
            for person in self._gone[-4:] if insists else ():
                tasks += [self._loop.create_task(self.ask(person, guard)) for guard in self.guards]
        await asyncio.gather(*tasks)
        return (self._reads - reads) / (self.checks - checks) * 1000

    def silence(self, seconds: float) -> None:
        """A quarter of the nodes is not told anything."""
        for remote in self.remotes[: NODES // 4]:
            remote.node.link.channel_silent_until = self._loop.time() + seconds


async def _measure() -> tuple[float, float, float, int]:
    site = Site()
    await asyncio.sleep(1)
    for _ in range(PEOPLE):
        await site.sign_in()
    for guard in site.guards:
        await asyncio.gather(*(site.ask(person, guard) for person in site.here))
    calm, storm = await site.live(CALM), await site.live(STORM)
    site.longest = 0.0
    site.silence(6)
    await site.live(CALM, insists=True)
    for guard, remote in zip(site.guards, site.remotes, strict=True):
        await guard.aclose()
        remote.stop()
    return calm, storm, site.longest, site.wrong


def storm() -> tuple[float, float, float, int]:
    """Reads of the store for a thousand checks, in calm and in storm; seconds from the acknowledgement of a sign-out to
    the last yes, with lost channels; and wrong answers."""
    return virtual.run(_measure())
