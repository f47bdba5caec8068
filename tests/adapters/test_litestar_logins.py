# ruff: noqa: TC002 - Litestar reads annotations
"""Who somebody is by the logins that Litestar has, and why they are not any more."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest
from litestar import Litestar, Request, get, head, post
from litestar.connection import ASGIConnection
from litestar.exceptions import PermissionDeniedException
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.security.jwt import JWTAuth, JWTCookieAuth, Token
from litestar.security.session_auth import SessionAuth

import demur
from demur.adapters.litestar import Anybody, Demur, jwt_auth, session, session_auth, user

DAY = 24 * 60 * 60


@dataclass
class Person:
    """Somebody in the app's own table."""

    name: str
    groups: tuple[str, ...] = ()


PEOPLE = {"anna": Person("anna", ("staff",)), "bo": Person("bo")}


def who(person: Person) -> Any:
    """What the app tells demur of them."""
    return demur.person(person.name, groups=person.groups)


class Clock:
    """The time, plus what has passed in the test."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return time.time() + self.passed


@get("/mine")
@demur.require()
async def mine(request: Request[Any, Any, Any]) -> str:
    """For people who are signed in."""
    return str(request.scope["demur"].subject.name)  # type: ignore[typeddict-item]


@post("/mine", opt={"demur": demur.require()})
async def add() -> str:
    """The same, with an effect."""
    return "added"


@get("/staff", opt={"demur": demur.require(groups=["staff"])})
async def staff() -> str:
    """For some of them."""
    return "staff"


@get("/fresh", opt={"demur": demur.require(fresh="15m")})
async def fresh() -> str:
    """For who has just signed in."""
    return "fresh"


@get("/maybe", opt={"demur": demur.identified, "exclude_from_auth": True})
async def maybe(principal: Anybody) -> str:
    """For anybody."""
    return principal.name if principal else "nobody"


@head("/head", opt={"demur": demur.require()})
async def headers() -> None:
    """Asked with a method that Litestar's logins leave alone."""


@get("/own")
async def own(request: Request[Any, Any, Any]) -> str:
    """Not marked: the app decides by itself."""
    if "staff" not in request.user.groups:
        raise PermissionDeniedException
    return "own"


HANDLERS = [mine, add, staff, fresh, maybe, headers]


class Client(httpx.AsyncClient):
    """A browser of somebody."""

    def __init__(self, app: Litestar, **more: Any) -> None:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        super().__init__(transport=transport, base_url="http://localhost", **more)

    async def no(self, path: str, method: str = "GET") -> tuple[int, str, bool | None]:
        """Status and reason of a refusal, and what it says of whether anything was processed."""
        answer = await self.request(method, path)
        problem = answer.json()
        return answer.status_code, problem["reason"], problem.get("processed")


# --- sessions ---------------------------------------------------------------------------------------------


@get("/sign-in/{name:str}", opt={"demur": demur.public, "exclude_from_auth": True})
async def sign_in(name: FromPath[str], request: Request[Any, Any, Any]) -> Redirect:
    """Litestar's own way to begin a session."""
    request.set_session({"name": name})
    return Redirect("/mine")


@get("/sign-out", opt={"demur": demur.public, "exclude_from_auth": True})
async def sign_out(request: Request[Any, Any, Any]) -> None:
    """And to end it."""
    request.clear_session()


@get("/visit", opt={"demur": demur.public, "exclude_from_auth": True})
async def visit() -> str:
    """Anybody who comes by gets a session, with nothing in it."""
    return "hello"


async def retrieve(data: dict[str, Any], _: ASGIConnection[Any, Any, Any, Any]) -> Person | None:
    """How the app finds who it is."""
    return PEOPLE.get(data.get("name", ""))


def sessions_on_server() -> ServerSideSessionConfig:
    """Sessions in a store of the registry."""
    return ServerSideSessionConfig(max_age=DAY)


