"""Quart: an extension, `Demur(app, bridge=...)`, and bridges for the logins that Quart apps have.

- The outer middleware stands around `app.asgi_app`; marks are judged in the first `before_request` and
  `before_websocket` of the app, when Quart has found the view, and before any other hook and the body.
- A view is a function or a class, and may be marked as either; so may a blueprint, for all of its views.
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from itsdangerous import BadSignature, SignatureExpired
from quart import Request, Response, current_app, g, has_request_context, request, websocket
from quart import session as kept

from demur.adapters import asgi
from demur.adapters.options import Options, assemble
from demur.adapters.surface import check_routes
from demur.core.bridged import ended, nobody, person, unknown
from demur.core.marks import marks_of
from demur.core.model import Live, Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from typing import TypeAlias

    from quart import Quart, Websocket

    from demur.adapters.passed import Passed
    from demur.adapters.surface import Surface
    from demur.core.marks import Mark
    from demur.core.model import Evidence

    Sent: TypeAlias = Request | Websocket
    Who: TypeAlias = Callable[[Any], Evidence | Awaitable[Evidence]]

_PARAMETER = re.compile(r"<[^>]*>")
_log = logging.getLogger("demur")


class Demur:
    """The extension. The options are those of every adapter (`demur.adapters.options`). In a view `g.demur` knows who
    it is."""

    def __init__(self, app: Quart | None = None, **options: Unpack[Options]) -> None:
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Quart) -> None:
        """Stand before an app."""
        surface = assemble(can_ask=True, **self._options)
        app.extensions["demur"] = surface
        app.asgi_app = asgi.Demur(app.asgi_app, surface, hooked=True)  # type: ignore[assignment, arg-type, method-assign]
        app.before_request_funcs[None].insert(0, _judging)
        app.before_websocket_funcs[None].insert(0, _judging)
        app.register_error_handler(Refused, _refused)
        app.before_serving(lambda: check(app))
        app.after_serving(surface.aclose)


async def _judging() -> Response | None:
    """Judge the marks of the view that Quart has found. What is answered in place of one does not get out."""
    sent: Sent = request._get_current_object() if has_request_context() else websocket._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
    passed: Passed = sent.scope["demur"]  # type: ignore[typeddict-item]
    passed.native = sent
    g.demur = passed
    surface = passed.surface
    if sent.routing_exception is not None:
        may = await surface.ajudge(passed, (), native=sent, closed=False)
    else:
        may = await surface.ajudge(passed, _found(current_app, sent.endpoint, sent.method), native=sent)
    return None if may else Response("", 403)


async def _refused(error: Refused) -> Response:
    passed: Passed = g.demur
    passed.answer = passed.surface.raised(passed, error)
    return Response("", 403)


def _found(app: Quart, endpoint: str | None, method: str) -> tuple[Mark, ...]:
    view = app.view_functions.get(endpoint or "")
    made_of = getattr(view, "view_class", None)
    own = getattr(made_of, method.lower(), None) or (getattr(made_of, "get", None) if method == "HEAD" else None)
    return marks_of(view, own, *_blueprints(app, endpoint or ""))


def _blueprints(app: Quart, endpoint: str) -> Iterable[object]:
    """The blueprints of a view, which names of its own name stand for: `admin.reports.show`."""
    *path, _ = endpoint.split(".")
    return [app.blueprints.get(".".join(path[: end + 1])) for end in range(len(path))]


def check(app: Quart) -> None:
    """List every route with what it asks for. Raises ConfigError if nobody said that of one, and if nobody can hold
    what is asked for."""
    surface: Surface = app.extensions["demur"]
    routes: dict[str, tuple[Mark, ...]] = {}
    for rule in app.url_map.iter_rules():
        written = sorted((rule.methods or {"GET"}) - {"HEAD", "OPTIONS"}) or ["GET"]
        each = [_found(app, rule.endpoint, method) for method in written]
        path = _PARAMETER.sub("x", rule.rule)
        before = routes.get(path)
        whole = all(each) and before != ()
        routes[path] = tuple(dict.fromkeys(mark for found in [before or (), *each] for mark in found)) if whole else ()
    check_routes(surface, routes)
    for path, found in routes.items():
        _log.info("%s: %s", path, surface.requirement(path, found))


# --- bridges ----------------------------------------------------------------------------------------------


def session(who: Callable[[Any], Evidence]) -> Callable[[Sent], Evidence]:
    """Whoever has signed in to the app's session: `who` is given what is in it, and says `demur.nobody` if that is
    nobody. A session that is over is told from none, because its cookie says when it was signed."""

    def bridge(sent: Sent) -> Evidence:
        if kept:
            return who(kept)
        cookie = sent.cookies.get(current_app.session_interface.get_cookie_name(current_app))
        return _without(cookie) if cookie else nobody

    return bridge


def _without(cookie: str) -> Evidence:
    """Why Quart makes nothing of a cookie that was sent."""
    serializer = getattr(current_app.session_interface, "get_signing_serializer", lambda _: None)(current_app)
    if serializer is None:
        return unknown
    try:
        data, signed = serializer.loads(cookie, return_timestamp=True)
    except BadSignature:
        return unknown
    if not data:
        return nobody
    # A permanent session is signed anew with each answer, so what it lacked was activity.
    idle = data.get("_permanent") and current_app.config["SESSION_REFRESH_EACH_REQUEST"]
    over = signed + current_app.permanent_session_lifetime
    return ended("idle" if idle else "expired", over.timestamp())


def quart_auth(
    who: Callable[[str], Evidence] = person,
    *,
    renews: bool = False,
    extension: Any = None,  # noqa: ANN401 - Quart-Auth's
) -> Callable[[Sent], Evidence]:
    """Whoever has signed in with Quart-Auth: `who` is given the `auth_id`. `renews` says that the app calls
    `renew_login`: then a cookie is younger than its sign-in, and nothing is fresh. `extension` is the `QuartAuth` to
    ask, if the app has more than one."""

    def bridge(sent: Sent) -> Evidence:
        auth = extension or next(each for each in current_app.extensions["QUART_AUTH"] if each.singleton)
        token = _token(auth, sent)
        if not token:
            return nobody
        keys = [*(current_app.config.get("SECRET_KEY_FALLBACKS") or ()), current_app.secret_key]
        serializer = auth.serializer_class(keys, auth.salt)
        try:
            auth_id, signed = serializer.loads(token, max_age=auth.duration, return_timestamp=True)
        except SignatureExpired as over:
            return ended("expired", over.date_signed.timestamp() + auth.duration if over.date_signed else 0)
        except BadSignature:
            return unknown
        return _dated(who(auth_id), signed.timestamp(), auth.duration, renews=renews)

    return bridge


def _token(auth: Any, sent: Sent) -> str:  # noqa: ANN401 - Quart-Auth's
    if auth.mode == "cookie":
        return sent.cookies.get(auth.cookie_name, "")
    scheme, _, token = sent.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _dated(said: Evidence, signed: float, duration: int, *, renews: bool) -> Evidence:
    if not isinstance(said, Live):
        return said
    since, until = int(signed), int(signed + duration)
    signed_in = said.session.authenticated_at or (0 if renews else since)
    return replace(said, session=replace(said.session, authenticated_at=signed_in, expires_at=until))
