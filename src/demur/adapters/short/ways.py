"""What is remembered of what the long way decided: of targets, of views, and of names."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from demur.core import fields
from demur.core.model import Absent, Access, Allow, Left, Scheme
from demur.core.ports import Decided
from demur.core.rules.tree import Match
from demur.observe.reference import named

if TYPE_CHECKING:
    from demur.adapters.short.passed import ShortPassed
    from demur.adapters.surface import Surface
    from demur.core.decide import Plan
    from demur.core.marks import Mark
    from demur.core.model import Request, Requirement
    from demur.guard import Checked

T = TypeVar("T", dict[Any, Any], set[Any])

TOKEN = 56
"""Characters of a session's token."""
LONGEST = 256
"""Bytes of a path, or of a name, that is remembered."""
_LONGEST_COOKIE = 1024
_REMEMBERED = 60
"""Seconds for which a cookie is remembered, about: it holds a token."""
_MOST = 1024
"""Ways, and names, that are remembered."""

MATTERS = frozenset(
    (
        *(b"authorization", b"origin", b"upgrade", b"purpose", b"sec-purpose", b"access-control-request-method"),
        *(b"demur-subject", b"demur-background"),
    )
)
"""Fields on which a yes, or what is written of it, may depend."""
CHANGES = frozenset((b"set-cookie", b"surrogate-control", b"x-accel-expires", b"demur-refuse", b"demur-processed"))
"""Fields of an answer that do not leave as they are."""
USUAL = frozenset(
    b"host cookie accept accept-encoding accept-language user-agent referer connection cache-control pragma dnt "
    b"if-none-match if-modified-since range sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-ch-ua "
    b"sec-ch-ua-mobile sec-ch-ua-platform upgrade-insecure-requests priority x-requested-with te".split()
)


