# ruff: noqa: TC001, TC002 - Litestar reads annotations
"""Litestar with demur: where marks are judged, and what stands around it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import httpx
import pytest
from click.testing import CliRunner
from litestar import Controller, Litestar, MediaType, Request, Response, Router, WebSocket, asgi, get, post, websocket
from litestar.config.cors import CORSConfig
from litestar.config.csrf import CSRFConfig
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.params import FromPath, JSONBody
from litestar.response import Stream
from litestar.static_files import create_static_files_router
from litestar.types import Receive, Scope, Send
from tests.adapters.connect import handshake

import demur
from demur.adapters.litestar import Anybody, Demur, Principal
from demur.core.ports import Decided

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from litestar.connection import ASGIConnection

    from demur.core.model import Evidence

GROUPS = {"anna": ["staff"], "bo": []}


def bridge(connection: ASGIConnection[Any, Any, Any, Any]) -> Evidence:
    """The app's own login: a cookie with a name."""
    name = connection.cookies.get("who")
    if name is None:
        return demur.nobody
    return demur.person(name, groups=GROUPS[name]) if name in GROUPS else demur.unknown


MARKED = [{"path": "/**", "allow": "marked"}]


def app_of(handlers: Sequence[Any], *, rules: Any = MARKED, openapi: bool = False, **more: Any) -> Litestar:
    """An app behind demur that keeps its own login."""
    if not openapi:
        more["openapi_config"] = None
    return Litestar(list(handlers), plugins=[Demur(bridge=bridge, rules=rules)], **more)


async def ask(app: Litestar, method: str, path: str, who: str | None = None, **more: Any) -> httpx.Response:
    """The answer to one request."""
    cookies = {"who": who} if who else {}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),  # type: ignore[arg-type]
        base_url="http://localhost",
        cookies=cookies,
    ) as client:
        return await client.request(method, path, **more)


def refusal(response: httpx.Response) -> tuple[int, str, bool | None]:
    """Status, reason, and what is said of whether anything was processed."""
    problem = response.json()
    return response.status_code, problem["reason"], problem.get("processed")


NOBODY = (401, "sign-in-required", False)
NO = (403, "not-permitted", False)


# --- where a mark may stand -------------------------------------------------------------------------------


@get("/below")
@demur.require(groups=["staff"])
async def below() -> str:
    """Marked beneath the route decorator."""
    return "in"


@demur.require(groups=["staff"])
@get("/above")
async def above() -> str:
    """Marked above it."""
    return "in"


@get("/option", opt={"demur": demur.require(groups=["staff"])})
async def option() -> str:
    """Marked by an option of the handler."""
    return "in"


@get("/both", opt={"demur": [demur.require(), demur.require(groups=["staff"])]})
async def both() -> str:
    """Marked by an option that is a list."""
    return "in"


@demur.require(groups=["staff"])
class Marked(Controller):
    """A class that is marked."""

    path = "/class"

    @get()
    async def read(self) -> str:
        """Marked as its class is."""
        return "in"


class Optioned(Controller):
    """A class with an option."""

    path = "/class-option"
    opt = {"demur": demur.require(groups=["staff"])}  # noqa: RUF012 - Litestar's way

    @get()
    async def read(self) -> str:
        """Marked as its class is."""
        return "in"


class Method(Controller):
    """A class one of whose methods is marked."""

    path = "/method"

    @get()
    @demur.require(groups=["staff"])
    async def read(self) -> str:
        """Marked itself."""
        return "in"


@websocket("/ws", opt={"demur": demur.require()})
async def ws(socket: WebSocket[Any, Any, Any]) -> None:
    """Says hello, or thinks better of it."""
    if socket.query_params.get("late") or "late" in socket.headers:
        raise demur.Refused(demur.Reason.NOT_PERMITTED, "Not today.")
    await socket.accept()
    await socket.send_text("hello")


@get("/plain")
async def plain() -> str:
    """Not marked."""
    return "in"


