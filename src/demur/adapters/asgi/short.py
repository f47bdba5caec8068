"""The short way, for what most requests are: somebody who is known asks for what they were allowed a moment ago.

- It decides nothing. The long way has decided about a request for the same target with the same cookie, and about the
  same view, and `Guard.recall` says whether that still holds; what brings anything else that could matter goes the long
  way.
- What is a field that cannot matter is learned by name, and so is what may be asked for: whatever is new goes the long
  way first.
- To the app and to the client both ways look the same, byte for byte.
"""

from __future__ import annotations

import time
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

from demur.adapters.asgi.known import LONGEST, TOKEN, LeftPassed, Noted, ShortPassed, Way, room
from demur.core import fields, respond, streams
from demur.core.model import Access, Allow, Left, Scheme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demur.adapters.asgi.wire import Message, Scope
    from demur.adapters.surface import Surface
    from demur.core.decide import Plan
    from demur.core.marks import Mark
    from demur.core.model import Request
    from demur.core.ports import Decided
    from demur.guard import Checked

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


class Short:
    """The short way of one surface, for an app that is asked in one thread."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._guard = surface.guard
        self._ways: dict[tuple[object, ...], Way] = {}
        # The marks are kept, so that no other ones can have their places in memory.
        self._joined: dict[tuple[object, ...], tuple[Way, tuple[Mark, ...]]] = {}
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
            if mark is None:
                return None
            if way.plan.left:
                # It is decided at the view, and noted there.
                lines = self._without_ours(lines, sent, cookie or b"")
                return LeftPassed(self._surface, scope, way, int(at), lines, key=mark, short=self)
            known = guard.recall(way.requirement, mark, int(at))
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
        """What was decided on the long way, or left to the view."""
        plan = checked.plan
        if not self._works or plan is None or scope["type"] != "http" or not _is_one(checked, plan):
            return
        requirement, path, host = checked.requirement, scope.get("raw_path"), request.values(b"host")
        opened = requirement.access is Access.OPEN
        if request.method not in {"GET", "HEAD"} or requirement.conceal:
            return
        if not path or len(path) > LONGEST or len(host) != 1 or len(host[0]) > LONGEST:
            return
        if not opened and not self._learn(checked, request.values(b"cookie")):
            return
        room(self._ways)[(request.method, bytes(path), host[0], scope["scheme"])] = Way(plan, requirement, opened)
        for name, _ in request.fields:
            if name not in MATTERS and len(name) <= LONGEST and not self._surface.keeps_out(name):
                room(self._harmless).add(name)

    def _learn(self, checked: Checked, cookies: list[bytes]) -> bool:
        """Whether it is a cookie that a request is known by; whoever was allowed something is, from now on."""
        mark = self._mark(cookies[0]) if len(cookies) == 1 else None
        if mark is None or checked.presented.scheme is not Scheme.COOKIE:
            return False
        if isinstance(checked.decision, Allow):
            if checked.decision.session is None:
                return False
            self._guard.learn(checked, mark)
        return True

    # --- at the view ------------------------------------------------------------------------------

    def recall(self, passed: LeftPassed, found: Sequence[Mark]) -> bool:
        """Whether a view may be opened because it could be before; then it is judged, and noted."""
        kept = self._joined.get((passed.way, *map(id, found)))
        if kept is None:
            return False
        way, at, known = kept[0], self._guard.clock(), None
        if not way.open:
            known = self._guard.recall(way.requirement, passed.key, int(at))
            if known is None:
                return False
        passed.judged_as(way, known)
        if (observer := self._guard.observer) is not None:
            observer.decided(cast("Decided", Noted(passed, at, 0.0)))
        return True

    def remember(self, passed: LeftPassed, found: Sequence[Mark]) -> None:
        """A view was judged on the long way, and may be opened."""
        checked, name = passed.checked, (passed.way, *map(id, found))
        plan, asked = checked.plan, checked.requirement
        if plan is None or len(plan.matches) != 1 or asked.conceal or plan.matches[0].requirement is not asked:
            return
        if not isinstance(checked.decision, Allow) or checked.blind:
            return
        kept = self._joined.get(name)
        way = kept[0] if kept is not None else Way(plan, asked, asked.access is Access.OPEN)
        self._guard.learn(replace(checked, plan=way.plan, requirement=way.requirement), passed.key)
        if kept is None:
            room(self._joined)[name] = (way, tuple(found))

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


def _is_one(checked: Checked, plan: Plan) -> bool:
    """Whether one rule alone says what becomes of a request: a yes, or that it is left to the view."""
    if len(plan.matches) != 1 or plan.pretends:
        return False
    return isinstance(checked.decision, Left) if plan.left else isinstance(checked.decision, Allow)


def _plain(scope: Scope) -> bool:
    query = scope["query_string"]
    return (not query or fields.plain_query(query)) and "demur.target" not in scope.get("extensions", ())
