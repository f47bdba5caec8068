"""What Flask calls: before the view and the check of its forms, and when `Refused` is raised."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Unpack, cast
from weakref import ref

import flask
from flask import Flask, g, request
from werkzeug.wsgi import ClosingIterator

from demur.adapters import wsgi
from demur.adapters.flask import routes
from demur.adapters.flask.logins import FlaskLogin
from demur.adapters.options import Options, assemble
from demur.adapters.surface import check_routes
from demur.adapters.wsgi.short import Within
from demur.core.model import Access, ConfigError, Refused
from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from demur.adapters.passed import Passed
    from demur.adapters.surface import Surface
    from demur.adapters.wsgi.short import Short
    from demur.core.marks import Mark


class Demur:
    """The extension. Options are given here, to `init_app` or in `app.config["DEMUR"]`; the last word counts.

    A view finds what was decided at `g.demur`: `g.demur.subject` is who it is.
    """

    def __init__(self, app: Flask | None = None, **options: Unpack[Options]) -> None:
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, **options: Unpack[Options]) -> None:
        """Stand before this app. Raises ConfigError."""
        given = cast("Options", {**app.config.get("DEMUR", {}), **self._options, **options})
        if "bridge" in given:
            given.setdefault("cookie", app.config["SESSION_COOKIE_NAME"])
        # Who it is, an app of its own login says too late to be asked for another page.
        surface = assemble(can_ask="bridge" not in given, **given)
        app.extensions["demur"] = surface
        outer = wsgi.Demur(app.wsgi_app, surface, hooked=True)
        app.wsgi_app = outer  # type: ignore[method-assign]
        # Before all others: nobody is told that a form was forged before they are told to sign in.
        app.before_request_funcs.setdefault(None, []).insert(0, Guarding(app, surface, outer.short).before)
        app.register_error_handler(Refused, answer)
        app.cli.add_command(routes.commands)
        if isinstance(surface.bridge, FlaskLogin):
            surface.bridge.connect(app)
        csrf = sys.modules.get("flask_wtf.csrf")
        if csrf is not None and csrf.CSRFError not in app.error_handler_spec[None][400]:
            app.register_error_handler(csrf.CSRFError, forged)


class Unseen(flask.Response):
    """What Flask gets in place of an answer of ours. That goes out when this one begins, so it is not made ready."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Begin."""
        start_response("200 OK", [])
        return ClosingIterator((), self.close)


class Guarding:
    """Judges what is left, and the marks of the view, when Flask has found it and has not read the content."""

    def __init__(self, app: Flask, surface: Surface, short: Short) -> None:
        self._app = app
        self._surface = surface
        self._short = short
        self._checked = False
        self._asks_config = isinstance(surface.bridge, FlaskLogin)
        self._known: dict[tuple[str, str, object], tuple[object, tuple[Mark, ...]]] = {}

    def before(self) -> flask.Response | None:
        """The first function that Flask calls for a request."""
        # The proxies are left once for all: each thing that is asked of one costs as much as the thing.
        asked: flask.Request = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
        passed: Passed | None = asked.environ.get("demur.passed")
        if passed is None or passed.surface is not self._surface:
            message = "A request came past demur."
            raise ConfigError(message, place=self._app.name, fix="Leave app.wsgi_app wrapped as init_app did.")
        if not self._checked:
            check_routes(self._surface, routes.listed(self._app, self._surface))
            self._checked = True
        g._get_current_object().demur = passed  # noqa: SLF001
        if isinstance(passed, Within):
            passed.seen = ref(asked)
        else:
            passed.native = asked
        rule = asked.url_rule
        found = self._marks(rule.endpoint, asked.method) if rule is not None else ()
        if found and passed.recalled(found):
            return None if passed.refused is None else Unseen()
        if not found and (not passed.left or _is_nobodys_affair(passed)):
            return None
        # An error of the routing has no view; Flask answers it next.
        if self._short.judge(passed, found, asked, closed=asked.routing_exception is None):
            return None
        return Unseen()

    def _marks(self, endpoint: str, method: str) -> tuple[Mark, ...]:
        """The marks of a view, looked for once."""
        app = self._app
        key = endpoint, method, self._asks_config and app.config.get("LOGIN_DISABLED")
        view = app.view_functions.get(endpoint)
        known = self._known.get(key)
        if known is None or known[0] is not view:
            known = self._known[key] = (view, routes.marks(app, self._surface, endpoint, method))
        return known[1]


def _is_nobodys_affair(passed: Passed) -> bool:
    """Whether nobody has to be known: for the app's own static files, which are the same for everybody, and for what
    Flask found no view for. What it says of that is seen to on the way out."""
    endpoint, plan = request.endpoint or "", passed.checked.plan
    if request.routing_exception is not None:
        left_to = Access.MARKED
    elif endpoint == "static" or endpoint.endswith(".static"):
        left_to = Access.APP
    else:
        return False
    return plan is not None and all(match.requirement.access is left_to for match in plan.matches)


def answer(refused: Refused) -> flask.Response:
    """What a view raised, as the answer in its place."""
    passed: Passed = request.environ["demur.passed"]
    passed.answer = passed.surface.raised(passed, refused)
    return Unseen()


def forged(error: Exception) -> flask.Response:
    """Flask-WTF did not find its token, for somebody who may send this."""
    return answer(Refused(Reason.CROSS_SITE_REFUSED, str(getattr(error, "description", "")) or None))
