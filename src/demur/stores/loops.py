"""What a store has open, in each process and event loop that uses it.

It is made at the first use. A connection knows its loop, and would keep it alive; so what a closed loop has left
behind is let go of when the next one comes. A forked child has nothing open: the connections that it sees are its
parent's, and to close them there would be to say goodbye in the parent's name.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from demur.stores import forks

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One thing for each running loop. `leave` lets go of one whose loop was closed before anybody asked for it
    (`pop`); nothing can be awaited there."""

    def __init__(self, make: Callable[[], T], leave: Callable[[T], None]) -> None:
        self._make = make
        self._leave = leave
        self._here: dict[int, tuple[asyncio.AbstractEventLoop, T]] = {}
        self._left_behind: list[T] = []
        self._changing = threading.Lock()
        forks.watch(self)

    def here(self) -> T:
        """What this process and loop have open. Raises RuntimeError without a running loop."""
        loop = asyncio.get_running_loop()
        known = self._here.get(id(loop))
        if known is not None and known[0] is loop:
            return known[1]
        with self._changing:
            self._tidy()
            thing = self._make()
            self._here[id(loop)] = loop, thing
        return thing

    def all(self) -> list[T]:
        """What all loops of this process have open."""
        return [thing for loop, thing in list(self._here.values()) if not loop.is_closed()]

    def pop(self) -> T | None:
        """What this loop has open, to be let go of by the caller."""
        with self._changing:
            known = self._here.pop(id(asyncio.get_running_loop()), None)
        return None if known is None else known[1]

    def pause(self) -> None:
        """See `forks.Forkable`. Unlike a file, a connection may be open while the process forks."""
        self._changing.acquire()

    def resume(self) -> None:
        """See `forks.Forkable`."""
        self._changing.release()

    def restart(self) -> None:
        """See `forks.Forkable`. Nothing is closed, and nothing is collected, which would close it too."""
        self._left_behind += [thing for _, thing in self._here.values()]
        self._here = {}
        self._changing.release()

    def _tidy(self) -> None:
        for key, (loop, thing) in list(self._here.items()):
            if loop.is_closed():
                del self._here[key]
                self._leave(thing)
