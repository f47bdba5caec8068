"""The short way of WSGI (see `demur.adapters.short`), for an app that is asked in any number of threads."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from weakref import ref

from demur.adapters.short import CHANGES, LONGEST, USUAL, CgiNoes, LeftToTheView, No, ShortPassed, room
from demur.adapters.wsgi import wire
from demur.core import fields
from demur.guard import new_number
from demur.observe.reference import named

if TYPE_CHECKING:
    from collections.abc import Callable

    from demur.adapters.passed import Passed
    from demur.adapters.surface import Surface
    from demur.core.marks import Mark
    from demur.core.model import Request

_PLACE = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "HTTP_HOST", "wsgi.url_scheme")
_PRIVATE = ("cache-control", "private, no-cache")


class Within:
    """What a request of WSGI says. `scope` is the environ as it came, `now_its` gives what the app sees."""

    __slots__ = ()
    scope: dict[str, Any]
    now_its: Callable[[], Any]

    def inner(self) -> Any:  # noqa: ANN401 - each framework has its own
        """The environ that the app sees, or its framework's own request."""
        return self.now_its()

    def seen_as(self, native: object) -> None:
        """A framework's own request holds the environ, and that holds us. It is not held: each of them would be work
        for the collector, which stops all threads."""
        self.now_its = ref(native)

    def _read(self) -> Request:
        return wire.read(self.scope)


class KnownPassed(Within, ShortPassed):
    """A request that may go on."""

    __slots__ = ("now_its",)


class LeftPassed(Within, LeftToTheView):
    """A request that is left to the view."""

    __slots__ = ("now_its",)

    def came(self) -> dict[str, Any]:
        """The environ as it came."""
        return self.scope


class Short(CgiNoes):
    """The short way of one surface."""

    def __init__(self, surface: Surface) -> None:
        super().__init__(surface)
        self._harmless = {f"HTTP_{name.decode().upper().replace('-', '_')}" for name in USUAL}
        self._untouched: dict[str, str] = {}

    def enter(self, environ: dict[str, Any]) -> Passed | None:
        """The way on, with the environ made what the app sees; None if this has to go the long way."""
        cookie = environ.get("HTTP_COOKIE")
        ours = cookie is not None and "demur" in cookie
        way = self._ways.get((ours, *map(environ.get, _PLACE)))
        if way is None or not self._harmless.issuperset(environ):
            return None
        began, noted = time.perf_counter(), True
        at, query = self._guard.clock(), environ.get("QUERY_STRING")
        try:
            sent = None if cookie is None else cookie.encode("latin-1")
            if query and not fields.plain_query(query.encode("latin-1")):
                return None
        except UnicodeEncodeError:
            return None
        key = None if way.open or sent is None else self.key(sent)
        if key is None and not way.open and (ours or not way.left):
            return None
        passed: KnownPassed | LeftPassed
        if way.open:
            passed = KnownPassed(self._surface, dict(environ), way, None, int(at))
        elif way.left:
            passed = LeftPassed(self._surface, dict(environ), way, int(at), key=key, ways=self)
            noted = False  # it is decided at the view, and noted there
        else:
            known = self._recall(cast("bytes", key), way.requirement, int(at))
            if known is None:
                return None
            passed = KnownPassed(self._surface, dict(environ), way, known, int(at))
        if sent is not None:
            self._take_ours(environ, sent)
        environ["demur.passed"], passed.now_its = passed, lambda: environ
        if noted:
            self.note(passed, at, began)
        return passed

    def judge(self, passed: Passed, marks: tuple[Mark, ...], native: object, *, closed: bool = True) -> bool:
        """Judge a view, as `Surface.judge` does. `marks` are the same object whenever they are those of that view."""
        if passed.recalled(marks):
            return passed.refused is None
        if not self._surface.judge(passed, marks, native=native, closed=closed):
            return False
        passed.remember(marks)
        return True

    def _take_ours(self, environ: dict[str, Any], cookie: bytes) -> None:
        if left := self.without_ours(cookie):
            environ["HTTP_COOKIE"] = left.decode("latin-1")
        else:
            del environ["HTTP_COOKIE"]

    def learn(self, environ: dict[str, Any], request: Request, passed: Passed) -> None:
        """What was decided on the long way, of an environ as it came."""
        if passed.request is not request:
            return
        way = self.learned(request, passed.checked) or self.learned_of_nobody(request, passed.checked)
        if way is None:
            return
        room(self._ways)[(self.names_us(request), *map(environ.get, _PLACE))] = way
        for key in environ:
            if not key.startswith("HTTP_") or self.harmless(wire.name_of(key[5:])):
                room(self._harmless).add(key)

    def refuse(self, environ: dict[str, Any]) -> tuple[No, str] | None:
        """What the very same request, without credentials, was answered a moment ago, with a new reference; None if
        that is not known."""
        began = time.perf_counter()
        no = self.known_no(environ)
        if no is None:
            return None
        number = new_number()
        self.say_no(no, partial(wire.read, environ), self._guard.clock(), time.perf_counter() - began, number)
        return no, named(number)

    def leave(self, passed: Passed, status: str, headers: list[tuple[str, str]]) -> list[tuple[str, str]] | None:
        """The fields of an answer as they leave; None if these have to go the long way."""
        if not isinstance(passed, ShortPassed) or not self._dresses or not status.startswith("2"):
            return None
        if not passed.given or passed.refused or passed.answer:
            return None
        try:
            lines = [(self._untouched[name], value) for name, value in headers]
        except KeyError:
            self._learn_names(headers)
            return None
        if passed.brief is not None:
            lines += (_PRIVATE, ("server-timing", passed.brief.timing(passed.now).decode("latin-1")))
        return lines

    def _learn_names(self, headers: list[tuple[str, str]]) -> None:
        for name, _ in headers:
            low = name.lower()
            if len(name) <= LONGEST and low.encode("latin-1") not in CHANGES and not low.endswith("cache-control"):
                room(self._untouched)[name] = low
