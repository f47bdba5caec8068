"""The apps in Litestar: handlers and `Controller`s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from litestar import Controller, Litestar, Request, route
from litestar.exceptions import HTTPException
from litestar.params import JSONBody  # noqa: TC002 - Litestar reads annotations
from litestar.response import Response, Stream
from tests.adapters.contract.views import REPORT, Page, Said, act, shown
from tests.adapters.contract.views import golden as golden_page
from tests.adapters.contract.worlds import evidence

from demur.adapters.litestar import Demur

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from litestar.connection import ASGIConnection
    from tests.adapters.contract.worlds import Evidence

METHODS: list[Any] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]


@dataclass
class Post:
    """What is sent to `/json`."""

    title: str


def golden(options: dict[str, Any]) -> Any:
    """The golden club's site."""

    @route(["/", "/{path:path}"], http_method=METHODS, status_code=200)
    async def anything(request: Request[Any, Any, Any]) -> Response[Any]:
        person = request.scope["demur"].subject  # type: ignore[typeddict-item]
        return answer(
            golden_page(request.scope["raw_path"].decode(), person.name if person else "", request.scope["headers"])
        )

    return Litestar([anything], plugins=[Demur(**options)], openapi_config=None)


def pages(options: dict[str, Any] | None) -> Any:
    """The site of the cases; without demur if there are no options."""
    plugins = [] if options is None else [Demur(**options)]
    handlers = [handler(page) for page in shown(options)]
    return Litestar(handlers, plugins=plugins, openapi_config=None)


def add(app: Litestar, page: Page) -> None:
    """Add a page to an app that has started."""
    app.register(handler(page))


def bridge(connection: ASGIConnection[Any, Any, Any, Any]) -> Evidence:
    """Who somebody is, by the app's own login."""
    return evidence(connection.cookies.get("who"))


def handler(page: Page) -> Any:
    """A page as a route handler."""
    method: list[Any] = ["GET", "HEAD"] if page.method == "GET" else [page.method]
    made = route(page.path, http_method=method, name=page.name, status_code=200)

    async def run(request: Request[Any, Any, Any]) -> Response[Any]:
        passed: Any = request.scope.get("demur")
        said = act(page, passed.subject.name if passed and passed.subject else "")
        if page.does == "asks":
            await passed.arequire(REPORT)
        if page.does.startswith("own-"):
            raise HTTPException(status_code=int(page.does[4:]))
        return answer(said)

    async def posted(request: Request[Any, Any, Any], data: JSONBody[Post]) -> Response[Any]:
        assert data.title
        return await run(request)

    run.__name__ = page.name
    if page.kind == "function":
        return made(page.marked(posted if page.does == "json" else run))

    async def get(self: Any, request: Request[Any, Any, Any]) -> Response[Any]:
        return await run(request)

    if page.kind == "class":
        return page.marked(type(page.name, (Controller,), {"get": made(get)}))
    return type(page.name, (Controller,), {"get": made(page.marked(get))})


def answer(said: Said) -> Response[Any]:
    """What was said, as a response."""
    kind = "text/plain"
    if len(said.parts) < 2:
        return Response(said.text, status_code=said.status, headers=dict(said.fields), media_type=kind)

    async def parts() -> AsyncIterator[str]:
        for part in said.streamed():
            yield part

    return Stream(parts(), status_code=said.status, headers=dict(said.fields), media_type=kind)
