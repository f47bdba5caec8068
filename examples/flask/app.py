"""The club with the login that it has always had (Flask-Login), and demur's refusals, rules and marks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from club import open_club
from flask import Flask, redirect, render_template_string, request
from flask_login import LoginManager, login_user, logout_user
from views import board, plots

import demur
from demur.adapters.flask import Demur, FlaskLogin

if TYPE_CHECKING:
    from club import Member

FORM = """<!doctype html><title>Sign in</title>
<form method="post"><p>{{ wrong }}<p><label>Name <input name="name"></label>
<p><label>Password <input name="password" type="password"></label><p><button>Sign in</button></form>"""

RULES = [
    {"path": "/**", "allow": "marked"},
    {"path": "/static/**", "allow": "anyone"},
]
PERMISSIONS = {"plot:remove": ["board"]}


def describe(member: Member) -> Any:
    """Who a member is for demur."""
    return demur.person(member.id, member.name, member.groups)


def create_app(folder: Path = Path()) -> Flask:
    """The app, with its files in a folder."""
    app = Flask(__name__)
    app.secret_key = os.environ.get("SECRET_KEY", "change me")
    club = app.extensions["club"] = open_club(folder)
    manager = LoginManager(app)
    manager.login_view = "login"
    manager.user_loader(lambda key: club.member(id=int(key)))
    Demur(app, bridge=FlaskLogin(describe), login="/login?next={next}", rules=RULES, permissions=PERMISSIONS)
    app.register_blueprint(plots)
    app.register_blueprint(board)

    @app.get("/")
    @demur.public
    def start() -> Any:
        return redirect("/plots/")

    @app.route("/login", methods=["GET", "POST"])
    @demur.public
    def login() -> Any:
        if request.method == "GET":
            return render_template_string(FORM, wrong="")
        member = club.member(name=request.form["name"])
        if member is None or not member.knows(request.form["password"]):
            return render_template_string(FORM, wrong="That is not right."), 401
        login_user(member)
        next_ = request.args.get("next", "/")
        return redirect(next_ if next_.startswith("/") and not next_.startswith(("//", "/\\")) else "/")

    @app.post("/logout")
    @demur.public
    def logout() -> Any:
        logout_user()
        return redirect("/login")

    return app
