"""Decisions of which observers are told together, a moment later.

To tell of each as it is made would cost a request more than to decide: the observers' code is far from ours, and the
processor has to fetch it anew each time.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.core.ports import Decided, Noted, Patient

TOGETHER: Final = 64
"""Decisions that wait at most, until whoever makes the next one tells of all."""

_all: WeakSet[Gathered] = WeakSet()


class Gathered:
    """What a patient observer is to be told. Safe from any thread, and after a fork."""

    def __init__(self, observer: Patient) -> None:
        self._observer = observer
        self._waiting: list[Noted] = []
        self._expected = False
        self._telling = threading.Lock()
        _all.add(self)

    def note(self, noted: Noted) -> None:
        """To be told soon."""
        waiting = self._waiting
        waiting.append(noted)
        if not self._expected:
            self._expected = True
            self._observer.expect(self.tell)
        elif len(waiting) >= TOGETHER and self._telling.acquire(blocking=False):
            try:
                self._tell()
            finally:
                self._telling.release()

    def tell(self) -> None:
        """Tell of all that were noted."""
        with self._telling:
            self._tell()

    def _tell(self) -> None:
        # Whoever notes from now on says that more is to be expected; who did a moment ago is seen here.
        self._expected = False
        waiting = self._waiting
        noted = waiting[:]
        del waiting[: len(noted)]
        if noted:
            with suppress(Exception):  # a request does not fail because its line does
                self._observer.several(noted)

    def forget(self) -> None:
        """After a fork what was noted before it is the parent's to tell."""
        self._waiting, self._expected, self._telling = [], False, threading.Lock()


def decided_of(noted: Noted) -> Decided:
    """One of them by itself."""
    common, at, number, subject, seconds = noted
    return common.decided(at, number, subject, seconds)


class Expected:
    """Whom to ask before a patient observer shows, or writes, what it was told of."""

    def __init__(self) -> None:
        self._tells: dict[Callable[[], None], None] = {}

    def __bool__(self) -> bool:
        return bool(self._tells)

    def add(self, tell: Callable[[], None]) -> None:
        """Something waits to be told."""
        self._tells[tell] = None

    def ask(self) -> None:
        """Let everything be told."""
        with suppress(KeyError):  # another thread has taken the last one
            while self._tells:
                self._tells.popitem()[0]()


def _forget() -> None:
    for each in _all:
        each.forget()


os.register_at_fork(after_in_child=_forget)