def sessions_in_cookie() -> Any:
    """Sessions in an encrypted cookie."""
    pytest.importorskip("cryptography", reason="Litestar needs it for sessions in a cookie")
    from litestar.middleware.session.client_side import CookieBackendConfig  # noqa: PLC0415 - see above

    return CookieBackendConfig(secret=b"0123456789abcdef", max_age=DAY)


def authenticated(config: Any, clock: Clock) -> Litestar:
    """An app with `SessionAuth`."""
    auth = SessionAuth[Person, Any](retrieve_user_handler=retrieve, session_backend_config=config)
    plugin = Demur(bridge=session_auth(auth, who, clock=clock), clock=clock, rules=[{"path": "/**", "allow": "marked"}])
    handlers = [*HANDLERS, sign_in, sign_out, visit]
    return Litestar(handlers, on_app_init=[auth.on_app_init], plugins=[plugin], openapi_config=None)


def by_hand(config: Any, clock: Clock) -> Litestar:
    """An app that looks into its sessions itself."""

    def find(data: dict[str, Any]) -> Any:
        return who(PEOPLE[data["name"]]) if data.get("name") in PEOPLE else demur.nobody

    plugin = Demur(bridge=session(config, find, clock=clock), clock=clock, rules=[{"path": "/**", "allow": "marked"}])
    handlers = [*HANDLERS, sign_in, sign_out, visit]
    return Litestar(handlers, middleware=[config.middleware], plugins=[plugin], openapi_config=None)


APPS = pytest.mark.parametrize("make", [authenticated, by_hand])
KINDS = pytest.mark.parametrize("config", [sessions_on_server, sessions_in_cookie])


@APPS
@KINDS
async def test_sessions_open_what_they_should(make: Any, config: Any) -> None:
    """Nobody, somebody, and who may not; a page for anybody knows who it is."""
    client = Client(make(config(), Clock()))
    assert await client.no("/mine") == (401, "sign-in-required", False)
    # Whoever is sent back keeps what they have typed.
    assert await client.no("/mine", "POST") == (401, "sign-in-required", False)
    assert (await client.get("/maybe")).text == "nobody"
    await client.get("/sign-in/bo")
    assert (await client.get("/mine")).text == "bo"
    assert (await client.post("/mine")).text == "added"
    assert (await client.get("/maybe")).text == "bo"
    assert await client.no("/staff") == (403, "not-permitted", False)
    assert (await client.head("/head")).status_code == 200
    await client.get("/sign-in/anna")
    assert (await client.get("/staff")).text == "staff"


@APPS
@KINDS
async def test_a_session_without_a_person_is_nobodys(make: Any, config: Any) -> None:
    """Litestar gives one to whoever comes by, and takes cookies away by writing "null" into them."""
    client = Client(make(config(), Clock()))
    await client.get("/visit")
    for _ in range(2):
        assert await client.no("/mine") == (401, "sign-in-required", False)
    await client.get("/sign-in/anna")
    assert (await client.get("/mine")).text == "anna"
    await client.get("/sign-out")
    assert await client.no("/mine") == (401, "sign-in-required", False)
    assert await Client(client._transport.app, cookies={"session": "null"}).no("/mine") == (  # type: ignore[attr-defined]
        401,
        "sign-in-required",
        False,
    )


@APPS
@KINDS
@pytest.mark.parametrize("sent", ["garbage", "bnVsbA==", "0" * 64])
async def test_a_cookie_that_was_never_given_is_not_valid(make: Any, config: Any, sent: str) -> None:
    """Whatever is in it."""
    client = Client(make(config(), Clock()), cookies={"session": sent})
    assert await client.no("/mine") == (401, "credentials-invalid", False)


