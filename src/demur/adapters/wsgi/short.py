"""The short way of a WSGI app: see `demur.adapters.asgi.short`, which says what may go it and why it decides nothing.

Threads share it. What is remembered is only ever added to or begun anew, each in one step.
"""

from __future__ import annotations

import time
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

from demur.adapters.asgi.known import LONGEST, TOKEN, Way, room
from demur.adapters.asgi.short import CHANGES, MATTERS, USUAL
from demur.adapters.wsgi import wire
from demur.adapters.wsgi.known import KnownPassed, LeftPassed, Noted
from demur.core import fields
from demur.core.model import Access, Allow, Left, Scheme

if TYPE_CHECKING:
    from demur.adapters.passed import Passed
    from demur.adapters.surface import Surface
    from demur.core.marks import Mark
    from demur.core.model import Request
    from demur.core.ports import Decided
    from demur.guard import Checked

_PLACE = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "HTTP_HOST", "wsgi.url_scheme")
_PRIVATE = ("cache-control", "private, no-cache")


class Short:
    """The short way of one surface."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._guard = surface.guard
        self._ways: dict[tuple[object, ...], Way] = {}
        self._harmless = {f"HTTP_{name.decode().upper().replace('-', '_')}" for name in USUAL}
        self._untouched: dict[str, str] = {}
        self._joined: dict[tuple[Way, int], tuple[tuple[Mark, ...], Way]] = {}
        name = surface.site.cookie.name.encode("ascii")
        self._needle = name + b"="
        self._until = len(self._needle) + TOKEN
        self._works = b"demur" in name and surface.bridge is None and surface.site.permits is None
        self._dresses = not surface.site.cors.origins

    def enter(self, environ: dict[str, Any]) -> Passed | None:
        """The way on, with the environ made what the app sees; None if this has to go the long way."""
        way = self._ways.get(tuple(map(environ.get, _PLACE)))
        if way is None or not self._harmless.issuperset(environ):
            return None
        observer = self._guard.observer
        began = time.perf_counter() if observer is not None else 0.0
        at, cookie, query = self._guard.clock(), environ.get("HTTP_COOKIE"), environ.get("QUERY_STRING")
        try:
            sent = None if cookie is None else cookie.encode("latin-1")
            if query and not fields.plain_query(query.encode("latin-1")):
                return None
        except UnicodeEncodeError:
            return None
        key = None if way.open else self._mark(sent)
        if key is None and not way.open:
            return None
        if key is not None and way.plan.left:
            passed: KnownPassed = LeftPassed(self._surface, dict(environ), way, int(at), key)
            observer = None  # it is decided at the view
        else:
            known = None if key is None else self._guard.recall(way.requirement, key, int(at))
            if known is None and not way.open:
                return None
            passed = KnownPassed(self._surface, dict(environ), way, known, int(at), [])
        if sent is not None:
            self._take_ours(environ, sent)
        environ["demur.passed"], passed.now_its = passed, environ
        if observer is not None:
            observer.decided(cast("Decided", Noted(passed, at, time.perf_counter() - began)))
        return passed

    def _mark(self, cookie: bytes | None) -> bytes | None:
        if cookie is None or cookie.count(b"demur") != 1:
            return None
        at = cookie.find(self._needle)
        end = at + self._until
        if at < 0 or cookie[end : end + 1] not in b";" or not (at == 0 or cookie[at - 2 : at] == b"; "):
            return None
        return blake2b(cookie[end - TOKEN : end], digest_size=32).digest()

    def judge(self, passed: Passed, marks: tuple[Mark, ...], native: object, *, closed: bool = True) -> bool:
        """Judge a view, as `Surface.judge` does. `marks` are the same object whenever they are those of that view."""
        if not isinstance(passed, LeftPassed) or not marks:
            return self._surface.judge(passed, marks, native=native, closed=closed)
        name, at = (passed.way, id(marks)), self._guard.clock()
        same, way = self._joined.get(name, (None, None))
        if way is not None and same is marks:
            known = None if way.open else self._guard.recall(way.requirement, passed.key, int(at))
            if known is not None or way.open:
                passed.judged_as(way, known)
                if (observer := self._guard.observer) is not None:
                    observer.decided(cast("Decided", Noted(passed, at, 0.0)))
                return True
        else:
            way = None
        if not self._surface.judge(passed, marks, native=native, closed=closed):
            return False
        found = self._found(passed.checked, way, passed.key)
        if found is not None:
            room(self._joined)[name] = (marks, found)
        return True

    def _found(self, checked: Checked, way: Way | None, mark: bytes) -> Way | None:
        """What was decided at a view that is known already, or is from now on."""
        plan, asked = checked.plan, checked.requirement
        if plan is None or len(plan.matches) != 1 or asked.conceal or plan.matches[0].requirement is not asked:
            return None
        if way is None or way.requirement != asked:
            way = Way(plan, asked, asked.access is Access.OPEN)
        self._guard.learn(replace(checked, plan=way.plan, requirement=way.requirement), mark)
        return way

    def _take_ours(self, environ: dict[str, Any], cookie: bytes) -> None:
        left = b"" if len(cookie) == self._until else fields.without_cookies(cookie, self._surface.names)
        if left:
            environ["HTTP_COOKIE"] = left.decode("latin-1")
        else:
            del environ["HTTP_COOKIE"]

    def learn(self, environ: dict[str, Any], request: Request, passed: Passed) -> None:
        """What was decided on the long way, of an environ as it came."""
        checked = passed.checked
        plan, asked, decision = checked.plan, checked.requirement, checked.decision
        if not self._works or plan is None or request.method not in {"GET", "HEAD"} or passed.request is not request:
            return
        if (
            len(plan.matches) != 1
            or plan.pretends
            or asked.conceal
            or len(request.path + request.host.encode()) > LONGEST
        ):
            return
        opened = asked.access is Access.OPEN
        if isinstance(decision, Left):
            if not plan.left or checked.presented.scheme is not Scheme.COOKIE:
                return
        elif not isinstance(decision, Allow) or plan.left:
            return
        elif not opened:
            mark = self._mark(request.value(b"cookie"))
            if decision.session is None or mark is None:
                return
            self._guard.learn(checked, mark)
        room(self._ways)[tuple(map(environ.get, _PLACE))] = Way(plan, asked, opened)
        for key in environ:
            name = wire.name_of(key[5:]) if key.startswith("HTTP_") else b""
            if name not in MATTERS and len(key) <= LONGEST and not self._surface.keeps_out(name):
                room(self._harmless).add(key)

    def leave(self, passed: Passed, status: str, headers: list[tuple[str, str]]) -> list[tuple[str, str]] | None:
        """The fields of an answer as they leave; None if these have to go the long way."""
        if not isinstance(passed, KnownPassed) or not self._dresses or not status.startswith("2"):
            return None
        allow = passed.given
        if allow is None or passed.refused or passed.answer:
            return None
        try:
            lines = [(self._untouched[name], value) for name, value in headers]
        except KeyError:
            self._learn_names(headers)
            return None
        if allow.subject is not None:
            name, timing = passed.timing()
            lines += (_PRIVATE, (name.decode("latin-1"), timing.decode("latin-1")))
        return lines

    def _learn_names(self, headers: list[tuple[str, str]]) -> None:
        for name, _ in headers:
            low = name.lower()
            if len(name) <= LONGEST and low.encode("latin-1") not in CHANGES and not low.endswith("cache-control"):
                room(self._untouched)[name] = low
