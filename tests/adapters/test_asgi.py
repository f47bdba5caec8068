"""The ASGI middleware, message by message."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.core.support import NOW, make_site

import demur
from demur.adapters.asgi import Demur, Surface
from demur.adapters.asgi import wire as wire_module
from demur.core import page
from demur.core.model import Refused, Response, Session, Subject, UpstreamFailure
from demur.core.reasons import Reason
from demur.core.rules import load
from demur.core.sessions import identify, mint
from demur.core.site import Cors
from demur.guard import Guard
from demur.pages.router import Pages, Route
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from demur.core.ports import Decided
    from demur.core.site import Site
    from demur.pages.visit import Visit

SITE = make_site()
BO = Subject("0192-bo", "bo", frozenset(("staff",)), display_name="Bo")


class Wire:
    """A client and the app behind, both seen message by message."""

    def __init__(self, answer: Iterable[dict[str, Any]] = (), *, site: Site = SITE) -> None:
        self.store, self.keys = MemoryStore(), MemoryKeys()
        self.noted: list[Decided] = []
        self.guard = Guard(site, self.store, self.keys, observer=self, clock=lambda: float(NOW))
        self.sent: list[dict[str, Any]] = []
        self.received = 0
        self.passed: list[dict[str, Any]] = []
        self.answer = list(answer) or [
            {"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"1")]},
            {"type": "http.response.body", "body": b"hello"},
        ]
        self.fault: Exception | None = None
        self.demur = Demur(self.app, Surface(self.guard, Pages(self.guard, page.DEFAULT, {}), page.DEFAULT))

    def decided(self, decided: Decided) -> None:
        self.noted.append(decided)

    def signed_in(self, method: str, outcome: str) -> None:
        raise AssertionError

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.passed.append(scope)
        if self.fault is not None:
            raise self.fault
        for message in self.answer:
            await send(message)

    async def cookie(self) -> tuple[bytes, bytes]:
        token = mint(b"r" * 32, self.keys.ring().current)
        await self.store.issue(Session(identify(token), BO.id, NOW, NOW, NOW, NOW + 86400, idle=3600), BO)
        return (b"cookie", b"theirs=1; __Host-demur=" + token.encode())

    async def ask(
        self,
        target: str = "/members/",
        *lines: tuple[bytes, bytes],
        method: str = "GET",
        body: Iterable[bytes] = (),
        **more: Any,
    ) -> dict[bytes, bytes]:
        """Send a request; the fields of the answer."""
        path, _, query = target.partition("?")
        host = () if any(name == b"host" for name, _ in lines) else ((b"host", b"app.example.com"),)
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "scheme": "https", "headers": [*host, *lines], "client": ("192.0.2.1", 5), "extensions": {}, **more,
        }  # fmt: skip
        parts = list(body)

        async def receive() -> dict[str, Any]:
            self.received += 1
            part = parts.pop(0) if parts else b""
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: Any) -> None:
            self.sent.append(message)

        await self.demur(scope, receive, send)
        return dict(self.sent[0].get("headers", ()))

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status


@pytest.fixture
def wire() -> Wire:
    """A fresh wire."""
    return Wire()


async def test_the_app_sees_who_it_is_and_nothing_that_pretends(wire: Wire) -> None:
    """What is passed on has neither our cookie nor any spelling of an identity field, and tells who is allowed."""
    forged = [(b"remote-user", b"root"), (b"Remote_User", b"root"), (b"remote.groups", b"admins"), (b"x-other", b"1")]
    await wire.ask("/members/", await wire.cookie(), *forged)
    (scope,) = wire.passed
    assert scope["headers"] == [(b"host", b"app.example.com"), (b"cookie", b"theirs=1"), (b"x-other", b"1")]
    assert scope["demur"].allow.subject == BO
    assert wire.status == 200


async def test_identity_is_stripped_from_open_pages_too(wire: Wire) -> None:
    """No route lets a forged identity through."""
    await wire.ask("/public/x", (b"remote-user", b"root"))
    assert all(name != b"remote-user" for name, _ in wire.passed[0]["headers"])
    assert wire.passed[0]["demur"].allow.subject is None


@pytest.mark.parametrize("target", ["/members/", "/who"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_nothing_is_done_as_somebody_else(target: str, method: str) -> None:
    """What is meant for another person than the one who is signed in never reaches the app, and for whom it is meant
    never does either."""
    mine, others = Wire(), Wire()
    await mine.ask(target, await mine.cookie(), (b"demur-subject", BO.id.encode()), method=method)
    await others.ask(target, await others.cookie(), (b"demur-subject", b"0192-anna"), method=method)
    assert (mine.status, others.status) == (200, 412)
    assert [name for name, _ in mine.passed[0]["headers"]] == [b"host", b"cookie"]
    assert others.passed == []
    assert others.noted[-1].reason is Reason.SUBJECT_CHANGED


@pytest.mark.parametrize("by_method", [True, False])
async def test_no_field_asks_the_app_for_another_method(by_method: bool) -> None:
    """Where rules tell methods apart, the method that was judged is the one that the app gets."""
    only_get = {"methods": ["GET"]} if by_method else {}
    wire = Wire(site=replace(SITE, rules=load([{"path": "/posts/**", "allow": "anyone", **only_get}])))
    asked = [(b"x-http-method-override", b"DELETE"), (b"X_HTTP_Method", b"PUT"), (b"x-method-override", b"PUT")]
    await wire.ask("/posts/1", *asked)
    assert [name for name, _ in wire.passed[0]["headers"][1:]] == ([] if by_method else [name for name, _ in asked])


async def test_a_preflight_is_no_other_method_for_the_app() -> None:
    """A preflight that the app answers was let through unasked, so the app must not take it for anything else."""
    wire = Wire(site=make_site(rules=load([{"path": "/**", "allow": "signed-in"}]), cors=Cors(upstream=True)))
    asked = [(b"origin", b"https://x.example"), (b"access-control-request-method", b"PUT")]
    await wire.ask("/members/", *asked, (b"x-http-method-override", b"GET"), method="OPTIONS")
    assert [name for name, _ in wire.passed[0]["headers"][1:]] == [name for name, _ in asked]


async def test_what_has_no_body_ends() -> None:
    """An app that reads until its client leaves is told once that there is nothing, and then waits for that."""
    wire = Wire(site=make_site(rules=load([{"path": "/**", "allow": "signed-in"}]), cors=Cors(upstream=True)))
    read: list[str] = []

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        while not read or read[-1] != "http.disconnect":
            read.append((await receive())["type"])
            assert len(read) < 10

    left: list[dict[str, Any]] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": b"x", "more_body": False},
    ]

    async def receive() -> dict[str, Any]:
        return left.pop()

    async def send(_: Any) -> None:
        raise AssertionError

    scope = {
        "type": "http", "method": "OPTIONS", "path": "/members/", "raw_path": b"/members/", "query_string": b"",
        "scheme": "https", "client": None,
        "headers": [
            (b"host", b"app.example.com"),
            (b"origin", b"https://x.example"),
            (b"access-control-request-method", b"PUT"),
        ],
    }  # fmt: skip
    await Demur(reads, wire.demur.surface)(scope, receive, send)
    assert read == ["http.request", "http.disconnect"]


async def test_a_server_without_the_raw_path() -> None:
    """What a server has decoded is judged as the app will read it, marks of a query and escapes included."""
    wire = Wire(site=make_site(rules=load([{"path": "/**", "allow": "anyone"}, {"path": "/a", "allow": "nobody"}])))
    for path, status in (("/b%25", 200), ("/%61", 401), ("/b?/../a", 401), ("/ö", 200)):
        wire.sent.clear()
        await wire.ask("/", path=path, raw_path=None)
        assert wire.status == status, path


async def test_a_refused_request_never_reaches_the_app(wire: Wire) -> None:
    """Neither app nor body is touched before the answer is on its way."""
    fields = await wire.ask("/members/", (b"content-length", b"6"), method="POST", body=[b"abc", b"def"])
    assert (wire.status, wire.passed) == (401, [])
    assert fields[b"demur-processed"] == b"?0"
    whole = b"".join(message["body"] for message in wire.sent[1:])
    assert len(whole) == int(fields[b"content-length"])
    assert wire.received == 2
    assert [message.get("more_body") for message in wire.sent[1:]] == [True, False]


async def test_the_answer_leaves_before_the_body_is_read(wire: Wire) -> None:
    """A client that is still sending has the whole answer before it is asked for the rest."""
    order: list[str] = []

    async def receive() -> dict[str, Any]:
        order.append("receive")
        return {"type": "http.request", "body": b"x", "more_body": len(order) < 4}

    async def send(message: Any) -> None:
        order.append(f"{message['type']} {len(message.get('body', b'')) > 0}")

    scope = {
        "type": "http", "method": "POST", "path": "/members/", "raw_path": b"/members/", "query_string": b"",
        "scheme": "https", "client": None,
        "headers": [(b"host", b"app.example.com"), (b"transfer-encoding", b"chunked")],
    }  # fmt: skip
    await wire.demur(scope, receive, send)
    assert order[:2] == ["http.response.start False", "http.response.body True"]
    assert order[-1] == "http.response.body False"
    assert "receive" in order[2:-1]


async def test_expect_is_never_answered_with_an_invitation(wire: Wire) -> None:
    """With `Expect: 100-continue` the body is not asked for, and the connection ends with the answer."""
    lines = [(b"content-length", b"9000000"), (b"expect", b"100-continue")]
    fields = await wire.ask("/members/", *lines, method="PUT")
    assert wire.received == 0
    assert fields[b"connection"] == b"close"


@pytest.mark.parametrize(("length", "received"), [(4, 1), (70_000, 2)])
async def test_a_page_that_has_read_the_body_does_not_wait_for_more(length: int, received: int) -> None:
    """Nothing is received after the end of a body: there it would be the client's leaving that is waited for. What a
    page did not read is dropped as ever."""
    wire = Wire()

    async def done(visit: Visit) -> Response:
        return Response(204, ())

    wire.demur = Demur(
        wire.app, Surface(wire.guard, Pages(wire.guard, page.DEFAULT, {"x": Route(post=done)}), page.DEFAULT)
    )
    body = [b"a=b&"] if length == 4 else [b"x" * 66_000, b"x" * 4_000]
    lines = [(b"content-length", str(length).encode()), (b"sec-fetch-site", b"same-origin")]
    await wire.ask("/.demur/x", *lines, method="POST", body=body)
    assert wire.status == (204 if length == 4 else 400)
    assert wire.received == received


async def test_what_is_dropped_is_bounded(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body without end is not read without end."""
    monkeypatch.setattr(wire_module, "MOST_DROPPED", 1000)
    body = [b"x" * 100] * 50
    fields = await wire.ask("/members/", (b"content-length", b"5000"), method="POST", body=body)
    assert wire.received == 10
    assert fields[b"connection"] == b"close"


