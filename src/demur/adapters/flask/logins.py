"""Bridges: who somebody is, read from the login that a Flask app has already.

- `in_session(load)`: a login that keeps an id in `flask.session`.
- `FlaskLogin()`: Flask-Login.

What the session can tell is kept: a signed cookie that is too old is a session that has ended, and says when; one that
nobody signed is none at all.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import current_app, g, request, session
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadSignature

from demur.core.bridged import ended, nobody, person, unknown
from demur.core.marks import Mark, require
from demur.core.model import Live, Refused
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flask import Flask, Request

    from demur.core.model import Evidence

_SINCE = "_demur_since"
"""Where a Flask session keeps when its person last showed who they are."""


def in_session(load: Callable[[Any], Evidence | None], key: str = "user_id") -> Callable[[Request], Evidence]:
    """A bridge for a login that keeps an id in `flask.session[key]`. `load` gives the person of that id as
    `demur.person(…)`, and None for somebody who is not there any more."""

    def bridge(_: Request) -> Evidence:
        who = session.get(key)
        if who is None:
            return lost(key)
        return load(who) or ended("revoked", time.time())

    return bridge


def lost(key: str) -> Evidence:
    """Why a session has nobody in it."""
    app, interface = current_app, current_app.session_interface
    cookie = request.cookies.get(interface.get_cookie_name(app))
    if not cookie:
        return nobody
    if not isinstance(interface, SecureCookieSessionInterface):
        # Kept on the server, which has forgotten it or never knew it; unless it is a visitor's.
        return nobody if session else unknown
    serializer = interface.get_signing_serializer(app)
    try:
        was, signed = serializer.loads(cookie, return_timestamp=True) if serializer else ({}, None)
    except BadSignature:
        return unknown
    over = signed + app.permanent_session_lifetime if signed else None
    if over is None or key not in was or over.timestamp() > time.time():
        return nobody
    # Each answer signs a permanent session again, unless the app does not want that.
    idle = was.get("_permanent") and app.config["SESSION_REFRESH_EACH_REQUEST"]
    return ended("idle" if idle else "expired", over.timestamp())


class FlaskLogin:
    """A bridge for Flask-Login. `describe` gives its user as `demur.person(…)`; without it the id is that of `get_id`,
    and the name what the user has as `username`, `name` or `email`."""

    def __init__(self, describe: Callable[[Any], Live] | None = None) -> None:
        self._describe = describe or _person

    def __call__(self, _: Request) -> Evidence:
        """Who it is."""
        from flask_login import current_user  # type: ignore[import-untyped]  # noqa: PLC0415 - only apps that have it

        had = "_user_id" in session
        user = current_user._get_current_object()  # noqa: SLF001 - how a proxy of Werkzeug is left
        if user.is_authenticated or not (user.is_anonymous or user.is_active):
            live = self._describe(user)
            if not live.session.authenticated_at and session.get("_fresh"):
                live = replace(live, session=replace(live.session, authenticated_at=session.get(_SINCE, 0)))
            return live if user.is_active else replace(live, subject=replace(live.subject, suspended=True))
        if user.is_anonymous and (had or "_user_id" in session):
            # Its person is not there any more, or Flask-Login has just ended it to protect it.
            return ended("revoked", time.time())
        config = current_app.config
        if config.get("REMEMBER_COOKIE_NAME", "remember_token") in request.cookies and "_remember" not in session:
            return unknown
        return lost("_user_id")

    def connect(self, app: Flask) -> None:
        """Hear what Flask-Login says in this app."""
        from flask_login import signals  # noqa: PLC0415 - only apps that have it

        signals.user_logged_in.connect(_now, app)
        signals.user_login_confirmed.connect(_now, app)
        signals.user_unauthorized.connect(_unauthorized, app)
        signals.user_needs_refresh.connect(_needs_refresh, app)

    def marks(self, app: Flask, method: str, views: Iterable[object]) -> tuple[Mark, ...]:
        """What Flask-Login's own decorators ask for, as marks: so it is asked for before anything else is."""
        if method == "OPTIONS" or app.config.get("LOGIN_DISABLED"):
            return ()
        return (require(),) if any(_is_guarded(view) for view in views) else ()


def _person(user: Any) -> Live:  # noqa: ANN401 - the app's own
    names = (getattr(user, name, None) for name in ("username", "name", "email"))
    return person(user.get_id(), next((str(name) for name in names if name), ""))


def _is_guarded(view: Any) -> bool:  # noqa: ANN401 - whatever was decorated
    from flask_login import fresh_login_required, login_required  # noqa: PLC0415 - only apps that have it

    # The code of what a decorator makes is always the same, whatever it is made of.
    codes = {decorator(_is_guarded).__code__ for decorator in (login_required, fresh_login_required)}
    while view is not None:
        if getattr(view, "__code__", None) in codes:
            return True
        view = getattr(view, "__wrapped__", None)
    return False


def _now(_: Flask, **__: Any) -> None:  # noqa: ANN401 - Blinker's
    session[_SINCE] = int(time.time())


def _unauthorized(_: Flask) -> None:
    if "demur" in g:
        g.demur.require()


def _needs_refresh(_: Flask) -> None:
    raise Refused(Reason.STEP_UP_REQUIRED)
