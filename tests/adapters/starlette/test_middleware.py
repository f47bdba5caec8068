"""demur before an app of Starlette's: who it is, what the app refuses by itself, and the check at the start."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthenticationBackend, requires
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from tests.adapters.starlette.asking import HOST, ask

import demur
from demur.adapters.starlette import Demur
from demur.core.model import ConfigError, Session, Subject
from demur.core.sessions import identify, mint
from demur.signin.tokens import Tokens
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from demur.core.model import Evidence

NOW = 1_800_000_000
ORIGIN = f"https://{HOST}"
ALICE = Subject("0192-alice", "alice", frozenset(("staff",)), display_name="Alice Archer")


def bridge(connection: Any) -> Evidence:
    """A login by a field."""
    name = connection.headers.get("x-user")
    return demur.person(name) if name else demur.nobody


class Nobody(AuthenticationBackend):
    """Knows nobody."""

    async def authenticate(self, conn: Any) -> None:
        return None


class Kept:
    """demur's sessions before some routes."""

    def __init__(self, *routes: Any, **options: Any) -> None:
        self.store, self.keys = MemoryStore(), MemoryKeys()
        self.inner = Starlette(routes=routes, middleware=options.pop("middleware", ()))
        self.app = Demur(
            self.inner,
            **{"origin": ORIGIN, "store": self.store, "keys": self.keys, "clock": lambda: float(NOW), **options},
        )

    async def cookie(self) -> dict[str, str]:
        token = mint(secrets.token_bytes(32), self.keys.ring().current)
        await self.store.issue(Session(identify(token), ALICE.id, NOW, NOW, NOW, NOW + 86400, idle=3600), ALICE)
        return {"cookie": f"__Host-demur={token}"}


# --- who it is ------------------------------------------------------------------------------------


@demur.identified
async def who(request: Request) -> JSONResponse:
    """Who it is, as AuthenticationMiddleware's apps ask."""
    user, auth = request.user, request.auth
    return JSONResponse([user.is_authenticated, user.display_name, user.identity, sorted(auth.scopes)])


async def test_request_user_is_who_is_signed_in() -> None:
    """With the scopes that `requires` asks for: groups and permissions."""
    kept = Kept(Route("/", who), permissions={"report:read": ["staff"], "report:write": ["admins"]})
    assert (await ask(kept.app)).text == '[false,"","",[]]'
    answer = await ask(kept.app, "/", await kept.cookie())
    assert answer.text == '[true,"Alice Archer","0192-alice",["authenticated","report:read","staff"]]'


@pytest.mark.parametrize(("scopes", "status"), [("authenticated", 200), ("report:read", 200), ("report:write", 403)])
async def test_requires_goes_on_deciding(scopes: str, status: int) -> None:
    """Starlette's own decorator sees demur's sessions, and what it refuses is refused properly."""

    @requires(scopes)
    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse("reached")

    kept = Kept(Route("/", page), permissions={"report:read": ["staff"]}, rules=[{"path": "/**", "allow": "app"}])
    refused = await ask(kept.app)
    assert (refused.status, refused.reason) == (401, "sign-in-required")
    assert (await ask(kept.app, "/", await kept.cookie())).status == status


async def test_who_it_is_stays_known() -> None:
    """However often somebody asks for the same."""
    kept = Kept(Route("/ruled", plain), Route("/named", who), rules=[{"path": "/**", "allow": "signed-in"}])
    cookie = await kept.cookie()
    for _ in range(3):
        assert (await ask(kept.app, "/ruled", cookie)).text == "reached"
        assert (await ask(kept.app, "/named", cookie)).text.startswith('[true,"Alice Archer"')
        assert (await ask(kept.app, "/named")).status == 401


async def test_an_apps_own_function_says_who_holds_a_scope() -> None:
    """The one that says who holds a permission."""
    kept = Kept(
        Route("/", requires("report:write")(who)),
        permits=lambda subject, permission, _: (subject.name, permission) == ("alice", "report:write"),
        rules=[{"path": "/**", "allow": "app"}],
    )
    assert (await ask(kept.app)).status == 401
    assert (await ask(kept.app, "/", await kept.cookie())).status == 200


async def test_a_token_with_scopes_is_good_for_those_only() -> None:
    """Neither the groups of its person are, nor their other permissions."""

    @demur.require("report:read")
    async def page(request: Request) -> JSONResponse:
        return JSONResponse(request.auth.scopes)

    kept = Kept(
        Route("/", page),
        permissions={"report:read": ["staff"], "report:write": ["staff"]},
        rules=[{"path": "/**", "allow": "marked", "accepts": ["bearer"]}],
    )
    tokens = Tokens(kept.store, kept.keys)
    made = await tokens.create(ALICE, label="robot", scopes=["report:read"], lasts=60, now=NOW)
    answer = await ask(kept.app, "/", {"authorization": f"Bearer {made.text}"})
    assert answer.text == '["authenticated","report:read"]'


