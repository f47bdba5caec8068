"""Whatever Starlette can route to is judged before it runs, however it got there."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Match, Mount, Route, Router, WebSocketRoute
from tests.adapters.starlette.asking import HOST, ask

import demur
from demur.adapters.starlette import Demur

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send
    from starlette.websockets import WebSocket

    from demur.core.model import Evidence

REACHED: list[str] = []
MARKED = [{"path": "/**", "allow": "marked"}]
ALICE = {"x-user": "alice"}


@pytest.fixture(autouse=True)
def _nothing_reached() -> None:
    REACHED.clear()


def bridge(connection: Any) -> Evidence:
    """A login by a field."""
    name = connection.headers.get("x-user")
    return demur.person(name, groups=connection.headers.get("x-groups", "").split()) if name else demur.nobody


def view(request: Request) -> PlainTextResponse:
    """A view that nobody has marked."""
    REACHED.append(request.url.path)
    return PlainTextResponse("reached")


@demur.require(groups=["staff"])
async def staff(request: Request) -> PlainTextResponse:
    """A view for some."""
    return view(request)


@demur.public
def anybody(request: Request) -> PlainTextResponse:
    """A view for anybody, in a thread."""
    return view(request)


def careless(function: Any) -> Any:
    """A decorator that loses what it wraps."""

    async def wrapper(request: Request) -> Any:
        return await function(request)

    return wrapper


def careful(function: Any) -> Any:
    """A decorator that keeps it."""
    return functools.wraps(function)(careless(function))


async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI app."""
    REACHED.append(scope["path"])
    await PlainTextResponse("reached")(scope, receive, send)


class Page(HTTPEndpoint):
    """A view that is a class."""

    async def get(self, request: Request) -> PlainTextResponse:
        return view(request)


@demur.require()
class Desk(HTTPEndpoint):
    """A class for people who are signed in, and a method for fewer."""

    async def get(self, request: Request) -> PlainTextResponse:
        return view(request)

    @demur.require(groups=["staff"])
    async def post(self, request: Request) -> PlainTextResponse:
        return view(request)


class Hasty(Route):
    """A route with a way of its own."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class Other(BaseRoute):
    """A kind of route that Starlette does not know."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return Match.FULL, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await raw(scope, receive, send)