@pytest.mark.parametrize("target", ["/members/", "/public/../x"])
async def test_head_is_get_without_the_body(wire: Wire, target: str) -> None:
    """HEAD gets the fields of GET, the length included."""
    accept = (b"accept", b"text/html")
    got = await wire.ask(target, accept)
    length = sum(len(message["body"]) for message in wire.sent[1:])
    wire.sent.clear()
    head = await wire.ask(target, accept, method="HEAD")
    assert head.keys() == got.keys()
    assert abs(int(head[b"content-length"]) - length) == 0
    assert sum(len(message["body"]) for message in wire.sent[1:]) == 0


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (((b"host", b"app.example.com"),), 200),
        (((b"host", b"APP.example.com:443"),), 200),
        (((b"host", b"other.example.com"),), 421),
        (((b"host", b"app.example.com"), (b"host", b"app.example.com")), 400),
        (((b"host", b"app.example.com/x"),), 400),
        (((b"host", b""),), 400),
    ],
)
async def test_one_known_host(wire: Wire, lines: tuple[tuple[bytes, bytes], ...], status: int) -> None:
    """A request has exactly one host, and it is this site's; what is turned away is noted like any decision."""
    await wire.ask("/public/x", *lines)
    assert wire.status == status
    assert [note.status for note in wire.noted] == [None if status == 200 else status]