async def test_middleware_sees_who_it_is_where_a_rule_says_so() -> None:
    """What a rule decides is known before the app; what a mark decides only at the view."""
    seen = []

    async def look(request: Request, call_next: Any) -> Any:
        seen.append((request.url.path, request.user.is_authenticated))
        return await call_next(request)

    kept = Kept(
        Route("/ruled", who),
        Route("/marked", who),
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=look)],
        rules=[{"path": "/**", "allow": "marked"}, {"path": "/ruled", "allow": "signed-in"}],
    )
    for path in ("/ruled", "/marked"):
        assert (await ask(kept.app, path, await kept.cookie())).text.startswith("[true")
    assert seen == [("/ruled", True), ("/marked", False)]


# --- what the app says by itself ------------------------------------------------------------------


async def test_what_requires_refuses_is_a_proper_refusal() -> None:
    """403 for nobody is 401 with a challenge, and 403 for somebody stays."""

    @requires("authenticated")
    async def page(request: Request) -> PlainTextResponse:
        raise AssertionError

    async def login(request: Request) -> PlainTextResponse:
        return PlainTextResponse("the form")

    @requires("authenticated", redirect="login")
    async def leading(request: Request) -> PlainTextResponse:
        raise AssertionError

    routes = [Route("/page", page), Route("/leading", leading), Route("/login", login, name="login")]
    authentication = Middleware(AuthenticationMiddleware, backend=Nobody())
    app = Demur(Starlette(routes=routes, middleware=[authentication]), bridge=bridge, login="/login?next={next}")
    for path in ("/page", "/leading"):
        answer = await ask(app, path)
        assert (answer.status, answer.reason) == (401, "sign-in-required")
        assert answer.fields["www-authenticate"].startswith("Cookie realm=")
        assert "processed" not in answer.problem
    assert (await ask(app, "/login")).text == "the form"
    assert (await ask(app, "/page", {"x-user": "bo"})).reason == "not-permitted"


