"""The short way: a question that was asked a moment ago, about another address or about the same, is not read again.

A browser asks for a hundred things of a page with the same fields, and a program for a thousand. So what was read of a
request is kept under its very bytes, all of them but the address that it is about (a *frame*). The bytes are those that
the parser has taken for one whole request: nothing else is ever found there, and nothing is guessed.

- It decides nothing by itself. What a path asks for, the rules say; whether somebody is still allowed it, says
  `Guard.recall`; and who sends nothing that is ours is nobody, whatever the time. Anything else goes the long way.
- Both ways answer with the same bytes.
- A refusal for nginx costs no more than a yes: no template, no hashing of tokens, no question to the store.
- Frames hold what was sent, cookies too. They are bounded in number and in bytes, and nobody asks for one for two
  minutes without it being forgotten.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from demur.core import credentials, fields, paths, sessions
from demur.core.model import Access, Allow, Refuse, StoreUnavailable
from demur.core.reasons import REASONS, Reason
from demur.gateway import slip
from demur.gateway.check import head
from demur.gateway.check.noted import Allowed, Refused, Said
from demur.gateway.check.question import SLIP
from demur.gateway.check.yes import NO_STORE, left, timing, yes
from demur.gateway.doctor import ticket
from demur.guard import new_reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.core.model import Fields, Key, Request, Requirement
    from demur.core.ports import Decided, Keys, Observer
    from demur.gateway.check.question import Asked, Way
    from demur.guard import Checked, Known

MOST: Final = 4096
"""Frames that are kept, in each of two generations."""
LONGEST: Final = 4096
"""Bytes of a request that is remembered."""
_LONGEST_PATH: Final = 256
_MOST_PATHS: Final = 1024
_MOST_READY: Final = 64
_TOKEN: Final = 56

_URI: Final = b"\r\nX-Forwarded-Uri: "
_LOWER: Final = b"\r\nx-forwarded-uri: "
_VALUE: Final = len(_URI)

# A decision may depend on these, or on what is in them.
_MATTERS: Final = frozenset(
    (
        *(b"authorization", b"origin", b"upgrade", b"purpose", b"sec-purpose", b"access-control-request-method"),
        *(b"demur-subject", b"demur-background", b"sec-websocket-key", ticket.FIELD),
        *(b"content-length", b"transfer-encoding", b"expect", b"connection", b"trailer", SLIP),
    )
)
_SIGN_IN = Refuse(Reason.SIGN_IN_REQUIRED)
_NOBODY = Allow()
_SIMPLE = frozenset((Access.OPEN, Access.OPTIONAL, Access.REQUIRED))


@dataclass(slots=True, eq=False)
class _Place:
    """A path, and what is asked for there: what a single rule says, and nothing else."""

    requirement: Requirement
    open: bool


@dataclass(slots=True, eq=False)
class _Ready:
    """An answer that a frame was given: its bytes, and what is noted of it. Of a yes the bytes last until the second
    changes (`until`); of a no there is only what is the same in all of them."""

    requirement: Requirement
    said: Said
    known: Known | None
    steady: bytes = b""
    until: int = 0
    whole: bytes = b""
    pad: slip.Pad | None = None


@dataclass(slots=True, eq=False)
class _Frame:
    """What a request says beside the address. `mark` is the id of the cookie's session; b"" if nothing
    of ours is sent."""

    asked: Asked
    way: Way
    mark: bytes
    left: Fields
    places: dict[bytes, _Place]
    recall: Callable[[bytes, Requirement, int], Known | None]
    clock: Callable[[], float]
    ready: dict[int, _Ready] = field(default_factory=dict)


class Short:
    """The short way of one process."""

    def __init__(self, keys: Keys, observer: Observer | None) -> None:
        self._keys = keys
        self._key: Key | None = None
        self._looked = 0
        self._observer = observer
        self._young: dict[bytes, _Frame] = {}
        self._old: dict[bytes, _Frame] = {}
        self._places: dict[tuple[int, str, str], dict[bytes, _Place]] = {}

    def answer(self, data: bytes) -> bytes | None:
        """The whole answer to one whole request, and nothing else; None if it has to go the long way."""
        at = data.find(_URI)
        if at < 0 and (at := data.find(_LOWER)) < 0:
            return None
        end = data.find(b"\r\n", at + _VALUE)
        found = data[:at] + data[end:]
        frame = self._young.get(found) or self._older(found)
        if frame is None:
            return None
        began = time.perf_counter()
        path, asks, query = data[at + _VALUE : end].partition(b"?")
        place = frame.places.get(path) or self._place(frame, path)
        if place is None or (asks and not fields.plain_query(query)):
            return None
        clock = frame.clock()
        now = int(clock)
        requirement, known = place.requirement, None
        if frame.mark and not place.open:
            known = frame.recall(frame.mark, requirement, now)
            if known is None:
                return None
        elif not place.open and requirement.access is Access.REQUIRED:
            return self._refuse(frame, place, data[at + _VALUE : end], path, clock, began)
        ready = frame.ready.get(id(requirement))
        if ready is None or ready.known is not known or ready.until != now:
            ready = self._ready(frame, requirement, known, now)
        if self._observer is not None:
            self._observer.decided(
                cast("Decided", Allowed(ready.said, place, clock, time.perf_counter() - began, path))
            )
        return ready.whole

    def forget(self) -> None:
        """To be called every minute: what was asked for neither in this one nor in the one before is forgotten."""
        self._old, self._young = self._young, {}

    # --- frames ---------------------------------------------------------------------------------------

    def learn(self, raw: bytes, sent: Request, asked: Asked, checked: Checked, way: Way) -> None:
        """A request was decided on the long way."""
        request, guard = asked.request, asked.guard
        at = raw.find(_URI)
        at = raw.find(_LOWER) if at < 0 else at
        end = raw.find(b"\r\n", at + _VALUE)
        if (
            at < 0
            or len(raw) > LONGEST
            or raw[at + _VALUE : end] != request.target
            or not raw.startswith(b"GET /check")
        ):
            return
        if request.method not in {"GET", "HEAD"} or guard.bridged or guard.site.permits is not None:
            return
        if any(name in _MATTERS for name, _ in (*sent.fields, *request.fields)):
            return
        mark = _mark(asked)
        if mark is None:
            return
        decision = checked.decision
        if isinstance(decision, Allow) and decision.session is not None and decision.session.id == mark:
            guard.learn(checked)
        whole = raw[:at] + raw[end:]
        if whole not in self._young:
            places = self._places.setdefault((id(guard), request.method, request.host), {})
            if len(self._places) > _MOST_PATHS:
                self._places.clear()  # somebody asks at ever new hosts of a pattern
            frame = _Frame(asked, way, mark, left(request, frozenset()), places, guard.cache.recall, guard.clock)
            self._keep(whole, frame)

    def _keep(self, whole: bytes, frame: _Frame) -> None:
        if len(self._young) >= MOST:
            self.forget()
        self._young[whole] = frame

    def _older(self, whole: bytes) -> _Frame | None:
        frame = self._old.pop(whole, None)
        if frame is not None:
            self._keep(whole, frame)
        return frame

    def _place(self, frame: _Frame, path: bytes) -> _Place | None:
        """What is asked for at a path, if it has one reading and one rule says it all."""
        request, guard = frame.asked.request, frame.asked.guard
        if len(path) > _LONGEST_PATH:
            return None
        matches = paths.judge(guard.site.rules, request.method, path, request.host)
        if matches is None or len(matches) != 1:
            return None
        requirement = matches[0].requirement
        if requirement.access not in _SIMPLE or requirement.conceal is not None or requirement.beside is not None:
            return None
        if len(frame.places) >= _MOST_PATHS:
            frame.places.clear()
        place = frame.places[path] = _Place(requirement, requirement.access is Access.OPEN)
        return place

    # --- answers --------------------------------------------------------------------------------------

    @staticmethod
    def _ready(frame: _Frame, requirement: Requirement, known: Known | None, now: int) -> _Ready:
        ready, allow = frame.ready.get(id(requirement)), _NOBODY if known is None else known.allow
        asserts = getattr(frame.asked.guard.site, "assertions", None) is not None
        if ready is None or ready.known is not known or asserts:
            steady = yes(frame.asked, allow, now, frame.left, frame.way)
            said = steady[: -len(timing(allow, now)) or None]
            ready = _Ready(requirement, _said(frame, requirement, allow), known, head.lines(200, said))
            _room(frame.ready)[id(requirement)] = ready
        ready.until = now
        ready.whole = ready.steady + head.more(timing(allow, now)) + head.end(now)
        return ready

    def _refuse(
        self, frame: _Frame, place: _Place, target: bytes, path: bytes, clock: float, began: float
    ) -> bytes | None:
        """Nobody asks for what somebody has to be for. It depends on nothing but the rule."""
        requirement, now = place.requirement, int(clock)
        key = self._key if now == self._looked else self._look(now)
        if key is None or frame.way.whole:
            return None
        ready = frame.ready.get(id(requirement))
        if ready is None or ready.pad is None or ready.pad.key is not key:
            ready = _room(frame.ready)[id(requirement)] = self._refusing(frame, requirement, key)
        pad, reference = cast("slip.Pad", ready.pad), new_reference()
        answer = b"%b%b\r\n%b" % (ready.steady, pad.rest(target, reference, now), head.end(now))
        if self._observer is not None:
            note = Refused(ready.said, place, clock, time.perf_counter() - began, path, reference)
            self._observer.decided(cast("Decided", note))
        return answer

    def _look(self, now: int) -> Key | None:
        """The key to sign with, for a second."""
        try:
            key = self._keys.ring().current
            self._looked = now
            if key != self._key:
                self._key = key
        except StoreUnavailable:
            self._key = None
        return self._key

    @staticmethod
    def _refusing(frame: _Frame, requirement: Requirement, key: Key) -> _Ready:
        request, site = frame.asked.request, frame.asked.guard.site
        presented = credentials.presented(site, request, requirement, requirement.accepts)
        said = slip.Slip(_SIGN_IN, "", requirement.form, presented)
        status = REASONS[_SIGN_IN.reason].status
        pad = slip.Pad(said, request, key)
        steady = head.lines(status, (NO_STORE, (b"content-length", b"0"))) + SLIP + b": " + pad.begins
        return _Ready(requirement, _said(frame, requirement, None), None, steady, pad=pad)


def _said(frame: _Frame, requirement: Requirement, allow: Allow | None) -> Said:
    subject = None if allow is None or allow.subject is None else allow.subject.id
    return Said(frame.asked.guard.site.origin, frame.asked.request.method, requirement.rule, subject)


def _mark(asked: Asked) -> bytes | None:
    """The id of the session that a request says it has: b"" if it holds nothing of ours, None if that is not simple."""
    name, cookies = asked.guard.site.cookie.name.encode("ascii"), asked.request.values(b"cookie")
    tokens = fields.cookie_values(cookies, name) if name else []
    if not tokens:
        return b""
    if len(tokens) > 1 or len(cookies) > 1 or len(tokens[0]) != _TOKEN:
        return None
    return sessions.identify(tokens[0])


def _room(kept: dict[int, _Ready]) -> dict[int, _Ready]:
    if len(kept) >= _MOST_READY:
        kept.clear()
    return kept