async def test_the_app_cannot_set_our_cookie(wire: Wire) -> None:
    """A Set-Cookie for our name, in any case, does not leave; the app's others do."""
    wire.answer[0]["headers"] = [
        (b"set-cookie", b"__Host-demur=x; Path=/"),
        (b"Set-Cookie", b"__HOST-DEMUR=x"),
        (b"set-cookie", b"theirs=2"),
        (b"demur-processed", b"?0"),
    ]
    await wire.ask("/public/x")
    assert wire.sent[0]["headers"] == [(b"set-cookie", b"theirs=2")]


@pytest.mark.parametrize(
    ("value", "status", "reason"),
    [
        (b"not-permitted", 403, "not-permitted"),
        (b'access-pending; detail="On Monday."', 403, "access-pending"),
        (b"step-up-required; max_age=60", 401, "step-up-required"),
        (b"not-found", 404, "not-found"),
        (b"sign-in-required", 502, "upstream-unreachable"),
        (b"unavailable", 502, "upstream-unreachable"),
        (b"nonsense;;", 502, "upstream-unreachable"),
    ],
)
async def test_the_app_refuses_with_one_field(wire: Wire, value: bytes, status: int, reason: str) -> None:
    """`Demur-Refuse` becomes the whole refusal, without its own body and fields, and without `processed`."""
    wire.answer[0]["headers"] = [(b"demur-refuse", value), (b"etag", b'"1"')]
    fields = await wire.ask("/members/", await wire.cookie())
    assert wire.status == status
    assert b"demur-refuse" not in fields
    assert b"etag" not in fields
    assert b"demur-processed" not in fields
    body = b"".join(message["body"] for message in wire.sent[1:])
    assert f'"reason":"{reason}"'.encode() in body
    assert b"hello" not in body


