"""A thread with a connection of its own, and a queue of work for it.

- Whatever may wait for a lock or for the disk happens here, never on the event loop's thread.
- All that is waiting goes into one transaction: at the price of one, and of one `fsync`. Each piece of work is
  told that it is done after the commit, and not before.
- What changes somebody's evidence is told to all processes before its commit can be seen: see `generations`.
- Nobody waits much longer than `stores.PATIENCE` for a lock that another process holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from demur.core.model import StoreUnavailable
from demur.stores import PATIENCE
from demur.stores.database import File, Identity, is_busy
from demur.stores.generations import Teller

if TYPE_CHECKING:
    from collections.abc import Callable

_TOGETHER = 64
_BREATH = 0.005

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    durable: bool
    until: float


_Settled = tuple[_Job, Any, BaseException | None]


class Lane:
    """One line of work on one file, for one event loop. The thread starts with the first piece of work.

    A writing lane holds the write lock for each transaction from its start, so that what is read in it is still
    true when it is written.
    """

    def __init__(self, file: File, *, writing: bool) -> None:
        self._file = file
        self._teller = Teller(file) if writing else None
        self._begin = "BEGIN IMMEDIATE" if writing else "BEGIN"
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._working = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None

    async def run(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        """Do this in a transaction, and give its value when that is committed.

        `durable` work outlives a loss of power: in WAL mode `synchronous = NORMAL` keeps every commit through the
        death of a process, but only `FULL` waits until the disk has it. Raises `StoreUnavailable`, or what `work`
        raised; then nothing of it has happened.
        """
        if self._thread is None:
            # A daemon: whoever never says goodbye (no lifespan event) can still end the process.
            self._thread = threading.Thread(target=self._serve, name="demur-sessions", daemon=True)
            self._thread.start()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put(_Job(work, future, durable, time.monotonic() + PATIENCE))
        return await future

    def stop(self) -> threading.Thread | None:
        """Finish what is waiting and let go of everything, in the lane's thread; that thread, if there is one."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
        return thread

    def pause(self) -> None:
        """Before a fork: wait for the transaction that is going on, and hold still without a connection."""
        self._working.acquire()
        self._close()

    def resume(self) -> None:
        """After a fork, in the parent."""
        self._working.release()

    # --- in the thread ----------------------------------------------------------------------------

    def _serve(self) -> None:
        waiting: list[_Job] = []
        stopping = False
        while waiting or not stopping:
            stopping = self._gather(waiting) or stopping
            if not waiting:
                continue
            with self._working:
                settled = self._attempt(waiting)
            waiting = _settle(waiting, settled)
            if waiting:
                time.sleep(_BREATH)
        with self._working:
            self._close()

    def _gather(self, waiting: list[_Job]) -> bool:
        """Take what is in the queue, and wait for something if there is nothing to do; whether that was the end."""
        while len(waiting) < _TOGETHER:
            try:
                job = self._queue.get(block=not waiting)
            except queue.Empty:
                return False
            if job is None:
                return True
            waiting.append(job)
        return False

    def _attempt(self, jobs: list[_Job]) -> list[_Settled]:
        """Do all of it in one transaction; what is not among the settled has to be tried again."""
        try:
            return self._together(jobs)
        except Exception as error:  # noqa: BLE001 - whatever it is goes to whoever waits for it
            self._recover(error)
            if is_busy(error):
                now = time.monotonic()
                return [(job, None, self._file.unavailable(error)) for job in jobs if job.until <= now]
            if len(jobs) > 1 and not isinstance(error, StoreUnavailable):
                return [settled for job in jobs for settled in self._attempt([job])]
            told = self._file.unavailable(error) if isinstance(error, sqlite3.Error | OSError) else error
            return [(job, None, told) for job in jobs]

    def _together(self, jobs: list[_Job]) -> list[_Settled]:
        connection = self._open()
        if self._teller is not None:
            durable = any(job.durable for job in jobs)
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute(self._begin)
        position = self._teller.position(connection) if self._teller is not None else 0
        results = [job.work(connection) for job in jobs]
        with self._teller.telling(connection, position) if self._teller is not None else contextlib.nullcontext():
            connection.execute("COMMIT")
        return [(job, result, None) for job, result in zip(jobs, results, strict=True)]

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._identity != self._file.look():
            self._close()
        if self._connection is None:
            self._connection, self._identity = self._file.open()
        return self._connection

    def _recover(self, error: BaseException) -> None:
        """Leave no transaction behind, and no connection that may have seen better days."""
        if self._connection is None:
            return
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error | OSError | StoreUnavailable) and not is_busy(error):
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def _settle(waiting: list[_Job], settled: list[_Settled]) -> list[_Job]:
    """Tell each loop what became of its work; what is left."""
    for job, result, error in settled:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            job.future.get_loop().call_soon_threadsafe(_tell, job.future, result, error)
    done = {id(job) for job, _, _ in settled}
    return [job for job in waiting if id(job) not in done]


def _tell(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:  # noqa: ANN401 - as the work
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
