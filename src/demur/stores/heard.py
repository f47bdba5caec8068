"""What has changed in a store on the network, as one process and event loop was told through a push channel.

- A change (an end, a rotation, a new snapshot of a person) has a number, which is kept for its session or person;
  what was loaded before that does not hold any more.
- The channel has to prove that it lives. Each beat says that everything before some second was heard. Two seconds
  after the last such second nothing holds any more, whatever the reason; nor does it after the channel was lost.
- What was loaded through one life of the channel does not hold in the next: nobody knows what was said in between.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.core.model import Live
    from demur.core.ports import Changed

SILENCE = 2.0
"""For so many seconds a channel is believed without a beat."""

STRIPES = 4096
"""So many counters, for sessions and for persons each."""

Stamp: TypeAlias = "tuple[_Life, int, int, int]"


class _Life:
    """One life of the channel: from the moment at which it was open until it was lost. For each stripe of sessions and
    of persons it knows the number of the last change that was heard."""

    __slots__ = ("clock", "last", "persons", "sessions", "until")

    def __init__(self, until: float, clock: Callable[[], float]) -> None:
        self.until = until
        self.clock = clock
        self.last = 0
        self.sessions = [0] * STRIPES
        self.persons = [0] * STRIPES

    def end(self) -> None:
        """Nothing that was loaded holds any more."""
        self.until = float("-inf")


@dataclass(frozen=True, slots=True)
class Moment:
    """All that was heard until then."""

    life: _Life
    last: int

    def stamp(self, live: Live) -> Stamp:
        """What tells later whether this session or its person has changed since."""
        return self.life, self.last, _of_session(live.session.id), _of_person(live.subject.id)


class Heard:
    """What was heard, for one process and event loop. Only `holds` may be called from any thread; the rest is called
    where the channel is read. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._life: _Life | None = None

    @property
    def listening(self) -> bool:
        """Whether the channel is open and not silent."""
        return self._life is not None and self._clock() < self._life.until

    def start(self, at: float) -> None:
        """The channel is open: whatever happens from monotonic second `at` on will be heard."""
        self.lost()
        self._life = _Life(at + SILENCE, self._clock)

    def beat(self, at: float) -> None:
        """Whatever happened before monotonic second `at` was heard: the second at which a question was sent whose
        answer has come through the channel."""
        life = self._life
        if life is None:
            return
        if self._clock() >= life.until:
            # It was silent for so long that somebody may have taken it for lost.
            self.start(at)
        else:
            life.until = max(life.until, at + SILENCE)

    def change(self, changed: Changed) -> None:
        """Something changed, or is about to."""
        life = self._life
        if life is None:
            return
        life.last += 1
        if changed.session is not None:
            life.sessions[_of_session(changed.session)] = life.last
        if changed.subject is not None:
            life.persons[_of_person(changed.subject)] = life.last
        if changed.session is None and changed.subject is None:
            self._life = _Life(life.until, self._clock)
            life.end()

    def lost(self) -> None:
        """The channel is closed, or cannot be relied on."""
        life, self._life = self._life, None
        if life is not None:
            life.end()

    def moment(self) -> Moment | None:
        """See `Store.moment`."""
        life = self._life
        if life is None or self._clock() >= life.until:
            return None
        return Moment(life, life.last)


def holds(stamp: Stamp) -> bool:
    """See `Store.holds`. It is on the way of every check."""
    life, last, session, person = stamp
    return life.clock() < life.until and life.sessions[session] <= last and life.persons[person] <= last


def _of_session(key: bytes) -> int:
    return int.from_bytes(key[:2], "big") % STRIPES


def _of_person(subject: str) -> int:
    return crc32(subject.encode()) % STRIPES
