"""How long somebody waits for what a page has to ask of stores and people: less than a second in all.

Each question has a bound of its own (`stores.PATIENCE`), and a sign-in asks many: of a store that answers each of them
late it would wait for the sum.

- What the store was asked goes on to its end, whole, when nobody waits for it any more. To cancel it half way would
  leave a connection behind whose next answer is to another question.
- But nothing is begun that somebody would have to hear of: see `still_waited_for`.
- The time that a password takes to be checked, or a body to arrive, does not count.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from demur.core.model import StoreUnavailable
from demur.stores import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from typing import Any

T = TypeVar("T")

_LEAST = 0.02
_clock: ContextVar[Clock | None] = ContextVar("demur_patience", default=None)
_going: set[asyncio.Future[Any]] = set()


class Clock:
    """What is left of somebody's patience, in seconds."""

    def __init__(self, seconds: float = PATIENCE, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._left = seconds
        self._since: float | None = now()
        self.is_over = False

    @property
    def left(self) -> float:
        """So many seconds more."""
        return self._left if self._since is None else self._left - (self._now() - self._since)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """It does not run in this block."""
        if self._since is None:
            yield
            return
        self._left, self._since = self.left, None
        try:
            yield
        finally:
            self._since = self._now()

    async def spend(self, work: Awaitable[T]) -> T:
        """What the work gives, or raises; StoreUnavailable if that takes longer than is left. Then it goes on alone."""
        before = _clock.set(self)
        try:
            task = asyncio.ensure_future(work)
        finally:
            _clock.reset(before)
        _going.add(task)
        task.add_done_callback(_over)
        while not task.done():
            if self._since is not None and self.left <= 0:
                self.is_over = True
                message = "what a page asked took longer than somebody may be made to wait"
                raise StoreUnavailable(message)
            await asyncio.wait((task,), timeout=max(self.left, _LEAST))
        return task.result()


def not_counted() -> contextlib.AbstractContextManager[None]:
    """In this block nobody's patience is spent."""
    clock = _clock.get()
    return contextlib.nullcontext() if clock is None else clock.stopped()


def still_waited_for() -> None:
    """Raises StoreUnavailable if whoever asked was answered meanwhile: they would not hear of a new session id."""
    clock = _clock.get()
    if clock is not None and clock.is_over:
        message = "nobody waits for it any more"
        raise StoreUnavailable(message)


def _over(task: asyncio.Future[Any]) -> None:
    _going.discard(task)
    if not task.cancelled():
        task.exception()  # whoever waited may have left
