"""A session's life, as a table, and the token that stands for it.

- A session is live until something ends it, once and for good: no event leads out of an ending.
- Both limits hold together: idle since it was last seen, absolute since sign-in. At the second of the limit it is over.
- Whoever holds an id that once was valid is told how it ended; anybody else only that it is not valid.
- The token is: version, key id, 256 random bits, a keyed tag. A store knows its SHA-256 and no more.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from demur.core.model import Actor, Ended, Ending, Ends, Key, KeyRing, Lookup, Malformed, Scheme, Session
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from demur.core.model import Live

DAY = 24 * 60 * 60
TOMBSTONES_LAST = 30 * DAY
REPLACED_IS_RECENT = 30
LAST_USE = 600
"""Seconds for which the last use of a token that is kept may lag behind."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a session lasts, in seconds: without activity (0: no such limit), and at all."""

    idle: int
    absolute: int


# SP 800-63B-4, 2.2.3: at AAL2 the overall timeout SHOULD be no more than 24 hours, inactivity no more than 1 hour.
NIST_AAL2 = Limits(idle=60 * 60, absolute=DAY)
# SP 800-63B-4, 2.1.3: at AAL1 the overall timeout SHOULD be no more than 30 days; inactivity MAY be limited.
NIST_AAL1 = Limits(idle=7 * DAY, absolute=30 * DAY)
# SP 800-63B-4, 2.3.3: at AAL3 the overall timeout SHALL be no more than 12 hours, inactivity SHOULD be 15 minutes.
NIST_AAL3 = Limits(idle=15 * 60, absolute=12 * 60 * 60)
# OWASP Session Management Cheat Sheet: 15 to 30 minutes idle for low risk, 4 to 8 hours in all.
OWASP_LOW_RISK = Limits(idle=30 * 60, absolute=8 * 60 * 60)

LIMITS: Mapping[str, Limits] = {
    "NIST_AAL1": NIST_AAL1,
    "NIST_AAL2": NIST_AAL2,
    "NIST_AAL3": NIST_AAL3,
    "OWASP_LOW_RISK": OWASP_LOW_RISK,
}


class Event(StrEnum):
    """What can happen to a session."""

    SEEN = "seen"
    CONFIRMED = "confirmed"
    IDLE_LIMIT = "idle limit"
    ABSOLUTE_LIMIT = "absolute limit"
    SIGNED_OUT = "signed out"
    REVOKED = "revoked"


class State(StrEnum):
    """Where a session id stands."""

    LIVE = "live"
    IDLE = Ending.IDLE.value
    EXPIRED = Ending.EXPIRED.value
    ENDED = Ending.ENDED.value
    REVOKED = Ending.REVOKED.value
    REPLACED = Ending.REPLACED.value


TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    State.LIVE: {
        Event.SEEN: State.LIVE,
        Event.CONFIRMED: State.REPLACED,  # of this id; the session goes on under a new one
        Event.IDLE_LIMIT: State.IDLE,
        Event.ABSOLUTE_LIMIT: State.EXPIRED,
        Event.SIGNED_OUT: State.ENDED,
        Event.REVOKED: State.REVOKED,
    },
    State.IDLE: {},
    State.EXPIRED: {},
    State.ENDED: {},
    State.REVOKED: {},
    State.REPLACED: {},
}

REASON_OF: Mapping[Ending, Reason] = {
    Ending.IDLE: Reason.SESSION_IDLE,
    Ending.EXPIRED: Reason.SESSION_EXPIRED,
    Ending.ENDED: Reason.SESSION_ENDED,
    Ending.REVOKED: Reason.SESSION_REVOKED,
    Ending.REPLACED: Reason.SESSION_REPLACED,
}


def after(state: State, event: Event) -> State:
    """Where a session stands after an event. An ended one stays as it ended."""
    return TRANSITIONS[state].get(event, state)


def ends(session: Session) -> Ends:
    """The seconds at which a live session will end: through inactivity (0: never), and in any case."""
    return Ends(idle=session.last_seen + session.idle if session.idle else 0, absolute=session.expires_at)


def certain_until(live: Live, now: int) -> int:
    """The second until which a session and what its person holds end by a change only, and not by time."""
    when = ends(live.session)
    grants = [until for _, until in live.subject.grants if until > now]
    return min([when.absolute, *grants, *([when.idle] if when.idle else [])])


