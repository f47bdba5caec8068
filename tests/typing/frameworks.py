"""What type checkers make of the adapters: a marked view is what its framework wants, and knows who it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, assert_type

from fastapi import Depends, FastAPI
from flask import Flask
from litestar import Litestar, get
from quart import Quart
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import demur
from demur import testing
from demur.adapters import fastapi as in_fastapi
from demur.adapters import flask as in_flask
from demur.adapters import litestar as in_litestar
from demur.adapters import quart as in_quart
from demur.adapters import starlette as in_starlette
from demur.adapters import wsgi as in_wsgi
from demur.core.model import Subject

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from starlette.requests import Request

    from demur.core.model import Evidence


def bridge(request: object) -> Evidence:
    """Nobody ever is signed in."""
    return demur.nobody if request else demur.unknown


# --- FastAPI --------------------------------------------------------------------------------------

api = FastAPI()
Reader = Annotated[in_fastapi.Principal, Depends(in_fastapi.require("report:read", fresh=300))]
Whoever = Annotated[in_fastapi.Principal | None, Depends(in_fastapi.identified)]


@api.get("/reports/{number}")
async def report(number: int, who: Reader, whoever: Whoever) -> str:
    """The principal is one."""
    assert_type(who.name, str)
    assert_type(who.groups, frozenset[str])
    whoever.name  # type: ignore[union-attr]  # noqa: B018 - perhaps it is nobody
    return f"{who.name} reads {number}"


in_fastapi.require(fresch=300)  # type: ignore[call-arg]
api.add_middleware(in_fastapi.Demur, bridge=bridge)

# --- Starlette ------------------------------------------------------------------------------------


@demur.require(groups=["staff"])
async def page(request: Request) -> PlainTextResponse:
    """An endpoint."""
    return PlainTextResponse(request.url.path)


site = Starlette(
    routes=[Route("/", page)],
    middleware=[Middleware(in_starlette.Demur, bridge=in_starlette.user(), login="/login?next={next}")],
)

# --- Flask, Quart and WSGI ------------------------------------------------------------------------

app = Flask(__name__)


@app.get("/")
@demur.require()
def home() -> str:
    """A view."""
    return "home"


assert_type(home(), str)
in_flask.Demur(app, bridge=in_flask.FlaskLogin(), login="/login?next={next}")
in_flask.Demur(app, orign="https://app.example.com")  # type: ignore[call-arg]
assert_type(testing.signed_in(app.test_client()).get("/").status_code, int)

later = Quart(__name__)


@later.get("/")
@demur.public
async def front() -> str:
    """A view."""
    return "front"


in_quart.Demur(later, bridge=bridge)


def behind(plain: WSGIApplication) -> WSGIApplication:
    """The middleware is a WSGI app."""
    return in_wsgi.Demur(plain, bridge=bridge)


# --- Litestar -------------------------------------------------------------------------------------


@get("/")
@demur.require(strength="mfa")
async def start(principal: in_litestar.Principal) -> str:
    """A handler."""
    assert_type(principal, Subject)
    return principal.name


Litestar([start], plugins=[in_litestar.Demur(bridge=bridge)])