def dispatching(app: Any) -> Any:
    """An app that hides another one."""

    async def hidden(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return hidden


WAYS: dict[str, Callable[[Starlette], object]] = {
    "a route": lambda app: app.add_route("/a/b", view),
    "a route of its own": lambda app: app.routes.append(Route("/a/b", view)),
    "a route that takes the place of another": lambda app: app.routes.insert(0, Route("/a/b", view)),
    "new routes": lambda app: setattr(app.router, "routes", [Route("/a/b", view)]),
    "a partial": lambda app: app.add_route("/a/b", functools.partial(view)),
    "a class": lambda app: app.add_route("/a/b", Page),  # type: ignore[arg-type]
    "a route with middleware": lambda app: app.routes.append(
        Route("/a/b", view, middleware=[Middleware(GZipMiddleware)])
    ),
    "a kind of route that is in a hurry": lambda app: app.routes.append(Hasty("/a/b", view)),
    "another kind of route": lambda app: app.routes.append(Other()),
    "a mount": lambda app: app.routes.append(Mount("/a", routes=[Route("/b", view)])),
    "a mount with middleware": lambda app: app.routes.append(
        Mount("/a", routes=[Route("/b", view)], middleware=[Middleware(GZipMiddleware)])
    ),
    "a mounted app": lambda app: app.mount("/a", Starlette(routes=[Route("/b", view)])),
    "a mounted router": lambda app: app.mount("/a", Router([Route("/b", view)])),
    "a mounted route": lambda app: app.mount("/a", Route("/b", view)),
    "a mounted class": lambda app: app.mount("/a", Page),
    "a mounted app behind middleware": lambda app: app.mount(
        "/a", CORSMiddleware(Starlette(routes=[Route("/b", view)]))
    ),
    "a hidden app": lambda app: app.mount("/a", dispatching(Starlette(routes=[Route("/b", view)]))),
    "an app that is no app of Starlette's": lambda app: app.mount("/a", raw),
    "a host": lambda app: app.host(HOST, Router([Route("/a/b", view)])),
    "a host that is no app of Starlette's": lambda app: app.host(HOST, raw),
    "a router's default": lambda app: app.mount("/a", Router(default=raw)),
    "the router's default": lambda app: setattr(app.router, "default", raw),
    "a mount in a mount": lambda app: app.mount("/a", Router([Mount("/", routes=[Route("/b", view)])])),
}


@pytest.mark.parametrize("way", WAYS)
async def test_what_nobody_marked_is_closed(way: str) -> None:
    """A view without a mark does not run, whoever asks, although it was added after the start."""
    app = Starlette()
    guarded = Demur(app, bridge=bridge, rules=MARKED)
    assert (await ask(guarded, "/a/b")).status == 404
    WAYS[way](app)
    assert (await ask(guarded, "/a/b")).reason == "sign-in-required"
    assert (await ask(guarded, "/a/b", ALICE)).reason == "not-permitted"
    assert REACHED == []


@pytest.mark.parametrize("way", WAYS)
async def test_without_demur_nothing_changes(way: str) -> None:
    """An app in the same process that is not guarded goes on as it was."""
    app = Starlette()
    WAYS[way](app)
    assert (await ask(app, "/a/b")).text == "reached"


def site(*routes: BaseRoute, **options: Any) -> Demur:
    """An app behind demur."""
    return Demur(Starlette(routes=routes), **{"bridge": bridge, "rules": MARKED, **options})


async def late(*routes: BaseRoute) -> Demur:
    """An app behind demur that gets its routes after the check at the start."""
    app = Starlette()
    guarded = Demur(app, bridge=bridge, rules=MARKED)
    await ask(guarded, "/nowhere")
    app.routes.extend(routes)
    return guarded


async def test_a_mark_says_who_may_come_in() -> None:
    """401 for nobody, 403 for somebody who is known, and the view for whom it is for."""
    app = site(Route("/staff", staff), Route("/open", anybody))
    refused = await ask(app, "/staff")
    assert (refused.status, refused.reason, refused.problem["processed"]) == (401, "sign-in-required", False)
    assert (await ask(app, "/staff", ALICE)).status == 403
    assert REACHED == []
    assert (await ask(app, "/staff", {**ALICE, "x-groups": "staff"})).text == "reached"
    assert (await ask(app, "/open")).text == "reached"


@pytest.mark.parametrize(
    ("function", "opened"),
    [
        pytest.param(careful(staff), True, id="above the mark"),
        pytest.param(demur.require(groups=["staff"])(careless(view)), True, id="below the mark"),
        pytest.param(functools.partial(staff), True, id="a partial"),
        pytest.param(careless(staff), False, id="lost"),
    ],
)
async def test_no_order_of_decorators_opens_a_view(function: Any, opened: bool) -> None:
    """Wherever another decorator stands, nobody else gets in; one that loses the mark closes the view."""
    app = await late(Route("/staff", function))
    assert (await ask(app, "/staff")).status == 401
    assert (await ask(app, "/staff", ALICE)).status == 403
    assert REACHED == []
    if not opened:
        assert (await ask(app, "/staff", {**ALICE, "x-groups": "staff"})).status == 403


async def test_a_class_and_its_method_both_say_who_may_come_in() -> None:
    """What is asked of the class is asked of each method, and HEAD is asked what GET is."""
    app = site(Route("/desk", Desk))
    assert [(await ask(app, "/desk", method=each)).status for each in ("GET", "HEAD", "POST")] == [401, 401, 401]
    assert (await ask(app, "/desk", ALICE, method="HEAD")).status == 200
    assert (await ask(app, "/desk", ALICE, method="POST")).status == 403
    assert (await ask(app, "/desk", {**ALICE, "x-groups": "staff"}, method="POST")).status == 200


async def test_another_method_is_judged_as_the_route_is() -> None:
    """Whether a method is allowed is for those to learn who may come in."""
    app = site(Route("/staff", staff))
    assert (await ask(app, "/staff", method="DELETE")).status == 401
    assert (await ask(app, "/staff", {**ALICE, "x-groups": "staff"}, method="DELETE")).status == 405


async def test_a_mark_on_a_mounted_app_is_for_all_of_it() -> None:
    """It is asked beside what the views ask for themselves."""
    inner = demur.require()(Starlette(routes=[Route("/page", view), Route("/staff", staff)]))
    app = site(Mount("/inner", app=inner))
    assert (await ask(app, "/inner/page")).status == 401
    assert (await ask(app, "/inner/page", ALICE)).status == 200
    assert (await ask(app, "/inner/staff", ALICE)).status == 403


async def test_a_hidden_app_is_asked_twice() -> None:
    """Once where it is mounted, and once at its own views."""
    hidden = demur.public(dispatching(Starlette(routes=[Route("/staff", staff), Route("/open", anybody)])))
    app = site(Mount("/hidden", app=hidden))
    assert (await ask(app, "/hidden/staff")).status == 401
    assert (await ask(app, "/hidden/staff", ALICE)).status == 403
    assert (await ask(app, "/hidden/open")).status == 200


async def test_nobody_is_looked_up_for_an_open_view() -> None:
    """The app's login is not asked."""
    asked = []

    async def counting(connection: Any) -> Evidence:
        asked.append(connection.url.path)
        return bridge(connection)

    app = site(Route("/open", anybody), Route("/staff", staff), bridge=counting)
    await ask(app, "/open", ALICE)
    await ask(app, "/nowhere", ALICE)
    await ask(app, "/staff", ALICE)
    assert asked == ["/staff"]


async def test_a_login_that_cannot_be_asked_is_not_the_persons_fault() -> None:
    """503 where somebody has to be known, and no matter where not."""

    def broken(connection: Any) -> Evidence:
        raise OSError("no database")

    app = site(Route("/open", anybody), Route("/staff", staff), bridge=broken)
    assert (await ask(app, "/open", ALICE)).status == 200
    assert (await ask(app, "/staff", ALICE)).reason == "unavailable"
    assert REACHED == ["/open"]


# --- WebSockets -----------------------------------------------------------------------------------


@demur.require(groups=["staff"])
async def talk(websocket: WebSocket) -> None:
    """Says once what it is told."""
    REACHED.append("talk")
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


async def chatter(websocket: WebSocket) -> None:
    """Nobody has marked it."""
    await talk(websocket)


class Talk(WebSocketEndpoint):
    """A WebSocket that is a class, with a mark on the method that opens it."""

    encoding = "text"

    @demur.require(groups=["staff"])
    async def on_connect(self, websocket: WebSocket) -> None:
        REACHED.append("talk")
        await websocket.accept()

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        await websocket.send_text(data)


ORIGIN = {"origin": f"https://{HOST}"}


@pytest.mark.parametrize("endpoint", [talk, Talk])
async def test_a_websocket_is_judged_before_it_is_opened(endpoint: Any) -> None:
    """What is refused is answered with the problem, in place of the handshake."""
    app = site(WebSocketRoute("/talk", endpoint))
    refused = await ask(app, "/talk", ORIGIN, scheme="wss")
    assert (refused.messages[0]["type"], refused.status) == ("websocket.http.response.start", 401)
    assert refused.reason == "sign-in-required"
    assert (await ask(app, "/talk", {**ORIGIN, **ALICE}, scheme="wss")).status == 403
    assert REACHED == []
    said = await ask(app, "/talk", {**ORIGIN, **ALICE, "x-groups": "staff"}, scheme="wss", body=b"hello")
    assert (said.status, said.messages[1]) == (101, {"type": "websocket.send", "text": "hello"})


async def test_a_mount_is_judged_by_the_app_that_is_there_now() -> None:
    """What is kept of it is of that app."""
    mount = Mount("/inner", app=Starlette(routes=[Route("/page", anybody)]))
    app = site(mount)
    for _ in range(2):
        assert (await ask(app, "/inner/page")).status == 200
    mount.app = demur.require(groups=["staff"])(Starlette(routes=[Route("/page", anybody)]))
    for fields, status in (({}, 401), (ALICE, 403), ({**ALICE, "x-groups": "staff"}, 200)):
        assert (await ask(app, "/inner/page", fields)).status == status


async def test_what_is_kept_of_a_route_does_not_grow_with_what_is_asked() -> None:
    """A method may be any word."""
    app = site(route := Route("/staff", staff))
    for number in range(100):
        await ask(app, "/staff", ALICE, method=f"WORD{number}")
    assert max(len(kept) for kept in vars(route).values() if isinstance(kept, dict)) < 50


async def test_an_unmarked_websocket_is_closed() -> None:
    """Nobody can open it."""
    app = await late(WebSocketRoute("/talk", chatter))
    for fields in ({}, ALICE):
        assert (await ask(app, "/talk", {**ORIGIN, **fields}, scheme="wss")).status in {401, 403}
    assert REACHED == []
