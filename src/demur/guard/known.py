"""One session of which it is known that it lives, in a few hundred bytes.

What a session and its person hold is packed; whoever asks for it gets it as it was. Who is asked for often is kept open
beside that, and most requests ask for no more than `brief`.
"""

from __future__ import annotations

import marshal
import struct
import sys
import threading
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from demur.core import sessions
from demur.core.fields import quotable, timing_of
from demur.core.model import Allow, Live, Session, Subject

if TYPE_CHECKING:
    from demur.core.model import Requirement

_OF_SESSION = tuple(each.name for each in fields(Session))[1:]  # its id is the key
_OF_PERSON = tuple(each.name for each in fields(Subject))
_session, _person = attrgetter(*_OF_SESSION), attrgetter(*_OF_PERSON)
_SUBJECT = _OF_SESSION.index("subject")
# Most requests ask for no more: when it ends, how long the name of its person is, which comes next, and whether that
# may stand in a field as it is.
_HEAD = struct.Struct("<qqI?")
_BEGINS = _HEAD.size

# What CPython on 64 bits takes for one: its object, its key, its place in a dictionary, and half of a number.
_ENTRY = 96 + 80 + 104 + 16


_MOST_OPEN = 2048
_open: list[Known] = []
_opening = threading.Lock()


def _keep_open(known: Known) -> None:
    """Some are open at a time; all of them are shut when there are too many, and open again when somebody asks."""
    global _open
    with _opening:
        _open.append(known)
        shut, _open = (_open, []) if len(_open) > _MOST_OPEN else ([], _open)
    for each in shut:
        each.shut()


@lru_cache(4096)
def same_second(at: int) -> int:
    """The same object for the same second: of those who are known a thousand share one, and whoever looks at it finds
    it in the processor's cache."""
    return at


class Brief:
    """As much as a yes says to everybody: who it is, and when it ends."""

    __slots__ = ("_name", "_second", "_timing", "absolute", "idle", "subject")
    _timing: bytes

    def __init__(self, subject: str, name: bytes, idle: int, absolute: int) -> None:
        self.subject = subject
        self._name = name
        self.idle = idle
        self.absolute = absolute
        self._second = -1

    def timing(self, now: int) -> bytes:
        """The value of the field that says when the session ends: the same for a second."""
        if now != self._second:
            self._timing, self._second = timing_of(self, self._name, now), now
        return self._timing


class Known:
    """Somebody of whom it is known that they are who they are, until a second or a change: as long as `stamp` holds.

    `met` are the requirements that were met (by identity); until `quiet` they still are, with nothing to be written.
    """

    __slots__ = ("_open", "_packed", "key", "met", "quiet", "stamp", "until")

    def __init__(self, live: Live, until: int, stamp: Any) -> None:  # noqa: ANN401 - the store's own
        self.key = live.session.id
        self.until = same_second(until)
        self.stamp = stamp
        self.met: tuple[Requirement, ...] = ()
        self.quiet = 0
        self._packed = _pack(live)
        self._open: tuple[Live, Allow, Brief] | None = None

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        stamp = self.stamp
        more = sum(map(sys.getsizeof, stamp)) if type(stamp) is tuple else 0
        return _ENTRY + sys.getsizeof(self._packed) + sys.getsizeof(stamp) + min(more, 256)

    def open(self, live: Live | None = None) -> tuple[Live, Allow, Brief]:
        """The session with its person, and what every yes to them says: the same objects for as long as they are asked
        for often."""
        found = self._open
        if found is None:
            found = self._open = _opened(self._unpacked() if live is None else live)
            _keep_open(self)
        return found

    def shut(self) -> None:
        """Forget what can be unpacked again."""
        self._open = None

    @property
    def live(self) -> Live:
        """The session with its person."""
        return self.open()[0]

    @property
    def allow(self) -> Allow:
        """What every yes to them says."""
        return self.open()[1]

    def brief(self) -> Brief:
        """Who it is, and when it ends."""
        found = self._open
        if found is not None:
            return found[2]
        idle, absolute, length, plain = _HEAD.unpack_from(self._packed)
        name = self._packed[_BEGINS : _BEGINS + length]
        subject = name.decode()
        return Brief(subject, name if plain else quotable(subject), idle, absolute)

    def meets(self, requirement: Requirement, now: int) -> bool:
        """Whether a requirement was met, and is still, with nothing to be written."""
        if now >= self.quiet:
            return False
        for met in self.met:  # noqa: SIM110 - asked for every request, and there is mostly one
            if met is requirement:
                return True
        return False

    def _unpacked(self) -> Live:
        begins = _BEGINS + _HEAD.unpack_from(self._packed)[2]
        subject = self._packed[_BEGINS:begins].decode()
        session, person = marshal.loads(self._packed[begins:])  # noqa: S302 - it is our own
        session.insert(_SUBJECT, subject)
        person[0] = person[0] or subject
        return Live(Session(self.key, *session), Subject(*person))


def _pack(live: Live) -> bytes:
    session, person, ends = list(_session(live.session)), list(_person(live.subject)), sessions.ends(live.session)
    subject = session.pop(_SUBJECT)
    if person[0] == subject:
        person[0] = ""  # it is written once
    name = subject.encode()
    head = _HEAD.pack(ends.idle, ends.absolute, len(name), quotable(subject) == name)
    return b"".join((head, name, marshal.dumps((session, person))))


def _opened(live: Live) -> tuple[Live, Allow, Brief]:
    ends = sessions.ends(live.session)
    brief = Brief(live.subject.id, quotable(live.subject.id), ends.idle, ends.absolute)
    return live, Allow(live.subject, live.session, (), ends), brief
