"""Whether all nodes on one store have the same keys.

Each of two nodes that made rings of their own would take the other's tokens for forged, and tell people that their
credentials are not valid. So every node writes into the store which keys it holds (by digests, never the keys), and
looks there before it believes its own.

- Two rings agree if they share a key, and no id stands for different keys. One may be ahead of the other: a key that
  some do not have yet is one under which they ask the store.
- As long as it is not known that a key is agreed, a tag that fails under it says nothing, and the store is asked.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from demur.core.model import KeyRing, StoreUnavailable
from demur.core.sessions import TOMBSTONES_LAST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from demur.core.model import Key
    from demur.core.ports import Keys, Store

PLACE: Final = b"demur.keys"
"""Where a store keeps what was said."""

_AGAIN: Final = 60 * 60
"""Seconds after which it is written once more which keys are in use."""


class KeysDiffer(StoreUnavailable):
    """The other nodes on this store have other keys. `ids` are those that stand for different ones; none if nothing is
    shared at all."""

    def __init__(self, ids: frozenset[int]) -> None:
        which = f"key {', '.join(map(str, sorted(ids)))} differs" if ids else "no key is shared"
        super().__init__(f"the keys here are not those of the other nodes on this store: {which}")
        self.ids = ids


class AgreedKeys:
    """A ring of which it is known whether the other nodes on a store have it, too. `agree` is called at start, and now
    and then; `ring` never waits."""

    def __init__(self, keys: Keys, store: Store) -> None:
        self._keys = keys
        self._store = store
        self._agreed: frozenset[Key] = frozenset()
        self._given: tuple[KeyRing, KeyRing] | None = None

    def ring(self) -> KeyRing:
        """See `Keys.ring`."""
        held = self._keys.ring()
        given = self._given
        if given is None or given[0] != held:
            agreed = self._agreed
            given = held, KeyRing(tuple(replace(key, agreed=key in agreed) for key in held.keys))
            self._given = given
        return given[1]

    @property
    def agreed(self) -> bool:
        """Whether all keys here are known to be those of the other nodes."""
        return all(key.agreed for key in self.ring().keys)

    def rotate(self, now: int) -> KeyRing:
        """See `Keys.rotate`."""
        self._keys.rotate(now)
        return self.ring()

    async def agree(self, now: int) -> None:
        """Look what the others have, and say what is here. Raises `KeysDiffer`, and `StoreUnavailable` if nobody can be
        asked."""
        held = self._keys.ring()
        said = _read(await self._store.peek(PLACE, now), now)
        mine = {key.id: fingerprint(key) for key in held.keys}
        try:
            _compare(mine, said)
        except KeysDiffer as differ:
            self._believe(frozenset(key for key in held.keys if key.id in said and key.id not in differ.ids))
            raise
        if any(said.get(each, ("", 0))[1] + _AGAIN <= now for each in mine):
            both = {**said, **{each: (digest, now) for each, digest in mine.items()}}
            try:
                await self._store.put(PLACE, json.dumps(both).encode("ascii"), now + TOMBSTONES_LAST)
            except StoreUnavailable:
                # Nothing can be written now (while sessions are moved, say), and there is nothing new to say.
                if not said.keys() >= mine.keys():
                    raise
        self._believe(frozenset(held.keys))

    async def look(self, now: int) -> None:
        """The same without saying or believing anything."""
        said = _read(await self._store.peek(PLACE, now), now)
        _compare({key.id: fingerprint(key) for key in self._keys.ring().keys}, said)

    async def taken(self, now: int) -> frozenset[int]:
        """The ids that keys of this store have, here or elsewhere."""
        said = _read(await self._store.peek(PLACE, now), now)
        return frozenset(said) | {key.id for key in self._keys.ring().keys}

    async def prevail(self, now: int) -> None:
        """From now on the keys of this store are those that are here, whatever was said before."""
        both = {key.id: (fingerprint(key), now) for key in self._keys.ring().keys}
        await self._store.put(PLACE, json.dumps(both).encode("ascii"), now + TOMBSTONES_LAST)

    def _believe(self, agreed: frozenset[Key]) -> None:
        self._agreed = agreed
        self._given = None


def fingerprint(key: Key) -> str:
    """A key's digest, by which it can be told apart from another and not be found."""
    return hashlib.blake2b(key=key.secret, digest_size=16, person=b"demur.finger").hexdigest()


def agree(one: bytes | None, other: bytes | None, now: int) -> bool:
    """Whether what was said in one store goes together with what was said in another."""
    first, second = _read(one, now), _read(other, now)
    try:
        _compare({each: digest for each, (digest, _) in first.items()}, second if first else {})
    except KeysDiffer:
        return False
    return True


def _compare(mine: Mapping[int, str], said: Mapping[int, tuple[str, int]]) -> None:
    differs = frozenset(each for each, (digest, _) in said.items() if mine.get(each, digest) != digest)
    if differs or (said and not mine.keys() & said.keys()):
        raise KeysDiffer(differs)


def _read(value: bytes | None, now: int) -> Mapping[int, tuple[str, int]]:
    """What was said: for each id its digest, and when it was last seen. What nobody had for longer than tombstones live
    is forgotten, and what is no such thing was never said."""
    try:
        said = json.loads(value or b"{}")
        return {int(each): (str(digest), at) for each, (digest, at) in said.items() if at + TOMBSTONES_LAST > now}
    except (ValueError, TypeError, AttributeError):
        return {}
