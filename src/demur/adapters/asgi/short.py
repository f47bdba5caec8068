"""The short way, for what most requests are: somebody who is known asks for what they were allowed a moment ago.

- It decides nothing. The long way has decided about a request for the same target with the same cookie, and
  `Guard.known` says whether that still holds; what brings anything else that could matter goes the long way.
- What is a field that cannot matter is learned by name, and so is what may be asked for: whatever is new goes the long
  way first.
- To the app and to the client both ways look the same, byte for byte. Whatever the app has a right to ask about a
  request is made when it asks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar, cast

from demur.adapters.asgi import wire
from demur.adapters.passed import Passed
from demur.core import fields, respond, streams
from demur.core.model import Absent, Access, Allow
from demur.guard import Checked, new_reference

if TYPE_CHECKING:
    from demur.adapters.asgi.wire import Message, Scope
    from demur.adapters.surface import Surface
    from demur.core.decide import Plan
    from demur.core.model import Evidence, Request, Requirement
    from demur.core.ports import Decided
    from demur.guard import Known

T = TypeVar("T", dict[Any, Any], set[Any])

TOKEN = 56
"""Characters of a session's token."""
_MOST = 1024
"""Ways, and names, that are remembered."""
LONGEST = 256
"""Bytes of a path, or of a name, that is remembered."""

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
_PRIVATE = (b"cache-control", b"private, no-cache")
NOBODY = Allow()
_NOT_YET = {"_checked": None, "_request": None, "_native": None, "_reference": "", "overdue": False}


