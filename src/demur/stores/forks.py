"""Nothing of ours is open, and no lock of ours is held, at the moment when a process forks.

SQLite keeps the locks that a process holds in that process's memory. A child that was forked while a connection
was open inherits the list, not the locks: it may wait forever for a lock that nobody holds, or write beside its
parent. ("Do not open an SQLite database connection, then fork(), then try to use that database connection in the
child process", How To Corrupt An SQLite Database File, 2.6. A connection that the child opens by itself on the same
file is caught too, because the list goes by file.) So we let go before the fork, and both sides open again at need.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something that has to know when its process forks. All three run in the thread that forks."""

    def pause(self) -> None:
        """Before the fork: close what is open, and hold every lock."""

    def resume(self) -> None:
        """After it, in the parent: release the locks."""

    def restart(self) -> None:
        """After it, in the child: forget the parent's threads and loops, and release the locks."""


_watched: weakref.WeakSet[Forkable] = weakref.WeakSet()
_paused: list[Forkable] = []


def watch(thing: Forkable) -> None:
    """Tell this one about every fork from now on, as long as somebody else holds it."""
    _watched.add(thing)


def _before() -> None:
    # Until nobody new is there: other threads run on until they need a lock that is held by now.
    while fresh := [thing for thing in _watched if thing not in _paused]:
        for thing in fresh:
            thing.pause()
            _paused.append(thing)


def _in_parent() -> None:
    for thing in _paused:
        thing.resume()
    _paused.clear()


def _in_child() -> None:
    for thing in _paused:
        thing.restart()
    _paused.clear()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
