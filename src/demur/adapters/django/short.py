"""The short way of Django (see `demur.adapters.short`), where demur keeps the sessions, in threads and event loops."""

from __future__ import annotations

import io
import time
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast
from weakref import ref

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest

from demur.adapters.django import wire
from demur.adapters.django.here import InDjango
from demur.adapters.short import CHANGES, LONGEST, USUAL, CgiNoes, LeftToTheView, No, ShortPassed, room
from demur.core import fields, respond
from demur.guard import new_number
from demur.observe.reference import named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from weakref import ReferenceType

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from demur.adapters.passed import Passed
    from demur.adapters.surface import Surface
    from demur.core.model import Request

_CHANGES = frozenset(name.decode() for name in CHANGES) | {"server-timing"}
_CONTROL = "Cache-Control"
_PRIVATE = (_CONTROL, "private, no-cache")
_PLACE = frozenset(("REQUEST_METHOD", "HTTP_HOST", "wsgi.url_scheme"))
_SCOPE = "demur.scope"


class _Read(InDjango):
    """What Django's request says. `scope` refers to that, and `meta` is what came with it. It is not held: it holds us,
    and if we held it, each request would be work for the collector, which stops all threads."""

    __slots__ = ()
    scope: ReferenceType[HttpRequest]
    meta: dict[str, Any]

    def asked(self) -> Any:  # noqa: ANN401 - Django has no types
        """Django's request; one like it if that is gone."""
        return self.scope() or _like(self.meta)

    def inner(self) -> Any:  # noqa: ANN401 - a Visit
        """What the app sees: see `native`."""
        return self.asked()._demur  # noqa: SLF001 - ours

    def _read(self) -> Request:
        return wire.read(self.asked(), self.meta)


class KnownPassed(_Read, ShortPassed):
    """A request that may go on."""

    __slots__ = ("_looked", "meta")


class LeftPassed(_Read, LeftToTheView):
    """A request that is left to the view."""

    __slots__ = ("_looked", "meta")

    def came(self) -> dict[str, Any]:
        """What the server said, and what Django makes of it."""
        return as_came(self.asked(), self.meta)


def _like(meta: dict[str, Any]) -> Any:  # noqa: ANN401 - Django has no types
    scope = meta.get(_SCOPE)
    return WSGIRequest(meta) if scope is None else ASGIRequest(scope, io.BytesIO())


def came(request: HttpRequest) -> dict[str, Any] | None:
    """What the server said of a request, as CGI has it. None where that is not all: of fields that came twice or are
    written with `_`, and of a path that is no text, Django tells less than came by ASGI."""
    scope, meta = getattr(request, "scope", None), request.META
    if scope is None:
        return meta  # type: ignore[no-any-return]  # Django has no types
    lines = scope["headers"]
    names = {name for name, _ in lines}
    if len(names) != len(lines) or any(b"_" in name for name in names) or "\ufffd" in request.path:
        return None
    return {**meta, "wsgi.url_scheme": scope.get("scheme"), _SCOPE: scope}


def as_came(request: HttpRequest, meta: dict[str, Any]) -> dict[str, Any]:
    """All that a request says."""
    return {**meta, "demur.method": request.method, "demur.path": request.path}