def room(kept: T) -> T:
    """What is remembered begins anew when it is full."""
    if len(kept) >= _MOST:
        kept.clear()
    return kept


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A target, and what is asked for there."""

    plan: Plan
    requirement: Requirement
    open: bool


class ShortPassed(Passed):
    """`Passed`, of which everything is made when somebody asks for it."""

    __slots__ = ("_checked", "_known", "_native", "_now", "_reference", "_request", "lines", "scope", "way")

    _checked: Checked | None
    _request: Request | None
    _native: object
    _reference: str

    def __init__(
        self, surface: Surface, scope: Scope, way: Way, known: Known | None, now: int, lines: list[Any]
    ) -> None:
        self.surface = surface
        self.refused = None
        self.answer = None
        self.scope = scope
        self.lines = lines
        self.way = way
        self._known = known
        self._now = now
        self._allow = NOBODY if known is None else known.allow

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - what is not made yet
        try:
            return _NOT_YET[name]
        except KeyError:
            raise AttributeError(name) from None

    def inner(self) -> Scope:
        """The scope that the app sees."""
        inner = dict(self.scope)
        inner["headers"] = self.lines
        inner["demur"] = self
        return inner

    @property
    def reference(self) -> str:
        """The UUID that names this request in the log."""
        if not self._reference:
            self._reference = new_reference()
        return self._reference

    @property
    def native(self) -> Any:  # noqa: ANN401 - each framework has its own
        """The scope that the app sees, if nobody has said anything else. It is made anew: that it held us and we held
        it would be work for the collector."""
        if self._native is not None:
            return self._native
        return self.inner()

    @native.setter
    def native(self, native: object) -> None:
        self._native = native

    @property
    def checked(self) -> Checked:
        """What was decided."""
        if self._checked is None:
            way, known = self.way, self._known
            evidence: Evidence = Absent() if known is None else known.live
            self._checked = Checked(
                self._allow or NOBODY,
                way.requirement,
                evidence,
                self.reference,
                self._now,
                way.plan.presented,
                way.plan,
            )
        return self._checked

    @checked.setter
    def checked(self, checked: Checked) -> None:
        self._checked, self._allow = checked, None

    @property
    def given(self) -> Allow | None:
        """The yes with which it came; None once something else was decided at the view."""
        return self._allow

    def timing(self) -> tuple[bytes, bytes]:
        """The field that says when the session ends: the same for a second."""
        known = self._known
        assert known is not None  # noqa: S101 - nobody in particular has no session
        at, line = known.timing
        if at != self._now:
            allow = known.allow
            assert allow is not None  # noqa: S101 - as above
            assert allow.ends is not None  # noqa: S101 - as above
            line = (b"server-timing", fields.session_timing(allow.ends, known.live.subject.id, self._now))
            known.timing = (self._now, line)
        return line

    @property
    def request(self) -> Request:  # type: ignore[override]
        """The request that was judged."""
        if self._request is None:
            self._request = wire.read(self.scope)
        return self._request


class Noted:
    """A yes for the log, of which the rest is made when somebody asks for it: see `core.ports.Decided`."""

    __slots__ = ("_passed", "at", "seconds")
    outcome = "allow"
    status = None
    reason = None
    error = ""

    def __init__(self, passed: ShortPassed, at: float, seconds: float) -> None:
        self._passed = passed
        self.at = at
        self.seconds = seconds

    @property
    def reference(self) -> str:
        return self._passed.reference

    @property
    def origin(self) -> str:
        return self._passed.site.origin

    @property
    def request(self) -> Request:
        return self._passed.request

    @property
    def method(self) -> str:
        return str(self._passed.scope["method"])

    @property
    def path(self) -> bytes:
        return bytes(self._passed.scope["raw_path"])

    @property
    def rule(self) -> str:
        return self._passed.way.requirement.rule

    @property
    def subject(self) -> str | None:
        found = self._passed.subject
        return None if found is None else found.id


class Short:
    """The short way of one surface, for an app that is asked in one thread."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._guard = surface.guard
        self._ways: dict[tuple[object, ...], Way] = {}
        self._harmless = set(USUAL)
        self._untouched: set[bytes] = set()
        self._kinds: set[bytes | None] = {None}
        name = surface.site.cookie.name.encode("ascii")
        self._needle = name + b"="
        self._until = len(self._needle) + TOKEN
        # One look finds all of our names at once; and what others decide is not known here.
        self._works = b"demur" in name and surface.bridge is None and surface.site.permits is None
        self._dresses = not surface.site.cors.origins

    # --- in ---------------------------------------------------------------------------------------

    def enter(self, scope: Scope) -> ShortPassed | None:
        """The way on, with the scope that the app sees; None if this has to go the long way."""
        guard = self._guard
        observer = guard.observer
        began = time.perf_counter() if observer is not None else 0.0
        lines = scope["headers"]
        try:
            sent = dict(lines)
            way = self._ways.get((scope["method"], scope.get("raw_path"), sent.get(b"host"), scope["scheme"]))
        except (TypeError, ValueError):  # of another make than a server's usual
            return None
        if way is None or len(sent) != len(lines) or not self._harmless.issuperset(sent) or not _plain(scope):
            return None
        cookie, known, at = sent.get(b"cookie"), None, guard.clock()
        if not way.open:
            mark = None if cookie is None else self._mark(cookie)
            known = None if mark is None else guard.recall(way.requirement, mark, int(at))
            if known is None:
                return None
        if cookie is not None:
            lines = self._without_ours(lines, sent, cookie)
        passed = ShortPassed(self._surface, scope, way, known, int(at), lines)
        if observer is not None:
            observer.decided(cast("Decided", Noted(passed, at, time.perf_counter() - began)))
        return passed

    def _mark(self, cookie: bytes) -> bytes | None:
        """What stands for the token that a cookie holds; None if it is not as every browser writes it. It is no token,
        and nothing that is kept elsewhere: SHA-256 by way of OpenSSL takes twice the time."""
        at = cookie.find(self._needle)
        end = at + self._until
        if at < 0 or cookie.count(b"demur") != 1:
            return None
        if cookie[end : end + 1] not in b";" or not (at == 0 or cookie[at - 2 : at] == b"; "):
            return None
        return blake2b(cookie[end - TOKEN : end], digest_size=32).digest()

    def _without_ours(self, lines: list[Any], sent: dict[bytes, bytes], cookie: bytes) -> list[Any]:
        index = list(sent).index(b"cookie")
        kept = lines.copy()
        if len(cookie) == self._until and cookie.startswith(self._needle):
            del kept[index]
            return kept
        left = fields.without_cookies(cookie, self._surface.names)
        kept[index : index + 1] = [(b"cookie", left)] if left else []
        return kept

    def learn(self, scope: Scope, request: Request, checked: Checked) -> None:
        """What was decided on the long way."""
        plan = checked.plan
        if not self._works or plan is None or not isinstance(checked.decision, Allow) or scope["type"] != "http":
            return
        if len(plan.matches) != 1 or plan.left or plan.pretends or request.method not in {"GET", "HEAD"}:
            return
        requirement, path, host = checked.requirement, scope.get("raw_path"), request.values(b"host")
        opened = requirement.access is Access.OPEN
        if requirement.conceal or not path or len(path) > LONGEST or len(host) != 1 or len(host[0]) > LONGEST:
            return
        if not opened:
            cookies = request.values(b"cookie")
            mark = self._mark(cookies[0]) if len(cookies) == 1 else None
            if checked.decision.session is None or mark is None:
                return
            self._guard.learn(checked, mark)
        room(self._ways)[(request.method, bytes(path), host[0], scope["scheme"])] = Way(plan, requirement, opened)
        for name, _ in request.fields:
            if name not in MATTERS and len(name) <= LONGEST and not self._surface.keeps_out(name):
                room(self._harmless).add(name)

    # --- out --------------------------------------------------------------------------------------

    def leave(self, passed: ShortPassed, message: Message) -> Message | None:
        """The first message of an answer as it leaves; None if this has to go the long way."""
        allow = passed.given
        status, lines = message["status"], message.get("headers", ())
        if allow is None or not 200 <= status < 300 or not self._dresses or type(lines) is not list:
            return None
        try:
            said = dict(lines)
        except (TypeError, ValueError):
            return None
        if len(said) != len(lines) or not self._untouched.issuperset(said) or passed.refused or passed.answer:
            self._learn_names(lines)
            return None
        if said.get(b"content-type") not in self._kinds:
            self._learn_kind(lines)
            return None
        if allow.subject is None:
            return message
        control = said.get(b"cache-control")
        leaves = dict(message)
        if control is None:
            leaves["headers"] = [*lines, _PRIVATE, passed.timing()]
        else:
            kept = [line for line in lines if line[0] != b"cache-control"]
            leaves["headers"] = [*kept, (b"cache-control", respond.private(control)), passed.timing()]
        return leaves

    def _learn_names(self, lines: list[Any]) -> None:
        for name, _ in lines:
            if (
                type(name) is bytes
                and name == name.lower()
                and len(name) <= LONGEST
                and name not in CHANGES
                and (name == b"cache-control" or not name.endswith(b"-cache-control"))
            ):
                room(self._untouched).add(name)

    def _learn_kind(self, lines: list[Any]) -> None:
        (kind,) = [value for name, value in lines if name == b"content-type"]
        if type(kind) is bytes and len(kind) <= LONGEST and not streams.are_events(((b"content-type", kind),)):
            room(self._kinds).add(kind)


def _plain(scope: Scope) -> bool:
    query = scope["query_string"]
    return (not query or fields.plain_query(query)) and "demur.target" not in scope.get("extensions", ())
