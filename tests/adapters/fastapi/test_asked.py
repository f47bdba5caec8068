"""What a path operation asks for as a dependency is judged before anything else of it runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import APIRouter, BackgroundTasks, Body, Depends, FastAPI, WebSocket
from fastapi.responses import PlainTextResponse
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from tests.adapters.starlette.asking import HOST, ask
from tests.core.support import NOW, make_site

import demur
from demur.adapters.fastapi import DOCS, Demur, Principal, identified, public, require
from demur.adapters.surface import Surface
from demur.core import page, rules
from demur.core.model import Session, Subject
from demur.core.sessions import identify, mint
from demur.guard import Guard
from demur.pages.router import Pages
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.requests import Request

    from demur.core.model import Evidence

REACHED: list[str] = []
MARKED = [*DOCS, {"path": "/**", "allow": "marked"}]
ALICE, BO = {"x-user": "alice", "x-groups": "staff"}, {"x-user": "bo"}
JSON = {"content-type": "application/json"}


@pytest.fixture(autouse=True)
def _nothing_reached() -> None:
    REACHED.clear()


def bridge(connection: Any) -> Evidence:
    """A login by a field."""
    name = connection.headers.get("x-user")
    return demur.person(name, groups=connection.headers.get("x-groups", "").split()) if name else demur.nobody


async def guarded(app: FastAPI | None = None) -> tuple[FastAPI, Demur]:
    """An app behind demur that gets its routes after the check at the start."""
    inner = app or FastAPI()
    outer = Demur(inner, bridge=bridge, rules=MARKED, permissions={"report:read": ["staff"]})
    assert (await ask(outer, "/nowhere")).status == 404
    return inner, outer


def note() -> None:
    """A dependency that does something."""
    REACHED.append("note")


Reader = Annotated[Principal, Depends(require("report:read"))]


async def report(who: Reader, _: Annotated[None, Depends(note)]) -> dict[str, Any]:
    """A view for some."""
    REACHED.append("report")
    return {"id": who.id, "groups": sorted(who.groups)}


async def send(who: Reader, order: Annotated[dict[str, int], Body()]) -> dict[str, int]:
    """A view with a body."""
    REACHED.append("send")
    return order


async def test_a_path_operation_asks_for_somebody() -> None:
    """401 for nobody, 403 for somebody else, and who it is for the view; nothing of it runs before."""
    inner, app = await guarded()
    inner.get("/report")(report)
    refused = await ask(app, "/report")
    assert (refused.status, refused.reason, refused.problem["processed"]) == (401, "sign-in-required", False)
    assert (await ask(app, "/report", BO)).status == 403
    assert REACHED == []
    assert (await ask(app, "/report", ALICE)).text == '{"id":"alice","groups":["staff"]}'


async def test_who_it_is_is_made_once_until_it_changes() -> None:
    """For somebody who is signed in with demur's own session: the same object each time, and never an old one."""
    inner, store, keys, found = FastAPI(), MemoryStore(), MemoryKeys(), list[Principal]()

    @inner.get("/me")
    async def me(who: Annotated[Principal, Depends(require())]) -> None:
        found.append(who)

    guard = Guard(make_site(rules=rules.load(MARKED, views=True)), store, keys, clock=lambda: float(NOW))
    app = Demur(inner, Surface(guard, Pages(guard, page.DEFAULT, {}), page.DEFAULT))
    token, bo = mint(b"r" * 32, keys.ring().current).encode(), Subject("0192-bo", "bo", frozenset(("staff",)))
    await store.issue(Session(identify(token), bo.id, NOW, NOW, NOW, NOW + 86400, idle=3600), bo)
    cookie = {"cookie": f"__Host-demur={token.decode()}"}
    for _ in range(4):
        assert (await ask(app, "/me", cookie)).status == 200
    assert found[2] is found[3]
    assert set(found) == {found[0]}
    await store.publish(replace(bo, version=9, groups=frozenset(("admins",))))
    for _ in range(4):
        assert (await ask(app, "/me", cookie)).status == 200
    assert {who.groups for who in found[4:]} == {frozenset(("admins",))}
    await guard.aclose()


@pytest.mark.parametrize("body", [b"{", b'{"a": "b"}', b"\xff"])
async def test_who_asks_comes_before_what_was_sent(body: bytes) -> None:
    """422 is for those who may send something."""
    inner, app = await guarded()
    inner.post("/send")(send)
    assert (await ask(app, "/send", JSON, method="POST", body=body)).status == 401
    assert (await ask(app, "/send", {**JSON, **BO}, method="POST", body=body)).status == 403
    assert (await ask(app, "/send", {**JSON, **ALICE}, method="POST", body=body)).status in {400, 422}


WAYS: dict[str, Callable[[FastAPI, Any], object]] = {}


