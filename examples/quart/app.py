"""The club with the login that it has always had (Quart-Auth), and demur's refusals, rules and marks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from club import is_right, open_club
from quart import Quart, redirect, render_template_string, request
from quart_auth import AuthUser, login_user, logout_user
from quart_auth import QuartAuth as Login
from views import board, plots

import demur
from demur.adapters.quart import Demur, QuartAuth

if TYPE_CHECKING:
    from club import Club

FORM = """<!doctype html><title>Sign in</title>
<form method="post"><p>{{ wrong }}<p><label>Name <input name="name"></label>
<p><label>Password <input name="password" type="password"></label><p><button>Sign in</button></form>"""

RULES = [{"path": "/**", "allow": "marked"}, {"path": "/static/**", "allow": "anyone"}]
PERMISSIONS = {"plot:remove": ["board"]}


def create_app(**config: Any) -> Quart:
    """The app."""
    app = Quart(__name__)
    app.secret_key = os.environ.get("SECRET_KEY", "change me, and keep it to yourself")
    app.config.update({"QUART_AUTH_COOKIE_SECURE": False, **config})  # on https leave that out
    club: Club = open_club()
    app.extensions["club"] = club
    Login(app)

    async def describe(user: AuthUser) -> Any:
        member = club.by_id(user.auth_id or "")
        return member and demur.person(member.id, member.name, member.groups)

    Demur(app, bridge=QuartAuth(describe), login="/login?next={next}", rules=RULES, permissions=PERMISSIONS)
    app.register_blueprint(plots)
    app.register_blueprint(board)

    @app.get("/login")
    @demur.public
    async def form() -> str:
        return await render_template_string(FORM, wrong="")

    @app.post("/login")
    @demur.public
    async def login() -> Any:
        sent = await request.form
        member = club.members.get(sent["name"])
        if not is_right(sent["password"], member and member.password):
            return await render_template_string(FORM, wrong="That is not right."), 401
        login_user(AuthUser(member.id), remember=True)
        next_ = request.args.get("next", "/plots/")
        return redirect(next_ if next_.startswith("/") and not next_.startswith(("//", "/\\")) else "/plots/")

    @app.post("/logout")
    @demur.public
    async def logout() -> Any:
        logout_user()
        return redirect("/login")

    return app
