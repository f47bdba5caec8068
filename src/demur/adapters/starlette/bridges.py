"""Who somebody is by the logins of Starlette's apps: AuthenticationMiddleware, SessionMiddleware, and tokens.

- A bridge is asked where the view has been found, so what the app's own middleware has found out is there.
- A sign-in that was is told from one that never was, where what was sent says so and is signed.
- What a bridge raises is nobody's fault: 503, and nobody is signed out.
"""

from __future__ import annotations

import json
import time
from base64 import b64decode, urlsafe_b64decode
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from starlette.responses import PlainTextResponse

from demur.core.bridged import ended, nobody, person, unknown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.authentication import BaseUser
    from starlette.datastructures import Secret
    from starlette.requests import HTTPConnection
    from starlette.responses import Response

    from demur.core.model import Evidence

    Said: TypeAlias = Evidence | Awaitable[Evidence]
    Bridge: TypeAlias = Callable[[HTTPConnection], Awaitable[Evidence]]
    Clock: TypeAlias = Callable[[], float]


def user(who: Callable[[Any], Said] | None = None) -> Bridge:
    """Whoever AuthenticationMiddleware has found. `who` is given `request.user`; without it their `identity` is their
    id, and the scopes of `request.auth` are their groups."""

    async def bridge(connection: HTTPConnection) -> Evidence:
        found: BaseUser | None = connection.scope.get("user")
        if found is None or not found.is_authenticated:
            return unknown if "authorization" in connection.headers else nobody
        if who is not None:
            told: Evidence = await settled(who(found))
            return told
        auth = connection.scope.get("auth")
        groups = [scope for scope in getattr(auth, "scopes", ()) if scope != "authenticated"]
        return person(_identity(found), found.display_name, groups)

    return bridge


def _identity(found: BaseUser) -> str:
    try:
        return found.identity
    except NotImplementedError:  # it is not asked of every user
        return found.display_name


def on_error(connection: HTTPConnection, error: Exception) -> Response:
    """For `AuthenticationMiddleware(…, on_error=on_error)`: credentials that are not valid are a 401, where Starlette
    says 400."""
    return PlainTextResponse(str(error), 401)


def session(
    who: str | Callable[[Mapping[str, Any]], Said],
    *,
    secret_key: str | Secret,
    session_cookie: str = "session",
    max_age: int | None = 14 * 24 * 60 * 60,
    clock: Clock = time.time,
    **others: object,
) -> Bridge:
    """Whoever has signed in to a session of SessionMiddleware: `who` is the key under which their id is kept there, or
    is given what is kept there, and says `demur.nobody` if that is nobody. The settings are those of SessionMiddleware,
    all of which may be given."""
    from starlette.middleware.sessions import BadSignature, SessionMiddleware  # type: ignore[attr-defined]  # noqa: PLC0415

    signer = SessionMiddleware(cast("Any", None), secret_key).signer

    async def bridge(connection: HTTPConnection) -> Evidence:
        sent = connection.cookies.get(session_cookie, "null")
        if sent == "null":  # what it sets in the place of a session that is over
            return nobody
        try:
            data, made = signer.unsign(sent, return_timestamp=True)
        except BadSignature:
            return unknown
        if max_age is not None and made.timestamp() + max_age < clock():
            return ended("expired", made.timestamp() + max_age)
        kept = json.loads(b64decode(data))
        if isinstance(who, str):
            return person(kept[who]) if kept.get(who) else nobody
        told: Evidence = await settled(who(kept))
        return told

    return bridge


def token(
    read: Callable[[str], Mapping[str, Any] | Said],
    *,
    invalid: type[Exception] | tuple[type[Exception], ...],
    expired: type[Exception] | tuple[type[Exception], ...] = (),
    cookie: str = "",
    clock: Clock = time.time,
) -> Bridge:
    """Whoever a token is about, in `Authorization: Bearer` or else in a cookie. `read` gives its claims, or who it is
    (`demur.person`). It raises `invalid` for a token that is not valid, and `expired` for one that is not any more;
    with PyJWT these are `jwt.InvalidTokenError` and `jwt.ExpiredSignatureError`. Anything else that it raises says
    nothing of the token."""

    async def bridge(connection: HTTPConnection) -> Evidence:
        scheme, _, sent = connection.headers.get("authorization", "").partition(" ")
        text = sent.strip() if scheme.lower() == "bearer" else connection.cookies.get(cookie, "")
        if not text:
            return nobody
        try:
            said = await settled(read(text))
        except expired:
            return ended("expired", _until(text) or clock())
        except invalid:
            return unknown
        return claimed(said) if isinstance(said, dict) else said

    return bridge


def claimed(claims: Mapping[str, Any]) -> Evidence:
    """Who the claims of a token are about (RFC 7519, 4.1; OpenID Connect Core, 2). Its scopes are permissions for an
    app's own function to look at, and no groups."""
    if not claims.get("sub"):
        return unknown
    return person(
        claims["sub"],
        str(claims.get("preferred_username") or ""),
        claims.get("groups", ()),
        display_name=str(claims.get("name") or ""),
        email=str(claims.get("email") or ""),
        authenticated_at=claims.get("auth_time", 0),
        expires_at=claims.get("exp", 0),
        acr=str(claims.get("acr", "pwd")),
    )


def _until(text: str) -> float:
    """When a token says that it ends; 0 if that cannot be read."""
    try:
        part = text.split(".")[1]
        return float(json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return 0


async def settled(said: Any) -> Any:  # noqa: ANN401 - whatever an app's function says
    """What a function says, or will have said."""
    return await said if isawaitable(said) else said