def way(function: Callable[[FastAPI, Any], object]) -> Callable[[FastAPI, Any], object]:
    """A way in which a view comes to be at `/a/b`."""
    WAYS[function.__name__] = function
    return function


@way
def operation(app: FastAPI, view: Any) -> None:
    app.get("/a/b")(view)


@way
def added(app: FastAPI, view: Any) -> None:
    app.add_api_route("/a/b", view)


@way
def included(app: FastAPI, view: Any) -> None:
    router = APIRouter(prefix="/a")
    router.get("/b")(view)
    app.include_router(router)


@way
def included_before_it_had_routes(app: FastAPI, view: Any) -> None:
    router = APIRouter()
    app.include_router(router, prefix="/a")
    router.get("/b")(view)


@way
def included_twice(app: FastAPI, view: Any) -> None:
    inner, outer = APIRouter(), APIRouter(prefix="/a")
    inner.get("/b")(view)
    outer.include_router(inner)
    app.include_router(outer)


@way
def mounted(app: FastAPI, view: Any) -> None:
    other = FastAPI()
    other.get("/b")(view)
    app.mount("/a", other)


@way
def mounted_in_a_router(app: FastAPI, view: Any) -> None:
    other, router = FastAPI(), APIRouter()
    other.get("/b")(view)
    router.mount("/a", other)
    app.include_router(router)


@way
def on_a_host(app: FastAPI, view: Any) -> None:
    other = FastAPI()
    other.get("/a/b")(view)
    app.host(HOST, other)


async def unmarked() -> str:
    """Nobody has marked it."""
    REACHED.append("unmarked")
    return "reached"


async def of_starlette(request: Request) -> PlainTextResponse:
    """A view as Starlette has them."""
    REACHED.append("of_starlette")
    return PlainTextResponse("reached")


@pytest.mark.parametrize("name", WAYS)
async def test_however_a_view_is_added_it_is_judged(name: str) -> None:
    """One that asks for somebody lets nobody else in, and one that does not is closed."""
    for view, others in ((report, BO), (unmarked, ALICE)):
        inner, app = await guarded()
        assert (await ask(app, "/a/b")).status == 404
        WAYS[name](inner, view)
        assert (await ask(app, "/a/b")).reason == "sign-in-required"
        assert (await ask(app, "/a/b", others)).reason == "not-permitted"
        assert REACHED == []
    inner, app = await guarded()
    WAYS[name](inner, report)
    assert (await ask(app, "/a/b", ALICE)).status == 200


@pytest.mark.parametrize("name", WAYS)
async def test_without_demur_nothing_changes(name: str) -> None:
    """An app in the same process that is not guarded goes on as it was."""
    app = FastAPI()
    WAYS[name](app, unmarked)
    assert (await ask(app, "/a/b")).text == '"reached"'


async def test_routes_of_starlette_in_a_router_are_judged() -> None:
    """FastAPI makes new ones of them when the router is included."""
    inner, app = await guarded()
    router = APIRouter(routes=[Route("/b", of_starlette)])
    inner.include_router(router, prefix="/a")
    assert (await ask(app, "/a/b", ALICE)).status == 403
    assert REACHED == []


async def test_files_in_a_router_are_judged(tmp_path: Path) -> None:
    """Those of a mount, and those of FastAPI's front ends."""
    (tmp_path / "index.html").write_text("reached")
    inner, app = await guarded()
    router = APIRouter(dependencies=[Depends(note)])
    inner.mount("/static", StaticFiles(directory=tmp_path))
    router.frontend("/page", directory=tmp_path)
    inner.include_router(router, prefix="/in")
    inner.frontend("/out", directory=tmp_path)
    for path in ("/static/index.html", "/in/page/index.html", "/out/index.html"):
        assert (await ask(app, path)).status == 401, path
    assert REACHED == []


def own(who: Reader) -> Principal:
    """A dependency of the app's own."""
    REACHED.append("own")
    return who


async def depending(who: Annotated[Principal, Depends(own)]) -> str:
    """A view with that dependency."""
    return await unmarked()


@demur.require("report:read")
async def decorated() -> str:
    """A view with a decorator."""
    return await unmarked()


@pytest.mark.parametrize("where", ["app", "router", "inclusion", "operation", "dependency", "decorator"])
async def test_where_it_can_be_asked_for(where: str) -> None:
    """Beside an operation, for a router, for a whole app, in a dependency of the app's own, or as a decorator."""
    asked = [Depends(require("report:read"))]

    inner, app = await guarded(FastAPI(dependencies=asked if where == "app" else []))
    router = APIRouter(dependencies=asked if where == "router" else [])
    function: Any = {"dependency": depending, "decorator": decorated}.get(where, unmarked)
    router.get("/b", dependencies=asked if where == "operation" else [])(function)
    inner.include_router(router, prefix="/a", dependencies=asked if where == "inclusion" else [])
    assert (await ask(app, "/a/b")).status == 401
    assert (await ask(app, "/a/b", BO)).status == 403
    assert REACHED == []
    assert (await ask(app, "/a/b", ALICE)).text == '"reached"'


