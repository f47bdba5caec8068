"""A few threads for work that takes long, with a bound on how much may wait.

- It opens with its first job, once for each process: a copy that a fork brought along is left alone.
- Its threads give way to everything else that the machine has to do.
- What finds too much before it is refused at once: a queue that nobody comes to the end of helps nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from demur.core.model import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Not 19: a thread that gets a hundredth of a busy core makes people wait for half a minute, and whoever holds
# the interpreter's lock when it is put aside makes everybody wait. At 10 it still gets a tenth.
_NICE = 10


def _give_way() -> None:
    """Lower the priority of the calling thread.

    POSIX gives nice values to processes; on Linux each thread has its own (setpriority(2), "C library/kernel
    differences"), and the threads that argon2 starts inherit it. Elsewhere it would slow the whole server, so
    nothing is done there.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            lower = max(_NICE, os.getpriority(os.PRIO_PROCESS, thread))
            os.setpriority(os.PRIO_PROCESS, thread, lower)


class _Opened:
    """What belongs to one process."""

    def __init__(self, threads: int) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.jobs = 0
        self.executor = ThreadPoolExecutor(threads, thread_name_prefix="demur-hash", initializer=_give_way)

    def done(self, _: object) -> None:
        with self.lock:
            self.jobs -= 1


class Pool:
    """At most `threads` jobs at once, and at most `waiting` more in line. Used from any number of event loops."""

    def __init__(self, threads: int, waiting: int) -> None:
        self._threads = threads
        self._most = threads + waiting
        self._opened: _Opened | None = None

    async def run(self, job: Callable[[], T]) -> T:
        """Do a job in one of the threads. Raises `StoreUnavailable` if too many are waiting already."""
        opened = self._opened
        if opened is None or opened.pid != os.getpid():
            opened = self._opened = _Opened(self._threads)
        with opened.lock:
            if opened.jobs >= self._most:
                raise StoreUnavailable(f"{opened.jobs} passwords are being checked already", retry_after=2)
            opened.jobs += 1
        future = opened.executor.submit(job)
        # Called when a job that still waited is cancelled, too.
        future.add_done_callback(opened.done)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let the threads go. What waits is given up. The pool can be used again."""
        opened, self._opened = self._opened, None
        if opened is not None and opened.pid == os.getpid():
            opened.executor.shutdown(wait=True, cancel_futures=True)
