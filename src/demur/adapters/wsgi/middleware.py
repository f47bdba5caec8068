"""Every request is checked before the app sees it, and every answer leaves as it should (PEP 3333).

- An answer is not held back: the app's own iterable goes to the server, `close()` and file wrapper and all, unless the
  app waits with `start_response` until it is asked for the first bytes.
"""

from __future__ import annotations

import io
import sys
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Unpack

from demur.adapters.options import assemble
from demur.adapters.passed import Passed
from demur.adapters.short import ShortPassed
from demur.adapters.wsgi import wire
from demur.adapters.wsgi.short import LeftPassed, Short
from demur.core import fields
from demur.core.model import Preflight, Refused, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication

    from demur.adapters.options import Options
    from demur.adapters.surface import Surface
    from demur.adapters.wsgi.wire import ExcInfo
    from demur.core.model import Request


class Demur:
    """Stands before a WSGI app, with the `options` of all adapters, or with a `surface` that is made already. It stands
    outermost, but for what answers for other origins (CORS) and what knows the proxy in front (Werkzeug's ProxyFix).
    `hooked` says that the framework's own hook calls `judge`; without it the bridge is asked at once, and there are no
    views to mark. The app finds what was decided at `environ["demur.passed"]`."""

    def __init__(
        self,
        app: WSGIApplication,
        surface: Surface | None = None,
        *,
        hooked: bool = False,
        **options: Unpack[Options],
    ) -> None:
        self._app = app
        self.surface = surface = surface if surface is not None else assemble(can_ask=True, **options)
        self._asks = self.surface.bridge is not None and not hooked
        self.short = Short(surface)
        # Few names ever come, and no more than these are remembered.
        self._keeps_out = lru_cache(1024)(lambda key: surface.keeps_out(wire.name_of(key[5:])))

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Handle a request."""
        known = self.short.enter(environ)
        if known is not None:
            return _Exit(known, environ, start_response, None, self.short).run(self._app)
        if (said := self.short.refuse(environ)) is not None:
            return wire.again(*said, environ, start_response)
        request, upload = wire.read(environ), wire.Upload(environ)
        passed = self._enter(environ, request, upload)
        if self._asks and isinstance(passed, Passed) and not self.surface.judge(passed, (), native=environ):
            passed = self.surface.entered(passed.checked, request)
        if isinstance(passed, Response):
            return wire.answer(passed, environ, start_response, upload)
        self.short.learn(environ, request, passed)
        self._as_judged(environ, request, passed)
        return _Exit(passed, environ, start_response, upload, self.short).run(self._app)

    def _enter(self, environ: dict[str, Any], request: Request, upload: wire.Upload) -> Response | Passed:
        """As `Surface.enter` does; what was refused is said again to whoever asks the same."""
        surface = self.surface
        if (elsewhere := surface.before(request, upload.body)) is not None:
            return elsewhere
        checked = surface.guard.check(request)
        self.short.learn_no(environ, request, checked)
        return surface.entered(checked, request)

    def _as_judged(self, environ: dict[str, Any], request: Request, passed: Passed) -> None:
        """Make of the environ what the app may see, in its place: some servers look there for what the app says."""
        for key in [key for key in environ if key.startswith("HTTP_") and self._keeps_out(key)]:
            del environ[key]
        bare = isinstance(passed.checked.decision, Preflight)
        if bare or self.surface.consumed(passed.checked, request):
            environ.pop("HTTP_AUTHORIZATION", None)
        if (cookies := environ.pop("HTTP_COOKIE", None)) is not None and not bare:
            kept = fields.without_cookies(cookies.encode("latin-1", "replace"), self.surface.names)
            environ |= {"HTTP_COOKIE": kept.decode("latin-1")} if kept else {}
        if bare or passed.request.method != request.method:
            environ |= {"REQUEST_METHOD": passed.request.method, "wsgi.input": io.BytesIO(), "CONTENT_LENGTH": "0"}
            environ.pop("CONTENT_TYPE", None)
        if passed.request.target != request.target:
            wire.move(environ, passed.request.target)
        environ["demur.passed"], passed.native = passed, environ


class _Exit:
    """The way out for one answer of the app: when it begins, it leaves, dressed, or ours goes in its place."""

    __slots__ = ("_environ", "_passed", "_start_response", "_upload", "ours", "short", "started")

    def __init__(
        self,
        passed: Passed,
        environ: dict[str, Any],
        start_response: StartResponse,
        upload: wire.Upload | None,
        short: Short,
    ) -> None:
        self.short = short
        self._passed = passed
        self._environ = environ
        self._start_response = start_response
        self._upload = upload
        self.started = False
        self.ours: Iterable[bytes] | None = None

    def run(self, app: WSGIApplication) -> Iterable[bytes]:
        """Let the app answer."""
        try:
            parts = app(self._environ, self.start)
        except Refused as refused:
            return self.raised(refused)
        if not self.started and self.ours is None:
            return _Late(self, parts)
        if self.ours is None:
            return parts
        _close(parts)
        return self.ours

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        """What the app calls in place of the server's `start_response`."""
        passed = self._passed
        if self.ours is not None:
            return _nowhere
        lines = self.short.leave(passed, status, headers)
        if lines is not None:
            self.started = True
            if exc_info is None:
                return self._start_response(status, lines)
            return self._start_response(status, lines, exc_info)
        if isinstance(passed, LeftPassed) and passed.refusing is not None:
            self.ours = wire.again(passed.refusing, passed.reference, self._environ, self._start_response, exc_info)
            return _nowhere
        answered = tuple((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers)
        left = self._passed.surface.leave(self._passed, int(status[:3]), answered)
        try:
            if isinstance(left, Response):
                self.short.learn_no_at_view(self._passed)
                self._replace(left, exc_info)
                return _nowhere
            self.started = True
            lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in left]
            return self._start_response(status, lines, *((exc_info,) if exc_info else ()))
        finally:
            exc_info = None  # or it would keep its own frame alive (PEP 3333, The start_response() Callable)

    def raised(self, refused: Refused) -> Iterable[bytes]:
        """The answer to what the app raised. If its own has left, the server breaks that off."""
        response = self._passed.surface.raised(self._passed, refused)
        if response is None:
            raise refused
        return self._replace(response, sys.exc_info() if self.started else None)

    def _replace(self, response: Response, exc_info: ExcInfo | None = None) -> Iterable[bytes]:
        # The app may have read what was sent, and then only a promised end tells where it ends.
        passed, upload = self._passed, self._upload
        if upload is None and isinstance(passed, ShortPassed):
            upload = wire.Upload(passed.scope)
        if not (passed.refused or self._environ.get("wsgi.input_terminated")):
            upload = None
        self.ours = wire.answer(response, self._environ, self._start_response, upload, exc_info)
        return self.ours


class _Late:
    """The answer of an app that says how it answers only when it is asked for the first bytes, as generators do."""

    def __init__(self, exit_: _Exit, parts: Iterable[bytes]) -> None:
        self._exit = exit_
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        parts = iter(self._parts)
        try:
            first = list(islice(parts, 1))
        except Refused as refused:
            first, parts = [], iter(self._exit.raised(refused))
        if self._exit.ours is not None:
            first, parts = [], iter(self._exit.ours)
        yield from first
        yield from parts

    def close(self) -> None:
        """The server is done with it."""
        _close(self._parts)


def _close(parts: Iterable[bytes]) -> None:
    if close := getattr(parts, "close", None):
        close()


def _nowhere(_: bytes) -> None:
    """Where goes what the app writes though it does not answer any more."""