def room(kept: T) -> T:
    """What is remembered begins anew when it is full."""
    if len(kept) >= _MOST:
        kept.clear()
    return kept


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A target, and what is asked for there. For the log it is what each yes there has in common
    (`core.ports.Common`)."""

    plan: Plan
    requirement: Requirement
    origin: str
    request: Request
    """What is the same in each that goes there."""
    open: bool
    left: bool
    outcome: ClassVar[str] = "allow"
    reason: ClassVar[None] = None

    def decided(self, at: float, number: int, subject: str | None, seconds: float) -> Decided:
        """A yes."""
        rule = self.requirement.rule
        return Decided(at, named(number), self.origin, self.request, "allow", None, None, rule, subject, seconds)


@dataclass(frozen=True, slots=True, eq=False)
class _Joined:
    """A view at the end of a way. `found` are its marks, which are kept so that no other ones can have their place in
    memory, and `asked` is all that has to be met there: the same object for the same, as that is how it is known."""

    way: Way
    found: tuple[Mark, ...]
    asked: tuple[Requirement, ...]


class Ways:
    """The short way of one surface, in the words of no protocol."""

    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self._guard = surface.guard
        self._recall = surface.guard.cache.recall
        self._origin = surface.site.origin
        self._gathered, self._others = surface.guard.gathered, surface.guard.others
        self._ways: dict[tuple[object, ...], Way] = {}
        self._told: dict[bytes, tuple[bytes | None, bytes]] = {}
        self._forget_at = 0
        self._joined: dict[tuple[Way, int], _Joined] = {}
        self._asked: dict[Requirement, Requirement] = {}
        name = surface.site.cookie.name.encode("ascii")
        self._needle = name + b"="
        self._from = len(self._needle)
        self._until = self._from + TOKEN
        # One look finds all of our names at once; and what a bridge says is not known here.
        self._works = b"demur" in name and surface.bridge is None
        self._dresses = not surface.site.cors.origins

    # --- whose cookie it is -----------------------------------------------------------------------

    def whose(self, cookie: bytes) -> tuple[bytes | None, bytes]:
        """The key of the session whose token a cookie holds, None if it is not as every browser writes it; and what is
        left of it for the app."""
        if len(cookie) == self._until and cookie.startswith(self._needle):
            return sha256(cookie[self._from :]).digest(), b""
        return self._told_by(cookie)

    def _told_by(self, cookie: bytes) -> tuple[bytes | None, bytes]:
        """The same, remembered. A browser sends the same with each request, so it is read once; it is forgotten soon,
        because of the token in it."""
        found = self._told.get(cookie)
        if found is None:
            found = self._key(cookie), fields.without_cookies(cookie, self.surface.names)
            now = int(self._guard.clock())
            if now >= self._forget_at or len(self._told) >= _MOST:
                self._told, self._forget_at = {}, now + _REMEMBERED
            if len(cookie) <= _LONGEST_COOKIE:
                self._told[cookie] = found
        return found

    def _key(self, cookie: bytes) -> bytes | None:
        at = cookie.find(self._needle)
        end = at + self._until
        if at < 0 or cookie.count(b"demur") != 1:
            return None
        if cookie[end : end + 1] not in b";" or not (at == 0 or cookie[at - 2 : at] == b"; "):
            return None
        return sha256(cookie[end - TOKEN : end]).digest()

    # --- learning ---------------------------------------------------------------------------------

    def learned(self, request: Request, checked: Checked) -> Way | None:
        """The way of a request that the long way has decided about, or left to the view; None if it has none."""
        plan, asked = checked.plan, checked.requirement
        if not self._works or plan is None or request.method not in {"GET", "HEAD"} or asked.conceal:
            return None
        if not _is_one(checked, plan) or len(request.path) > LONGEST or len(request.host) > LONGEST:
            return None
        opened = asked.access is Access.OPEN
        if not opened and not self._learn(checked, request.values(b"cookie")):
            return None
        return Way(plan, asked, self._origin, bare(request), opened, not opened and plan.left)

    def learned_of_nobody(self, request: Request, checked: Checked) -> Way | None:
        """The way of a request that says nothing of who it is, and that the long way has left to the view."""
        plan = checked.plan
        if not self._works or plan is None or not plan.left or checked.requirement.conceal:
            return None
        if request.method not in {"GET", "HEAD"} or not _is_one(checked, plan) or self.names_us(request):
            return None
        if checked.presented.scheme is not None or not isinstance(checked.evidence, Absent):
            return None
        return Way(plan, checked.requirement, self._origin, bare(request), open=False, left=True)

    @staticmethod
    def names_us(request: Request) -> bool:
        """Whether a cookie may be ours."""
        return any(b"demur" in value for value in request.values(b"cookie"))

    def _learn(self, checked: Checked, cookies: list[bytes]) -> bool:
        """Whether it is a cookie that a request is known by; whoever was allowed something is, from now on."""
        key = self.whose(cookies[0])[0] if len(cookies) == 1 else None
        if key is None or checked.presented.scheme is not Scheme.COOKIE:
            return False
        if isinstance(checked.decision, Allow):
            if checked.decision.session is None or checked.decision.session.id != key:
                return False
            self._guard.learn(checked)
        return True

    def harmless(self, name: bytes) -> bool:
        """Whether a field of that name, in lower case, is nothing that matters."""
        return name not in MATTERS and len(name) <= LONGEST and not self.surface.keeps_out(name)

    def note(self, passed: ShortPassed, at: float, began: float) -> None:
        """A yes, for the log and the metrics. `began` is when it was begun, by `time.perf_counter`."""
        if self._gathered is not None:
            brief = passed.brief
            subject = None if brief is None else brief.subject
            self._gathered.note((passed.way, at, passed.number, subject, time.perf_counter() - began))
        if self._others is not None:
            seconds = time.perf_counter() - began
            self._others.decided(self._guard.told(passed.checked, passed.request, at=at, seconds=seconds))

    # --- at the view ------------------------------------------------------------------------------

    def recall(self, passed: ShortPassed, key: bytes | None, found: tuple[Mark, ...]) -> bool:
        """Whether a view may be opened because it could be before; then it is judged, and noted. `found` is the same
        object whenever it is of the same view."""
        joined = self._joined.get((passed.way, id(found)))
        if joined is None:
            return False
        at, known, began = self._guard.clock(), None, time.perf_counter()
        for requirement in joined.asked:
            known = None if key is None else self._recall(key, requirement, int(at))
            if known is None:
                return False
        passed.judged_as(joined.way, known)
        self.note(passed, at, began)
        return True

    def remember(self, passed: ShortPassed, found: tuple[Mark, ...]) -> None:
        """A view was judged on the long way, and may be opened."""
        checked, before = passed.checked, passed.way
        if not isinstance(checked.decision, Allow) or checked.blind:
            return
        joined = self._joined.get((before, id(found))) or self._join(checked, before, found)
        if joined is None:
            return
        for requirement in joined.asked:
            alone = replace(joined.way.plan, matches=(Match(requirement),))
            self._guard.learn(replace(checked, plan=alone, requirement=requirement))
        room(self._joined)[(before, id(found))] = joined

    def _join(self, checked: Checked, before: Way, found: tuple[Mark, ...]) -> _Joined | None:
        """By what a view is judged; None if that is more than marks, and the one rule that has said yes."""
        plan, site = checked.plan, self.surface.site
        if plan is None or plan.pretends or len(before.plan.matches) != 1:
            return None
        own = () if before.left else (before.requirement,)
        each = [match.requirement for match in plan.matches]
        if len(each) <= len(own) or any(asked.conceal is not None for asked in each):
            return None
        # The app's own function may say something else the next time.
        if site.permits is not None and any(asked.terms.permission is not None for asked in each):
            return None
        marks = [asked for asked in each[len(own) :] if asked.access is not Access.OPEN]
        way = Way(plan, checked.requirement, self._origin, before.request, open=False, left=False)
        return _Joined(way, found, (*own, *[room(self._asked).setdefault(asked, asked) for asked in marks]))


def bare(request: Request) -> Request:
    """What is the same in all that are answered alike, as far as an observer is told."""
    return replace(request, target=request.path, peer="", fields=())


def _is_one(checked: Checked, plan: Plan) -> bool:
    """Whether one rule alone says what becomes of a request: a yes, or that it is left to the view."""
    if len(plan.matches) != 1 or plan.pretends:
        return False
    return isinstance(checked.decision, Left) if plan.left else isinstance(checked.decision, Allow)
