"""What has to be done now and then where no gateway does it: sessions past their limits become tombstones, what is over
is forgotten, and what could not be told to the store about people is told again.

Nothing that is decided depends on it: limits hold by themselves.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from demur.core.model import StoreUnavailable
from demur.stores.agreement import KeysDiffer

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.core.ports import Keys, People, Store

_log = logging.getLogger("demur")

ROUND = 60.0
"""Seconds between two rounds, at least."""


class House:
    """Keeps house for one store, and for the people of it if they are demur's own."""

    def __init__(self, store: Store, people: People | None, clock: Callable[[], float], keys: Keys) -> None:
        self._store = store
        self._keys = keys
        self._deliver = getattr(people, "deliver", None)
        self._clock = clock
        self._next = 0.0

    async def keep(self) -> None:
        """A round, if it is time for one. What cannot be done now is done in the next."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + ROUND
        try:
            await self._keys.agree(int(now))
        except KeysDiffer as differ:
            _log.error("%s. Copy the folder of the keys from one that is right, and restart.", differ.cause)
        except StoreUnavailable:
            self._next = now + 1  # until it is known, more is asked of the store than need be
        with contextlib.suppress(StoreUnavailable):
            if self._deliver is not None:
                await self._deliver()
        with contextlib.suppress(StoreUnavailable):
            await self._store.sweep(int(now))