async def test_a_request_cannot_refuse(wire: Wire) -> None:
    """`Demur-Refuse` in a request means nothing."""
    await wire.ask("/public/x", (b"demur-refuse", b"not-permitted"))
    assert wire.status == 200


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (UpstreamFailure(Reason.UPSTREAM_UNREACHABLE, "gone"), 502),
        (UpstreamFailure(Reason.UPSTREAM_TIMEOUT, "slow"), 504),
        (Refused(Reason.NOT_PERMITTED, "Only the author may."), 403),
    ],
)
async def test_what_the_app_raises(wire: Wire, fault: Exception, status: int) -> None:
    """An upstream that fails and a view that refuses are answered as problems, and nothing claims to be unprocessed."""
    wire.fault = fault
    fields = await wire.ask("/members/", await wire.cookie())
    assert wire.status == status
    assert b"demur-processed" not in fields


async def test_other_faults_are_the_servers(wire: Wire) -> None:
    """A fault of the app stays one."""
    wire.fault = KeyError("x")
    with pytest.raises(KeyError):
        await wire.ask("/public/x")


async def test_a_concealed_page_is_the_sites_own(wire: Wire) -> None:
    """For a concealed refusal the site is asked for an unused page, in every other way as it would have been asked."""
    wire.answer[0] |= {"status": 404, "headers": [(b"x-app", b"404"), (b"cache-control", b"max-age=60")]}
    conditions = [(b"if-none-match", b"*"), (b"range", b"bytes=0-1"), (b"x-token", b"7")]
    fields = await wire.ask("/inner/vault/7?q=1", await wire.cookie(), *conditions, (b"accept", b"*/*"))
    (scope,) = wire.passed
    theirs = (b"cookie", b"theirs=1")
    assert scope["headers"] == [(b"host", b"app.example.com"), theirs, *conditions, (b"accept", b"*/*")]
    assert scope["raw_path"].startswith(b"/inner/")
    assert scope["raw_path"].endswith(b"/7")
    assert b"vault" not in scope["raw_path"]
    assert scope["query_string"] == b"q=1"
    assert scope["demur"].allow.subject.name == "bo"
    assert fields.keys() >= {b"x-app", b"cache-control", b"server-timing"}
    assert fields[b"cache-control"] == b"no-store"


async def test_a_concealed_page_looks_like_a_missing_one(wire: Wire) -> None:
    """Whoever is signed in gets the same fields for a concealed page as for one that is not there."""
    wire.answer[0] |= {"status": 404, "headers": [(b"x-app", b"404")]}
    cookie = await wire.cookie()
    concealed = await wire.ask("/inner/vault/7", cookie)
    wire.sent.clear()
    assert await wire.ask("/inner/nothing", cookie) == concealed


async def test_a_concealed_websocket_is_asked_as_one(wire: Wire) -> None:
    """A handshake to a concealed path gets the site's own no to a handshake that leads nowhere."""
    wire.answer = [
        {"type": "websocket.http.response.start", "status": 404, "headers": [(b"x-app", b"404")]},
        {"type": "websocket.http.response.body", "body": b"no such page"},
    ]
    own = (b"origin", b"https://app.example.com")
    asks = (b"upgrade", b"websocket")
    fields = await wire.ask("/inner/vault/7", await wire.cookie(), own, asks, type="websocket", scheme="wss")
    assert [message["type"] for message in wire.sent] == [message["type"] for message in wire.answer]
    assert (wire.status, fields[b"x-app"]) == (404, b"404")
    (scope,) = wire.passed
    assert scope["type"] == "websocket"
    assert b"vault" not in scope["demur"].request.target


