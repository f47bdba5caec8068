"""The apps in Starlette: function endpoints and `HTTPEndpoint`s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.adapters.contract.views import REPORT, Page, Said, act, shown, titled
from tests.adapters.contract.views import golden as golden_page
from tests.adapters.contract.worlds import evidence

from demur.adapters.starlette import Demur

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import HTTPConnection, Request
    from tests.adapters.contract.worlds import Evidence

METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS"]


def golden(options: dict[str, Any]) -> Starlette:
    """The golden club's site."""

    async def anything(request: Request) -> Response:
        person = request.scope["demur"].subject
        return answer(golden_page(request.url.path, person.name if person else "", request.scope["headers"]))

    return _app([Route("/{path:path}", anything, methods=METHODS)], options)


def pages(options: dict[str, Any] | None) -> Starlette:
    """The site of the cases; without demur if there are no options."""
    return _app([_route(page) for page in shown(options)], options)


def add(app: Starlette, page: Page) -> None:
    """Add a page to an app that has started."""
    app.router.routes.append(_route(page))


def bridge(connection: HTTPConnection) -> Evidence:
    """Who somebody is, by the app's own login."""
    return evidence(connection.cookies.get("who"))


def _app(routes: list[Route], options: dict[str, Any] | None) -> Starlette:
    return Starlette(routes=routes, middleware=[] if options is None else [Middleware(Demur, **options)])


def _route(page: Page) -> Route:
    return Route(page.path, view(page), methods=[page.method])


def view(page: Page) -> Any:
    """A page as an endpoint."""

    async def run(request: Request) -> Response:
        passed: Any = request.scope.get("demur")
        said = act(page, passed.subject.name if passed and passed.subject else "")
        if page.does == "json":
            said = titled(await request.body()) or said
        if page.does == "asks":
            await passed.arequire(REPORT)
        if page.does.startswith("own-"):
            raise HTTPException(int(page.does[4:]))
        return answer(said)

    run.__name__ = page.name
    if page.kind == "function":
        return page.marked(run)

    class Endpoint(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return await run(request)

    if page.kind == "class":
        return page.marked(Endpoint)
    Endpoint.get = page.marked(Endpoint.get)  # type: ignore[method-assign]
    return Endpoint


def answer(said: Said) -> Response:
    """What was said, as a response."""
    if len(said.parts) < 2:
        return PlainTextResponse(said.text, said.status, dict(said.fields))

    async def parts() -> AsyncIterator[str]:
        for part in said.streamed():
            yield part

    return StreamingResponse(parts(), said.status, dict(said.fields), "text/plain")
