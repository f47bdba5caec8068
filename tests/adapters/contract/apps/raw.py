"""The apps in ASGI and in WSGI and nothing else: a table of views, and one line that asks demur where one is found."""

from __future__ import annotations

from http import HTTPStatus
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

from tests.adapters.contract.views import PAGES, REPORT, Page, Said, act, titled
from tests.adapters.contract.views import golden as golden_page
from tests.adapters.contract.worlds import evidence

from demur.adapters import asgi, wsgi
from demur.core.marks import marks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.adapters.contract.worlds import Evidence

METHODS = {"GET": ("GET", "HEAD"), "POST": ("POST",)}


def _view(page: Page) -> Any:
    """A page as something that is called: a function, or an instance of a class."""

    def run(person: str, body: bytes) -> Said:
        said = act(page, person)
        if page.does == "json":
            return titled(body) or said
        return Said(int(page.does[4:])) if page.does.startswith("own-") else said

    class View:
        def __call__(self, person: str, body: bytes) -> Said:
            return run(person, body)

    if page.kind == "function":
        return page.marked(run)
    if page.kind == "class":
        return page.marked(View)()
    View.__call__ = page.marked(View.__call__)  # type: ignore[method-assign]
    return View().__call__


VIEWS = {page.path: (page, _view(page)) for page in PAGES}


def _found(path: str, method: str) -> tuple[Page, Any] | Said:
    """The view of a path, or what is said where there is none."""
    found = VIEWS.get(path)
    if found is None:
        return Said(404)
    return found if method in METHODS[found[0].method] else Said(405)


# --- ASGI ----------------------------------------------------------------------------------------------


def agolden(options: dict[str, Any]) -> Any:
    """The golden club's site."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        subject = scope["demur"].subject
        await _send(golden_page(scope["path"], subject.name if subject else "", scope["headers"]), send)

    return asgi.Demur(app, **options)


def apages(options: dict[str, Any] | None) -> Any:
    """The site of the cases; without demur if there are no options."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        found = _found(scope["path"], scope["method"])
        if isinstance(found, Said):
            await _send(found, send)
            return
        page, view = found
        passed = scope.get("demur")
        if passed and not await passed.surface.ajudge(passed, marks_of(view), native=scope):
            await _send(Said(), send)
            return
        body = (await receive())["body"]
        said = view(_person(passed), body)
        if page.does == "asks":
            await passed.arequire(REPORT)
        await _send(said, send)

    return app if options is None else asgi.Demur(app, hooked=True, **options)


def abridge(scope: Any) -> Evidence:
    """Who somebody is, by the app's own login."""
    return _known(b"; ".join(value for name, value in scope["headers"] if name == b"cookie").decode())


async def _send(said: Said, send: Any) -> None:
    fields = {"content-type": "text/plain; charset=utf-8", **said.fields}
    lines = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": said.status, "headers": lines})
    for part in said.streamed():
        await send({"type": "http.response.body", "body": part.encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


# --- WSGI ----------------------------------------------------------------------------------------------


def golden(options: dict[str, Any]) -> Any:
    """The golden club's site."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        subject = environ["demur.passed"].subject
        fields = [
            (name.removeprefix("HTTP_").lower().replace("_", "-").encode(), value.encode())
            for name, value in environ.items()
            if name.startswith("HTTP_")
        ]
        path = environ["PATH_INFO"].encode("latin-1").decode()
        return _start(golden_page(path, subject.name if subject else "", fields), start_response)

    return wsgi.Demur(app, **options)


def pages(options: dict[str, Any] | None) -> Any:
    """The site of the cases; without demur if there are no options."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        found = _found(environ["PATH_INFO"], environ["REQUEST_METHOD"])
        if isinstance(found, Said):
            return _start(found, start_response)
        page, view = found
        passed: Any = environ.get("demur.passed")
        if passed and not passed.surface.judge(passed, marks_of(view), native=environ):
            return _start(Said(), start_response)
        said = view(_person(passed), environ["wsgi.input"].read())
        if page.does == "asks":
            passed.require(REPORT)
        return _start(said, start_response)

    return app if options is None else wsgi.Demur(app, hooked=True, **options)


def bridge(environ: dict[str, Any]) -> Evidence:
    """Who somebody is, by the app's own login."""
    return _known(environ.get("HTTP_COOKIE", ""))


def _start(said: Said, start_response: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    fields = {"Content-Type": "text/plain; charset=utf-8", **said.fields}
    start_response(f"{said.status} {HTTPStatus(said.status).phrase}", list(fields.items()))
    return (part.encode() for part in said.streamed())


# --- both ----------------------------------------------------------------------------------------------


def _person(passed: Any) -> str:
    return passed.subject.name if passed and passed.subject else ""


def _known(cookies: str) -> Evidence:
    who = SimpleCookie(cookies).get("who")
    return evidence(who.value if who else None)
