"""A store on a network that is not there: the rows in the memory store, and between them and each node delays, losses,
silence and death. The nodes' side of it does what a real store on the network does, with the real `stores.heard`.

What a network may do here is what TCP may do: bytes come in order or not at all, but only within one connection. The
answers to questions and the pushed changes come through different ones, so either may be first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from demur.core.model import StoreUnavailable
from demur.stores import PATIENCE, heard
from demur.stores.heard import Heard
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from random import Random

    from demur.core.model import Actor, Change, Ended, Ending, Live, Session, Subject, Unknown
    from demur.core.ports import Changed
    from demur.stores.heard import Moment, Stamp

BEAT = 0.5
"""How often a node asks through its channel whether everything was heard."""

GIVES_UP = 4.0
"""After so many seconds of silence a node opens another channel. Until then only `stores.heard` knows of it."""

_AGAIN = 0.2


class Rows(MemoryStore):
    """What is kept, and what it tells of."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Changed] = []

    def _tell(self, changed: Changed) -> None:
        super()._tell(changed)
        self.told.append(changed)

    def session(self, key: bytes) -> Live | Ended | Unknown:
        """What is known of an id now."""
        return self._found(key)

    def person(self, subject: str) -> Subject | None:
        """The snapshot of a person."""
        return self._people.get(subject)


@dataclass
class Commit:
    """One transaction: its number, when it was, and what it told."""

    number: int
    at: float
    told: list[Changed]


@dataclass
class _Open:
    """The first word through a channel: every later commit will be told."""

    channel: Channel
    known: int
    asked: float
    opened: asyncio.Future[Channel]


_Said: TypeAlias = "Commit | float | _Open"
"""What comes through a channel: a commit, or the second at which a beat was asked for."""


@dataclass
class Link:
    """What is wrong between one node and the store now, and until when nothing arrives."""

    slow: float = 0.0
    loses_questions: float = 0.0
    loses_answers: float = 0.0
    silent_until: float = 0.0
    channel_silent_until: float = 0.0
    channel_late: float = 0.0
    refuses: float = 0.0
    trouble_until: float = 0.0

    def troubled(self, now: float) -> bool:
        """Whether something is wrong with questions, or was a moment ago, so that an answer may still be on its way."""
        wrong = self.slow or self.loses_questions or self.loses_answers or self.refuses
        return bool(wrong) or now < max(self.silent_until, self.trouble_until) + PATIENCE


class Server:
    """The store at the other end: one for all nodes. `committed` is called for each transaction."""

    def __init__(self, chance: Random, committed: Callable[[Commit], None]) -> None:
        self.chance = chance
        self.rows = Rows()
        self.down = False
        self.hangs = False
        self.channels: list[Channel] = []
        self.commits = 0
        self._committed = committed

    def do(self, work: Callable[[Rows], Coroutine[Any, Any, Any]], at: float) -> tuple[Any, Commit]:
        """One transaction, at once."""
        self.rows.told = []
        made = work(self.rows)
        try:
            made.send(None)
        except StopIteration as done:
            result = done.value
        else:
            raise AssertionError("the memory store waits for nothing")
        self.commits += 1
        commit = Commit(self.commits, at, self.rows.told)
        self._committed(commit)
        if commit.told:
            for channel in self.channels:
                channel.push(commit)
        return result, commit

    def restart(self) -> None:
        """All connections end."""
        for channel in self.channels:
            channel.die()
        self.channels = []


