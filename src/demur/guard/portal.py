"""A thread with an event loop, for surfaces that have none: whatever has to be awaited is awaited there.

One for each process: it starts with the first piece of work, and again after a fork, since no thread survives one.
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


class Portal:
    """Configuration until it is used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        os.register_at_fork(after_in_child=self._forget)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await this there, and give what it gives."""
        return asyncio.run_coroutine_threadsafe(work, self._open()).result()

    def call(self, do: Callable[..., object], *given: object) -> None:
        """Do this there, some time soon."""
        self._open().call_soon_threadsafe(do, *given)

    def _open(self) -> asyncio.AbstractEventLoop:
        if self._loop is not None and self._pid == os.getpid():
            return self._loop
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                loop = asyncio.new_event_loop()
                threading.Thread(target=loop.run_forever, name="demur-portal", daemon=True).start()
                self._loop, self._pid = loop, os.getpid()
            return self._loop

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._loop = None


PORTAL = Portal()
"""The one of this process."""
