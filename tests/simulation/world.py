"""A world of a few nodes on one store, of which everything is random and known: what was committed when, who was told
of it when, and what was wrong at that moment. Each answer of a guard is held against it.

- A yes: at some moment since the last change that the node had to know of, it was true. It has to know at once what it
  was acknowledged itself, what came through its channel, and all that is two seconds old.
- A no: it was true at some moment between question and answer, with the very reason.
- A 503: some question of this node to the store failed between question and answer, or was too slow.
- A check writes nothing, and is answered in time; and when nothing is wrong any more, everything is right again.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.core.support import NOW, RING, SITE, make_request
from tests.simulation import virtual
from tests.simulation.network import Link, Node, Remote, Server

from demur.core import sessions
from demur.core.model import (
    Actor,
    Allow,
    End,
    Ended,
    Ending,
    Live,
    Refuse,
    Rotate,
    Session,
    StoreUnavailable,
    Subject,
    Unknown,
)
from demur.core.reasons import Reason
from demur.guard import Guard
from demur.guard.cache import Cache
from demur.stores.heard import SILENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from tests.simulation.network import Commit

    from demur.core.model import Decision, Request, Requirement

State: TypeAlias = "Live | Ended | Unknown"

ANSWERED = 1.0
"""Seconds in which everybody is answered, whatever is wrong."""

_IDLE = 40
_ABSOLUTE = 100_000
_STEPS = 80
_QUIET = 6.0
_LONG = 60.0


class Violation(AssertionError):  # noqa: N818 - it is none of the code
    """Something happened that must never happen."""


class Keys:
    """A ring that is the same in every run."""

    def ring(self) -> Any:
        return RING

    def rotate(self, now: int) -> Any:
        raise AssertionError(now)


@dataclass
class Was:
    """What was true from a commit on: of a session, or of a person."""

    number: int
    at: float
    state: Any
    told: bool
    acknowledged: dict[str, float] = field(default_factory=dict)


@dataclass
class Client:
    """A browser: the cookie that it holds."""

    token: str
    key: bytes
    subject: str

    @property
    def mark(self) -> bytes:
        """What a surface makes of the cookie, to know it again."""
        return b"mark" + self.key

    def request(self, target: str) -> Request:
        return make_request(target=target, cookie=f"__Host-demur={self.token}")


@dataclass(frozen=True)
class Parts:
    """What a world is made of; the tests put broken parts in place of these."""

    remote: type[Remote] = Remote
    cache: type[Cache] = Cache
    guard: type[Guard] = Guard


REAL = Parts()


class Process:
    """One node: a guard, its cache, and its side of the store."""

    def __init__(self, world: World, node: Node, parts: Parts) -> None:
        self.node = node
        self.remote = parts.remote(node, world.server, world.wrote)
        self.remote.acknowledged = lambda commit: world.acknowledged(node, commit)  # type: ignore[method-assign]
        self.cache = parts.cache(self.remote)  # type: ignore[arg-type]
        self.guard = parts.guard(SITE, self.remote, Keys(), clock=self.clock, cache=self.cache)  # type: ignore[arg-type]

    def clock(self) -> float:
        """The clock on the wall, as far as this machine knows."""
        return NOW + asyncio.get_running_loop().time() + self.node.clock_off

    async def stop(self) -> None:
        await self.guard.aclose()
        self.remote.stop()


class World:
    """One run: made of a seed, and of nothing else."""

    def __init__(self, seed: int, parts: Parts, say: Callable[[str], None] | None) -> None:
        self.seed = seed
        self.failed: str | None = None
        self.chance = Random(seed)
        self.parts = parts
        self._say = say
        self.server = Server(self.chance, self.committed)
        self.history: dict[bytes | str, list[Was]] = {}
        self.accounts: dict[str, Subject] = {}
        self.clients: list[Client] = []
        self.processes: list[Process] = []
        self.checking: set[asyncio.Task[Any]] = set()
        self.tasks: list[asyncio.Task[None]] = []
        self.wrong: list[Violation] = []
        self.faults: set[str] = set()
        self.requirements: dict[str, Requirement] = {}
        self.checks = self.refusals = self.outages = 0
        self.numbers = itertools.count(1)

    def say(self, what: str) -> None:
        if self._say is not None:
            self._say(f"{self.now:9.4f}  {what}")

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    # --- what is true -----------------------------------------------------------------------------

    def committed(self, commit: Commit) -> None:
        """Write down what is different now."""
        told: set[bytes | str] = {each.session or each.subject or "" for each in commit.told}
        for key, was in self.history.items():
            state: Any = self.server.rows.session(key) if isinstance(key, bytes) else self.server.rows.person(key)
            if isinstance(key, bytes) and isinstance(state, Live):
                state = state.session
            # Who ends all of a person's tells of the person.
            of_person = state.subject if isinstance(state, Ended) else key
            if state != was[-1].state:
                known = key in told or of_person in told or "" in told
                was.append(Was(commit.number, commit.at, state, known))

    def acknowledged(self, node: Node, commit: Commit) -> None:
        """A node has been told that its change is done."""
        for was in self.history.values():
            for each in was:
                if each.number == commit.number:
                    each.acknowledged[node.name] = self.now

    def wrote(self) -> None:
        """Somebody is about to write."""
        if asyncio.current_task() in self.checking:
            raise Violation("a check writes")

    def _possible(self, key: bytes | str, node: str, floor: int, began: float) -> list[Any]:
        """What a yes may be made of: whatever was true since the last change that the node has to know of."""
        was = self.history[key]
        first = 0
        for index, each in enumerate(was):
            acknowledged = each.acknowledged.get(node)
            old = each.number <= floor or each.at + SILENCE <= began
            if each.told and (old or (acknowledged is not None and acknowledged <= began)):
                first = index
        return [each.state for each in was[first:]]

    def _true(self, key: bytes | str, began: float) -> list[Any]:
        """What was true at some moment since then."""
        was = self.history[key]
        first = max((index for index, each in enumerate(was) if each.at <= began), default=0)
        return [each.state for each in was[first:]]

    # --- judging ----------------------------------------------------------------------------------

    async def check(self, process: Process, client: Client, target: str) -> None:
        """One request, and what has to be said of the answer."""
        task = asyncio.current_task()
        assert task is not None
        node, began, floor = process.node, self.now, process.node.floor
        second, certain, troubled = int(process.clock()), node.certain, self._troubled(node)
        self.checking.add(task)
        try:
            decision = self._short(process, client, target, second) or await self._long(process, client, target)
        finally:
            self.checking.discard(task)
        reason = decision.reason if isinstance(decision, Refuse) else None
        self.checks += 1
        who = f"{node.name}: {client.subject} {client.key.hex()[:6]} asks for {target}"
        self.say(f"{who}: {reason.value if reason else 'yes'} ({(self.now - began) * 1000:.1f} ms)")
        if self.now - began > ANSWERED:
            raise Violation(f"{who}: waited for {self.now - began:.2f} s")
        if reason is Reason.UNAVAILABLE:
            self.outages += 1
            if node.failed_at < began and not (troubled or self._troubled(node)):
                raise Violation(f"{who}: 503, and nothing is wrong")
            return
        if isinstance(decision, Allow):
            pick = self._pairs(self._possible, client, node.name, floor, began)
            if self.now == began and began >= certain + SILENCE:
                raise Violation(f"{who}: a yes out of the cache, though the channel was silent for two seconds")
        else:
            self.refusals += 1
            pick = itertools.product(self._true(client.key, began), self._true(client.subject, began))
        if not any(_expected(session, person, target, second) is reason for session, person in pick):
            raise Violation(f"{who}: {reason.value if reason else 'yes'}, and that is wrong")

    def _troubled(self, node: Node) -> bool:
        return self.server.down or self.server.hangs or node.link.troubled(self.now)

    async def _long(self, process: Process, client: Client, target: str) -> Decision:
        checked = await process.guard.acheck(client.request(target))
        process.guard.learn(checked, client.mark)
        self.requirements[target] = checked.requirement
        return checked.decision

    def _short(self, process: Process, client: Client, target: str, now: int) -> Decision | None:
        """As a surface does that has seen the request before."""
        requirement, way = self.requirements.get(target), self.chance.random()
        if requirement is None or way < 0.4:
            return None
        if way < 0.6:
            known = process.guard.known(requirement, client.key, now)
        else:
            known = process.guard.recall(requirement, client.key if way < 0.8 else client.mark, now)
        return known.allow if known is not None else None

    def _pairs(
        self,
        possible: Callable[..., list[Any]],
        client: Client,
        *asked: Any,
    ) -> Iterable[tuple[Any, Any]]:
        return itertools.product(possible(client.key, *asked), possible(client.subject, *asked))

    # --- operations -------------------------------------------------------------------------------

    async def sign_in(self, process: Process) -> None:
        """A new session, for one of a few persons."""
        person = self.accounts[self.chance.choice(list(self.accounts))]
        client, session = self._new(process, person.id)
        try:
            await process.remote.issue(session, person)
        except StoreUnavailable:
            self.say(f"{process.node.name}: {person.id} could not sign in")
            return
        self.say(f"{process.node.name}: {person.id} signed in as {client.key.hex()[:6]}")
        self.clients.append(client)

    def _new(self, process: Process, subject: str) -> tuple[Client, Session]:
        token = sessions.mint(b"%032d" % next(self.numbers), RING.current)
        client = Client(token, sessions.identify(token), subject)
        now = int(process.clock())
        self.history[client.key] = [Was(0, 0.0, Unknown(), told=False)]
        return client, Session(client.key, subject, now, now, now, now + _ABSOLUTE, _IDLE)

    async def rotate(self, process: Process, client: Client) -> None:
        """The same person goes on under a new id."""
        new, session = self._new(process, client.subject)
        if await self._try(process, "rotates", client, Rotate(client.key, session, session.issued_at)):
            self._leave(client)
            self.clients.append(new)

    async def sign_out(self, process: Process, client: Client) -> None:
        """This session ends."""
        end = End(client.key, Ending.ENDED, Actor.SELF, int(process.clock()))
        if await self._try(process, "signs out", client, end):
            self._leave(client)

    def _leave(self, client: Client) -> None:
        """Some browsers go on with what they have, most do not."""
        if client in self.clients and self.chance.random() < 0.6:
            self.clients.remove(client)

    async def _try(self, process: Process, what: str, client: Client, change: Any) -> bool:
        try:
            (done,) = await process.remote.apply([change])
        except StoreUnavailable:
            done = False
        self.say(
            f"{process.node.name}: {client.subject} {client.key.hex()[:6]} {what}: {'done' if done else 'not done'}"
        )
        return done

    async def end_all(self, process: Process, subject: str | None) -> None:
        """All sessions of a person, or of everybody."""
        try:
            count = await process.remote.end_all(subject, Ending.REVOKED, Actor.ADMINISTRATOR, int(process.clock()))
        except StoreUnavailable:
            count = -1
        self.say(f"{process.node.name}: all sessions of {subject or 'everybody'} end: {count}")

    async def publish(self, process: Process) -> None:
        """A person is in the group, or not any more; or suspended, or not any more."""
        before = self.accounts[self.chance.choice(list(self.accounts))]
        suspended = self.chance.random() < 0.2
        groups = frozenset() if before.groups else frozenset(("staff",))
        after = replace(before, version=before.version + 1, groups=groups, suspended=suspended)
        self.accounts[after.id] = after
        try:
            await process.remote.publish(after)
            done = "done"
        except StoreUnavailable:
            done = "not done"
        how = f"{'suspended, ' if suspended else ''}{'in' if groups else 'not in'} staff"
        self.say(f"{process.node.name}: {after.id} is {how}: {done}")

    async def sweep(self, process: Process) -> None:
        """What is over by this node's clock."""
        try:
            count = await process.remote.sweep(int(process.clock()))
        except StoreUnavailable:
            count = -1
        self.say(f"{process.node.name}: sweeps: {count}")

    async def restart(self, number: int) -> None:
        """A process ends, and another begins in its place."""
        process = self.processes[number]
        self.say(f"{process.node.name}: restarts")
        node = replace(process.node, floor=self.server.commits, certain=float("-inf"))
        self.processes[number] = Process(self, node, self.parts)
        await process.stop()

    # --- what goes wrong --------------------------------------------------------------------------

    async def fault(self) -> None:
        """One thing that goes wrong, for a while."""
        lasts = self.chance.choice((0.05, 0.4, 1.0, 3.0, 6.0, 6.0)) * self.chance.uniform(0.5, 1.5)
        process = self.chance.choice(self.processes)
        link = process.node.link
        kind = self.chance.choice(FAULTS)
        self.faults.add(kind)
        self.say(f"fault: {kind} at {process.node.name} for {lasts:.2f} s")
        self._begin(self._insist(process, lasts))
        if kind == "the store is down":
            self.server.down = True
            self.server.restart()
            await asyncio.sleep(lasts)
            self.server.down = False
        elif kind == "the store hangs":
            self.server.hangs = True
            await asyncio.sleep(lasts)
            self.server.hangs = False
        elif kind == "the clock is set":
            process.node.clock_off += self.chance.choice((-3600, -300, -20, 20, 300, 86400))
        elif kind == "the process restarts":
            await self.restart(self.processes.index(process))
        else:
            await self._link(kind, link, lasts)
        for each in self.processes if kind.startswith("the store") else (process,):
            each.node.link.trouble_until = self.now
        self.say(f"fault: {kind}: over")

    async def _insist(self, process: Process, lasts: float) -> None:
        """Two people who come again and again to where something is wrong, and a while longer."""
        clients = self.clients[-2:]
        for number in range(10):
            await asyncio.sleep((lasts + 2) / 10)
            if process in self.processes and clients:
                self._begin(self.check(process, clients[number % len(clients)], self.chance.choice(TARGETS)))

    async def _link(self, kind: str, link: Link, lasts: float) -> None:
        match kind:
            case "the line is silent":
                link.silent_until = max(link.silent_until, self.now + lasts)
            case "the channel is silent":
                link.channel_silent_until = max(link.channel_silent_until, self.now + lasts)
            case "the channel ends":
                for channel in [each for each in self.server.channels if each.link is link]:
                    channel.die()
                    self.server.channels.remove(channel)
            case "the channel ends, and nobody says so":
                for channel in self.server.channels:
                    channel.cut = channel.cut or channel.link is link
            case _:
                what, bad = SPOILT[kind]
                setattr(link, what, self.chance.choice(bad))
                await asyncio.sleep(lasts)
                setattr(link, what, 0.0)

    # --- one run ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Begin, live, and heal."""
        for name in ("ann", "bo", "cy"):
            self.accounts[name] = Subject(name, name, frozenset(("staff",)))
            self.history[name] = [Was(0, 0.0, None, told=False)]
        self.processes = [Process(self, Node(f"node{n}"), self.parts) for n in range(1, 1 + self.chance.randint(2, 4))]
        await asyncio.sleep(0.1)
        for process in self.processes:
            await self.sign_in(process)
        faults = self.chance.choice((0.0, 0.03, 0.1))
        busy = self.chance.choice((0.002, 0.05, 0.3))
        for _ in range(_STEPS):
            await asyncio.sleep(self.chance.expovariate(1 / busy))
            self._begin(self._step(faults))
            self._raise()
        await self._heal()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(self._watched(work)))

    async def _watched(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Violation as wrong:
            self.wrong.append(wrong)

    def _raise(self) -> None:
        self.tasks = [task for task in self.tasks if not task.done()]
        if self.wrong:
            raise self.wrong[0]

    def _step(self, faults: float) -> Coroutine[Any, Any, None]:
        chance = self.chance
        process = chance.choice(self.processes)
        if chance.random() < faults:
            return self.fault()
        what = chance.random()
        if what < 0.07 or not self.clients:
            return self.sign_in(process)
        client = chance.choice(self.clients[-6:])
        if what < 0.12:
            return self.sign_out(process, client)
        if what < 0.16:
            return self.rotate(process, client)
        if what < 0.24:
            return self.publish(process)
        if what < 0.26:
            return self.end_all(process, client.subject if chance.random() < 0.8 else None)
        if what < 0.28:
            return self.sweep(process)
        return self.check(process, client, chance.choice(TARGETS))

    async def _heal(self) -> None:
        """Nothing goes wrong any more: soon nobody is refused without a reason, and nobody has to be asked for."""
        while self.tasks:
            await asyncio.sleep(0.5)
            self._raise()
        for process in self.processes:
            link = process.node.link
            link.silent_until = link.channel_silent_until = 0.0
        await asyncio.sleep(_QUIET)
        self.say("nothing is wrong any more")
        for process in self.processes:
            for client in self.clients:
                outages = self.outages
                await self.check(process, client, "/members/")
                began, refusals = self.now, self.refusals
                await self.check(process, client, "/members/")
                if self.outages > outages:
                    raise Violation(f"{process.node.name}: 503 long after everything was well again")
                if self.refusals == refusals and self.now > began:
                    raise Violation(
                        f"{process.node.name}: asks twice for {client.key.hex()[:6]}, with a channel that is well"
                    )
        for process in self.processes:
            await process.stop()


TARGETS = ("/members/", "/members/", "/staff/", "/staff/", "/poll")
SPOILT = {
    "the line is slow": ("slow", (0.05, 0.3, 0.9)),
    "the channel is late": ("channel_late", (0.3, 1.8, 3.0)),
    "questions are lost": ("loses_questions", (0.2, 0.5)),
    "answers are lost": ("loses_answers", (0.2, 0.5)),
    "the store refuses": ("refuses", (0.3, 1.0)),
}
FAULTS = (
    *SPOILT,
    "the store is down",
    "the store hangs",
    "the line is silent",
    "the channel is silent",
    "the channel ends",
    "the channel ends, and nobody says so",
    "the clock is set",
    "the process restarts",
)


def _expected(session: Any, person: Subject | None, target: str, now: int) -> Reason | None:
    """What the design says of such a session and person; None is a yes. Written as plainly as it can be."""
    if isinstance(session, Unknown):
        return Reason.CREDENTIALS_INVALID
    ended = session if isinstance(session, Ended) else sessions.ended(session, now)
    if ended is not None:
        return sessions.reason(ended, now)
    if person is None:
        return Reason.UNAVAILABLE  # cannot be
    if person.suspended:
        return Reason.SESSION_REVOKED
    return Reason.NOT_PERMITTED if target == "/staff/" and "staff" not in person.groups else None


def run(seed: int, parts: Parts = REAL, say: Callable[[str], None] | None = None) -> World:
    """The world of one seed, from its beginning to its end, or until something happened that must not: `failed`."""

    async def live() -> World:
        world = World(seed, parts, say)
        try:
            await world.run()
        except Violation as wrong:
            world.failed = str(wrong)
            world.say(f"WRONG: {wrong}")
            await asyncio.sleep(_LONG)  # nobody is in the middle of anything
        return world

    return virtual.run(live())


def replay(seed: int) -> str:
    """The command that shows a run."""
    return f".venv/bin/python tests/simulation {seed}"
