"""Starlette under uvicorn: which route it takes, and what it calls the path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request


def handler(name: str) -> Callable[[Request], Awaitable[PlainTextResponse]]:
    async def answer(request: Request) -> PlainTextResponse:
        below = "".join(f"/{name}/{value}" for value in request.path_params.values()) if name == "below" else ""
        read = [request.scope["path"], request.url.path, request.scope["raw_path"].decode("latin-1"), below]
        return PlainTextResponse("\n".join([name, *filter(None, read)]))

    return answer


app = Starlette(
    routes=[
        Route("/", handler("root")),
        Route("/page/{name}", handler("page")),
        Route("/account", handler("account")),
        Route("/api/{version}/secret", handler("secret")),
        Route("/public", handler("public")),
        Route("/public/{rest:path}", handler("public")),
        Mount("/admin", routes=[Route("/{rest:path}", handler("admin"))]),
        Mount("/members", routes=[Route("/{rest:path}", handler("members"))]),
        Route("/{rest:path}", handler("any")),
    ]
)
