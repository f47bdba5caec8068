"""An event loop whose clock jumps to whatever is due next: hours of waiting take no time, and two runs are alike."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class _Jump:
    """What the loop asks for events, and how long it would wait for them: there are none, and it need not wait."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        self.now += timeout
        return []

    def close(self) -> None:
        pass


class VirtualLoop(asyncio.BaseEventLoop):
    """One thread, no files, no sockets."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Jump()
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Seconds since the beginning of this world."""
        return self._selector.now

    def _process_events(self, events: list[object]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run this to its end, and whatever else it began."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