@APPS
async def test_a_session_on_the_server_that_was_ended_says_so(make: Any) -> None:
    """Signed out in another window, or taken away; after its time it is simply over."""
    clock = Clock()
    config = sessions_on_server()
    app = make(config, clock)
    store = config.get_store_from_app(app)
    # Litestar would answer with a new cookie; these are browsers that have not heard of it.
    browsers = []
    for _ in range(2):
        client = Client(app)
        await client.get("/sign-in/bo")
        await client.get("/mine")
        await store.delete(client.cookies["session"])
        browsers.append({"session": client.cookies["session"]})
    assert await Client(app, cookies=browsers[0]).no("/mine") == (401, "session-ended", False)
    clock.passed = DAY + 60
    assert await Client(app, cookies=browsers[1]).no("/mine") == (401, "session-idle", False)
    # It is said again, and not forgotten because Litestar keeps something new under the old name.
    assert await Client(app, cookies=browsers[0]).no("/mine") == (401, "session-ended", False)
    assert await Client(app, cookies=browsers[1]).no("/mine") == (401, "session-idle", False)


@APPS
async def test_a_session_in_a_cookie_says_when_it_was_over(make: Any) -> None:
    """It is signed, so what it says of its end is true."""
    clock = Clock()
    config = sessions_in_cookie()
    app = make(config, clock)
    expired = config._backend_class(config)
    config.max_age = -60
    (cookie,) = expired.dump_data({"name": "bo"})
    config.max_age = DAY
    client = Client(app, cookies={"session": cookie.decode()})
    assert await client.no("/mine") == (401, "session-expired", False)
    forged = cookie[:20][::-1] + cookie[20:]
    assert await Client(app, cookies={"session": forged.decode()}).no("/mine") == (401, "credentials-invalid", False)


async def test_what_the_app_decides_by_itself_is_turned_right() -> None:
    """Refusals only: no mark, no rule; the app's login and its checks are as they were."""
    auth = SessionAuth[Person, Any](retrieve_user_handler=retrieve, session_backend_config=sessions_on_server())
    plugin = Demur(bridge=session_auth(auth, who))
    app = Litestar([own, sign_in], on_app_init=[auth.on_app_init], plugins=[plugin], openapi_config=None)
    client = Client(app)
    assert await client.no("/own") == (401, "sign-in-required", None)
    await client.get("/sign-in/bo")
    assert await client.no("/own") == (403, "not-permitted", None)
    await client.get("/sign-in/anna")
    assert (await client.get("/own")).text == "own"
    lost = Client(app, cookies={"session": "0" * 64})
    assert await lost.no("/own") == (401, "credentials-invalid", None)


async def test_sessions_are_remembered_by_something_that_is_none() -> None:
    """What the registry's store has is of no use as a cookie."""
    app = authenticated(sessions_on_server(), Clock())
    client = Client(app)
    await client.get("/sign-in/bo")
    await client.get("/mine")
    kept: Any = app.stores.get("demur")
    assert len(kept._store) == 1
    assert client.cookies["session"] not in kept._store


# --- tokens -----------------------------------------------------------------------------------------------

SECRET = "a secret of at least thirty-two bytes"


async def holder(token: Token, _: ASGIConnection[Any, Any, Any, Any]) -> Person | None:
    """How the app finds who it is."""
    return PEOPLE.get(token.sub)


