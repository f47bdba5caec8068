"""One who reads of changes, as they are told of."""

from __future__ import annotations

import asyncio
from collections import deque

from demur.core.ports import Changed

_BACKLOG = 1000
"""How many changes wait for one reader before they become a single "everything"."""


class Feed:
    """One reader of changes; `tell` may be called from any thread."""

    def __init__(self) -> None:
        self._waiting: deque[Changed] = deque()
        self._reader: asyncio.Future[None] | None = None

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> Changed:
        """The next one, when there is one."""
        while True:
            # The reader is announced before it looks: whatever is told in between wakes it.
            reader = self._reader = asyncio.get_running_loop().create_future()
            try:
                return self._waiting.popleft()
            except IndexError:
                await reader
            finally:
                self._reader = None

    def tell(self, changed: Changed) -> None:
        """One more; of too many it becomes "everything"."""
        if len(self._waiting) >= _BACKLOG:
            self._waiting.clear()
            changed = Changed()
        self._waiting.append(changed)
        if (reader := self._reader) is not None:
            try:
                reader.get_loop().call_soon_threadsafe(_wake, reader)
            except RuntimeError:  # the reader's loop is closed: nobody waits any more
                self._reader = None


def _wake(reader: asyncio.Future[None]) -> None:
    if not reader.done():
        reader.set_result(None)
