"""The short way of WSGI (see `demur.adapters.short`), for an app that is asked in any number of threads."""

from __future__ import annotations

import time
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast
from weakref import ReferenceType

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

_PLACE = frozenset(("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "HTTP_HOST", "wsgi.url_scheme"))
_PRIVATE = ("cache-control", "private, no-cache")


class Within:
    """What a request of WSGI says. `scope` is the environ as it came, and `seen` what the app sees: the server's own,
    or a reference to its framework's request. That holds the environ, and that holds us; if we held it, each of them
    would be work for the collector, which stops all threads."""

    __slots__ = ()
    scope: dict[str, Any]
    seen: dict[str, Any] | ReferenceType[Any]

    def inner(self) -> Any:  # noqa: ANN401 - each framework has its own
        """The environ that the app sees, or its framework's own request."""
        seen = self.seen
        return seen() if isinstance(seen, ReferenceType) else seen

    def _read(self) -> Request:
        return wire.read(self.scope)


class KnownPassed(Within, ShortPassed):
    """A request that may go on."""

    __slots__ = ("seen",)


class LeftPassed(Within, LeftToTheView):
    """A request that is left to the view."""

    __slots__ = ("seen",)

    def came(self) -> dict[str, Any]:
        """The environ as it came."""
        return self.scope


class Short(CgiNoes):
    """The short way of one surface."""

    def __init__(self, surface: Surface) -> None:
        super().__init__(surface)
        self._harmless = {f"HTTP_{name.decode().upper().replace('-', '_')}" for name in USUAL}
        self._untouched: dict[str, str] = {}
        # Most servers give all of it, and then it is found at once.
        self._place: Callable[[dict[str, Any]], tuple[object, ...]] = itemgetter(*_PLACE)

    def enter(self, environ: dict[str, Any]) -> Passed | None:
        """The way on, with the environ made what the app sees; None if this has to go the long way."""
        cookie = environ.get("HTTP_COOKIE", "")
        ours = "demur" in cookie
        query, began, noted = environ.get("QUERY_STRING"), time.perf_counter(), True
        try:
            way = self._ways.get((ours, self._place(environ)))
            if way is None or not self._harmless.issuperset(environ):
                return None
            key, left = self.told(cookie) if ours else (None, cookie)
            if query and not fields.plain_query(query.encode("latin-1")):
                return None
        except (KeyError, UnicodeEncodeError):
            return None
        at = self._guard.clock()
        if key is None and not way.open and (ours or not way.left):
            return None
        passed: KnownPassed | LeftPassed
        if way.open:
            passed = KnownPassed(self, dict(environ), way, None, int(at))
        elif way.left:
            passed = LeftPassed(self, dict(environ), way, int(at), key)
            noted = False  # it is decided at the view, and noted there
        else:
            known = self._recall(cast("bytes", key), way.requirement, int(at))
            if known is None:
                return None
            passed = KnownPassed(self, dict(environ), way, known, int(at))
        if left:
            environ["HTTP_COOKIE"] = left
        else:
            environ.pop("HTTP_COOKIE", None)
        environ["demur.passed"], passed.seen = passed, environ
        if noted:
            self.note(passed, at, began)
        return passed

    def judge(self, passed: Passed, marks: tuple[Mark, ...], native: object, *, closed: bool = True) -> bool:
        """Judge a view, as `Surface.judge` does. `marks` are the same object whenever they are those of that view."""
        if passed.recalled(marks):
            return passed.refused is None
        if not self.surface.judge(passed, marks, native=native, closed=closed):
            return False
        passed.remember(marks)
        return True

    def learn(self, environ: dict[str, Any], request: Request, passed: Passed) -> None:
        """What was decided on the long way, of an environ as it came."""
        if passed.request is not request:
            return
        way = self.learned(request, passed.checked) or self.learned_of_nobody(request, passed.checked)
        if way is None:
            return
        if not environ.keys() >= _PLACE:
            self._place = _place_of_some
        room(self._ways)[(self.names_us(request), self._place(environ))] = way
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


def _place_of_some(environ: dict[str, Any]) -> tuple[object, ...]:
    """The same of a server that leaves out what is empty (PEP 3333, environ Variables)."""
    return tuple(map(environ.get, _PLACE))