async def test_what_would_change_something_is_not_sent_on_for_a_concealed_page(wire: Wire) -> None:
    """A POST to a concealed page asks the site for an unused page with GET, and without what came with it."""
    wire.answer[0] |= {"status": 404, "headers": []}
    sent = [(b"content-type", b"text/plain"), (b"content-length", b"5"), (b"origin", b"https://app.example.com")]
    await wire.ask("/inner/vault/7", await wire.cookie(), *sent, method="POST")
    (scope,) = wire.passed
    assert scope["method"] == scope["demur"].request.method == "GET"
    assert not {b"content-type", b"content-length"} & {name for name, _ in scope["headers"]}
    assert wire.status == 404


async def test_nothing_goes_on_watching_after_a_concealed_answer(wire: Wire) -> None:
    """A site that accepts whatever handshake it gets leaves nothing running behind when it is done."""
    wire.answer = [{"type": "websocket.accept", "headers": []}]
    own = (b"origin", b"https://app.example.com")
    before = asyncio.all_tasks()
    await wire.ask(
        "/inner/vault/7", await wire.cookie(), own, (b"upgrade", b"websocket"), type="websocket", scheme="wss"
    )
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_websocket_is_denied_in_http(wire: Wire) -> None:
    """A refused handshake gets the whole refusal where the server can send one, and a plain 403 elsewhere."""
    asks = (b"upgrade", b"websocket")
    await wire.ask("/members/", asks, type="websocket", scheme="wss", extensions={"websocket.http.response": {}})
    assert wire.sent[0]["type"] == "websocket.http.response.start"
    assert wire.status == 401
    wire.sent.clear()
    await wire.ask("/members/", asks, type="websocket", scheme="wss")
    assert wire.sent == [{"type": "websocket.close"}]


async def test_a_websocket_passes(wire: Wire) -> None:
    """An allowed handshake reaches the app, and what follows is left alone."""
    wire.answer = [
        {"type": "websocket.accept", "headers": [(b"x-app", b"1")]},
        {"type": "websocket.send", "text": "hi"},
    ]
    own = (b"origin", b"https://app.example.com")
    await wire.ask("/members/", await wire.cookie(), own, (b"upgrade", b"websocket"), type="websocket", scheme="wss")
    assert [message["type"] for message in wire.sent] == ["websocket.accept", "websocket.send"]
    assert wire.sent[0]["headers"] == [(b"x-app", b"1")]


async def test_lifespan_is_the_apps_own(wire: Wire) -> None:
    """What is no request goes to the app untouched."""
    wire.answer = []

    async def never() -> Any:
        raise AssertionError

    async def ignore(message: Any) -> None:
        raise AssertionError

    await wire.demur({"type": "lifespan"}, never, ignore)
    assert wire.passed == [{"type": "lifespan"}]


async def test_the_raw_target_of_the_server_counts(wire: Wire) -> None:
    """Where the server gives the bytes of the wire, these are judged, and not what was made of them."""
    await wire.ask("/public/x", extensions={"demur.target": {"raw": b"/public/..%2fmembers/"}})
    assert wire.status == 401


@pytest.mark.parametrize("read", [0, 1, 3])
async def test_what_a_view_was_refused_is_read_too(read: int) -> None:
    """A client that is still sending, perhaps through a proxy, reads the answer and not a broken pipe: also where the
    refusal came from the hook or from the app, whatever has been read by then."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(read):
            await receive()
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    parts = [{"type": "http.request", "body": b"x" * 10, "more_body": number < 2} for number in range(3)]
    sent: list[Any] = []

    async def receive() -> Any:
        assert parts, "there is nothing more to receive"
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    fields = [(b"host", b"app.example"), (b"content-length", b"30")]
    scope = {"type": "http", "method": "POST", "path": "/x", "raw_path": b"/x", "query_string": b"", "scheme": "http"}
    demurred = Demur(app, bridge=lambda native: demur.nobody)
    await demurred({**scope, "headers": fields, "client": ("192.0.2.7", 1)}, receive, send)
    assert sent[0]["status"] == 401
    assert not parts
    assert not sent[-1].get("more_body", False)