async def revoked(token: Token, _: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Which tokens the app has taken back."""
    return token.jti == "taken back"


def in_field() -> Any:
    """Tokens in `Authorization`."""
    return JWTAuth[Person](retrieve_user_handler=holder, revoked_token_handler=revoked, token_secret=SECRET)


def in_cookie() -> Any:
    """Tokens in a cookie."""
    return JWTCookieAuth[Person](retrieve_user_handler=holder, revoked_token_handler=revoked, token_secret=SECRET)


def token(name: str = "bo", *, ago: float = 0, secret: str = SECRET, **more: Any) -> str:
    """A token that was made some seconds ago, and is good for an hour."""
    made = int(time.time() - ago)
    return jwt.encode({"sub": name, "iat": made, "exp": made + 3600, **more}, secret, "HS256")


def carried(auth: Any, text: str) -> dict[str, Any]:
    """How a client sends a token."""
    if isinstance(auth, JWTCookieAuth):
        return {"cookies": {"token": f"Bearer {text}"}}
    return {"headers": {"authorization": f"Bearer {text}"}}


def tokens(auth: Any) -> Litestar:
    """An app whose people come with tokens."""
    how: Any = {"cookie": "token"} if isinstance(auth, JWTCookieAuth) else {"accepts": ["bearer"]}
    plugin = Demur(bridge=jwt_auth(auth, who), rules=[{"path": "/**", "allow": "marked"}], **how)
    return Litestar(HANDLERS, on_app_init=[auth.on_app_init], plugins=[plugin], openapi_config=None)


@pytest.mark.parametrize("make", [in_field, in_cookie])
@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        (None, "/mine", (401, "sign-in-required", False)),
        (token(), "/staff", (403, "not-permitted", False)),
        (token(ago=1800), "/fresh", (401, "step-up-required", False)),
        (token(ago=7200), "/mine", (401, "expired", False)),
        (token(jti="taken back"), "/mine", (401, "revoked", False)),
        (token(secret=SECRET[::-1]), "/mine", (401, "credentials-invalid", False)),
        (token("mallory"), "/mine", (401, "credentials-invalid", False)),
        ("nonsense", "/mine", (401, "credentials-invalid", False)),
    ],
)
async def test_tokens_that_do_not_open(make: Any, text: str | None, path: str, said: Any) -> None:
    """Each for its own reason."""
    auth = make()
    client = Client(tokens(auth), **(carried(auth, text) if text else {}))
    status, reason, processed = await client.no(path)
    kind = "session" if isinstance(auth, JWTCookieAuth) else "token"
    assert (status, reason.removeprefix(f"{kind}-"), processed) == said


@pytest.mark.parametrize("make", [in_field, in_cookie])
async def test_tokens_that_open(make: Any) -> None:
    """A page for anybody knows who it is, and so does a request that Litestar leaves alone."""
    auth = make()
    client = Client(tokens(auth), **carried(auth, token("anna")))
    for path, text in (("/mine", "anna"), ("/staff", "staff"), ("/fresh", "fresh"), ("/maybe", "anna")):
        assert (await client.get(path)).text == text
    assert (await client.head("/head")).status_code == 200


async def test_an_api_challenges_for_tokens() -> None:
    """And for nothing else; what was wrong with one is in its words."""
    app = tokens(in_field())
    nothing = (await Client(app).get("/mine")).headers["www-authenticate"]
    assert nothing.startswith("Bearer realm=")
    assert "error" not in nothing
    over = await Client(app, headers={"authorization": f"Bearer {token(ago=7200)}"}).get("/mine")
    assert 'error="invalid_token"' in over.headers["www-authenticate"]


# --- anything else ----------------------------------------------------------------------------------------


async def test_whoever_a_middleware_of_the_app_has_found() -> None:
    """The app's own authentication, whatever it is."""

    def keys(app: Any) -> Any:
        async def authenticating(scope: Any, receive: Any, send: Any) -> None:
            name = dict(scope["headers"]).get(b"x-api-key", b"").decode()
            scope["user"] = PEOPLE.get(name)
            await app(scope, receive, send)

        return authenticating

    plugin = Demur(bridge=user(who), rules=[{"path": "/**", "allow": "marked"}])
    app = Litestar(HANDLERS, middleware=[keys], plugins=[plugin], openapi_config=None)
    assert await Client(app).no("/mine") == (401, "sign-in-required", False)
    assert (await Client(app, headers={"x-api-key": "bo"}).get("/mine")).text == "bo"
    assert await Client(app, headers={"x-api-key": "bo"}).no("/staff") == (403, "not-permitted", False)