@pytest.mark.parametrize("inside", [False, True])
async def test_refused_deep_inside_a_view(inside: bool) -> None:
    """`demur.Refused` is answered as what it says, wherever demur stands and whatever the app does with errors."""

    async def page(request: Request) -> PlainTextResponse:
        raise demur.Refused(demur.Reason.NOT_PERMITTED, "Only the author may.")

    def whatever(request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("oh dear", 500)

    options: Any = {"bridge": bridge, "rules": [{"path": "/**", "allow": "app"}]}
    middleware = [Middleware(Demur, **options)] if inside else []
    plain = Starlette(routes=[Route("/", page)], exception_handlers={Exception: whatever}, middleware=middleware)
    answer = await ask(plain if inside else Demur(plain, **options), "/", {"x-user": "bo"})
    assert (answer.status, answer.reason, answer.problem["detail"]) == (403, "not-permitted", "Only the author may.")
    assert "processed" not in answer.problem


async def test_asking_for_more_in_the_middle_of_a_view() -> None:
    """`arequire` asks the guard, and gives back who it is."""

    @demur.require()
    async def page(request: Request) -> PlainTextResponse:
        subject = await request.scope["demur"].arequire("report:write")
        return PlainTextResponse(subject.name)

    kept = Kept(Route("/", page), permissions={"report:write": ["admins"]})
    answer = await ask(kept.app, "/", await kept.cookie())
    assert (answer.status, answer.reason) == (403, "not-permitted")


async def test_a_websocket_that_the_app_closes_before_it_is_open_is_refused() -> None:
    """`requires` closes it, and the browser would be told nothing but 403."""

    @requires("authenticated")
    async def talk(websocket: WebSocket) -> None:
        raise AssertionError

    authentication = Middleware(AuthenticationMiddleware, backend=Nobody())
    app = Demur(Starlette(routes=[WebSocketRoute("/", talk)], middleware=[authentication]), bridge=bridge)
    answer = await ask(app, "/", {"origin": ORIGIN}, scheme="wss")
    assert (answer.status, answer.reason) == (401, "sign-in-required")


# --- what goes on after the answer ----------------------------------------------------------------


async def test_background_work_of_a_mounted_app_knows_who_it_is() -> None:
    """It runs after the answer, and for the person whom the answer was for."""
    done = []

    @demur.require()
    async def page(request: Request) -> PlainTextResponse:
        async def later() -> None:
            done.append(request.user.identity)

        return PlainTextResponse("soon", background=BackgroundTask(later))

    kept = Kept(Mount("/inner", app=Starlette(routes=[Route("/page", page)])))
    assert (await ask(kept.app, "/inner/page", await kept.cookie())).text == "soon"
    assert done == ["0192-alice"]


async def test_a_stream_leaves_as_it_comes() -> None:
    """Piece by piece."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        await asyncio.sleep(0)
        yield b"two"

    @demur.public
    async def page(request: Request) -> StreamingResponse:
        return StreamingResponse(pieces())

    answer = await ask(Kept(Route("/", page)).app)
    assert [each.get("body") for each in answer.messages[1:]] == [b"one ", b"two", b""]


# --- the check at the start -----------------------------------------------------------------------


async def started(app: Any) -> list[dict[str, Any]]:
    """What a server hears of an app that it starts and stops."""
    sent: list[dict[str, Any]] = []
    waiting = ["lifespan.startup", "lifespan.shutdown"]

    async def receive() -> dict[str, Any]:
        return {"type": waiting.pop(0)}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return sent


async def plain(request: Request) -> PlainTextResponse:
    """Nobody has marked it."""
    return PlainTextResponse("reached")


@pytest.mark.parametrize("inside", [False, True])
async def test_an_app_with_an_unmarked_route_does_not_start(inside: bool) -> None:
    """The error names the route, and the server is told."""
    routes = [Route("/who", who), Mount("/inner", routes=[Route("/{id:int}/plain", plain)])]
    options: Any = {"bridge": bridge, "rules": [{"path": "/**", "allow": "marked"}]}
    middleware = [Middleware(Demur, **options)] if inside else []
    app: Any = Starlette(routes=routes, middleware=middleware)
    with pytest.raises(demur.ConfigError, match="Nobody says who may open /inner/x/plain"):
        await started(app if inside else Demur(app, **options))


async def test_without_a_lifespan_the_first_request_finds_out() -> None:
    """And the next one, too: nothing is served."""
    app = Demur(Starlette(routes=[Route("/", plain)]), bridge=bridge, rules=[{"path": "/**", "allow": "marked"}])
    for _ in range(2):
        with pytest.raises(demur.ConfigError, match="Nobody says who may open /"):
            await ask(app)


async def test_a_mounted_app_is_checked_for_itself() -> None:
    """What is around it has no demur before it, and is none of its business."""

    @demur.public
    async def opened(request: Request) -> PlainTextResponse:
        return PlainTextResponse("open")

    inner = Demur(Starlette(routes=[Route("/open", opened)]), bridge=bridge, rules=[{"path": "/**", "allow": "marked"}])
    app = Starlette(routes=[Route("/plain", plain), Mount("/inner", app=inner)])
    assert (await ask(app, "/plain")).text == "reached"
    assert (await ask(app, "/inner/open")).text == "open"


async def test_an_unknown_permission_is_found_at_the_start() -> None:
    """Nobody can hold it, so it is a slip of the pen."""
    page = demur.require("report:raed")(plain)
    kept = Kept(Route("/", page), permissions={"report:read": ["staff"]})
    with pytest.raises(demur.ConfigError, match=r"'report:raed'.* Did you mean 'report:read'"):
        await started(kept.app)


async def test_every_route_is_listed_with_what_it_asks_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Those of mounted apps, of classes and of files, too."""

    @demur.require(groups=["staff"])
    async def staff(request: Request) -> PlainTextResponse:
        raise AssertionError

    kept = Kept(
        Route("/who", who),
        Route("/staff", staff, methods=["POST"]),
        Mount("/inner", routes=[WebSocketRoute("/{id:int}/talk", demur.require()(lambda websocket: None))]),
        Mount("/files", app=StaticFiles(directory=tmp_path)),
        rules=[{"path": "/**", "allow": "marked"}, {"path": "/files/**", "allow": "anyone"}],
    )
    with caplog.at_level("INFO", logger="demur"):
        sent = await started(kept.app)
    assert [each["type"] for each in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert caplog.messages == [
        "GET /files/x: rule /files/**",
        "WEBSOCKET /inner/x/talk: signed in",
        "POST /staff: groups staff",
        "GET /who: anyone, identified",
        "HEAD /who: anyone, identified",
    ]


async def test_a_marked_view_without_demur_before_it() -> None:
    """Whoever makes the middleware and forgets to use it opens nothing that asks for somebody."""

    async def closed(request: Request) -> PlainTextResponse:
        raise AssertionError(request)

    app = Starlette(
        routes=[Route("/closed", demur.require()(closed)), Route("/open", lambda _: PlainTextResponse("x"))]
    )
    Demur(app, bridge=lambda native: demur.nobody)  # and not app = …
    with pytest.raises(ConfigError, match="no demur stands before its app"):
        await ask(app, "/closed")
    assert (await ask(app, "/open")).status == 200


async def test_a_bridge_is_asked_with_a_connection_where_there_is_no_view() -> None:
    """A path without a view under a rule that says who may come, and what a middleware answers in a view's place."""

    class Early(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Any:
            return PlainTextResponse("early") if request.url.path == "/closed/early" else await call_next(request)

    def bridge(connection: Any) -> Evidence:
        return demur.person(1, "anna") if connection.headers.get("x-who") == "anna" else demur.nobody

    inner = Starlette(middleware=[Middleware(Early)])
    app = Demur(inner, bridge=bridge, rules=[{"path": "/closed/**", "allow": "signed-in"}])
    for path, status in (("/closed/nothing", 404), ("/closed/early", 200)):
        assert (await ask(app, path)).status == 401
        assert (await ask(app, path, {"x-who": "anna"})).status == status
