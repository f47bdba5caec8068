"""One small app in each framework, with its own test client: marked views, and no login at all."""

# ruff: noqa: PLC0415 - one framework at a time

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any

import httpx

import demur
from demur.stores.keys import MemoryKeys

if TYPE_CHECKING:
    from collections.abc import Callable

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of httpx in the place of httpx2
    from starlette.testclient import TestClient, WebSocketDenialResponse

__all__ = ["CLIENTS", "WebSocketDenialResponse", "bridge", "get", "sessions", "websocket"]

NOW = 1_795_000_000


def sessions() -> dict[str, Any]:
    """The options of an app with demur's sessions."""
    return {"origin": "https://app.example.com", "store": "memory:", "keys": MemoryKeys(), "clock": lambda: NOW}


def bridge() -> dict[str, Any]:
    """The options of an app with a login of its own, at which nobody is ever signed in."""
    return {"bridge": lambda _: demur.nobody, "rules": [{"path": "/**", "allow": "marked"}], "clock": lambda: NOW}


def said(passed: Any) -> str:
    """What a view says."""
    return passed.subject.name if passed.subject else "nobody"


MARKS: dict[str, demur.Mark] = {
    "open": demur.public,
    "plain": demur.require(),
    "staff": demur.require(groups=["staff"]),
    "fresh": demur.require(fresh="15m"),
}


def flask(options: dict[str, Any]) -> Any:
    """Flask's client, which keeps cookies by host and talks http to localhost."""
    import flask

    from demur.adapters.flask import Demur

    app = flask.Flask("tried", static_folder=None)
    for name, mark in MARKS.items():
        app.add_url_rule(f"/{name}", name, mark(lambda: said(flask.g.demur)))
    Demur(app, **options)
    return app.test_client()


def quart(options: dict[str, Any]) -> Any:
    """Quart's client, which drops `Secure` cookies."""
    import quart

    from demur.adapters.quart import Demur

    app = quart.Quart("tried", static_folder=None)

    def view() -> Callable[[], Any]:
        async def own() -> str:
            return said(quart.g.demur)

        return own

    for name, mark in MARKS.items():
        app.add_url_rule(f"/{name}", name, mark(view()))
    Demur(app, **options)
    return app.test_client()


def starlette_app(options: dict[str, Any]) -> Any:
    """An app of Starlette's."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from demur.adapters.starlette import Demur

    def view() -> Callable[[Any], Any]:
        async def own(request: Any) -> PlainTextResponse:
            return PlainTextResponse(said(request.scope["demur"]))

        return own

    return Demur(Starlette(routes=[Route(f"/{name}", mark(view())) for name, mark in MARKS.items()]), **options)


def starlette(options: dict[str, Any]) -> Any:
    """Starlette's client, in a thread of its own."""
    return TestClient(starlette_app(options))


def fastapi(options: dict[str, Any]) -> Any:
    """Starlette's client of an app of FastAPI's, which says by its dependencies who may."""
    from fastapi import Depends, FastAPI
    from fastapi.responses import PlainTextResponse

    from demur.adapters.fastapi import Demur, Principal, identified, require

    app = FastAPI(default_response_class=PlainTextResponse, docs_url=None, redoc_url=None, openapi_url=None)
    asked: dict[str, Any] = {
        "plain": require(),
        "staff": require(groups=["staff"]),
        "fresh": require(fresh="15m"),
        "open": identified,
    }
    for name, dependency in asked.items():

        def view(who: Principal | None = Depends(dependency)) -> str:  # noqa: B008 - as FastAPI has it
            return who.name if who else "nobody"

        view.__annotations__ = {"who": Principal | None, "return": str}
        app.get(f"/{name}")(view)
    return TestClient(Demur(app, **options))


def websocket(options: dict[str, Any]) -> Any:
    """Starlette's client of an app with a WebSocket."""
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    from demur.adapters.starlette import Demur

    @demur.require()
    async def socket(opened: Any) -> None:
        await opened.accept()
        await opened.send_text(said(opened.scope["demur"]))
        await opened.close()

    return TestClient(Demur(Starlette(routes=[WebSocketRoute("/socket", socket)]), **options))


def httpx_async(options: dict[str, Any]) -> Any:
    """httpx with an ASGI app."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(starlette_app(options)), base_url="http://testserver")


def httpx_wsgi(options: dict[str, Any]) -> Any:
    """httpx with a WSGI app."""
    return httpx.Client(transport=httpx.WSGITransport(flask(options).application), base_url="http://testserver")


def litestar(options: dict[str, Any]) -> Any:
    """Litestar's client."""
    return _litestar(options, "TestClient")


def litestar_async(options: dict[str, Any]) -> Any:
    """Litestar's other client."""
    return _litestar(options, "AsyncTestClient")


def _litestar(options: dict[str, Any], client: str) -> Any:
    import litestar
    from litestar import testing

    from demur.adapters.litestar import Demur

    def route(name: str, mark: demur.Mark) -> Any:
        async def own(request: Any) -> str:
            return said(request.scope["demur"])

        own.__annotations__ = {"request": litestar.Request, "return": str}
        return litestar.get(f"/{name}")(mark(own))

    app = litestar.Litestar([route(name, mark) for name, mark in MARKS.items()], plugins=[Demur(**options)])
    return getattr(testing, client)(app)


CLIENTS = (flask, quart, starlette, fastapi, httpx_async, httpx_wsgi, litestar, litestar_async)


async def get(client: Any, path: str) -> Any:
    """Ask, waiting where that is needed."""
    response = client.get(path)
    return await response if inspect.isawaitable(response) else response
