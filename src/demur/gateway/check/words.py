"""A refusal in words, said again: nginx's second step.

What nginx asks for in words differs, from one who sends nothing of ours to the next, in the address and on the slip. So
both are cut out, and what is left is known to the byte, as on the short way of the first step.

- It decides nothing. The slip is read each time: it has to be signed with a key that still is one of ours, for this
  address and just now, and to say what was said here before. Anything else goes the long way, and so does everybody
  who sends something that says who they are.
- The words are made once for all addresses, around two that nobody asks for: if those do not leave the same gaps, the
  words depend on more than it, and are made each time.
- What was sent is kept. It is bounded in number and in bytes, and forgotten after two minutes at the latest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from html import escape
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from demur.core.model import KeyRing, Refuse, StoreUnavailable
from demur.core.reasons import Reason
from demur.gateway import slip
from demur.gateway.check import head
from demur.gateway.check.question import SLIP
from demur.gateway.check.short import MATTERS, mark
from demur.observe.reference import new_reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.core.model import Key, Request, Response
    from demur.core.ports import Keys
    from demur.gateway.check.question import Asked

MOST: Final = 1024
"""How many are kept, in each of two generations."""
MOST_BYTES: Final = 2 * 1024 * 1024
"""How many bytes those of one generation have."""
LONGEST: Final = 4096
"""Bytes of a request that is remembered."""

_BEGINS: Final = (b"GET /refusal", b"HEAD /refusal")
_URI: Final = (b"\r\nX-Forwarded-Uri: ", b"\r\nx-forwarded-uri: ")
_SLIP: Final = (b"\r\nDemur-Refusal: ", b"\r\ndemur-refusal: ")
# A second slash would begin another site's name, and pages heed that.
_ADDRESS = re.compile(rb"/(?![/\\])[!-~]*")
_SIGN_IN = Refuse(Reason.SIGN_IN_REQUIRED)
_HARD: Final = "?a='<\">&b=%41"
"""What a page has to write in another way."""
_LENGTHS: Final = (8, 13)


@dataclass(frozen=True, slots=True)
class _Said:
    """A refusal without the address and the reference that its content names: what stands `above` the length, and the
    pieces around the address, each in those around the reference."""

    above: bytes
    pieces: tuple[tuple[bytes, ...], ...]

    def whole(self, target: bytes, reference: bytes, now: int, *, bodiless: bool) -> bytes:
        """The answer to a request."""
        address = escape(target.decode("ascii")).encode("ascii")
        body = address.join([reference.join(each) for each in self.pieces])
        begins = b"%bcontent-length: %d\r\n%b" % (self.above, len(body), head.end(now))
        return begins if bodiless else begins + body

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.above) + sum(len(part) for each in self.pieces for part in each)


@dataclass(slots=True, eq=False)
class _Frame:
    """What is sent beside the address and what differs from slip to slip. `pad` is what those are written on, `prefix`
    where demur's own pages are, which are another matter, and `said` None if it is put into words each time."""

    clock: Callable[[], float]
    pad: slip.Pad
    prefix: bytes
    bodiless: bool
    said: _Said | None