STAFF = demur.require(groups=["staff"])
LAYERS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "/below": ([below], {}),
    "/above": ([above], {}),
    "/option": ([option], {}),
    "/both": ([both], {}),
    "/class": ([Marked], {}),
    "/class-option": ([Optioned], {}),
    "/method": ([Method], {}),
    "/router/plain": ([Router("/router", route_handlers=[plain], opt={"demur": STAFF})], {}),
    "/outer/router/plain": (
        [Router("/outer", route_handlers=[Router("/router", route_handlers=[plain])], opt={"demur": STAFF})],
        {},
    ),
    "/plain": ([plain], {"opt": {"demur": STAFF}}),
}


@pytest.mark.parametrize("path", LAYERS)
async def test_a_mark_of_any_layer_is_judged(path: str) -> None:
    """Handler, controller, router and app may each say who may come in."""
    handlers, more = LAYERS[path]
    app = app_of(handlers, **more)
    assert refusal(await ask(app, "GET", path)) == NOBODY
    assert refusal(await ask(app, "GET", path, "bo")) == NO
    assert (await ask(app, "GET", path, "anna")).text == "in"


async def test_marks_of_all_layers_have_to_be_met() -> None:
    """A router that asks for more than its handler closes it, and the other way round."""
    signed_in = Router("/r", route_handlers=[below], opt={"demur": demur.require()})
    open_ = Router("/o", route_handlers=[below], opt={"demur": demur.public})
    app = app_of([signed_in, open_])
    for path in ("/r/below", "/o/below"):
        assert refusal(await ask(app, "GET", path, "bo")) == NO
        assert (await ask(app, "GET", path, "anna")).text == "in"


# --- deny by default --------------------------------------------------------------------------------------


async def test_what_nobody_marked_is_closed() -> None:
    """A handler without a mark, and the pages that Litestar adds by itself."""
    app = app_of([plain], openapi=True)
    for path in ("/plain", "/schema", "/schema/openapi.json"):
        assert refusal(await ask(app, "GET", path)) == NOBODY
        assert refusal(await ask(app, "GET", path, "anna")) == NO


async def test_an_app_with_a_route_that_nobody_marked_does_not_start() -> None:
    """All of them are named, with what they capture."""

    @get("/reports/{number:int}")
    async def report(number: FromPath[int]) -> int:
        return number

    app = app_of([plain, report, below], openapi=True)
    said = r"Nobody says who may open GET /plain, GET /reports/\{number:int\}\."
    with pytest.raises(demur.ConfigError, match=said):
        app.plugins.get(Demur).check()
    with pytest.RaisesGroup(pytest.RaisesExc(demur.ConfigError, match=said)):
        async with app.lifespan():
            pass  # pragma: no cover


async def test_a_permission_that_nobody_holds_stops_the_start() -> None:
    """A typing error is found before anybody is refused for it."""

    @get("/reports", opt={"demur": demur.require("report:raed")})
    async def report() -> None: ...

    plugin = Demur(bridge=bridge, permissions={"report:read": ["staff"]}, rules=MARKED)
    Litestar([report], plugins=[plugin], openapi_config=None)
    with pytest.raises(demur.ConfigError, match="Did you mean 'report:read'"):
        plugin.check()


def test_the_routes_can_be_listed() -> None:
    """With what each asks for; a route of which nobody says anything fails the command."""
    handlers = [below, ws, typed, Router("/r", route_handlers=[plain], opt={"demur": demur.public})]
    for more, code in (([], 0), ([plain], 1)):
        group = click.Group()
        app_of([*handlers, *more]).plugins.get(Demur).on_cli_init(group)
        listed = CliRunner().invoke(group, ["demur-routes"])
        assert listed.exit_code == code, listed.output
        for line in ("GET /below  groups staff", "GET /r/plain  anyone", "POST /json  signed in", "/ws  signed in"):
            assert line in listed.output.splitlines()
        assert ("may open GET /plain." in listed.output) is bool(more)


async def test_a_path_may_have_a_handler_for_each_method() -> None:
    """Each has its own mark, and the path counts as marked only if all have."""

    @get("/notes", opt={"demur": demur.public})
    async def read() -> str:
        return "notes"

    @post("/notes", opt={"demur": demur.require()})
    async def add() -> str:
        return "added"

    @post("/open", opt={"demur": demur.public})
    async def open_() -> None: ...

    @get("/open")
    async def unmarked() -> None: ...

    app = app_of([read, add])
    assert (await ask(app, "GET", "/notes")).text == "notes"
    assert refusal(await ask(app, "POST", "/notes")) == NOBODY
    with pytest.raises(demur.ConfigError, match="/open"):
        app_of([open_, unmarked]).plugins.get(Demur).check()


