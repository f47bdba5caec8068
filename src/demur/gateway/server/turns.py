"""How a worker takes its turns on a core that it shares with the proxy that asks.

- Linux lets a process that begins to have something to do interrupt another one. So a proxy on the same core is
  interrupted by each question that it sends: two switches of the core for an answer, which cost more than the answer,
  and at each of them what both had in the caches is gone.
- A worker that is asked a lot interrupts nobody: the proxy comes to the end of its turn, and all that it has asked is
  answered in one go (sched(7), SCHED_BATCH). Whoever asks so often waits for less than before.
- One that is asked little does interrupt. Beside a program that keeps the core busy each question would else wait for
  some milliseconds.
- Threads that are started by a worker that is asked a lot interrupt nobody either: theirs is what can wait, such as
  writing the log.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Final

MANY: Final = 10_000
"""Questions in a second from which on a worker is asked a lot. They take it about a tenth of a core."""


class Turns:
    """Those of the calling thread. Elsewhere than on Linux, and where the operator has chosen another way, nothing is
    changed."""

    def __init__(self, now: float) -> None:
        self._now, self._asked = now, 0
        self._ours = sys.platform == "linux" and _policy() == os.SCHED_OTHER
        self._patient = False

    def look(self, now: float, asked: int) -> None:
        """See how much was asked since the last look. `asked` is how much it was in all, `now` in seconds."""
        many = asked - self._asked >= MANY * (now - self._now)
        self._now, self._asked = now, asked
        self._take(patient=many)

    def end(self) -> None:
        """As before."""
        self._take(patient=False)

    def _take(self, *, patient: bool) -> None:
        if sys.platform != "linux" or not self._ours or patient is self._patient:
            return
        self._patient = patient
        with contextlib.suppress(OSError):  # a sandbox may not allow it
            os.sched_setscheduler(0, os.SCHED_BATCH if patient else os.SCHED_OTHER, os.sched_param(0))


def _policy() -> int | None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return os.sched_getscheduler(0)
    return None
