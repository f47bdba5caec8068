"""How sessions and persons are written in Redis: as few bytes as is sensible, most of them for Python's eyes only.

Layout 1. The scripts know what stands before the last member of each row; numbers are added here, never changed.

    live session  state 1 (token: 2) | last_seen 5 | expires_at 5 | idle 4 | order 4 | rest of id 16 | person | more
    tombstone     state 16 * how + actor | when 5 | rest of id 16 | person
    person        the list: snapshot (version as a double, JSON), and the first half of the id of each live session
    value         until as a double | value
    counter       count as a double | until as a double

A session's key holds the first half of its id. A person is two bytes of length and their token: the 16 bytes of a UUID,
or any other text.
"""

from __future__ import annotations

import json
import struct
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import UUID

from demur.core.model import Actor, Ended, Ending, Session, Subject
from demur.core.ports import Hits

if TYPE_CHECKING:
    from demur.core.model import Kind

HALF = 16
LENGTH = 2 * HALF
_ENDINGS = {Ending.IDLE: 1, Ending.EXPIRED: 2, Ending.ENDED: 3, Ending.REVOKED: 4, Ending.REPLACED: 5}
_ENDING_OF = {number: ending for ending, number in _ENDINGS.items()}
_ACTORS = {Actor.SELF: 1, Actor.ADMINISTRATOR: 2, Actor.SYSTEM: 3}
_ACTOR_OF = {number: actor for actor, number in _ACTORS.items()}
_STATES: dict[Kind, int] = {"session": 1, "token": 2}
_KIND_OF: dict[int, Kind] = {number: kind for kind, number in _STATES.items()}
_ACRS = ("", "pwd", "phr", "mfa", "otp", "phrh")
"""Ways of signing in that take one byte. Others are written out."""

_PERSISTENT, _SCOPES, _LABEL = 1, 2, 4
_TIMES = 1 << 40


def state(kind: Kind) -> int:
    """The state of a live session of a kind."""
    return _STATES[kind]


def moment(at: int) -> bytes:
    """A second, five bytes."""
    if not 0 <= at < _TIMES:
        message = f"not a time: {at}"
        raise ValueError(message)
    return at.to_bytes(5, "big")


def double(number: float) -> bytes:
    """A number for the scripts."""
    return struct.pack(">d", number)


# --- sessions -------------------------------------------------------------------------------------


def session(given: Session) -> bytes:
    """The row of a live session; its order is filled in by the script."""
    token = person(given.subject)
    return b"".join(
        (
            bytes((_STATES[given.kind],)),
            moment(given.last_seen),
            moment(given.expires_at),
            given.idle.to_bytes(4, "big"),
            b"\0\0\0\0",
            given.id[HALF:],
            len(token).to_bytes(2, "big"),
            token,
            _details(given),
        )
    )


def _details(given: Session) -> bytes:
    flags = _PERSISTENT * given.persistent | _SCOPES * (given.scopes is not None) | _LABEL * bool(given.label)
    parts = [bytes((flags,)), moment(given.issued_at), _signed(given.authenticated_at - given.issued_at)]
    parts.append(bytes((_ACRS.index(given.acr),)) if given.acr in _ACRS else b"\xff" + _text(given.acr))
    parts += [_text(given.device), _text(given.network)]
    if given.label:
        parts.append(_text(given.label))
    if given.scopes is not None:
        parts += [_number(len(given.scopes)), *map(_text, given.scopes)]
    return b"".join(parts)


def read_session(half: bytes, row: bytes) -> tuple[Session, int]:
    """A live session, and its place among those of one second."""
    length = int.from_bytes(row[35:37], "big")
    token, details = row[37 : 37 + length], _Reader(row, 37 + length)
    flags = details.byte()
    issued_at = int.from_bytes(details.take(5), "big")
    authenticated_at = issued_at + details.signed()
    code = details.byte()
    acr = _ACRS[code] if code != 0xFF else details.text()
    device, network = details.text(), details.text()
    label = details.text() if flags & _LABEL else ""
    scopes = tuple(details.text() for _ in range(details.number())) if flags & _SCOPES else None
    read = Session(
        id=half + row[19:35],
        subject=subject_of(token),
        issued_at=issued_at,
        authenticated_at=authenticated_at,
        last_seen=int.from_bytes(row[1:6], "big"),
        expires_at=int.from_bytes(row[6:11], "big"),
        idle=int.from_bytes(row[11:15], "big"),
        acr=acr,
        persistent=bool(flags & _PERSISTENT),
        device=device,
        network=network,
        kind=_KIND_OF[row[0]],
        scopes=scopes,
        label=label,
    )
    return read, int.from_bytes(row[15:19], "big")