async def test_what_litestar_answers_to_options_is_as_open_as_the_rest_of_the_path() -> None:
    """It tells which methods there are."""
    app = app_of([below, Router("/r", route_handlers=[plain], opt={"demur": demur.public})])
    assert refusal(await ask(app, "OPTIONS", "/below")) == NOBODY
    assert (await ask(app, "OPTIONS", "/below", "anna")).headers["allow"] == "GET, OPTIONS"
    assert (await ask(app, "OPTIONS", "/r/plain")).status_code == 204


async def test_routes_that_are_added_later_are_judged() -> None:
    """`app.register` leads through the same door."""
    app = app_of([plain])
    app.register(below)
    assert refusal(await ask(app, "GET", "/below")) == NOBODY
    assert (await ask(app, "GET", "/below", "anna")).text == "in"


async def test_an_app_that_was_made_without_routes_stays_closed() -> None:
    """Then demur does not stand before it, and nothing may come in."""
    app = app_of([])
    app.register(below)
    assert (await ask(app, "GET", "/below", "anna")).status_code == 500


async def test_a_handler_may_be_in_two_apps() -> None:
    """One with demur, and one without."""
    app_of([below])
    assert (await ask(Litestar([below], openapi_config=None), "GET", "/below")).text == "in"


# --- before anything else looks at the request ------------------------------------------------------------


@post("/json", opt={"demur": demur.require()})
async def typed(data: JSONBody[dict[str, int]]) -> str:
    """A handler that wants numbers."""
    return json.dumps(data)


async def test_nobody_is_told_what_is_wrong_with_a_body_before_they_are_known() -> None:
    """Malformed JSON without credentials is 401; with them it is the framework's affair."""
    app = app_of([typed])
    assert refusal(await ask(app, "POST", "/json", content="{")) == NOBODY
    assert (await ask(app, "POST", "/json", "bo", content="{")).status_code == 400
    assert (await ask(app, "POST", "/json", "bo", json={"a": 1})).status_code == 201


async def test_nobody_is_refused_for_a_missing_csrf_token_before_they_are_known() -> None:
    """Whoever is not signed in is told so; whoever is, needs the token."""
    app = app_of([typed], csrf_config=CSRFConfig(secret="x" * 32))
    assert refusal(await ask(app, "POST", "/json", json={"a": 1})) == NOBODY
    refused = await ask(app, "POST", "/json", "bo", json={"a": 1})
    assert refused.status_code == 403


async def test_a_kept_answer_is_given_to_those_only_who_may_have_it() -> None:
    """A guard of Litestar's is not asked when the response cache has an answer."""

    @get("/kept", cache=60, opt={"demur": STAFF})
    async def kept() -> str:
        return "kept"

    app = app_of([kept])
    assert (await ask(app, "GET", "/kept", "anna")).text == "kept"
    assert (await ask(app, "GET", "/kept", "anna")).text == "kept"
    assert refusal(await ask(app, "GET", "/kept", "bo")) == NO
    assert refusal(await ask(app, "GET", "/kept")) == NOBODY


async def test_guards_of_the_app_go_on_working() -> None:
    """They come after the marks, and their refusals are turned right."""

    def never(connection: ASGIConnection[Any, Any, Any, Any], _: Any) -> None:
        raise NotAuthorizedException

    @get("/guarded", guards=[never], opt={"demur": demur.require()})
    async def guarded() -> None: ...

    app = app_of([guarded])
    assert refusal(await ask(app, "GET", "/guarded")) == NOBODY
    status, reason, processed = refusal(await ask(app, "GET", "/guarded", "bo"))
    assert (status, reason, processed) == (403, "not-permitted", None)


