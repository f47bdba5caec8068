"""What has to be done now and then where no gateway does it: sessions past their limits become tombstones, what is over
is forgotten, and what could not be told to the store about people is told again.

Nothing that is decided depends on it: limits hold by themselves.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from demur.core.model import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.core.ports import People, Store

ROUND = 60.0
"""Seconds between two rounds, at least."""


class House:
    """Keeps house for one store, and for the people of it if they are demur's own."""

    def __init__(self, store: Store, people: People | None, clock: Callable[[], float]) -> None:
        self._store = store
        self._deliver = getattr(people, "deliver", None)
        self._clock = clock
        self._next = 0.0

    async def keep(self) -> None:
        """A round, if it is time for one. What cannot be done now is done in the next."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + ROUND
        with contextlib.suppress(StoreUnavailable):
            if self._deliver is not None:
                await self._deliver()
        with contextlib.suppress(StoreUnavailable):
            await self._store.sweep(int(now))