def is_live(row: bytes) -> bool:
    """Whether a row is a session, and not a tombstone."""
    return row[0] < 16


def rest_of_id(row: bytes) -> bytes:
    """The second half of the id of whatever the row is."""
    return row[19:35] if is_live(row) else row[6:22]


def head(how: Ending, actor: Actor, when: int) -> bytes:
    """How a tombstone begins."""
    return bytes((16 * _ENDINGS[how] + _ACTORS[actor],)) + moment(when)


def actor(given: Actor) -> int:
    """An actor, for the scripts."""
    return _ACTORS[given]


def replaced(when: int) -> bytes:
    """How the tombstone of a rotated session begins."""
    return head(Ending.REPLACED, Actor.SYSTEM, when)


def tombstone(key: bytes, ended: Ended) -> bytes:
    """The row of an ended session."""
    token = person(ended.subject)
    return head(ended.how, ended.actor, ended.when) + key[HALF:] + len(token).to_bytes(2, "big") + token


def read_tombstone(row: bytes) -> Ended:
    """What a tombstone says."""
    how, actor = divmod(row[0], 16)
    return Ended(_ENDING_OF[how], int.from_bytes(row[1:6], "big"), _ACTOR_OF[actor], subject_of(row[24:]))


# --- persons --------------------------------------------------------------------------------------


def person(subject: str) -> bytes:
    """A person's token. Most are UUIDs, which take half the space that way."""
    if len(subject) == 36:
        try:
            uuid = UUID(subject)
        except ValueError:
            pass
        else:
            if str(uuid) == subject:
                return b"\0" + uuid.bytes
    token = subject.encode()
    if token[:1] in (b"\0", b"\1"):
        token = b"\1" + token
    if len(token) > 0xFFFF:
        raise ValueError("the id of a person is too long")
    return token


def subject_of(token: bytes) -> str:
    """Whose token it is."""
    if token[:1] == b"\0":
        return str(UUID(bytes=token[1:]))
    return (token[1:] if token[:1] == b"\1" else token).decode()


def snapshot(subject: Subject) -> bytes:
    """A person, as they are kept beside their sessions."""
    said = json.dumps(
        [
            subject.id,
            subject.name,
            sorted(subject.groups),
            subject.grants,
            subject.suspended,
            subject.version,
            subject.display_name,
            subject.email,
        ],
        separators=(",", ":"),
    )
    return double(subject.version) + said.encode()


@lru_cache(maxsize=4096)
def read_snapshot(kept: bytes) -> Subject:
    """What a snapshot says."""
    key, name, groups, grants, suspended, version, display_name, email = json.loads(kept[8:])
    held = tuple((permission, until) for permission, until in grants)
    return Subject(key, name, frozenset(groups), held, suspended, version, display_name, email)


# --- values and counters --------------------------------------------------------------------------


def value(given: bytes, until: int) -> bytes:
    """A value that is kept until a second."""
    return double(until) + given


def read_value(row: bytes) -> tuple[bytes, int]:
    """The value, and until when."""
    return row[8:], int(struct.unpack(">d", row[:8])[0])


def counter(hits: Hits) -> bytes:
    """A counter."""
    return struct.pack(">dd", hits.count, hits.until)


def read_counter(row: bytes) -> Hits:
    """What it has counted."""
    count, until = struct.unpack(">dd", row)
    return Hits(int(count), int(until))


# --- bytes ----------------------------------------------------------------------------------------


def _number(given: int) -> bytes:
    out = bytearray()
    while given > 0x7F:
        out.append(given & 0x7F | 0x80)
        given >>= 7
    out.append(given)
    return bytes(out)


def _signed(given: int) -> bytes:
    return _number(given << 1 if given >= 0 else (-given << 1) - 1)


def _text(given: str) -> bytes:
    written = given.encode()
    return _number(len(written)) + written


class _Reader:
    """The members of a row, one after another."""

    __slots__ = ("_at", "_row")

    def __init__(self, row: bytes, at: int) -> None:
        self._row = row
        self._at = at

    def take(self, count: int) -> bytes:
        self._at += count
        return self._row[self._at - count : self._at]

    def byte(self) -> int:
        self._at += 1
        return self._row[self._at - 1]

    def number(self) -> int:
        shift = number = 0
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def signed(self) -> int:
        number = self.number()
        return number >> 1 if not number & 1 else -((number + 1) >> 1)

    def text(self) -> str:
        return self.take(self.number()).decode()
