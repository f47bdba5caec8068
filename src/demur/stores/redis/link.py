"""What one process and event loop has open: a connection to each master, through which it asks, and is told of changes.

- The server tracks one prefix for us (CLIENT TRACKING, BCAST). A script that changes somebody's evidence writes and
  removes a key there whose name says whose; nothing else does, so neither issuing nor touching tells anything.
- All is told by the connection that is asked, so no answer comes through a channel that is not heard.
- Twice a second each master is asked for its role. The answer proves that it is one, and that whatever was reported as
  done before the question was heard. A master that is none any more, or another, is a lost channel.
- What must not be lost goes by a second connection, because WAIT holds up whatever comes after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from typing import TYPE_CHECKING, Any

from demur.core.model import StoreUnavailable
from demur.core.ports import Changed
from demur.stores import PATIENCE
from demur.stores.feed import Feed
from demur.stores.heard import Heard
from demur.stores.redis import causes
from demur.stores.redis.map import Map
from demur.stores.redis.wire import Said, Wire, connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.stores.redis.scripts import Script
    from demur.stores.redis.where import Place, Where
    from demur.stores.redis.wire import Word

BEAT = 0.5
"""Seconds between two questions for the role."""

CONFIRM = 500
"""Milliseconds that replicas have to confirm."""

_AGAIN_FIRST, _AGAIN_LAST = 0.05, 1.0
_TRIES = 4
_OLDEST = (7, 0)


class Undone(StoreUnavailable):
    """The server has refused, and nothing was done."""


class Link:
    """See above. Made by `loops.PerLoop`; nothing is opened before it is asked."""

    def __init__(self, where: Where) -> None:
        self.heard = Heard()
        self.map = Map(where)
        self._where = where
        self._notes = where.prefix + b"!"
        self._wires: dict[tuple[Place, bool], Wire] = {}
        self._opening: dict[tuple[Place, bool], asyncio.Task[Wire]] = {}
        self._since: dict[Place, float] = {}
        self._feeds: weakref.WeakSet[Feed] = weakref.WeakSet()
        self._task: asyncio.Task[None] | None = None
        self._missed = False

    # --- asking

    async def run(self, script: Script, tag: str, mark: bytes, words: Sequence[Word], *, confirm: bool = False) -> Any:  # noqa: ANN401 - whatever it returns
        """Run a script for a bucket. With `confirm`, enough replicas have it, too. Raises StoreUnavailable."""
        confirm = confirm and self._where.replicas > 0
        sent = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._run(script, tag, (self._where.prefix, tag, mark, *words), confirm=confirm)
        except TimeoutError:
            self.doubt(sent)
            raise StoreUnavailable(causes.silent(self._where.server)) from None

    async def ask(self, place: Place, *words: Word) -> Any:  # noqa: ANN401 - whatever is answered
        """Ask one server. Raises StoreUnavailable."""
        sent = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                return await (await self.wire(place)).ask(*words)
        except TimeoutError:
            self.doubt(sent)
            raise StoreUnavailable(causes.silent(place)) from None
        except Said as said:
            raise StoreUnavailable(causes.said(place, said)) from None

    async def masters(self) -> tuple[Place, ...]:
        """All masters. Raises StoreUnavailable."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.map.masters()
        except TimeoutError:
            raise StoreUnavailable(causes.silent(self._where.places[0])) from None

    async def _run(self, script: Script, tag: str, words: Sequence[Word], *, confirm: bool) -> Any:  # noqa: ANN401
        for last in (*([False] * (_TRIES - 1)), True):
            place = await self.map.of(tag)
            wire = await self.wire(place)
            if confirm:
                wire = await self.wire(place, confirming=True)
            try:
                return await self._eval(wire, script, tag, words, confirm=confirm)
            except Said as said:
                if said.code in ("DEMURLOST", "DEMURFROZEN"):
                    raise Undone(causes.said(place, said)) from None
                if last or said.code not in ("MOVED", "READONLY") or self._where.way == "single":
                    raise StoreUnavailable(causes.said(place, said)) from None
                await self._look_again(wire, said)
            except StoreUnavailable:
                if last or not script.reads or wire.open:
                    raise
                self.map.forget()
        raise AssertionError

    async def _look_again(self, wire: Wire, said: Said) -> None:
        if said.code == "READONLY":
            wire.close(causes.replica(wire.place))
            await asyncio.sleep(_AGAIN_FIRST)
        self.map.forget()
        await self.map.look()

    async def _eval(self, wire: Wire, script: Script, tag: str, words: Sequence[Word], *, confirm: bool) -> Any:  # noqa: ANN401
        key = self._where.prefix + tag.encode() + b"m"
        for how, what in (("EVALSHA", script.sha), ("EVAL", script.text)):
            asked = wire.ask(how, what, 1, key, *words)
            confirmed = wire.ask("WAIT", self._where.replicas, CONFIRM) if confirm else None
            try:
                answer = await asked
            except Said as said:
                if said.code == "NOSCRIPT":
                    continue
                raise
            if confirmed is not None and (found := await confirmed) < self._where.replicas:
                raise StoreUnavailable(causes.unconfirmed(wire.place, self._where.replicas, found), 1)
            return answer
        raise AssertionError

    def doubt(self, since: float) -> None:
        """Something was not answered in time that was asked then."""
        for wire in list(self._wires.values()):
            wire.doubt(since)

    # --- connections

    async def wire(self, place: Place, *, confirming: bool = False) -> Wire:
        """The connection to a server, opened by whoever comes first. Raises StoreUnavailable."""
        known = self._wires.get((place, confirming))
        if known is not None and known.open:
            return known
        if (place, confirming) in self._opening:
            # It may have been tried at a bad moment, before this process was held up.
            with contextlib.suppress(StoreUnavailable):
                return await self._open_together(place, confirming=confirming)
        return await self._open_together(place, confirming=confirming)

    async def _open_together(self, place: Place, *, confirming: bool) -> Wire:
        key = (place, confirming)
        opening = self._opening.get(key)
        if opening is None:
            opening = asyncio.get_running_loop().create_task(self._open(place, confirming=confirming))
            self._opening[key] = opening
            opening.add_done_callback(lambda done: self._opened(key, done))
        return await asyncio.shield(opening)

    def _opened(self, key: tuple[Place, bool], done: asyncio.Task[Wire]) -> None:
        if self._opening.get(key) is done:
            del self._opening[key]
        if not done.cancelled():
            done.exception()  # whoever waited for it may have left

    async def _open(self, place: Place, *, confirming: bool) -> Wire:
        self.listen()
        try:
            async with asyncio.timeout(PATIENCE):
                wire = await connect(place, self._pushed, self._lost)
        except TimeoutError:
            raise StoreUnavailable(causes.silent(place)) from None
        try:
            async with asyncio.timeout(PATIENCE):
                at = time.monotonic()
                if not confirming:
                    await self._begin(wire)
        except BaseException as error:
            cause = causes.said(place, error) if isinstance(error, Said) else causes.silent(place)
            if isinstance(error, StoreUnavailable):
                cause = error.cause
            wire.close(cause)
            if isinstance(error, Exception) and not isinstance(error, StoreUnavailable):
                raise StoreUnavailable(cause) from None
            raise
        if not wire.open:
            raise StoreUnavailable(causes.lost(place, None))
        self._wires[place, confirming] = wire
        if not confirming:
            self._since[place] = at
            await self._joined()
        return wire

    async def _begin(self, wire: Wire) -> None:
        tracking = wire.ask("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", self._notes)
        info = wire.ask("INFO", "server", "memory", "replication")
        self.judge(wire, _facts(await info))
        await tracking

    def judge(self, wire: Wire, facts: dict[str, str]) -> None:
        """Whether a server may keep sessions, as its INFO says. Raises StoreUnavailable."""
        wire.facts = facts
        place = wire.place
        version = tuple(int(part) for part in facts.get("redis_version", "0").split(".")[:2] if part.isdigit())
        if version < _OLDEST:
            raise StoreUnavailable(f"{place} is too old for demur, which needs Redis 7.0 or Valkey 7.2")
        if facts.get("role") != "master":
            self.map.forget()
            raise StoreUnavailable(causes.replica(place))
        if (policy := facts.get("maxmemory_policy", "noeviction")) != "noeviction":
            raise StoreUnavailable(causes.evicts(place, policy))

    def facts(self, place: Place) -> dict[str, str]:
        """What a server said of itself when it was opened."""
        wire = self._wires.get((place, False))
        return wire.facts if wire is not None else {}

    async def inspect(self, place: Place) -> dict[str, str]:
        """What a server says of itself now. Raises StoreUnavailable."""
        facts = _facts(await self.ask(place, "INFO", "server", "memory", "replication"))
        self.judge(await self.wire(place), facts)
        return facts

    # --- being told

    def feed(self) -> Feed:
        """Changes from now on."""
        feed = Feed()
        if not self.heard.listening:
            feed.tell(Changed())
        self._feeds.add(feed)
        return feed

    def _pushed(self, said: list[Any]) -> None:
        if said[0] != b"invalidate":
            return
        for key in (None,) if said[1] is None else said[1]:
            changed = self._meaning(key)
            self.heard.change(changed)
            for feed in list(self._feeds):
                feed.tell(changed)

    def _meaning(self, key: bytes | None) -> Changed:
        if key is None:  # the database was emptied
            return Changed()
        what = key.removeprefix(self._notes)
        if what[:1] == b"{":
            what = what.partition(b"}")[2]
        if what[:1] == b"s":
            return Changed(session=what[1:])
        return Changed(subject=what[1:].decode(errors="replace")) if what[:1] == b"p" else Changed()

    async def _joined(self) -> None:
        """The channel is open when all masters are heard."""
        masters = await self.map.masters()
        if self.heard.listening or not all(self._heard_of(place) for place in masters):
            return
        self.heard.start(min(self._since[place] for place in masters))
        if self._missed:
            self._missed = False
            for feed in list(self._feeds):
                feed.tell(Changed())

    def _heard_of(self, place: Place) -> bool:
        wire = self._wires.get((place, False))
        return wire is not None and wire.open and place in self._since

    def _lost(self, wire: Wire) -> None:
        for key, known in list(self._wires.items()):
            if known is wire:
                del self._wires[key]
                if not key[1]:
                    self._deaf(key[0])

    def _deaf(self, place: Place) -> None:
        self._since.pop(place, None)
        self.heard.lost()
        self._missed = True
        if self._where.way != "single":
            self.map.forget()

    def listen(self) -> None:
        """See to it that the channel is open, from now on."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        again = _AGAIN_FIRST
        try:
            while True:
                try:
                    async with asyncio.timeout(PATIENCE):
                        await self._beat()
                except (StoreUnavailable, Said, TimeoutError):
                    await asyncio.sleep(again)
                    again = min(again * 2, _AGAIN_LAST)
                except (TypeError, ValueError, LookupError, AttributeError) as error:
                    self.distrust(causes.nonsense(self._where.server, error))
                    await asyncio.sleep(again)
                else:
                    again = _AGAIN_FIRST
                    await asyncio.sleep(BEAT)
        finally:
            self.close()
            await asyncio.sleep(0)  # what was hung up is let go of

    async def _beat(self) -> None:
        at = time.monotonic()
        before = await self.map.masters()
        with contextlib.suppress(StoreUnavailable):  # whoever knows may be away; the masters speak for themselves
            await self.map.look()
        masters = await self.map.masters()
        if set(masters) != set(before):
            for place, _ in list(self._wires):
                if place not in masters:
                    self._leave(place, causes.replica(place))
            self.heard.lost()
        for place in masters:
            if not self._heard_of(place):
                await self.wire(place)
        try:
            async with asyncio.timeout(PATIENCE / 2):
                for place, asked in [(place, self._wires[place, False].ask("ROLE")) for place in masters]:
                    if (await asked)[0] != b"master":
                        self._leave(place, causes.replica(place))
                        raise StoreUnavailable(causes.replica(place))
        except TimeoutError:
            self.doubt(at)
            raise
        await self._joined()
        self.heard.beat(at)

    def _leave(self, place: Place, cause: str) -> None:
        for confirming in (False, True):
            if (wire := self._wires.get((place, confirming))) is not None:
                wire.close(cause)

    def distrust(self, cause: str) -> None:
        """Begin anew with all connections."""
        for wire in list(self._wires.values()):
            wire.close(cause)
        self.map.forget()

    # --- the end

    def close(self) -> None:
        """Let go of everything."""
        self.heard.lost()
        for opening in list(self._opening.values()):
            with contextlib.suppress(RuntimeError):  # its loop is closed
                opening.cancel()
        for wire in list(self._wires.values()):
            wire.close(causes.closed())
        self.map.close()

    async def aclose(self) -> None:
        """Let go of everything, and see it gone."""
        task, self._task = self._task, None
        self.close()
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await asyncio.sleep(0)


def _facts(info: Any) -> dict[str, str]:  # noqa: ANN401 - text, as bytes or str
    text = info.decode() if isinstance(info, bytes) else str(info)
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value for name, colon, value in pairs if colon}
