"""A thread with an event loop, for surfaces that have none: whatever has to be awaited is awaited there.

- One for each process. It starts with the first piece of work, and again after a fork, since no thread survives one.
- It is a daemon: whoever never says goodbye can still end the process.
- Mostly nobody comes: whoever is known is decided about in the thread that asks.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

T = TypeVar("T")

_left: list[asyncio.AbstractEventLoop] = []
"""The loops of parents. To close one in a child would take what its parent listens to out of the parent's hands: both
have the same epoll. So nobody may collect it either."""


class Portal:
    """Configuration until it is used; from any thread but its own."""

    def __init__(self) -> None:
        self._opening = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        os.register_at_fork(after_in_child=self._forget)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await this there, and give what it gives, or raise what it raises."""
        try:
            loop = self._open()
        except BaseException:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    def call(self, do: Callable[..., object], *given: object) -> None:
        """Do this there, some time soon."""
        self._open().call_soon_threadsafe(do, *given)

    def _open(self) -> asyncio.AbstractEventLoop:
        thread, loop = self._thread, self._loop
        if thread is None or loop is None or not thread.is_alive():
            return self._start()
        if thread is threading.current_thread():
            message = "what is awaited here would be waited for by the thread that awaits it"
            raise RuntimeError(message)
        return loop

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._opening:
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="demur-portal", daemon=True)
                self._thread.start()
            return self._loop

    def _forget(self) -> None:
        if self._loop is not None:
            _left.append(self._loop)
        self._opening = threading.Lock()
        self._loop = self._thread = None


PORTAL = Portal()
"""The one of this process."""
