"""Who somebody is by the logins of Starlette's apps, and why not."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from itsdangerous import TimestampSigner
from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    AuthenticationError,
    BaseUser,
    SimpleUser,
    requires,
)
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from tests.adapters.starlette.asking import Answer, ask

import demur
from demur.adapters.starlette import Demur, on_error, session, token, user

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import HTTPConnection, Request

    from demur.core.model import Evidence

SECRET = "a secret of at least thirty-two bytes"
DAY = 86_400
NOW = 1_800_000_000


@demur.identified
async def whoever(request: Request) -> JSONResponse:
    """Who it is, as demur knows it."""
    subject = request.scope["demur"].subject
    return JSONResponse(subject and [subject.id, subject.name, sorted(subject.groups)])


# --- AuthenticationMiddleware ---------------------------------------------------------------------


class Basic(AuthenticationBackend):
    """The example of Starlette's documentation."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        if "Authorization" not in conn.headers:
            return None
        scheme, credentials = conn.headers["Authorization"].split()
        if scheme.lower() != "basic":
            return None
        try:
            decoded = base64.b64decode(credentials).decode("ascii")
        except (ValueError, UnicodeDecodeError, binascii.Error) as error:
            raise AuthenticationError("Invalid basic auth credentials") from error
        return AuthCredentials(["authenticated", "staff"]), SimpleUser(decoded.partition(":")[0])


@requires("authenticated")
async def members(request: Request) -> PlainTextResponse:
    """What Starlette's own decorator is before."""
    return PlainTextResponse(f"hello {request.user.display_name}")


@requires("admin")
async def admins(request: Request) -> PlainTextResponse:
    """And for fewer."""
    raise AssertionError


