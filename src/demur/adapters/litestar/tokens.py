"""Who somebody is by a JSON Web Token. One that is over says so, and is believed because it is signed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from litestar.exceptions import NotAuthorizedException

from demur.adapters.litestar.bridge import settled
from demur.core.bridged import ended, nobody, unknown
from demur.core.model import Live

if TYPE_CHECKING:
    from litestar.security.jwt.auth import BaseJWTAuth
    from litestar.security.jwt.token import Token

    from demur.adapters.litestar.bridge import Bridge, Clock, Connection, Who
    from demur.core.model import Evidence


def jwt_auth(auth: BaseJWTAuth[Any, Any], who: Who, *, clock: Clock = time.time) -> Bridge:
    """Whoever `JWTAuth`, `JWTCookieAuth` or `OAuth2PasswordBearerAuth` finds: `who` is given the user. When the token
    was made is when they signed in."""

    async def bridge(connection: Connection) -> Evidence:
        sent = _token(auth, connection)
        if not sent:
            return nobody
        try:
            token = auth.token_cls.decode(
                sent,
                auth.token_secret,
                auth.algorithm,
                audience=auth.accepted_audiences,
                issuer=auth.accepted_issuers,
                require_claims=auth.require_claims,
                verify_exp=auth.verify_expiry,
                verify_nbf=auth.verify_not_before,
                strict_audience=auth.strict_audience,
            )
        except NotAuthorizedException:
            return _over(auth, sent, clock())
        if auth.revoked_token_handler and await settled(auth.revoked_token_handler(token, connection)):
            return ended("revoked", clock())
        found = connection.scope.get("user") or await settled(auth.retrieve_user_handler(token, connection))
        return _dated(await settled(who(found)), token) if found else unknown

    return bridge


def _token(auth: BaseJWTAuth[Any, Any], connection: Connection) -> str:
    """The token where Litestar looks for it: in the field, else in the cookie of `JWTCookieAuth`."""
    sent = connection.headers.get(auth.auth_header, "").partition(" ")[2]
    key = getattr(auth, "key", None)
    return sent or (connection.cookies.get(key, "").split(" ")[-1] if key else "")


def _over(auth: BaseJWTAuth[Any, Any], sent: str, now: float) -> Evidence:
    """Why Litestar does not take a token: it is over, or it is none of the app's."""
    known: Any = {
        "verify_aud": bool(auth.accepted_audiences),
        "verify_iss": bool(auth.accepted_issuers),
        "verify_exp": False,
    }
    try:
        claims = auth.token_cls.decode_payload(
            sent,
            auth.token_secret,
            [auth.algorithm],
            issuer=auth.accepted_issuers,
            audience=auth.accepted_audiences,
            options=known,
        )
        until = float(claims["exp"])
    except Exception:  # noqa: BLE001 - whatever it is, the app did not make it
        return unknown
    return ended("expired", until) if until <= now else unknown


def _dated(said: Evidence, token: Token) -> Evidence:
    if not isinstance(said, Live):
        return said
    since, until = int(token.iat.timestamp()), int(token.exp.timestamp())
    signed_in = said.session.authenticated_at or since
    return replace(
        said,
        session=replace(said.session, issued_at=since, authenticated_at=signed_in, last_seen=since, expires_at=until),
    )