async def test_a_refusal_from_before_the_marks_has_their_reason() -> None:
    """A middleware of the app that refuses by itself does not keep demur from saying why."""

    def wall(app: Any) -> Any:
        async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
            raise NotAuthorizedException

        return refusing

    app = app_of([Router("/r", route_handlers=[below, ws], middleware=[wall])])
    assert refusal(await ask(app, "GET", "/r/below")) == NOBODY
    assert refusal(await ask(app, "GET", "/r/below", "mallory")) == (401, "credentials-invalid", False)
    start, body = await handshake(app, "/r/ws")
    assert start["status"] == 401
    assert json.loads(body["body"])["reason"] == "sign-in-required"


# --- other kinds of routes --------------------------------------------------------------------------------


@asgi("/mounted", is_mount=True, copy_scope=True, opt={"demur": STAFF})
async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
    """Another app."""
    await Response(scope["path"], media_type=MediaType.TEXT).to_asgi_response(None, Request(scope))(
        scope, receive, send
    )


async def test_a_mounted_app_is_judged_as_a_whole() -> None:
    """Whatever it has inside."""
    app = app_of([mounted])
    assert refusal(await ask(app, "GET", "/mounted/deep/inside")) == NOBODY
    assert refusal(await ask(app, "POST", "/mounted/deep", "bo")) == NO
    assert (await ask(app, "GET", "/mounted/deep", "anna")).text == "/deep/"


async def test_static_files_are_marked_by_their_router(tmp_path: Path) -> None:
    """Those that nobody marked are closed."""
    (tmp_path / "style.css").write_text("a {}")
    open_ = create_static_files_router("/open", directories=[tmp_path], opt={"demur": demur.public})
    closed = create_static_files_router("/closed", directories=[tmp_path], name="closed")
    app = app_of([open_, closed])
    assert (await ask(app, "GET", "/open/style.css")).text == "a {}"
    assert refusal(await ask(app, "GET", "/closed/style.css")) == NOBODY


async def test_a_websocket_is_refused_before_it_is_open() -> None:
    """With the whole answer where the server can send one; it closes the handshake else."""
    app = app_of([ws])
    start, body = await handshake(app, "/ws")
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert json.loads(body["body"])["reason"] == "sign-in-required"
    assert [each["type"] for each in await handshake(app, "/ws", denies=False)] == ["websocket.close"]
    assert (await handshake(app, "/ws", [("cookie", "who=bo")]))[0]["type"] == "websocket.accept"


async def test_a_websocket_handler_may_refuse() -> None:
    """Before it accepts."""
    start, body = await handshake(app_of([ws]), "/ws", [("cookie", "who=bo"), ("late", "1")])
    assert start["status"] == 403
    assert json.loads(body["body"])["detail"] == "Not today."


# --- what stands around it --------------------------------------------------------------------------------


async def test_rules_hold_for_what_is_not_there() -> None:
    """What is not there is told to those only who may come in."""
    app = app_of([below], rules=[{"path": "/**", "allow": "marked"}, {"path": "/closed/**", "allow": "signed-in"}])
    assert (await ask(app, "GET", "/nowhere")).status_code == 404
    assert (await ask(app, "POST", "/below")).status_code == 405
    assert refusal(await ask(app, "GET", "/closed/nowhere"))[:2] == (401, "sign-in-required")
    assert (await ask(app, "GET", "/closed/nowhere", "bo")).status_code == 404


async def test_a_page_of_the_apps_own_for_what_is_not_there() -> None:
    """Even one with status 200 (an app in the browser) was judged: there is no view that anybody could mark."""

    def shell(_: Request[Any, Any, Any], __: Exception) -> Response[str]:
        return Response("shell", media_type=MediaType.HTML)

    app = app_of([below], exception_handlers={NotFoundException: shell})
    assert (await ask(app, "GET", "/nowhere")).text == "shell"


async def test_refusals_have_the_fields_of_litestars_own_cors_policy() -> None:
    """demur stands inside of it: it answers preflights, and scripts of friends can read the refusal."""
    app = app_of([typed], cors_config=CORSConfig(allow_origins=["https://friend.example"], allow_credentials=True))
    origin = {"origin": "https://friend.example"}
    preflight = await ask(app, "OPTIONS", "/json", headers={**origin, "access-control-request-method": "POST"})
    assert preflight.status_code == 204
    refused = await ask(app, "POST", "/json", headers=origin)
    assert refusal(refused) == NOBODY
    assert refused.headers["access-control-allow-origin"] == "https://friend.example"


