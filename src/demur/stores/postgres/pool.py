"""A few connections for one process and event loop, made when they are needed, and asked within a bound of time.

- Whoever asks waits for an answer for `PATIENCE`, and then it is `StoreUnavailable`; so it is when all connections
  are in use for that long. To connect may take longer: it goes on without anybody, for whoever comes next.
- Who stops waiting leaves nothing half done: what was begun goes on to its end.
- A connection whose answer did not come is closed, and so is one that nobody has used for a minute.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from demur.core.model import StoreUnavailable
from demur.stores.postgres.line import Failed, Lost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from demur.stores.postgres.line import Line

T = TypeVar("T")

MOST = 4
"""Connections, beside the one that listens."""

_IDLE = 60.0
# serialization_failure, deadlock_detected, admin_shutdown, crash_shutdown, cannot_connect_now, read_only (a failover)
_AGAIN = {"40001", "40P01", "57P01", "57P02", "57P03", "25006"}

_ELSEWHERE = {"25006"}
"""After these there may be another server by now that can do it."""


class Pool:
    """`connect` makes a connection that is ready for use."""

    def __init__(self, connect: Callable[[], Awaitable[Line]], says: Callable[[str, str], str]) -> None:
        self._connect = connect
        self._says = says
        self._loop = asyncio.get_running_loop()
        self._idle: list[Line] = []
        self._busy: set[Line] = set()
        self._waiting: deque[asyncio.Future[Line]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._working: set[asyncio.Task[object]] = set()
        self._failed = ""

    async def run(self, work: Callable[[Line], Awaitable[T]], patience: float, *, again: bool = False) -> T:
        """Do something on a connection of its own. If the connection is lost meanwhile it is done once more,
        if it is certain that it was not done, or if that does not matter (`again`). Raises `StoreUnavailable`, and what
        that raises."""
        task = self._loop.create_task(self._patiently(work, patience, again=again))
        self._working.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def close(self) -> None:
        """Let go of all connections. From another thread only if the loop is closed."""
        if not self._loop.is_closed():
            for task in (*self._opening, *self._working):
                task.cancel()
        for line in (*self._idle, *self._busy):
            line.close()
        self._idle, self._busy = [], set()

    async def aclose(self) -> None:
        """Let go of all connections, and wait for whatever is under way."""
        while tasks := [*self._working, *self._opening]:
            if not self._working:
                for task in self._opening:
                    task.cancel()
            await asyncio.wait(tasks)
        self.close()

    def tidy(self) -> None:
        """Let go of what nobody has used for a while, but one."""
        old = self._loop.time() - _IDLE
        for line in [line for line in self._idle[:-1] if line.idle_since < old]:
            self._idle.remove(line)
            line.close()

    def _done(self, task: asyncio.Task[T]) -> None:
        self._working.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may have left

    async def _patiently(self, work: Callable[[Line], Awaitable[T]], patience: float, *, again: bool) -> T:
        doing = "connecting" if not (self._idle or self._busy) else "all connections are in use"
        try:
            async with asyncio.timeout(patience):
                for tries in (1, 0):
                    line = await self._take()
                    doing = "waiting for an answer"
                    try:
                        return await work(line)
                    except (Lost, Failed) as error:
                        if _state(error) in _ELSEWHERE:
                            line.close()
                        if not tries or not (_undone(error) or (again and isinstance(error, Lost))):
                            raise
                    finally:
                        self._give(line)
        except TimeoutError as error:
            why = f": {self._failed}" if doing == "connecting" and self._failed else ""
            raise StoreUnavailable(self._says(f"no answer within {patience} s ({doing}{why})", "")) from error
        except (Lost, Failed) as error:
            raise StoreUnavailable(self._says(error.message, _state(error))) from error
        raise AssertionError("not reached")

    async def _take(self) -> Line:
        while self._idle:
            line = self._idle.pop()
            line.look()
            if line.usable:
                self._busy.add(line)
                return line
            line.close()
        waiting: asyncio.Future[Line] = self._loop.create_future()
        self._waiting.append(waiting)
        self._open_more()
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                self._give(waiting.result())
            raise

    def _give(self, line: Line) -> None:
        self._busy.discard(line)
        if not line.usable:
            line.close()
            self._open_more()
            return
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                self._busy.add(line)
                waiting.set_result(line)
                return
        line.idle_since = self._loop.time()
        self._idle.append(line)

    def _open_more(self) -> None:
        wanted = sum(not waiting.done() for waiting in self._waiting)
        while len(self._opening) < min(wanted, MOST - len(self._busy)):
            task = self._loop.create_task(self._open(), name="demur: connecting")
            self._opening.add(task)
            task.add_done_callback(self._opened)

    async def _open(self) -> None:
        try:
            line = await self._connect()
        except (Lost, Failed) as error:
            self._nobody_comes(StoreUnavailable(self._says(error.message, _state(error))))
        except StoreUnavailable as error:
            self._nobody_comes(error)
        except TimeoutError:
            self._nobody_comes(StoreUnavailable(self._says("no answer", "")))
        else:
            self._failed = ""
            self._give(line)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._nobody_comes(error)

    def _nobody_comes(self, error: BaseException) -> None:
        """One could not be made. If there are others, those who wait may get one of them."""
        self._failed = str(error)
        if self._busy:
            return
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(error)
                waiting.exception()  # whoever waits may leave first


def _state(error: Lost | Failed) -> str:
    return error.state if isinstance(error, Failed) else ""


def _undone(error: Lost | Failed) -> bool:
    """Whether it is certain that nothing was done, and worth another try."""
    return error.before if isinstance(error, Lost) else error.state in _AGAIN