def basic(text: str) -> dict[str, str]:
    """A field of RFC 7617."""
    return {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


def authenticating(**options: Any) -> Demur:
    """The example, behind demur."""
    routes = [Route("/", whoever), Route("/members", members), Route("/admins", admins)]
    inner = Starlette(
        routes=routes, middleware=[Middleware(AuthenticationMiddleware, backend=Basic(), on_error=on_error)]
    )
    return Demur(inner, **{"bridge": user(), "accepts": ["basic"], **options})


async def test_the_user_of_authentication_middleware() -> None:
    """Their identity is their id, and their scopes are their groups."""
    assert (await ask(authenticating(), "/", basic("alice:x"))).text == '["alice","alice",["staff"]]'
    assert (await ask(authenticating())).text == "null"


async def test_an_apps_own_function_says_who_that_is() -> None:
    """It is given `request.user`, and may have to wait for something."""

    async def who(found: SimpleUser) -> Evidence:
        return demur.person(7, found.username, ["admins"])

    app = authenticating(bridge=user(who))
    assert (await ask(app, "/", basic("alice:x"))).text == '["7","alice",["admins"]]'


@pytest.mark.parametrize(
    ("path", "fields", "status", "reason"),
    [
        ("/members", {}, 401, "sign-in-required"),
        ("/members", {"authorization": "Basic x"}, 401, "credentials-invalid"),
        ("/members", {"authorization": "Digest x"}, 401, "credentials-invalid"),
        ("/admins", basic("alice:x"), 403, "not-permitted"),
        ("/admins", {}, 401, "sign-in-required"),
    ],
)
async def test_refusals_of_authentication_middleware(
    path: str, fields: Mapping[str, str], status: int, reason: str
) -> None:
    """Starlette says 403 for nobody, and 400 for credentials that are not valid."""
    answer = await ask(authenticating(), path, fields)
    assert (answer.status, answer.reason) == (status, reason)
    assert ("www-authenticate" in answer.fields) is (status == 401)


# --- SessionMiddleware ----------------------------------------------------------------------------

KEPT: Any = {"secret_key": SECRET, "max_age": DAY, "https_only": True}


async def sign_in(request: Request) -> PlainTextResponse:
    """The app's own login."""
    request.session["user"] = request.query_params["name"]
    return PlainTextResponse("welcome")


async def sign_out(request: Request) -> PlainTextResponse:
    """And the way out."""
    request.session.clear()
    return PlainTextResponse("good bye")


async def visit(request: Request) -> PlainTextResponse:
    """Something in the session that is no sign-in."""
    request.session["basket"] = ["pear"]
    return PlainTextResponse("put there")


@demur.require()
async def page(request: Request) -> PlainTextResponse:
    """For whoever is signed in."""
    return PlainTextResponse(f"hello {request.session['user']}")


def remembering(**options: Any) -> Demur:
    """An app with SessionMiddleware, behind demur."""
    routes = [Route(f"/{each.__name__}", each) for each in (sign_in, sign_out, visit, page, whoever)]
    inner = Starlette(routes=routes, middleware=[Middleware(SessionMiddleware, **KEPT)])
    return Demur(inner, **{"bridge": session("user", **KEPT), **options})


def cookie(answer: Answer) -> dict[str, str]:
    """What a browser sends after an answer."""
    return {"cookie": answer.fields["set-cookie"].partition(";")[0]}


def signed(at: float, key: str = SECRET) -> dict[str, str]:
    """A session as SessionMiddleware signed it then."""

    class Then(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(at)

    text = Then(key).sign(base64.b64encode(b'{"user": "alice"}')).decode()
    return {"cookie": f"session={text}"}


async def test_the_person_of_a_session() -> None:
    """Who signs in is known, and who signs out is not."""
    app = remembering()
    kept = cookie(await ask(app, "/sign_in?name=alice"))
    assert (await ask(app, "/page", kept)).text == "hello alice"
    assert (await ask(app, "/whoever", kept)).text == '["alice","alice",[]]'
    left = cookie(await ask(app, "/sign_out", kept))
    assert left == {"cookie": "session=null"}
    assert (await ask(app, "/page", left)).reason == "sign-in-required"


async def test_a_session_that_is_over_is_told_from_none() -> None:
    """By the time that is signed with it; a signature of somebody else is not valid."""
    app = remembering(bridge=session("user", **KEPT, clock=lambda: float(NOW)), clock=lambda: float(NOW))
    assert (await ask(app, "/page")).reason == "sign-in-required"
    over = await ask(app, "/page", signed(NOW - DAY - 60))
    assert (over.reason, over.problem["ended_at"]) == ("session-expired", "2027-01-15T07:59:00Z")
    assert 'error="session-expired"' in over.fields["www-authenticate"]
    for bad in (signed(NOW - 60, key="another"), {"cookie": "session=whatever"}):
        assert (await ask(app, "/page", bad)).reason == "credentials-invalid"


async def test_a_session_in_which_nobody_has_signed_in() -> None:
    """There is nothing wrong with it."""
    app = remembering()
    assert (await ask(app, "/page", cookie(await ask(app, "/visit")))).reason == "sign-in-required"


async def test_what_is_in_a_session_is_for_the_app_to_read() -> None:
    """It may say more than an id."""
    app = remembering(bridge=session(lambda kept: demur.person(7, kept["user"], ["staff"]), **KEPT))
    kept = cookie(await ask(app, "/sign_in?name=alice"))
    assert (await ask(app, "/whoever", kept)).text == '["7","alice",["staff"]]'


# --- tokens ---------------------------------------------------------------------------------------


def read(text: str) -> dict[str, Any]:
    """With PyJWT."""
    claims: dict[str, Any] = jwt.decode(text, SECRET, algorithms=["HS256"])
    return claims


def bearing(**options: Any) -> Demur:
    """An API whose people come with tokens."""
    bridge = token(read, invalid=jwt.InvalidTokenError, expired=jwt.ExpiredSignatureError, cookie="access")
    return Demur(
        Starlette(routes=[Route("/whoever", whoever), Route("/api", demur.require()(whoever_is_in))]),
        **{"bridge": bridge, "accepts": ["bearer"], **options},
    )


async def whoever_is_in(request: Request) -> JSONResponse:
    """Who it is."""
    return JSONResponse(request.scope["demur"].subject.id)


def bearer(secret: str = SECRET, **claims: Any) -> dict[str, str]:
    """A field of RFC 6750."""
    return {"authorization": f"Bearer {jwt.encode(claims, secret, algorithm='HS256')}"}


async def test_the_person_of_a_token() -> None:
    """By its claims, in the field or in a cookie."""
    sent = bearer(sub="7", preferred_username="alice", groups=["staff"])
    assert (await ask(bearing(), "/whoever", sent)).text == '["7","alice",["staff"]]'
    cookie = {"cookie": f"access={sent['authorization'].removeprefix('Bearer ')}"}
    assert (await ask(bearing(), "/whoever", cookie)).text == '["7","alice",["staff"]]'


async def test_a_token_that_is_over_is_told_from_a_bad_one() -> None:
    """And both from none."""
    none = await ask(bearing(), "/api")
    assert (none.reason, none.fields["www-authenticate"]) == ("sign-in-required", 'Bearer realm="this site"')
    over = await ask(bearing(), "/api", bearer(sub="7", exp=NOW - 300_000_000))
    assert (over.reason, over.problem["ended_at"]) == ("token-expired", "2017-07-14T02:40:00Z")
    for bad in ({"authorization": "Bearer x"}, bearer("another secret of thirty-two bytes!", sub="7"), bearer(sub="")):
        answer = await ask(bearing(), "/api", bad)
        assert answer.reason == "credentials-invalid"
        assert 'error="invalid_token"' in answer.fields["www-authenticate"]


async def test_what_is_wrong_with_us_is_not_wrong_with_the_token() -> None:
    """Keys that cannot be fetched are a 503."""

    def broken(text: str) -> dict[str, Any]:
        raise OSError("no keys")

    app = bearing(bridge=token(broken, invalid=jwt.InvalidTokenError))
    assert (await ask(app, "/api", bearer(sub="7"))).reason == "unavailable"
