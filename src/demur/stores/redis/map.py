"""Which server has what: the one that there is, the master that the Sentinels name, or the masters of a Cluster."""

from __future__ import annotations

import asyncio
import binascii
import contextlib
from typing import TYPE_CHECKING, Any

from demur.core.model import StoreUnavailable
from demur.stores import PATIENCE
from demur.stores.redis import causes
from demur.stores.redis.wire import Said, Wire, connect

if TYPE_CHECKING:
    from demur.stores.redis.where import Place, Where

_SLOTS = 16384
_BUCKETS = 256
_PATIENCE = 0.3
"""Seconds that one of several has to say who is the master, before the next is asked."""


def tag(number: int) -> str:
    """What the keys of a bucket have in common: in a Cluster, all of them are in one slot."""
    return f"{{{number:02x}}}"


def tag_of(key: bytes) -> str:
    """The bucket of a person, a value or a counter, by their own key."""
    return tag(binascii.crc32(key) % _BUCKETS)


TAGS = tuple(map(tag, range(_BUCKETS)))


def _slot(of: str) -> int:
    return binascii.crc_hqx(of.strip("{}").encode(), 0) % _SLOTS


class Map:
    """For one event loop."""

    def __init__(self, where: Where) -> None:
        self._where = where
        self._masters: tuple[Place, ...] = (where.server,) if where.way == "single" else ()
        self._by_tag: dict[str, Place] = {}
        self._asked: dict[Place, Wire] = {}
        self._looking: asyncio.Task[None] | None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """All buckets that there are."""
        return TAGS if self._where.way == "cluster" else ("",)

    async def masters(self) -> tuple[Place, ...]:
        """All of them. Raises StoreUnavailable."""
        if not self._masters:
            await self.look()
        return self._masters

    async def of(self, tag: str) -> Place:
        """Who has a bucket. Raises StoreUnavailable."""
        masters = await self.masters()
        return self._by_tag[tag] if self._by_tag else masters[0]

    def forget(self) -> None:
        """Look again before the next use."""
        if self._where.way != "single":
            self._masters, self._by_tag = (), {}

    async def look(self) -> None:
        """Look again now; whoever comes meanwhile waits for the same. Raises StoreUnavailable if nobody answers."""
        if self._where.way == "single":
            return
        under_way = self._looking is not None and not self._looking.done()
        try:
            await self._look_together()
        except StoreUnavailable:
            if not under_way:
                raise
            # It was asked at a bad moment, perhaps, before this process was held up.
            await self._look_together()

    async def _look_together(self) -> None:
        looking = self._looking
        if looking is None or looking.done():
            looking = self._looking = asyncio.get_running_loop().create_task(self._look())
            looking.add_done_callback(lambda done: None if done.cancelled() else done.exception() and None)
        await asyncio.shield(looking)

    async def _look(self) -> None:
        tried: list[str] = []
        places = tuple(dict.fromkeys((*(self._masters if self._clustered else ()), *self._where.places)))
        for place in places:
            try:
                async with asyncio.timeout(_PATIENCE if len(places) > 1 else PATIENCE):
                    await self._ask(place)
            except TimeoutError:
                tried.append(causes.silent(place))
                if (wire := self._asked.get(place)) is not None:
                    wire.close(causes.silent(place))
            except StoreUnavailable as error:
                tried.append(error.cause)
            except Said as said:
                tried.append(causes.said(place, said))
            else:
                return
        if self._clustered:
            raise StoreUnavailable("; ".join(tried))
        raise StoreUnavailable(causes.no_master(self._where.master, "; ".join(tried)))

    def close(self) -> None:
        """Hang up."""
        if self._looking is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed
                self._looking.cancel()
        for wire in list(self._asked.values()):
            wire.close(causes.closed())

    @property
    def _clustered(self) -> bool:
        return self._where.way == "cluster"

    async def _ask(self, place: Place) -> None:
        wire = self._asked.get(place)
        if wire is None or not wire.open:
            wire = await connect(place, lambda pushed: None, self._lost)
            self._asked[place] = wire
        if self._clustered:
            self._read(place, await wire.ask("CLUSTER", "SLOTS"))
            return
        answer = await wire.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._where.master)
        if answer is None:
            raise StoreUnavailable(f'{place} knows no master "{self._where.master}"')
        self._masters = (self._where.server.at(answer[0].decode(), int(answer[1])),)

    def _lost(self, wire: Wire) -> None:
        if self._asked.get(wire.place) is wire:
            del self._asked[wire.place]

    def _read(self, place: Place, answer: list[Any]) -> None:
        slots: dict[int, Place] = {}
        for first, last, master, *_ in answer:
            host = master[0].decode() if master[0] else place.host
            there = self._where.server.at(host, int(master[1]))
            slots.update(dict.fromkeys(range(int(first), int(last) + 1), there))
        try:
            by_tag = {each: slots[_slot(each)] for each in TAGS}
        except KeyError:
            raise StoreUnavailable(f"the Cluster of {place} does not serve all slots: see CLUSTER INFO there") from None
        self._by_tag, self._masters = by_tag, tuple(dict.fromkeys(by_tag.values()))
