"""Bridges: who somebody is, read from the login that a Quart app has already.

- `in_session(load)`: a login that keeps an id in `quart.session`.
- `QuartAuth()`: Quart-Auth, with cookies or with tokens.

What the app can tell is kept: a signed cookie that is too old is a sign-in that has ended, and says when; one that
nobody signed is none at all.
"""

from __future__ import annotations

import time
from dataclasses import replace
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from itsdangerous import BadSignature, SignatureExpired
from quart import current_app, session
from quart.sessions import SecureCookieSessionInterface

from demur.core.bridged import ended, nobody, person, unknown
from demur.core.marks import Mark, require
from demur.core.model import Live

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from typing import TypeAlias

    from quart import Quart, Request, Websocket

    from demur.core.model import Evidence

    Sent: TypeAlias = Request | Websocket
    Load: TypeAlias = Callable[[Any], Evidence | Awaitable[Evidence | None] | None]


def in_session(load: Load, key: str = "user_id") -> Callable[[Sent], Awaitable[Evidence]]:
    """A bridge for a login that keeps an id in `quart.session[key]`. `load` gives the person of that id as
    `demur.person(…)`, and None for somebody who is not there any more."""

    async def bridge(sent: Sent) -> Evidence:
        who = session.get(key)
        if who is None:
            return _lost(sent, key)
        return await _settled(load(who)) or ended("revoked", time.time())

    return bridge


def _lost(sent: Sent, key: str) -> Evidence:
    """Why a session has nobody in it."""
    app: Quart = current_app
    interface: Any = app.session_interface
    cookie = sent.cookies.get(interface.get_cookie_name(app))
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


class QuartAuth:
    """A bridge for Quart-Auth. `describe` gives its user as `demur.person(…)`; without it there is the `auth_id` and
    nothing else. `renews` says that the app calls `renew_login`: then a cookie may be younger than the sign-in, and
    nothing is fresh. `extension` is the one to ask, if the app has more than one."""

    def __init__(self, describe: Load | None = None, *, renews: bool = False, extension: Any = None) -> None:  # noqa: ANN401 - Quart-Auth's
        self._describe: Load = describe or (lambda user: person(user.auth_id))
        self._renews = renews
        self._extension = extension

    async def __call__(self, sent: Sent) -> Evidence:
        """Who it is."""
        auth = self._auth(current_app)
        token = _token(auth, sent)
        if not token:
            return nobody
        keys = [*(current_app.config.get("SECRET_KEY_FALLBACKS") or ()), current_app.secret_key]
        try:
            _, signed = auth.serializer_class(keys, auth.salt).loads(
                token, max_age=auth.duration, return_timestamp=True
            )
        except SignatureExpired as over:
            return ended("expired", over.date_signed.timestamp() + auth.duration if over.date_signed else 0)
        except BadSignature:
            return unknown
        said = await _settled(self._describe(auth.load_user()))
        return self._dated(said, int(signed.timestamp()), auth.duration) if said else ended("revoked", time.time())

    def _dated(self, said: Evidence, signed: int, duration: int) -> Evidence:
        if not isinstance(said, Live):
            return said
        since = said.session.authenticated_at or (0 if self._renews else signed)
        return replace(said, session=replace(said.session, authenticated_at=since, expires_at=signed + duration))

    def _auth(self, app: Quart) -> Any:  # noqa: ANN401 - Quart-Auth's
        known = app.extensions.get("QUART_AUTH", [])
        return self._extension or next(each for each in known if each.singleton)

    def cookie(self, app: Quart) -> str:
        """The name of its cookie."""
        named = getattr(self._extension, "cookie_name", None) or app.config.get("QUART_AUTH_COOKIE_NAME")
        known = [each.cookie_name for each in app.extensions.get("QUART_AUTH", []) if each.singleton]
        return str(named or next(iter(known), "QUART_AUTH"))

    def marks(self, views: Iterable[object]) -> tuple[Mark, ...]:
        """What Quart-Auth's own decorator asks for, as a mark: so it is asked for before anything else is."""
        return (require(),) if any(_is_guarded(view) for view in views) else ()


def _token(auth: Any, sent: Sent) -> str:  # noqa: ANN401 - Quart-Auth's
    if auth.mode == "cookie":
        return sent.cookies.get(auth.cookie_name, "")
    scheme, _, token = sent.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _is_guarded(view: Any) -> bool:  # noqa: ANN401 - whatever was decorated
    from quart_auth import login_required  # noqa: PLC0415 - only apps that have it

    # The code of what the decorator makes is always the same, whatever it is made of.
    code = login_required(_settled).__code__
    while view is not None:
        if getattr(view, "__code__", None) is code:
            return True
        view = getattr(view, "__wrapped__", None)
    return False


async def _settled(said: Any) -> Any:  # noqa: ANN401 - whatever an app's function says
    return await said if isawaitable(said) else said