def ended(session: Session, now: int) -> Ended | None:
    """How and when the session's time ran out, if it has; whichever limit came first."""
    if not session.expires_at and session.kind == "app":
        return None  # the app keeps it, and does not say when it ends
    when = ends(session)
    if when.idle and when.idle <= now and when.idle <= when.absolute:
        return Ended(Ending.IDLE, when.idle, Actor.SYSTEM, session.subject)
    if when.absolute <= now:
        return Ended(Ending.EXPIRED, when.absolute, Actor.SYSTEM, session.subject)
    return None


def reason(tombstone: Ended, now: int, scheme: Scheme | None = Scheme.COOKIE) -> Reason:
    """What the holder of an ended session's id is told. That it was replaced is news only for a moment: a page
    that was under way may repeat, but later nobody has a use for the old id. A token expires or is revoked."""
    if scheme is Scheme.BEARER:
        return Reason.TOKEN_EXPIRED if tombstone.how is Ending.EXPIRED else Reason.TOKEN_REVOKED
    if tombstone.how is Ending.REPLACED and now - tombstone.when > REPLACED_IS_RECENT:
        return Reason.SESSION_ENDED
    return REASON_OF[tombstone.how]


def touch_due(session: Session, now: int) -> bool:
    """Whether `last_seen` is worth writing: once per tenth of the idle limit, so that a refusal comes between
    0.9 and 1.0 of it and never later. A token has no such limit; when it was last used is known to ten minutes."""
    if session.kind == "token":
        return now - session.last_seen >= LAST_USE
    return session.idle > 0 and (now - session.last_seen) * 10 >= session.idle


def quiet_until(session: Session) -> int:
    """The second at which it is worth writing that its holder is seen: the first at which `touch_due`."""
    if session.kind == "token":
        return session.last_seen + LAST_USE
    return session.last_seen - -session.idle // 10 if session.idle else session.expires_at


# --- the token ------------------------------------------------------------------------------------

TOKEN_PREFIX = "demur_"  # noqa: S105 - what secret scanners look for
"""How every API token begins: `demur_` and 56 characters of base64url."""

_VERSION = 1
_RANDOM = 32
_TAG = 8
_RAW = 2 + _RANDOM + _TAG  # 42 bytes: 56 characters of base64, without padding or spare bits
_TEXT = _RAW * 8 // 6
# What a tag is for, so that neither kind passes for the other.
_SESSION = b"demur.session"
_API_TOKEN = b"demur.token"


def mint(random: bytes, key: Key) -> str:
    """The token of a new session out of 32 random bytes, tagged with a key of the ring."""
    return _mint(random, key, _SESSION)


def mint_api_token(random: bytes, key: Key) -> str:
    """The text of a new API token out of 32 random bytes: the prefix, and what a session's token is made of."""
    return TOKEN_PREFIX + _mint(random, key, _API_TOKEN)


def _mint(random: bytes, key: Key, purpose: bytes) -> str:
    if len(random) != _RANDOM:
        message = f"a token takes {_RANDOM} random bytes, not {len(random)}"
        raise ValueError(message)
    head = bytes((_VERSION, key.id)) + random
    return base64.urlsafe_b64encode(head + _tag(head, key, purpose)).decode("ascii")


def identify(token: str | bytes) -> bytes:
    """The id under which a store keeps the session of a token: its SHA-256."""
    return hashlib.sha256(token if isinstance(token, bytes) else token.encode("ascii")).digest()


def read(token: bytes, ring: KeyRing) -> Lookup | Malformed:
    """What to ask the store for, or `Malformed` for what we never made: no token at all, or one whose tag fails
    under a key that we hold. With a key that we do not hold (another node's newest), or of which it is not agreed
    that the others hold the same, the store is asked."""
    return Lookup(Scheme.COOKIE, identify(token)) if _made_by_us(token, ring, _SESSION) else Malformed()


def read_api_token(token: bytes, ring: KeyRing) -> Lookup | Malformed:
    """The same for an API token."""
    bare = token.removeprefix(TOKEN_PREFIX.encode("ascii"))
    made = bare != token and _made_by_us(bare, ring, _API_TOKEN)
    return Lookup(Scheme.BEARER, identify(token)) if made else Malformed()


def _made_by_us(token: bytes, ring: KeyRing, purpose: bytes) -> bool:
    if len(token) != _TEXT:
        return False
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
    except binascii.Error:
        return False
    if len(raw) != _RAW or raw[0] != _VERSION:
        return False
    key = ring.find(raw[1])
    return key is None or not key.agreed or hmac.compare_digest(_tag(raw[:-_TAG], key, purpose), raw[-_TAG:])


def _tag(head: bytes, key: Key, purpose: bytes) -> bytes:
    return hashlib.blake2b(head, key=key.secret, digest_size=_TAG, person=purpose).digest()
