"""The apps in FastAPI: path operations; a class of views is a callable there."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import Response  # noqa: TC002 - FastAPI reads annotations
from pydantic import BaseModel
from tests.adapters.contract.apps.with_starlette import answer, bridge
from tests.adapters.contract.views import REPORT, Page, act, shown
from tests.adapters.contract.views import golden as golden_page

from demur.adapters.fastapi import Demur

__all__ = ["add", "bridge", "golden", "pages"]

METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS"]


class Post(BaseModel):
    """What is sent to `/json`."""

    title: str


def golden(options: dict[str, Any]) -> FastAPI:
    """The golden club's site."""
    app = FastAPI(openapi_url=None)
    app.add_middleware(Demur, **options)

    async def anything(request: Request) -> Response:
        person = request.scope["demur"].subject
        return answer(golden_page(request.url.path, person.name if person else "", request.scope["headers"]))

    app.add_api_route("/{path:path}", anything, methods=METHODS)
    return app


def pages(options: dict[str, Any] | None) -> FastAPI:
    """The site of the cases; without demur if there are no options."""
    app = FastAPI(openapi_url=None)
    if options is not None:
        app.add_middleware(Demur, **options)
    for page in shown(options):
        add(app, page)
    return app


def add(app: FastAPI, page: Page) -> None:
    """Add a page, to an app that has started too."""
    methods = ["GET", "HEAD"] if page.method == "GET" else [page.method]
    app.add_api_route(page.path, view(page), methods=methods, name=page.name)


def view(page: Page) -> Any:
    """A page as a path operation."""

    async def run(request: Request) -> Response:
        passed: Any = request.scope.get("demur")
        said = act(page, passed.subject.name if passed and passed.subject else "")
        if page.does == "asks":
            await passed.arequire(REPORT)
        if page.does.startswith("own-"):
            raise HTTPException(int(page.does[4:]))
        return answer(said)

    async def posted(request: Request, post: Post) -> Response:
        assert post.title
        return await run(request)

    class Operation:
        async def __call__(self, request: Request) -> Response:
            return await run(request)

    run.__name__ = page.name
    if page.kind == "function":
        return page.marked(posted if page.does == "json" else run)
    if page.kind == "class":
        return page.marked(Operation)()
    Operation.__call__ = page.marked(Operation.__call__)  # type: ignore[method-assign]
    return Operation().__call__