class Channel:
    """One connection through which changes are pushed: in order, with delays, or not at all."""

    def __init__(self, link: Link, server: Server, received: Callable[[_Said], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.link = link
        self._server = server
        self._received = received
        self._last = 0.0
        self._waiting: deque[_Said] = deque()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.cut = False

    def push(self, what: _Said) -> None:
        """From the store to the node."""
        now = self._loop.time()
        ready = max(now, self.link.silent_until, self.link.channel_silent_until) + self._delay()
        self._last = max(self._last, ready)
        self._waiting.append(what)
        self._loop.call_at(self._last, self._deliver)

    def ping(self, sent: float) -> None:
        """From the node to the store, and back behind all that was pushed before it came."""
        arrives = max(sent, self.link.silent_until, self.link.channel_silent_until) + self._delay()
        self._loop.call_at(arrives, self._answer, sent)

    def die(self) -> None:
        """The node is told that it is closed; what is under way is lost."""
        self.cut = True
        if not self.closed.done():
            self.closed.set_result(None)

    def close(self) -> None:
        """The node does not want it any more."""
        self.die()
        if self in self._server.channels:
            self._server.channels.remove(self)

    def _answer(self, sent: float) -> None:
        if not self.cut and not self._server.hangs:
            self.push(sent)

    def _deliver(self) -> None:
        if self._waiting:
            what = self._waiting.popleft()
            if not self.cut:
                self._received(what)

    def _delay(self) -> float:
        link = self.link
        return self._server.chance.uniform(0.0001, 0.004) + self._server.chance.random() * link.slow + link.channel_late


@dataclass
class Node:
    """What the world knows of one process: up to which commit it has heard everything, and when it was last certain."""

    name: str
    link: Link = field(default_factory=Link)
    clock_off: float = 0.0
    floor: int = 0
    certain: float = float("-inf")
    failed_at: float = float("-inf")


class Remote:
    """A `core.ports.Store` as far as a guard and the operations of the simulation need it, for one node."""

    heard_type: type[Heard] = Heard
    tells_itself = True

    def __init__(self, node: Node, server: Server, writes: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.node, self.server = node, server
        self.heard = self.heard_type(self._loop.time)
        self._writes = writes
        self._channel: Channel | None = None
        self._listening = self._loop.create_task(self._listen())

    # --- asking -----------------------------------------------------------------------------------

    async def load(self, ids: Sequence[bytes]) -> list[Live | Ended | Unknown]:
        """See `Store.load`."""
        found, _ = await self._ask(lambda rows: rows.load(ids))
        return found  # type: ignore[no-any-return]

    async def issue(self, session: Session, subject: Subject) -> None:
        """See `Store.issue`."""
        await self._write(lambda rows: rows.issue(session, subject))

    async def apply(self, changes: Sequence[Change]) -> list[bool]:
        """See `Store.apply`."""
        return await self._write(lambda rows: rows.apply(changes))  # type: ignore[no-any-return]

    async def end_all(
        self, subject: str | None, how: Ending, actor: Actor, now: int, *, keep: bytes | None = None
    ) -> int:
        """See `Store.end_all`."""
        return await self._write(lambda rows: rows.end_all(subject, how, actor, now, keep=keep))  # type: ignore[no-any-return]

    async def publish(self, subject: Subject) -> None:
        """See `Store.publish`."""
        await self._write(lambda rows: rows.publish(subject))

    async def sweep(self, now: int) -> int:
        """See `Store.sweep`."""
        return await self._write(lambda rows: rows.sweep(now))  # type: ignore[no-any-return]

    def moment(self) -> Moment | None:
        """See `Store.moment`."""
        return self.heard.moment()

    def holds(self, stamp: Stamp) -> bool:
        """See `Store.holds`."""
        return heard.holds(stamp)

    async def _write(self, work: Callable[[Rows], Coroutine[Any, Any, Any]]) -> Any:
        self._writes()
        result, commit = await self._ask(work)
        if self.tells_itself:
            # What it says is done holds here at once, whenever the channel comes to say so.
            for changed in commit.told:
                self.heard.change(changed)
        self.acknowledged(commit)
        return result

    def acknowledged(self, commit: Commit) -> None:
        """The world listens here."""

    async def _ask(self, work: Callable[[Rows], Coroutine[Any, Any, Any]]) -> tuple[Any, Commit]:
        link, chance, now = self.node.link, self.server.chance, self._loop.time()
        answer: asyncio.Future[tuple[Any, Commit]] = self._loop.create_future()
        if not chance.random() < link.loses_questions:
            arrives = max(now, link.silent_until) + self._delay()
            self._loop.call_at(arrives, self._arrive, work, answer)
        try:
            async with asyncio.timeout(PATIENCE):
                return await answer
        except TimeoutError:
            raise self._failed("no answer") from None

    def _arrive(
        self, work: Callable[[Rows], Coroutine[Any, Any, Any]], answer: asyncio.Future[tuple[Any, Commit]]
    ) -> None:
        """A question has come to the store, whether or not anybody still waits for the answer."""
        link, server = self.node.link, self.server
        now = self._loop.time()
        if server.hangs:
            return
        if server.down or server.chance.random() < link.refuses:
            said: tuple[Any, Commit] | StoreUnavailable = StoreUnavailable("refused")
        else:
            said = server.do(work, now)
        if server.chance.random() < link.loses_answers:
            return
        self._loop.call_at(max(now, link.silent_until) + self._delay(), self._tell, answer, said)

    def _tell(self, answer: asyncio.Future[tuple[Any, Commit]], said: tuple[Any, Commit] | StoreUnavailable) -> None:
        if answer.done():
            return
        if isinstance(said, StoreUnavailable):
            answer.set_exception(self._failed(said.cause))
        else:
            answer.set_result(said)

    def _failed(self, cause: str) -> StoreUnavailable:
        self.node.failed_at = self._loop.time()
        return StoreUnavailable(cause)

    def _delay(self) -> float:
        return self.server.chance.uniform(0.0001, 0.004) + self.server.chance.random() * self.node.link.slow

    # --- listening --------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            await self._connected()
            self._lost()
            await asyncio.sleep(_AGAIN)

    async def _connected(self) -> None:
        """One life of the channel, from the question to be told until it is closed or silent."""
        node = self.node
        try:
            channel = await self._open()
        except StoreUnavailable:
            return
        while self._loop.time() < node.certain + GIVES_UP:
            channel.ping(self._loop.time())
            await asyncio.wait((channel.closed,), timeout=BEAT)
            if channel.closed.done():
                return

    async def _open(self) -> Channel:
        asked = self._loop.time()
        opened: asyncio.Future[Channel] = self._loop.create_future()
        link, server = self.node.link, self.server

        def arrive() -> None:
            if server.hangs or opened.done():
                return
            if server.down or server.chance.random() < link.refuses:
                self._loop.call_later(self._delay(), _refuse, opened)
                return
            channel = Channel(link, server, lambda what: self._received(channel, what))
            server.channels.append(channel)
            channel.push(_Open(channel, server.commits, asked, opened))

        arrives = max(asked, link.silent_until, link.channel_silent_until) + self._delay()
        self._loop.call_at(arrives, arrive)
        try:
            async with asyncio.timeout(PATIENCE):
                return await opened
        except TimeoutError:
            raise StoreUnavailable("no answer") from None

    def _received(self, channel: Channel, what: _Said) -> None:
        if isinstance(what, _Open):
            self._opened(what)
        elif channel is not self._channel:
            return
        elif isinstance(what, Commit):
            for changed in what.told:
                self.heard.change(changed)
            self.node.floor = max(self.node.floor, what.number)
        else:
            self.heard.beat(what)
            self.node.certain = max(self.node.certain, what)

    def _opened(self, what: _Open) -> None:
        if what.opened.done():
            what.channel.close()
            return
        self._channel = what.channel
        self.heard.start(what.asked)
        self.node.floor, self.node.certain = max(self.node.floor, what.known), what.asked
        what.opened.set_result(what.channel)

    def _lost(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
        self.heard.lost()
        self.node.certain = float("-inf")

    def stop(self) -> None:
        """The process ends."""
        self._listening.cancel()
        self._lost()


def _refuse(opened: asyncio.Future[Channel]) -> None:
    if not opened.done():
        opened.set_exception(StoreUnavailable("refused"))