class Short(CgiNoes):
    """The short way of one project."""

    def __init__(self, surface: Surface) -> None:
        super().__init__(surface)
        self._harmless = {f"HTTP_{name.decode().upper().replace('-', '_')}" for name in USUAL}
        self._harmless_names: set[str] = set()
        told = settings.SECURE_PROXY_SSL_HEADER
        self._place = _placing(
            *(("HTTP_X_FORWARDED_HOST",) if settings.USE_X_FORWARDED_HOST else ()),
            *((told[0],) if told else ()),
        )

    def enter(self, request: HttpRequest, meta: dict[str, Any]) -> KnownPassed | LeftPassed | None:
        """The way on, with the request made what the app sees; None if this has to go the long way. `meta` is what came
        with it (see `came`)."""
        cookie = meta.get("HTTP_COOKIE", "")
        ours = "demur" in cookie
        query, began, noted = meta.get("QUERY_STRING"), time.perf_counter(), True
        try:
            way = self._ways.get((ours, request.method, request.path, self._place(meta)))
            if way is None or not self._harmless.issuperset(meta):
                return None
            key, left = self.told(cookie) if ours else (None, "")
            if query and not fields.plain_query(query.encode("latin-1")):
                return None
        except (KeyError, UnicodeEncodeError):
            return None
        at = self._guard.clock()
        if key is None and not way.open and (ours or not way.left):
            return None
        passed: KnownPassed | LeftPassed
        if way.open:
            passed = KnownPassed(self, ref(request), way, None, int(at))
        elif way.left:
            passed = LeftPassed(self, ref(request), way, int(at), key)
            noted = False  # it is decided at the view, and noted there
        else:
            known = self._recall(cast("bytes", key), way.requirement, int(at))
            if known is None:
                return None
            passed = KnownPassed(self, ref(request), way, known, int(at))
        passed.meta, passed._looked = dict(meta), False  # noqa: SLF001 - half made
        if ours:
            request.META["HTTP_COOKIE"] = left
            self._take_ours(vars(request))
        if noted:
            self.note(passed, at, began)
        return passed

    def _take_ours(self, known: dict[str, Any]) -> None:
        """From what Django keeps for whoever looked at it first."""
        known.pop("headers", None)
        if "COOKIES" in known:
            for name in self.surface.names:
                known["COOKIES"].pop(name.decode("ascii"), None)

    def learn(self, request: HttpRequest, meta: dict[str, Any], asked: Request, passed: Passed) -> None:
        """What was decided on the long way, of a request as it came."""
        way = None
        if passed.request is asked:
            way = self.learned(asked, passed.checked) or self.learned_of_nobody(asked, passed.checked)
        if way is None or not meta.keys() >= _PLACE or len(request.path) > LONGEST:
            return
        room(self._ways)[(self.names_us(asked), request.method, request.path, self._place(meta))] = way
        for key in meta:
            if not key.startswith("HTTP_") or self.harmless(wire.name_of(key)):
                room(self._harmless).add(key)

    def refuse(self, request: HttpRequest, meta: dict[str, Any]) -> tuple[No, str] | None:
        """What the very same request, without credentials, was answered a moment ago, with a new reference; None if
        that is not known."""
        began = time.perf_counter()
        no = self.known_no(as_came(request, meta))
        if no is None:
            return None
        number = new_number()
        self.say_no(no, partial(wire.read, request), self._guard.clock(), time.perf_counter() - began, number)
        return no, named(number)

    def leave(self, passed: Passed, response: HttpResponseBase) -> bool:
        """Give an answer the fields with which it leaves; whether that is done."""
        if not isinstance(passed, ShortPassed) or not self._dresses or not 200 <= response.status_code < 300:
            return False
        if not passed.given or passed.refused or passed.answer or response.cookies:
            return False
        # What Django keeps them in, by the name in lower case: what it does for each of them on the way there costs as
        # much as all the rest of this, and these two are known to be right.
        kept = response.headers._store  # noqa: SLF001
        if not self._harmless_names.issuperset(kept):
            self._learn_names(kept)
            return False
        if passed.brief is not None:
            control = kept.get("cache-control")
            kept["cache-control"] = _PRIVATE if control is None else (_CONTROL, _made_private(control[1]))
            kept["server-timing"] = ("Server-Timing", passed.brief.timing(passed.now).decode("latin-1"))
        return True

    def _learn_names(self, names: Iterable[str]) -> None:
        if all(len(name) <= LONGEST and name not in _CHANGES and not name.endswith("-cache-control") for name in names):
            room(self._harmless_names).update(names)


def _made_private(control: str) -> str:
    return respond.private(control.encode("latin-1")).decode()


def _placing(*more: str) -> Callable[[Mapping[str, Any]], tuple[object, ...]]:
    """What gives the place that a request is for, with what a proxy says of that. Raises KeyError for one whose place
    is not known that way."""
    fixed = itemgetter(*_PLACE)
    if not more:
        return fixed
    return lambda meta: (fixed(meta), *map(meta.get, more))
