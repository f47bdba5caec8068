"""A few threads for work that takes long, with a bound on how much may wait.

- It opens with its first job, once for each process: a copy that a fork brought along is left alone.
- Its threads give way to everything else that the machine has to do: on Linux they run when nothing else wants to.
  No more of them than cores: one of two that share a core could hold the interpreter's lock while the other runs.
- Nobody is starved for that. One more thread has a little priority. It does nothing while the others make headway and
  nobody has waited for `LONG`; then it takes what is oldest, one job after the other, and once more what is under way
  in a thread that gets too little: the first to come to its end is the one that counts.
- So checks go first. Who comes to a machine that has half of a core to spare is served in idle time and nobody notices;
  on one that has nothing to spare each job is given a tenth of a core, and the line moves as fast as that.
- The last thread has the priority of everything else, for whoever has waited for `TOO_LONG`, one after the other:
  beside many who are busy a little priority is next to none.
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
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from demur.core.model import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LONG: Final = 5.0
"""Seconds after which somebody who waits is not left to idle time any more."""
TOO_LONG: Final = 10.0
"""Seconds after which their job is as important as everything else."""
HEADWAY: Final = 0.1
"""The share of a core with which the threads get on, taken together: what the one with a little priority would get."""
WINDOW: Final = 1.0
"""Seconds over which that share is taken."""

# A tenth of a busy core, at least. With 19 it would be a hundredth.
_LITTLE = 10


def _only_when_idle() -> None:
    """Run the calling thread when nothing else wants to (sched(7), SCHED_IDLE). The interpreter's lock is not held
    while a password is hashed, so hardly anybody waits for such a thread.

    Elsewhere a thread has no priority of its own, so nothing is done there. It cannot be had back either: to leave
    SCHED_IDLE takes a privilege (sched(7), "Privileges and resource limits"), so others help out instead.
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