async def test_anybody_and_whoever_can_be_identified() -> None:
    """A router can be opened, and a view may want to know who it is."""
    inner, app = await guarded()
    router = APIRouter(dependencies=[Depends(public)])
    router.get("/open")(unmarked)
    inner.include_router(router)

    @inner.get("/who")
    async def who(found: Annotated[Principal | None, Depends(identified)]) -> str:
        return found.name if found else "nobody"

    assert (await ask(app, "/open")).status == 200
    assert (await ask(app, "/who")).text == '"nobody"'
    assert (await ask(app, "/who", BO)).text == '"bo"'


async def test_a_freshness_is_asked_for() -> None:
    """`fresh` is a step-up, and no 403."""
    inner, app = await guarded()
    inner.get("/now", dependencies=[Depends(require(fresh=300))])(unmarked)
    answer = await ask(app, "/now", BO)
    assert (answer.status, answer.reason, answer.problem["max_age"]) == (401, "step-up-required", 300)


async def test_a_websocket_asks_for_somebody() -> None:
    """What is refused is answered with the problem, in place of the handshake."""
    inner, app = await guarded()

    @inner.websocket("/talk")
    async def talk(websocket: WebSocket, who: Reader) -> None:
        REACHED.append("talk")
        await websocket.accept()
        await websocket.send_text(f"{who.name}: {await websocket.receive_text()}")
        await websocket.close()

    origin = {"origin": f"https://{HOST}"}
    assert (await ask(app, "/talk", origin, scheme="wss")).reason == "sign-in-required"
    assert (await ask(app, "/talk", {**origin, **BO}, scheme="wss")).status == 403
    assert REACHED == []
    said = await ask(app, "/talk", {**origin, **ALICE}, scheme="wss", body=b"hello")
    assert said.messages[1] == {"type": "websocket.send", "text": "alice: hello"}


async def test_an_override_opens_nothing() -> None:
    """Neither in place of what asks, nor by something that asks in its place."""
    inner, app = await guarded()

    inner.get("/report")(depending)
    inner.dependency_overrides[own] = lambda: Principal("1", "anybody")
    assert (await ask(app, "/report")).status == 401
    assert (await ask(app, "/report", BO)).status == 403

    @inner.get("/other", dependencies=[Depends(public), Depends(note)])
    async def other() -> str:
        REACHED.append("other")
        return "reached"

    inner.dependency_overrides[note] = require("report:read")
    assert (await ask(app, "/other", BO)).reason == "not-permitted"
    assert REACHED == []


async def test_without_the_middleware_nobody_gets_in() -> None:
    """It is an error that says what is missing."""
    app = FastAPI()
    app.get("/report")(report)
    with pytest.raises(demur.ConfigError, match=r"app\.add_middleware"):
        await ask(app, "/report", ALICE)


async def test_a_mark_for_decorators_is_no_dependency() -> None:
    """The error says which one is."""
    inner, app = await guarded()
    inner.get("/report", dependencies=[Depends(demur.require())])(unmarked)
    with pytest.raises(demur.ConfigError, match=r"from demur\.adapters\.fastapi import require"):
        await ask(app, "/report", ALICE)


async def test_background_work_of_a_mounted_app() -> None:
    """It runs after the answer, for the person whom the answer was for."""
    other = FastAPI()

    @other.post("/work")
    async def work(who: Reader, tasks: BackgroundTasks) -> str:
        tasks.add_task(REACHED.append, who.id)
        return "soon"

    inner, app = await guarded()
    inner.mount("/other", other)
    assert (await ask(app, "/other/work", {**ALICE, "origin": f"https://{HOST}"}, method="POST")).text == '"soon"'
    assert REACHED == ["alice"]


async def test_the_pages_about_the_api_have_to_be_opened() -> None:
    """They are routes as all others; there are rules for them to copy."""
    inner = FastAPI()
    app = Demur(inner, bridge=bridge, rules=[{"path": "/**", "allow": "marked"}])
    with pytest.raises(demur.ConfigError, match=r"/docs, /docs/oauth2-redirect, /openapi\.json, /redoc"):
        await ask(app, "/docs")
    assert (await ask((await guarded())[1], "/docs")).status == 200


async def test_as_middleware_of_the_app() -> None:
    """`app.add_middleware(Demur, …)` is the same."""
    app = FastAPI()
    app.add_middleware(Demur, bridge=bridge, rules=MARKED, permissions={"report:read": ["staff"]})
    app.get("/report")(report)
    assert (await ask(app, "/report")).reason == "sign-in-required"
    assert (await ask(app, "/report", ALICE)).status == 200