class Words:
    """What one process says again. `in_words` puts a slip into words."""

    def __init__(self, keys: Keys, in_words: Callable[[Asked, slip.Slip], Response]) -> None:
        self._keys = keys
        self._in_words = in_words
        self._ring = KeyRing(())
        self._looked = -1
        self._size = 0
        self._young: dict[bytes, _Frame] = {}
        self._old: dict[bytes, _Frame] = {}
        self._once: set[bytes] = set()

    def forget(self) -> None:
        """To be called every minute: what was asked for neither in this one nor in the one before is forgotten."""
        self._old, self._young, self._size = self._young, {}, 0
        self._once.clear()

    def answer(self, data: bytes) -> bytes | None:
        """The whole answer to one whole request, and nothing else; None if it has to go the long way."""
        cut = _cut(data)
        if cut is None:
            return None
        whole, target, rest = cut
        frame = self._young.get(whole) or self._older(whole)
        if frame is None or frame.said is None:
            return None
        if target.startswith(frame.prefix) or not _ADDRESS.fullmatch(target):
            return None
        now = int(frame.clock())
        reference = frame.pad.reference(rest, target, now) if self._is_ours(frame.pad.key, now) else None
        return None if reference is None else frame.said.whole(target, reference, now, bodiless=frame.bodiless)

    def learn(self, raw: bytes, sent: Request, asked: Asked, read: slip.Slip) -> None:
        """A slip was read, and put into words, on the long way."""
        cut, request, refuse = _cut(raw), asked.request, read.decision
        if cut is None or cut[1] != request.target or request.method not in {"GET", "HEAD"}:
            return
        if any(name in MATTERS and name != SLIP for name, _ in (*sent.fields, *request.fields)) or mark(asked) != b"":
            return
        if refuse != _SIGN_IN:
            return
        whole = cut[0]
        if whole not in self._once:
            # Most come once: it is not worth more than this until one comes again.
            if len(self._once) >= MOST:
                self._once.clear()
            self._once.add(whole)
        elif whole not in self._young:
            self._learn(whole, sent, asked, read)

    def _learn(self, whole: bytes, sent: Request, asked: Asked, read: slip.Slip) -> None:
        site, now = asked.guard.site, int(asked.guard.clock())
        key = self._ring_of(now).find(slip.key_of(sent.values(SLIP)[0]))
        if key is not None:
            pad, prefix = slip.Pad(read, asked.request, key), f"{site.prefix}/".encode("ascii")
            self._keep(whole, _Frame(asked.guard.clock, pad, prefix, sent.method == "HEAD", self._said(asked, read)))

    def _keep(self, whole: bytes, frame: _Frame) -> None:
        size = len(whole) + (0 if frame.said is None else frame.said.size)
        if len(self._young) >= MOST or self._size + size > MOST_BYTES:
            self.forget()
        self._size += size
        self._young[whole] = frame

    def _older(self, whole: bytes) -> _Frame | None:
        frame = self._old.pop(whole, None)
        if frame is not None:
            self._keep(whole, frame)
        return frame

    def _is_ours(self, key: Key, now: int) -> bool:
        held = self._ring_of(now).find(key.id)
        return held is not None and held.secret == key.secret

    def _ring_of(self, now: int) -> KeyRing:
        """The keys, looked at once a second; none if they cannot be."""
        if now != self._looked:
            try:
                self._ring, self._looked = self._keys.ring(), now
            except StoreUnavailable:
                self._ring, self._looked = KeyRing(()), -1
        return self._ring

    def _said(self, asked: Asked, read: slip.Slip) -> _Said | None:
        """It, if nothing but the address and the reference differs where these do."""
        found = {self._around(asked, read, length) for length in _LENGTHS}
        return found.pop() if len(found) == 1 else None

    def _around(self, asked: Asked, read: slip.Slip, length: int) -> _Said | None:
        """What stands around an address that nobody asks for, and a reference that nobody gets."""
        target, reference = f"/{token_hex(length)}{_HARD}", new_reference()
        request = replace(asked.request, target=target.encode("ascii"))
        response = self._in_words(replace(asked, request=request), replace(read, reference=reference))
        *fields, last = response.fields
        named = reference.encode("ascii")
        if last[0] != b"content-length" or any(named in value for _, value in fields):
            return None
        pieces = response.body.split(escape(target).encode("ascii"))
        return _Said(head.lines(response.status, tuple(fields)), tuple([tuple(each.split(named)) for each in pieces]))


def _cut(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """A request without the address that it is about, and without what differs from slip to slip; and both of these."""
    if not data.startswith(_BEGINS) or len(data) > LONGEST:
        return None
    uri, said = _value(data, _URI), _value(data, _SLIP)
    if uri is None or said is None:
        return None
    same = slip.beginning(data[slice(*said)])
    rest = said[0] + max(0, same), said[1]
    (begin, end), (from_, to) = sorted((uri, rest))
    return data[:begin] + data[end:from_] + data[to:], data[slice(*uri)], data[slice(*rest)]


def _value(data: bytes, begins: tuple[bytes, bytes]) -> tuple[int, int] | None:
    """Where the value of a line is that begins so."""
    at = data.find(begins[0])
    at = data.find(begins[1]) if at < 0 else at
    return None if at < 0 else (at + len(begins[0]), data.find(b"\r\n", at + len(begins[0])))
