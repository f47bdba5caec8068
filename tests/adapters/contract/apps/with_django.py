"""The apps in Django: view functions and `View`s, behind the WSGI handler or the ASGI one."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.test.utils import override_settings
from django.urls import path, re_path
from django.views import View
from django.views.decorators.http import require_http_methods
from tests.adapters.contract.views import PAGES, REPORT, Page, Said, act, shown, titled
from tests.adapters.contract.views import golden as golden_page
from tests.adapters.contract.worlds import evidence

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from django.http import HttpRequest
    from tests.adapters.contract.worlds import Evidence

_MIDDLEWARE = "demur.adapters.django.Middleware"
_NATIVE: dict[str, type[Exception]] = {"own-403": PermissionDenied, "own-404": Http404}


def golden(options: dict[str, Any]) -> Any:
    """The golden club's site, behind the WSGI handler."""
    return _app([re_path(r"^(?P<rest>.*)$", _anything)], options)


def pages(options: dict[str, Any] | None) -> Any:
    """The site of the cases, behind the WSGI handler; without demur if there are no options."""
    return _app([path(page.path[1:], view(page), name=page.name) for page in _shown(options)], options)


def agolden(options: dict[str, Any]) -> Any:
    """The golden club's site, behind the ASGI handler."""

    async def anything(request: HttpRequest, rest: str) -> HttpResponse:
        return _anything(request, rest)

    return _aapp([re_path(r"^(?P<rest>.*)$", anything)], options)


def apages(options: dict[str, Any] | None) -> Any:
    """The site of the cases, behind the ASGI handler and with async views; without demur if there are no options."""
    return _aapp([path(page.path[1:], aview(page), name=page.name) for page in _shown(options)], options)


def bridge(request: HttpRequest) -> Evidence:
    """Who somebody is, by the app's own login."""
    return evidence(request.COOKIES.get("who"))


def _shown(options: dict[str, Any] | None) -> Sequence[Page]:
    return shown(None) if options is None else PAGES  # what nobody marked is found by the system check


def _settings(routes: list[Any], options: dict[str, Any] | None) -> override_settings:
    if not settings.configured:
        settings.configure(SECRET_KEY="a secret of the tests")
        django.setup()
    urls = ModuleType("urls")
    vars(urls)["urlpatterns"] = routes
    return override_settings(
        ROOT_URLCONF=urls,
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="a secret of the tests",
        MIDDLEWARE=[] if options is None else [_MIDDLEWARE],
        DEMUR=options or {},
        LOGGING_CONFIG=None,
    )


def _app(routes: list[Any], options: dict[str, Any] | None) -> Any:
    chosen = _settings(routes, options)
    with chosen:
        handler = WSGIHandler()

    def app(environ: Any, start_response: Any) -> Any:
        with chosen:
            return handler(environ, start_response)

    return app


def _aapp(routes: list[Any], options: dict[str, Any] | None) -> Any:
    chosen = _settings(routes, options)
    with chosen:
        handler = ASGIHandler()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with chosen:
            await handler(scope, receive, send)

    return app


def _anything(request: HttpRequest, rest: str) -> HttpResponse:
    fields = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    person = request.demur.subject
    said = golden_page(f"/{rest}", person.name if person else "", fields)
    return HttpResponse(said.text, status=said.status, headers=said.fields, content_type="text/plain; charset=utf-8")


def _before(page: Page, request: HttpRequest) -> Said:
    passed = getattr(request, "demur", None)
    said = act(page, passed.subject.name if passed and passed.subject else "")
    if page.does == "json":
        said = titled(request.body) or said
    if page.does in _NATIVE:
        raise _NATIVE[page.does]
    return Said(401) if page.does == "own-401" else said


def view(page: Page) -> Any:
    """A page as a sync view."""

    def run(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        said = _before(page, request)
        if page.does == "asks":
            request.demur.require(REPORT)
        return _answer(said, said.streamed())

    class Made(View):  # type: ignore[misc]
        def get(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
            return run(request)

    return _made(page, run, Made)


def aview(page: Page) -> Any:
    """A page as an async view."""

    async def run(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        said = _before(page, request)
        if page.does == "asks":
            await request.demur.arequire(REPORT)
        return _answer(said, _parts(said))

    class Made(View):  # type: ignore[misc]
        async def get(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
            return await run(request)

    return _made(page, run, Made)


def _made(page: Page, run: Any, made: Any) -> Any:
    run.__name__ = page.name
    if page.kind == "function":
        return require_http_methods(["GET", "HEAD"] if page.method == "GET" else [page.method])(page.marked(run))
    if page.kind == "class":
        return page.marked(made).as_view()
    made.get = page.marked(made.get)
    return made.as_view()


async def _parts(said: Said) -> AsyncIterator[str]:
    for part in said.streamed():
        yield part


def _answer(said: Said, parts: Any) -> HttpResponse | StreamingHttpResponse:
    kind = "text/plain; charset=utf-8"
    if len(said.parts) < 2:
        return HttpResponse(said.text, status=said.status, headers=said.fields, content_type=kind)
    return StreamingHttpResponse(parts, status=said.status, headers=said.fields, content_type=kind)
