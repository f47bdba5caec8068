"""A few threads for work that takes long, with a bound on how much may wait.

- It opens with its first job, once for each process: a copy that a fork brought along is left alone.
- Its threads give way to everything else that the machine has to do: on Linux they run when nothing else wants to.
- Nobody is starved for that. Who has waited for `PATIENCE` gets a thread of a little priority, and who has waited for
  `LIMIT` one of the same as everything else; if their job is under way in a thread that gets too little,
  it is done once more, and the first to come to its end is the one that counts.
- What finds too much before it is refused at once: a queue that nobody comes to the end of helps nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from demur.core.model import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PATIENCE: Final = 0.5
"""Seconds after which somebody's job is no longer done in idle time only."""
LIMIT: Final = 2.0
"""Seconds after which it is as important as everything else."""

# A tenth of a busy core, at least. With 19 it would be a hundredth.
_LITTLE = 10


def _only_when_idle() -> None:
    """Run the calling thread when nothing else wants to (sched(7), SCHED_IDLE). The threads that argon2 starts inherit
    it. The interpreter's lock is not held while a password is hashed, so hardly anybody waits for such a thread.

    Elsewhere a thread has no priority of its own, so nothing is done there.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _with_little() -> None:
    """Lower the priority of the calling thread. POSIX gives nice values to processes; on Linux each thread has its own
    (setpriority(2), "C library/kernel differences")."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, max(_LITTLE, os.getpriority(os.PRIO_PROCESS, thread)))


def _with_all() -> None:
    """Leave the calling thread as it is."""


@dataclass(slots=True, eq=False)
class _Job:
    """What is to be done, since when, and for whom it is done at most: those who have waited for so many seconds."""

    work: Callable[[], Any]
    since: float
    future: Future[Any] = field(default_factory=Future)
    seen_to: float = 0.0


class _Opened:
    """What belongs to one process."""

    def __init__(self, threads: int) -> None:
        self.pid = os.getpid()
        self.changed = threading.Condition()
        self.waiting: deque[_Job] = deque()
        self.unfinished: dict[_Job, None] = {}
        self.over = False
        kinds = [(_only_when_idle, 0.0)] * threads + [(_with_little, PATIENCE), (_with_all, LIMIT)]
        self._threads = [
            threading.Thread(target=self._run, args=kind, name=f"demur-hash-{number}", daemon=True)
            for number, kind in enumerate(kinds)
        ]
        for thread in self._threads:
            thread.start()

    def add(self, work: Callable[[], Any], most: int) -> Future[Any]:
        """Have something done. Raises `StoreUnavailable` if too much is to be done already."""
        with self.changed:
            if len(self.unfinished) >= most:
                raise StoreUnavailable(f"{len(self.unfinished)} passwords are being checked already", retry_after=2)
            job = _Job(work, time.monotonic())
            self.waiting.append(job)
            self.unfinished[job] = None
            self.changed.notify_all()
        # Called when a job that still waited is cancelled, too.
        job.future.add_done_callback(lambda _: self._forget(job))
        return job.future

    def end(self) -> None:
        """Give up what waits, and wait for what is under way."""
        with self.changed:
            self.over = True
            given_up = list(self.waiting)
            self.changed.notify_all()
        for job in given_up:
            job.future.cancel()
        for thread in self._threads:
            thread.join()

    def _forget(self, job: _Job) -> None:
        with self.changed:
            self.unfinished.pop(job, None)
            with contextlib.suppress(ValueError):
                self.waiting.remove(job)

    def _run(self, begin: Callable[[], None], patience: float) -> None:
        begin()
        while True:
            with self.changed:
                while (job := self._next(patience)) is None:
                    if self.over:
                        return
                    self.changed.wait(self._pause(patience))
            _do(job)

    def _next(self, patience: float) -> _Job | None:
        """What a thread does next: what waits, or, in one for those who have waited, the oldest of what is not done."""
        if not patience:
            while self.waiting:
                job = self.waiting.popleft()
                if job.future.set_running_or_notify_cancel():
                    return job
            return None
        before = time.monotonic() - patience
        for job in self.unfinished:
            if job.since > before or self.over:
                return None
            if job.seen_to < patience:
                job.seen_to = patience
                if job in self.waiting:
                    self.waiting.remove(job)
                    if not job.future.set_running_or_notify_cancel():
                        continue
                return job
        return None

    def _pause(self, patience: float) -> float | None:
        """How long until somebody has waited for so long; None if nobody waits."""
        if not patience:
            return None
        since = next((job.since for job in self.unfinished if job.seen_to < patience), None)
        return None if since is None else max(0.0, since + patience - time.monotonic())


def _do(job: _Job) -> None:
    """Do a job, perhaps beside other threads that do: the first to end has done it."""
    result, error = None, None
    try:
        result = job.work()
    except BaseException as raised:  # noqa: BLE001 - it is told to whoever waits
        error = raised
    # InvalidStateError: the other one was first.
    with contextlib.suppress(Exception):
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)


class Pool:
    """At most `threads` jobs at once, two more of those who have waited, and at most `waiting` in line. Used from any
    number of event loops. A job may be done twice, so it must not matter if it is."""

    def __init__(self, threads: int, waiting: int) -> None:
        self._threads = threads
        self._most = threads + waiting
        self._opened: _Opened | None = None

    async def run(self, job: Callable[[], T]) -> T:
        """Do a job in one of the threads. Raises `StoreUnavailable` if too many are waiting already."""
        opened = self._opened
        if opened is None or opened.pid != os.getpid():
            opened = self._opened = _Opened(self._threads)
        future: Future[T] = opened.add(job, self._most)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let the threads go. What waits is given up. The pool can be used again."""
        opened, self._opened = self._opened, None
        if opened is not None and opened.pid == os.getpid():
            opened.end()
