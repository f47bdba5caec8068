"""The shed with the login that it has always had (SessionMiddleware), and demur's refusals, rules and marks."""

from __future__ import annotations

import contextlib
import html
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shed import Shed, is_right
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

import demur
from demur.adapters.starlette import Demur, session
from pages import PERMISSIONS, ROUTES, RULES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.requests import Request

SESSIONS: dict[str, Any] = {"secret_key": os.environ.get("SECRET_KEY", "change me"), "max_age": 7 * 24 * 60 * 60}
FORM = """<!doctype html><title>Sign in</title>
<form method="post"><p>{}<p><label>Name <input name="name"></label>
<p><label>Password <input name="password" type="password"></label><p><button>Sign in</button></form>"""


@demur.public
async def login(request: Request) -> Response:
    """The form, and what it sends."""
    if request.method == "GET":
        return HTMLResponse(FORM.format(""))
    async with request.form() as form:
        name, password = str(form.get("name", "")), str(form.get("password", ""))
    member = await run_in_threadpool(request.state.shed.member, name=name)
    if not await run_in_threadpool(is_right, password, member.password if member else None):
        return HTMLResponse(FORM.format(html.escape(f"That is not right, {name}.")), 401)
    request.session.update(member=member.id, since=time.time())
    next_ = request.query_params.get("next", "/")
    return RedirectResponse(next_ if next_.startswith("/") and not next_.startswith(("//", "/\\")) else "/", 303)


@demur.public
async def logout(request: Request) -> Response:
    """The way out."""
    request.session.clear()
    return RedirectResponse("/", 303)


def create_app(folder: Path = Path()) -> Demur:
    """The app, with its file in a folder."""
    shed = Shed(folder)

    async def who(kept: Mapping[str, Any]) -> Any:
        if "member" not in kept:
            return demur.nobody
        member = await run_in_threadpool(shed.member, key=kept["member"])
        if member is None:
            return demur.unknown  # they have left
        return demur.person(member.id, member.name, member.groups, authenticated_at=kept["since"])

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Shed]]:
        yield {"shed": shed}

    routes = [*ROUTES, Route("/login", login, methods=["GET", "POST"]), Route("/logout", logout, methods=["POST"])]
    inner = Starlette(routes=routes, middleware=[Middleware(SessionMiddleware, **SESSIONS)], lifespan=lifespan)
    bridge = session(who, **SESSIONS)
    return Demur(inner, bridge=bridge, login="/login?next={next}", rules=RULES, permissions=PERMISSIONS)