async def test_an_answer_for_somebody_is_kept_by_nobody_else() -> None:
    """Also one that a handler of exceptions has made."""
    app = app_of([below])
    assert (await ask(app, "GET", "/below", "anna")).headers["cache-control"] == "private, no-cache"


# --- in a handler -----------------------------------------------------------------------------------------


async def test_a_handler_may_refuse() -> None:
    """Without the promise that nothing was processed, whatever handlers of exceptions the app has."""

    def wrong(_: Request[Any, Any, Any], __: Exception) -> Response[str]:
        return Response("oops", status_code=500)

    @get("/deep", opt={"demur": demur.require()})
    async def deep() -> None:
        raise demur.Refused(demur.Reason.NOT_PERMITTED, "Only its author may.")

    @get("/asks", opt={"demur": demur.identified})
    async def asks(request: Request[Any, Any, Any]) -> str:
        passed: Any = request.scope["demur"]  # type: ignore[typeddict-item]
        return str((await passed.arequire(groups=["staff"])).name)

    app = app_of([deep, asks], exception_handlers={Exception: wrong, 500: wrong})
    refused = await ask(app, "GET", "/deep", "anna")
    assert refusal(refused) == (403, "not-permitted", None)
    assert refused.json()["detail"] == "Only its author may."
    assert refusal(await ask(app, "GET", "/asks")) == (401, "sign-in-required", None)
    assert refusal(await ask(app, "GET", "/asks", "bo")) == (403, "not-permitted", None)
    assert (await ask(app, "GET", "/asks", "anna")).text == "anna"


async def test_a_handler_is_told_who_it_is() -> None:
    """By a dependency that is there in every app."""

    @get("/me", opt={"demur": demur.require()})
    async def me(principal: Principal) -> list[str]:
        return [principal.name, *principal.groups]

    @get("/maybe", opt={"demur": demur.identified})
    async def maybe(principal: Anybody) -> str:
        return principal.name if principal else "nobody"

    app = app_of([me, maybe])
    assert (await ask(app, "GET", "/me", "anna")).json() == ["anna", "staff"]
    assert (await ask(app, "GET", "/maybe", "bo")).text == "bo"
    assert (await ask(app, "GET", "/maybe")).text == "nobody"


class Marking:
    """A middleware of the app's that has its say about every answer."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add a field."""

        async def marked(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-marked", b"yes")]
            await send(message)

        await self._app(scope, receive, marked)


@pytest.mark.parametrize("around", [[], [Marking]])
async def test_what_a_handler_raises_is_answered_by_the_app(around: list[Any]) -> None:
    """Inside of its middleware, told to its hooks once, and not after an answer that has begun."""
    told: list[str] = []

    async def hook(error: Exception, scope: Scope) -> None:
        told.append(str(error))

    @get("/fails", opt={"demur": demur.require()})
    async def fails() -> None:
        message = "out of paper"
        raise RuntimeError(message)

    async def pages() -> AsyncIterator[str]:
        yield "one"
        message = "torn"
        raise RuntimeError(message)

    @get("/torn", opt={"demur": demur.require()})
    async def torn() -> Stream:
        return Stream(pages())

    app = app_of([fails, torn], middleware=around, after_exception=[hook])
    answer = await ask(app, "GET", "/fails", "anna")
    assert (answer.status_code, answer.headers.get("x-marked")) == (500, "yes" if around else None)
    assert (await ask(app, "GET", "/torn", "anna")).text == "one"
    assert told == ["out of paper"]


class Log:
    """Remembers what was decided."""

    def __init__(self) -> None:
        self.seen: list[Decided] = []

    def decided(self, decided: Decided) -> None:
        """Note it."""
        self.seen.append(decided)

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


async def test_a_request_is_noted_once() -> None:
    """With who it was."""
    log: Any = Log()
    app = Litestar([below], plugins=[Demur(bridge=bridge, rules=MARKED, observer=log)], openapi_config=None)
    await ask(app, "GET", "/below", "anna")
    await ask(app, "GET", "/below", "bo")
    assert [(each.outcome, each.subject) for each in log.seen] == [("allow", "anna"), ("refuse", "bo")]