def _cores() -> int:
    """On how many cores this process may run."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@dataclass(slots=True, eq=False)
class Job:
    """What is to be done, since when, whether a thread has begun, and whether those that help have, the one with a
    little priority and the last."""

    work: Callable[[], Any]
    since: float
    future: Future[Any] = field(default_factory=Future)
    begun: bool = False
    helped: bool = False
    pressed: bool = False


class Line:
    """Who waits, and whose turn it is. It knows no threads and no clock: `now` is given in seconds, and `spent` is the
    processor time of all threads that run in idle time."""

    def __init__(self) -> None:
        self.unfinished: dict[Job, None] = {}  # the oldest first
        self._waiting: deque[Job] = deque()
        self._since = self._spent = 0.0
        self._starved = False

    def add(self, job: Job) -> None:
        """Stand in line."""
        self._waiting.append(job)
        self.unfinished[job] = None

    def forget(self, job: Job) -> None:
        """It is done, or nobody waits for it any more."""
        self.unfinished.pop(job, None)
        with contextlib.suppress(ValueError):
            self._waiting.remove(job)

    def waiting(self) -> list[Job]:
        """Those that nobody has begun."""
        return list(self._waiting)

    def next(self, now: float, spent: float) -> Job | None:
        """What a thread does next in idle time."""
        while self._waiting:
            job = self._waiting.popleft()
            if _begin(job):
                self._since, self._spent, self._starved = now, spent, False
                return job
        return None

    def overdue(self, now: float, spent: float) -> Job | None:
        """What idle time has not been enough for: the oldest."""
        if now - self._since >= WINDOW and any(job.begun for job in self.unfinished):
            self._starved = spent - self._spent < HEADWAY * (now - self._since)
            self._since, self._spent = now, spent
        for job in self.unfinished:
            if not self._starved and now - job.since < LONG:
                return None
            if job.helped or job.future.cancelled() or (job.begun and not self._starved):
                continue
            job.helped = True
            if self._taken(job):
                return job
        return None

    def pressing(self, now: float, spent: float) -> Job | None:
        """What nothing has been enough for: the oldest."""
        for job in self.unfinished:
            if now - job.since < TOO_LONG:
                return None
            if not job.pressed and not job.future.cancelled():
                job.pressed = True
                if self._taken(job):
                    return job
        return None

    def until_overdue(self, now: float) -> float | None:
        """How long until something may be overdue; None while there is nothing to do."""
        left = [job for job in self.unfinished if not job.helped]
        if not left:
            return None
        # What nobody has begun yet is begun in a moment, and its window with it.
        at = self._since + WINDOW if any(job.begun for job in left) else now + WINDOW
        waiting = next((job.since + LONG for job in left if not job.begun), at)
        return max(0.0, min(at, waiting) - now)

    def until_pressing(self, now: float) -> float | None:
        """How long until something is pressing; None while there is nothing to do."""
        at = [job.since + TOO_LONG for job in self.unfinished if not job.pressed][:1]
        return max(0.0, at[0] - now) if at else None

    def _taken(self, job: Job) -> bool:
        """Whether it is under way, perhaps from now on."""
        if job.begun:
            return True
        self._waiting.remove(job)
        return _begin(job)


def _begin(job: Job) -> bool:
    """Whether somebody still waits for it."""
    job.begun = job.future.set_running_or_notify_cancel()
    return job.begun


class _Opened:
    """What belongs to one process."""

    def __init__(self, threads: int, rest: Callable[[], None]) -> None:
        self.pid = os.getpid()
        self.line = Line()
        self._rest = rest
        self._lock = threading.Lock()
        self._more = threading.Condition(self._lock)
        self._late = threading.Condition(self._lock)
        self._over = False
        self._clocks: list[int] = []
        runs: list[Callable[[], None]] = [self._run] * min(threads, _cores())
        runs.append(partial(self._help, _with_little, self.line.overdue, self.line.until_overdue))
        runs.append(partial(self._help, _with_all, self.line.pressing, self.line.until_pressing))
        self._threads = [
            threading.Thread(target=run, name=f"demur-hash-{number}", daemon=True) for number, run in enumerate(runs)
        ]
        for thread in self._threads:
            thread.start()

    def add(self, work: Callable[[], Any], most: int) -> Future[Any]:
        """Have something done. Raises `StoreUnavailable` if too much is to be done already."""
        with self._lock:
            if len(self.line.unfinished) >= most:
                raise StoreUnavailable(
                    f"{len(self.line.unfinished)} passwords are being checked already", retry_after=2
                )
            job = Job(work, time.monotonic())
            self.line.add(job)
            self._more.notify()
            self._late.notify_all()
        # Called when a job that still waited is cancelled, too.
        job.future.add_done_callback(lambda _: self._forget(job))
        return job.future

    def end(self) -> None:
        """Give up what waits, and wait for what is under way."""
        with self._lock:
            self._over = True
            given_up = self.line.waiting()
            self._more.notify_all()
            self._late.notify_all()
        for job in given_up:
            job.future.cancel()
        for thread in self._threads:
            thread.join()

    def _forget(self, job: Job) -> None:
        with self._lock:
            self.line.forget(job)

    def _run(self) -> None:
        """Do one job after the other in idle time."""
        _only_when_idle()
        with self._lock:
            if sys.platform == "linux":
                self._clocks.append(time.pthread_getcpuclockid(threading.get_ident()))
        while True:
            with self._lock:
                job = None if self._over else self.line.next(time.monotonic(), self._spent())
            if job is not None:
                _do(job)
                continue
            self._rest()
            with self._lock:
                if self._over:
                    return
                if not self.line.waiting():
                    self._more.wait()

    def _help(
        self,
        begin: Callable[[], None],
        next_of: Callable[[float, float], Job | None],
        pause: Callable[[float], float | None],
    ) -> None:
        """Do what idle time is not enough for."""
        begin()
        while True:
            job = None
            with self._lock:
                while not self._over and (job := next_of(time.monotonic(), self._spent())) is None:
                    self._late.wait(pause(time.monotonic()))
            if job is None:
                return
            _do(job)
            self._rest()

    def _spent(self) -> float:
        """The processor time of the threads that run in idle time. Where no thread gives way, all of it."""
        return sum(map(time.clock_gettime, self._clocks)) if self._clocks else time.monotonic()


def _do(job: Job) -> None:
    """Do a job, perhaps beside another thread that does: the first to end has done it."""
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
    """At most `threads` jobs at once, two more where they get on too slowly, and at most `waiting` in line. Used from
    any number of event loops. A job may be done twice, so it must not matter if it is. `rest` is called in a thread
    that has nothing more to do."""

    def __init__(self, threads: int, waiting: int, rest: Callable[[], None] = lambda: None) -> None:
        self._threads = threads
        self._most = threads + waiting
        self._rest = rest
        self._opened: _Opened | None = None

    async def run(self, job: Callable[[], T]) -> T:
        """Do a job in one of the threads. Raises `StoreUnavailable` if too many are waiting already."""
        opened = self._opened
        if opened is None or opened.pid != os.getpid():
            opened = self._opened = _Opened(self._threads, self._rest)
        future: Future[T] = opened.add(job, self._most)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let the threads go. What waits is given up. The pool can be used again."""
        opened, self._opened = self._opened, None
        if opened is not None and opened.pid == os.getpid():
            opened.end()
