"""The short way: a question that was asked a moment ago, about another address or about the same, is not read again.

A browser asks for a hundred things of a page with the same fields, and a program for a thousand. So what was read of a
request is kept under its very bytes, and, for other addresses, under all of them but the address that it is about (a
*frame*). The bytes are those that the parser has taken for one whole request: nothing else is ever found there, and
nothing is guessed.

- It decides nothing by itself. What a path asks for, the rules say; whether somebody is still allowed it, says
  `Guard.recall`, once a second, and within it the store, whether what it goes by still holds; and who sends nothing
  that is ours is nobody, whatever the time. Anything else goes the long way.
- Both ways answer with the same bytes, which are made once a second.
- A refusal costs no more than a yes: no template, no hashing of tokens, no question to the store. For nginx that holds
  for any address; for a proxy that hands on the whole refusal, whose words name the address, from the third time on.
- What was sent is kept, cookies too. It is bounded in number and in bytes, and nobody asks for it for two minutes
  without it being forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from random import getrandbits
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from demur.core import credentials, fields, paths, sessions
from demur.core.model import Access, Allow, Refuse, StoreUnavailable
from demur.core.reasons import REASONS, Reason
from demur.gateway import slip
from demur.gateway.check import head
from demur.gateway.check.noted import Notes, Said
from demur.gateway.check.question import SLIP
from demur.gateway.check.yes import NO_STORE, left, timing, yes
from demur.gateway.doctor import ticket
from demur.observe.reference import named, new_number, new_reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.core.model import Fields, Key, Request, Requirement, Response
    from demur.core.ports import Keys, Observer
    from demur.gateway.check.question import Asked, Way
    from demur.gateway.check.words import Words
    from demur.guard import Checked, Known

MOST: Final = 4096
"""Frames that are kept, in each of two generations."""
MOST_SENT: Final = 4 * 1024 * 1024
"""Bytes of whole requests that are kept."""
LONGEST: Final = 4096
"""Bytes of a request that is remembered."""
_LONGEST_PATH: Final = 256
_MOST_PATHS: Final = 1024
_MOST_READY: Final = 64
_TOKEN: Final = 56
_BESIDE: Final = 600
"""Bytes, about, that a request takes that is kept, beside its own."""
_LAST: Final = 0xFFFF_FFFF_FFFF
"""The last part of a reference, as a number."""
_OFTEN: Final = 2
"""How often a request is refused in words until they are kept."""
_WITH_ONE: Final = 3
"""Parts of a refusal that names its reference once, with its head."""

_URI: Final = b"\r\nX-Forwarded-Uri: "
_LOWER: Final = b"\r\nx-forwarded-uri: "
_VALUE: Final = len(_URI)

# A decision may depend on these, or on what is in them.
MATTERS: Final = frozenset(
    (
        *(b"authorization", b"origin", b"upgrade", b"purpose", b"sec-purpose", b"access-control-request-method"),
        *(b"demur-subject", b"demur-background", b"sec-websocket-key", ticket.FIELD),
        *(b"content-length", b"transfer-encoding", b"expect", b"connection", b"trailer", SLIP),
    )
)
_T = TypeVar("_T")
_SIGN_IN = Refuse(Reason.SIGN_IN_REQUIRED)
_NOBODY = Allow()
_UNSAID = Said("", "", b"", "", None, None, "", None)
_SIMPLE = frozenset((Access.OPEN, Access.OPTIONAL, Access.REQUIRED))


@dataclass(slots=True, eq=False)
class _Place:
    """A path, and what is asked for there: what a single rule says, and nothing else."""

    requirement: Requirement
    open: bool


@dataclass(slots=True, eq=False)
class _Ready:
    """An answer, good from a `second` until its `end`. A yes is `whole`, for as long as the store holds `stamp` for
    true, if there is one. A no is the `parts` between which the last part of its reference stands, which has the rest
    of a `number`."""

    # Floats, as the clock's: to compare those with an int takes twice as long.
    second: float = -1.0
    end: float = -1.0
    whole: bytes = b""
    stamp: Any = None
    number: int = 0
    parts: tuple[bytes, ...] = ()


@dataclass(slots=True, eq=False)
class _Yes:
    """A yes to a frame: to whom, and what it says in any second."""

    requirement: Requirement
    known: Known | None
    steady: bytes
    ready: _Ready


@dataclass(slots=True, eq=False)
class _No:
    """A no to a frame: what it says about any address, in any second; and in this one, in which the references begin
    with a `number`, for all addresses together what stands `before` the rest of it."""

    requirement: Requirement
    pad: slip.Pad
    steady: bytes
    number: int = 0
    before: bytes = b""
    slips: slip.Begun | None = None


@dataclass(slots=True, eq=False)
class _Frame:
    """What a request says beside the address. `mark` is the id of the cookie's session; b"" if nothing
    of ours is sent."""

    asked: Asked
    way: Way
    mark: bytes
    left: Fields
    places: dict[bytes, _Place]
    yes: dict[int, _Yes] = field(default_factory=dict)
    no: dict[int, _No] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Sent:
    """A whole request that was read: what it asks, and how it is answered in this second. `said` is what is noted,
    `times` how often it was refused in words, and `words` are those: the head without its end, and what stands between
    the references."""

    clock: Callable[[], float]
    holds: Callable[[Any], bool]
    frame: _Frame
    place: _Place
    target: bytes
    path: bytes
    ready: _Ready
    said: Said = _UNSAID
    times: int = 0
    words: tuple[bytes, ...] = ()


class Short:
    """The short way of one process. `in_words` puts a refusal into words, for proxies that hand it on; `second`
    is for those that ask for the words in a second step."""

    def __init__(
        self,
        keys: Keys,
        observer: Observer | None,
        in_words: Callable[[Asked, slip.Slip], Response],
        second: Words,
    ) -> None:
        self._keys = keys
        self._in_words = in_words
        self._second = second
        self._key: Key | None = None
        self._looked = self._number = 0
        self._notes = Notes(observer)
        self._allowed, self._refused = self._notes.allowed, self._notes.refused
        self._again: dict[bytes, _Sent] = {}
        self._size = 0
        self._young: dict[bytes, _Frame] = {}
        self._old: dict[bytes, _Frame] = {}
        self._places: dict[tuple[int, str, str], dict[bytes, _Place]] = {}
        # One after the other: no two refusals of a second may have the same reference.
        self._next = count(getrandbits(47)).__next__

    def answer(self, data: bytes) -> bytes | None:
        """The whole answer to one whole request, and nothing else; None if it has to go the long way.

        This is done for every request, so it is one piece, and calls as little as it can."""
        began = perf_counter()
        sent = self._again.get(data) or self._read(data)
        if sent is None:
            return self._second.answer(data)
        at, ready = sent.clock(), sent.ready
        stamp = ready.stamp
        if at < ready.second or at >= ready.end or (stamp is not None and not sent.holds(stamp)):
            renewed = self._renew(sent, int(at))
            if renewed is None:
                return None
            ready = renewed
        answer, number, noted = ready.whole, 0, self._allowed
        if not answer:
            last, noted = self._next(), self._refused
            answer, number = (b"%012x" % last).join(ready.parts), ready.number | last
        noted.append((sent.said, at, number, None, perf_counter() - began))
        if len(noted) == 1:
            self._notes.begun()
        return answer

    @property
    def told(self) -> int:
        """How many decisions the observer was told of, in all."""
        return self._notes.told

    def tell(self) -> None:
        """Tell the observer what was decided and not told yet."""
        self._notes.tell()

    def forget(self) -> None:
        """To be called every minute: what was asked for neither in this one nor in the one before is forgotten."""
        self._age()
        self._second.forget()

    def _age(self) -> None:
        self._old, self._young = self._young, {}
        self._again, self._size = {}, 0

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
        if any(name in MATTERS for name, _ in (*sent.fields, *request.fields)):
            return
        id_ = mark(asked)
        if id_ is None:
            return
        decision = checked.decision
        if isinstance(decision, Allow) and decision.session is not None and decision.session.id == id_:
            guard.learn(checked)
        whole = raw[:at] + raw[end:]
        if whole not in self._young:
            places = self._places.setdefault((id(guard), request.method, request.host), {})
            if len(self._places) > _MOST_PATHS:
                self._places.clear()  # somebody asks at ever new hosts of a pattern
            self._keep(whole, _Frame(asked, way, id_, left(request, frozenset()), places))

    def _keep(self, whole: bytes, frame: _Frame) -> None:
        if len(self._young) >= MOST:
            self._age()
        self._young[whole] = frame

    def _older(self, whole: bytes) -> _Frame | None:
        frame = self._old.pop(whole, None)
        if frame is not None:
            self._keep(whole, frame)
        return frame

    def _read(self, data: bytes) -> _Sent | None:
        """A request that is like others but for its address."""
        at = data.find(_URI)
        if at < 0 and (at := data.find(_LOWER)) < 0:
            return None
        end = data.find(b"\r\n", at + _VALUE)
        found = data[:at] + data[end:]
        frame = self._young.get(found) or self._older(found)
        if frame is None:
            return None
        target = data[at + _VALUE : end]
        path, asks, query = target.partition(b"?")
        place = frame.places.get(path) or self._place(frame, path)
        if place is None or (asks and not fields.plain_query(query)):
            return None
        guard = frame.asked.guard
        sent = _Sent(guard.clock, guard.cache.holds, frame, place, target, path, _Ready())
        self._size += len(data) + _BESIDE
        if self._size > MOST_SENT:
            self._again, self._size = {}, len(data) + _BESIDE
        self._again[data] = sent
        return sent

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

    def _renew(self, sent: _Sent, now: int) -> _Ready | None:
        """What is answered from now on, in this second."""
        frame, place, known = sent.frame, sent.place, None
        requirement = place.requirement
        if frame.mark and not place.open:
            known = frame.asked.guard.cache.recall(frame.mark, requirement, now)
            if known is None:
                return None
        elif not place.open and requirement.access is Access.REQUIRED:
            return self._no(sent, now)
        return self._yes(sent, known, now)

    @staticmethod
    def _yes(sent: _Sent, known: Known | None, now: int) -> _Ready:
        frame, requirement = sent.frame, sent.place.requirement
        allow = _NOBODY if known is None else known.allow
        found, asserts = frame.yes.get(id(requirement)), getattr(frame.asked.guard.site, "assertions", None) is not None
        if found is None or found.known is not known or (asserts and found.ready.second != now):
            lines = yes(frame.asked, allow, now, frame.left, frame.way)
            steady = head.lines(200, lines[: -len(timing(allow, now)) or None])
            found = _room(frame.yes)[id(requirement)] = _Yes(requirement, known, steady, _Ready())
            found.ready.stamp = None if known is None else known.stamp
        ready = sent.ready = found.ready
        if ready.second != now:
            ready.second, ready.end = float(now), now + 1.0
            ready.whole = found.steady + head.more(timing(allow, now)) + head.end(now)
        subject = None if allow.subject is None else allow.subject.id
        if sent.said is _UNSAID or sent.said.subject != subject:
            sent.said = _said(sent, "allow", subject)
        return ready

    def _no(self, sent: _Sent, now: int) -> _Ready | None:
        """Nobody asks for what somebody has to be for. It depends on nothing but the rule."""
        frame, requirement = sent.frame, sent.place.requirement
        key = self._key if now == self._looked else self._look(now)
        if key is None:
            return None
        if frame.way.whole:
            return self._no_in_words(sent, now)
        found = frame.no.get(id(requirement))
        if found is None or found.pad.key is not key:
            found = _room(frame.no)[id(requirement)] = self._refusing(frame, requirement, key)
        if found.slips is None or found.number != self._number:
            found.number, found.slips = self._number, found.pad.begun(named(self._number), now)
            found.before = found.steady + found.slips.before
        after = b"%b\r\n%b" % (found.slips.after(sent.target), head.end(now))
        return self._refuse(sent, now, (found.before, after))

    def _no_in_words(self, sent: _Sent, now: int) -> _Ready | None:
        """The same for a proxy that hands it on: in words, which name the address."""
        sent.times += 1
        if sent.times < _OFTEN:
            return None  # whoever asks about ever new addresses is to pay for no more than one answer each
        if sent.times == _OFTEN:
            sent.words = self._words(sent)
            self._size += 2 * sum(map(len, sent.words))
        if not sent.words:
            return None
        begins, (above, first, *rest) = named(self._number)[:-12].encode("ascii"), sent.words
        pieces = (above + head.end(now) + first, *rest)
        return self._refuse(sent, now, (*(piece + begins for piece in pieces[:-1]), pieces[-1]))

    def _words(self, sent: _Sent) -> tuple[bytes, ...]:
        """What is the same each time it is refused; nothing if that is not all but the reference, or not known."""
        asked = replace(sent.frame.asked, request=replace(sent.frame.asked.request, target=sent.target))
        requirement = sent.place.requirement
        presented = credentials.presented(asked.guard.site, asked.request, requirement, requirement.accepts)
        found = set()
        for reference in (new_reference(), new_reference()):
            response = self._in_words(asked, slip.Slip(_SIGN_IN, reference, requirement.form, presented))
            named_in = reference.encode("ascii")
            if any(named_in in value for _, value in response.fields):
                return ()
            found.add((head.begun(response), *response.body.split(named_in)))
        words = found.pop()
        return () if found or len(words) < _WITH_ONE else words

    def _refuse(self, sent: _Sent, now: int, parts: tuple[bytes, ...]) -> _Ready:
        ready = sent.ready = _Ready(float(now), now + 1.0, number=self._number, parts=parts)
        if sent.said is _UNSAID:
            sent.said = _said(sent, "refuse", None, _SIGN_IN.reason)
        return ready

    def _look(self, now: int) -> Key | None:
        """The key to sign with, for a second, and what the references of that second begin with."""
        try:
            key = self._keys.ring().current
            self._looked, self._number = now, new_number() & ~_LAST
            if key != self._key:
                self._key = key
        except StoreUnavailable:
            self._key = None
        return self._key

    @staticmethod
    def _refusing(frame: _Frame, requirement: Requirement, key: Key) -> _No:
        request, site = frame.asked.request, frame.asked.guard.site
        presented = credentials.presented(site, request, requirement, requirement.accepts)
        said = slip.Slip(_SIGN_IN, "", requirement.form, presented)
        steady = head.lines(REASONS[_SIGN_IN.reason].status, (NO_STORE, (b"content-length", b"0"))) + SLIP + b": "
        return _No(requirement, slip.Pad(said, request, key), steady)


def _said(sent: _Sent, outcome: str, subject: str | None, reason: Reason | None = None) -> Said:
    asked, status = sent.frame.asked, None if reason is None else REASONS[reason].status
    rule = sent.place.requirement.rule
    return Said(asked.guard.site.origin, asked.request.method, sent.path, outcome, status, reason, rule, subject)


def mark(asked: Asked) -> bytes | None:
    """The id of the session that a request says it has: b"" if it holds nothing of ours, None if that is not simple."""
    name, cookies = asked.guard.site.cookie.name.encode("ascii"), asked.request.values(b"cookie")
    tokens = fields.cookie_values(cookies, name) if name else []
    if not tokens:
        return b""
    if len(tokens) > 1 or len(cookies) > 1 or len(tokens[0]) != _TOKEN:
        return None
    return sessions.identify(tokens[0])


def _room(kept: dict[int, _T]) -> dict[int, _T]:
    if len(kept) >= _MOST_READY:
        kept.clear()
    return kept
