"""The WSGI middleware, call by call. What it makes of an environ is in `test_wsgi_environ.py`."""

from __future__ import annotations

import asyncio
import io
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest
from tests.adapters.test_wsgi_environ import environ
from tests.core.support import NOW, make_site

from demur.adapters.surface import Surface
from demur.adapters.wsgi import Demur
from demur.core import bridged, page
from demur.core.model import Refused, Response, Session, Subject
from demur.core.reasons import Reason
from demur.core.rules import load
from demur.core.sessions import identify, mint
from demur.core.site import Cors
from demur.guard import Guard
from demur.pages.router import Pages, Route
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from demur.core.ports import Decided
    from demur.core.site import Site
    from demur.pages.visit import Visit

SITE = make_site()
KEYS = MemoryKeys()
BO = Subject("0192-bo", "bo", frozenset(("staff",)), display_name="Bo")


def hello(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """An app."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-App", "1")])
    return [b"hello"]


class Wire:
    """A server and the app behind, both seen call by call."""

    def __init__(self, app: Callable[..., Iterable[bytes]] = hello, *, site: Site = SITE, **more: Any) -> None:
        self.store, self.keys = MemoryStore(), KEYS
        self.noted: list[Decided] = []
        self.guard = Guard(site, self.store, self.keys, observer=self, clock=lambda: float(NOW))
        self.passed: list[dict[str, Any]] = []
        self.app = app
        self.demur = Demur(self.inner, Surface(self.guard, Pages(self.guard, page.DEFAULT, more), page.DEFAULT))
        self.said: list[tuple[str, list[tuple[str, str]]]] = []
        self.body = b""

    def decided(self, decided: Decided) -> None:
        self.noted.append(decided)

    def signed_in(self, method: str, outcome: str) -> None:
        raise AssertionError

    def inner(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.passed.append(dict(environ))
        return self.app(environ, start_response)

    def cookie(self) -> str:
        token = mint(b"r" * 32, self.keys.ring().current)
        session = Session(identify(token), BO.id, NOW, NOW, NOW, NOW + 86400, idle=3600)
        asyncio.run(self.store.issue(session, BO))
        return f"theirs=1; __Host-demur={token}"

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        if exc_info and self.body:
            raise exc_info[1].with_traceback(exc_info[2])
        assert exc_info or not self.said, "PEP 3333: a second call has exc_info"
        self.said.append((status, headers))
        return self.write

    def write(self, data: bytes) -> None:
        self.body += data

    def ask(self, path: str = "/members/", **more: Any) -> dict[str, str]:
        """Send a request, and take all of the answer; its fields."""
        parts = self.demur(environ(PATH_INFO=path, **more), self.start_response)
        try:
            for part in parts:
                assert self.said, "PEP 3333: start_response comes first"
                self.body += part
        finally:
            if hasattr(parts, "close"):
                parts.close()
        return {name.lower(): value for name, value in self.said[-1][1]}

    @property
    def status(self) -> int:
        return int(self.said[-1][0][:3])


@pytest.fixture
def wire() -> Wire:
    """A fresh wire."""
    return Wire()


def test_the_app_sees_who_it_is_and_nothing_that_pretends(wire: Wire) -> None:
    """What is passed on has neither our cookie nor any spelling of an identity field, and tells who is allowed."""
    forged = {"HTTP_REMOTE_USER": "root", "HTTP_REMOTE.GROUPS": "admins", "HTTP_Remote-Email": "x", "HTTP_X_OTHER": "1"}
    forged["HTTP_DEMUR_SUBJECT"] = BO.id
    wire.ask("/members/", HTTP_COOKIE=wire.cookie(), **forged)
    (given,) = wire.passed
    names = {name for name in given if name.startswith("HTTP_")}
    assert names == {"HTTP_HOST", "HTTP_COOKIE", "HTTP_X_OTHER"}
    assert given["HTTP_COOKIE"] == "theirs=1"
    assert given["demur.passed"].subject == BO
    assert given["REMOTE_ADDR"] == "192.0.2.1"  # the server's own word
    assert (wire.status, wire.body) == (200, b"hello")


def test_identity_is_stripped_from_open_pages_too(wire: Wire) -> None:
    """No route lets a forged identity through, and a cookie that was ours alone leaves no empty field."""
    wire.ask("/public/x", HTTP_REMOTE_USER="root", HTTP_COOKIE="__Host-demur=x")
    assert not {"HTTP_REMOTE_USER", "HTTP_COOKIE"} & wire.passed[0].keys()
    assert wire.passed[0]["demur.passed"].subject is None


def test_an_authorization_of_ours_is_not_the_apps() -> None:
    """What was judged goes no further; any other passes untouched."""
    wire = Wire(site=replace(SITE, rules=load([{"path": "/**", "allow": "anyone", "accepts": ["bearer"]}])))
    wire.ask("/x", HTTP_AUTHORIZATION="Bearer theirs")
    assert "HTTP_AUTHORIZATION" not in wire.passed[0]
    other = Wire()
    other.ask("/public/x", HTTP_AUTHORIZATION="Bearer theirs")
    assert other.passed[0]["HTTP_AUTHORIZATION"] == "Bearer theirs"


@pytest.mark.parametrize("by_method", [True, False])
def test_no_field_asks_the_app_for_another_method(by_method: bool) -> None:
    """Where rules tell methods apart, the method that was judged is the one that the app gets."""
    only_get = {"methods": ["GET"]} if by_method else {}
    wire = Wire(site=replace(SITE, rules=load([{"path": "/posts/**", "allow": "anyone", **only_get}])))
    asked = {"HTTP_X_HTTP_METHOD_OVERRIDE": "DELETE", "HTTP_X_HTTP_METHOD": "PUT", "HTTP_X_METHOD_OVERRIDE": "PUT"}
    wire.ask("/posts/1", **asked)
    assert asked.keys() & wire.passed[0].keys() == (set() if by_method else asked.keys())


def test_the_path_is_judged_as_the_app_reads_it() -> None:
    """What a server has decoded and cut off at the front is put together again."""
    wire = Wire(site=make_site(rules=load([{"path": "/**", "allow": "anyone"}, {"path": "/a/b", "allow": "nobody"}])))
    asked = {("", "/b%25"): 200, ("/a", "/b"): 401, ("/a", "/%62"): 401, ("", "/b?/../a/b"): 401, ("/a", "b"): 400}
    for (root, path), status in asked.items():
        wire.said.clear()
        wire.ask(path, SCRIPT_NAME=root)
        assert wire.status == status, (root, path)


def test_a_refused_request_never_reaches_the_app(wire: Wire) -> None:
    """The answer leaves before what was sent is read; then that is read and dropped."""
    sent = io.BytesIO(b"abcdef")
    given = environ(PATH_INFO="/members/", REQUEST_METHOD="POST", CONTENT_LENGTH="6", **{"wsgi.input": sent})
    parts = iter(wire.demur(given, wire.start_response))
    assert next(parts).startswith(b"{")
    assert sent.tell() == 0
    assert list(parts) == []
    assert sent.tell() == 6
    fields = dict(wire.said[0][1])
    assert (wire.said[0][0], wire.passed) == ("401 Unauthorized", [])
    assert fields["demur-processed"] == "?0"


def test_without_content_an_answer_is_one_piece(wire: Wire) -> None:
    """A server that looks knows that there is no more."""
    (body,) = wire.demur(environ(PATH_INFO="/members/"), wire.start_response)
    assert dict(wire.said[0][1])["content-length"] == str(len(body))


def test_head_has_no_content(wire: Wire) -> None:
    """And the length that GET would have."""
    head, get = wire.ask("/members/", REQUEST_METHOD="HEAD"), Wire().ask("/members/")
    assert (wire.body, head["content-length"]) == (b"", get["content-length"])


@pytest.mark.parametrize(
    ("fields", "status"), [({}, 400), ({"HTTP_HOST": "other.example"}, 421), ({"HTTP_HOST": "x,y"}, 400)]
)
def test_another_host_is_turned_away(wire: Wire, fields: dict[str, str], status: int) -> None:
    """What is for no site of ours is said to be."""
    given = environ(PATH_INFO="/public/x")
    del given["HTTP_HOST"]
    list(wire.demur({**given, **fields}, wire.start_response))
    assert (wire.status, wire.passed) == (status, [])


async def _echo(visit: Visit) -> Response:
    return Response(200, ((b"content-length", b"%d" % len(visit.body)),), visit.body)


def test_our_own_pages_read_a_bounded_body() -> None:
    """The page gets all of it, or a refusal where that is too long."""
    form = {"REQUEST_METHOD": "POST", "HTTP_ORIGIN": "https://app.example.com"}
    wire = Wire(echo=Route(post=_echo))
    wire.ask("/.demur/echo", CONTENT_LENGTH="3", **form, **{"wsgi.input": io.BytesIO(b"a=b")})
    assert (wire.status, wire.body, wire.passed) == (200, b"a=b", [])
    sent = io.BytesIO(b"x" * 100_000)
    other = Wire(echo=Route(post=_echo))
    other.ask("/.demur/echo", CONTENT_LENGTH="100000", **form, **{"wsgi.input": sent})
    assert (other.status, sent.tell()) == (400, 100_000)


@pytest.mark.parametrize(("cookie", "path", "status"), [("", "/", 200), ("", "/plans", 401), ("who=bo", "/plans", 200)])
def test_an_app_with_a_login_of_its_own(cookie: str, path: str, status: int) -> None:
    """Options make the surface, and the bridge is asked before the app is: it gets the environ."""

    def bridge(environ: dict[str, Any]) -> Any:
        return bridged.person(2, "bo") if environ.get("HTTP_COOKIE") == "who=bo" else bridged.nobody

    rules = [{"path": "/", "allow": "anyone"}, {"path": "/**", "allow": "signed-in"}]
    wire = Wire()
    wire.demur = Demur(wire.inner, bridge=bridge, rules=rules)
    fields = wire.ask(path, HTTP_COOKIE=cookie)
    assert (wire.status, len(wire.passed)) == (status, status == 200)
    assert fields.get("demur-processed") == (None if status == 200 else "?0")
    if cookie:
        assert wire.passed[0]["demur.passed"].subject.name == "bo"
        assert wire.passed[0]["HTTP_COOKIE"] == "who=bo"  # the app's own


# --- what the app answers ---------------------------------------------------------------------------


class Body:
    """An iterable that knows whether it was closed."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = iter(parts)
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self.parts

    def close(self) -> None:
        self.closed = True


def test_the_apps_own_iterable_goes_to_the_server() -> None:
    """Nothing stands between them: no part is held back, and a server finds its own file wrapper."""
    body: Any = Body(b"a")

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        return body

    wire = Wire(app)
    assert wire.demur(environ(PATH_INFO="/public/x"), wire.start_response) is body


def test_an_allowed_answer_leaves_dressed(wire: Wire) -> None:
    """No shared cache keeps what was made for one person."""
    fields = wire.ask("/members/", HTTP_COOKIE=wire.cookie())
    assert (fields["x-app"], fields["cache-control"]) == ("1", "private, no-cache")
    assert "server-timing" in fields


def _refuses(*parts: bytes, status: str = "200 OK") -> tuple[Callable[..., Any], Body]:
    body = Body(*parts)

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        write = start_response(status, [("Demur-Refuse", "not-permitted"), ("X-Secret", "1")])
        write(b"never seen")
        return body

    return app, body


def test_the_app_refuses() -> None:
    """By its field, and then nothing of what it said leaves; its iterable is closed."""
    app, body = _refuses(b"never seen")
    wire = Wire(app)
    fields = wire.ask("/members/", HTTP_COOKIE=wire.cookie())
    assert (wire.status, body.closed) == (403, True)
    assert b"never" not in wire.body
    assert not {"x-secret", "demur-refuse", "demur-processed"} & fields.keys()
    assert [each.reason for each in wire.noted] == [None, Reason.NOT_PERMITTED]


def test_an_app_that_starts_late() -> None:
    """A generator says how it answers when it is asked for the first bytes: what it says then counts, and its parts
    leave one by one."""
    steps: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        steps.append("asked")
        start_response("200 OK", [])
        yield b"a"
        steps.append("asked again")
        yield b"b"

    wire = Wire(app)
    parts = iter(wire.demur(environ(PATH_INFO="/public/x"), wire.start_response))
    assert steps == []
    assert (next(parts), steps) == (b"a", ["asked"])
    assert (list(parts), wire.status) == ([b"b"], 200)


def test_an_app_that_refuses_late() -> None:
    """The same for a refusal: the rest is not asked for, and it is closed."""
    steps: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        try:
            start_response("200 OK", [("Demur-Refuse", "not-permitted")])
            yield b"never seen"
            steps.append("went on")
        finally:
            steps.append("closed")

    wire = Wire(app)
    wire.ask("/members/", HTTP_COOKIE=wire.cookie())
    assert (wire.status, steps) == (403, ["closed"])
    assert b"never" not in wire.body


def test_an_app_without_content_that_starts_late() -> None:
    """An empty answer is one, too."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("204 No Content", [])
        yield from ()

    wire = Wire(app)
    wire.ask("/public/x")
    assert (wire.status, wire.body) == (204, b"")


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("begun", [True, False])
def test_the_app_raises_refused(late: bool, begun: bool) -> None:
    """Deep in a view, before anything of its answer has left."""

    def answer(start_response: Any) -> bytes:
        if begun:
            start_response("200 OK", [("X-Secret", "1")])
        raise Refused(Reason.NOT_PERMITTED, "Only the author may.")

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        return [answer(start_response)]

    def generator(environ: dict[str, Any], start_response: Any) -> Any:
        yield answer(start_response)

    wire = Wire(generator if late else app)
    fields = wire.ask("/members/", HTTP_COOKIE=wire.cookie())
    assert wire.status == 403
    assert b"Only the author may." in wire.body
    assert not {"x-secret", "demur-processed"} & fields.keys()


def test_an_answer_that_has_left_is_not_taken_back() -> None:
    """The server breaks it off."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])(b"half")
        raise Refused(Reason.NOT_PERMITTED)

    wire = Wire(app)
    with pytest.raises(Refused):
        wire.ask("/public/x")
    assert wire.body == b"half"


def test_an_error_of_the_app_is_its_own() -> None:
    """It goes to the server, or to whoever handles it there."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        raise LookupError

    with pytest.raises(LookupError):
        Wire(app).ask("/public/x")


def test_the_app_may_change_its_mind() -> None:
    """A second call with `exc_info` replaces the first, a refusal included."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        try:
            {}[environ["PATH_INFO"]]
        except KeyError:
            start_response("500 Oh", [("Demur-Refuse", "not-permitted")], sys.exc_info())
        return [b"never seen"]

    wire = Wire(app)
    wire.ask("/public/x")
    assert [status for status, _ in wire.said] == ["200 OK", "403 Forbidden"]
    assert b"never" not in wire.body


# --- neither yes nor no -----------------------------------------------------------------------------


def test_a_preflight_is_answered_by_us() -> None:
    """From the site's policy; nobody is asked who they are."""
    wire = Wire(site=make_site(cors=Cors(frozenset(("https://partner.example",)), ("GET",))))
    asked = {"HTTP_ORIGIN": "https://partner.example", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "GET"}
    fields = wire.ask("/members/", REQUEST_METHOD="OPTIONS", **asked)
    assert (wire.status, wire.passed) == (204, [])
    assert fields["access-control-allow-origin"] == "https://partner.example"


def test_a_preflight_that_the_app_answers_is_bare() -> None:
    """It was let through unasked, so it brings neither credentials nor content."""
    wire = Wire(site=make_site(cors=Cors(upstream=True)))
    asked = {"HTTP_ORIGIN": "https://x.example", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT"}
    more = {"HTTP_COOKIE": "a=b", "HTTP_AUTHORIZATION": "Basic x", "CONTENT_LENGTH": "3", "CONTENT_TYPE": "a/b"}
    wire.ask("/members/", REQUEST_METHOD="OPTIONS", **asked, **more, **{"wsgi.input": io.BytesIO(b"abc")})
    (given,) = wire.passed
    assert not {"HTTP_COOKIE", "HTTP_AUTHORIZATION", "CONTENT_TYPE"} & given.keys()
    assert (given["CONTENT_LENGTH"], given["wsgi.input"].read()) == ("0", b"")


@pytest.mark.parametrize("root", ["", "/open", "/open/vault"])
def test_what_is_concealed_is_asked_for_elsewhere(root: str) -> None:
    """The app is asked for a page that is not there, under whichever root it is."""
    wire = Wire()
    path = "/open/vault/x".removeprefix(root)
    more = {"RAW_URI": "/open/vault/x", "QUERY_STRING": "q=1", "CONTENT_LENGTH": "3", "REQUEST_METHOD": "POST"}
    wire.ask(path, SCRIPT_NAME=root, HTTP_COOKIE=wire.cookie(), **more, **{"wsgi.input": io.BytesIO(b"abc")})
    (given,) = wire.passed
    whole = given["SCRIPT_NAME"] + given["PATH_INFO"]
    assert whole.startswith("/open/")
    assert "vault" not in whole
    assert (given["QUERY_STRING"], given["RAW_URI"]) == ("q=1", f"{whole}?q=1")
    assert (given["REQUEST_METHOD"], given["wsgi.input"].read()) == ("GET", b"")


def test_the_protocol_is_kept() -> None:
    """By the judge of the standard library, before and behind."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    wire = Wire(validator(app))
    outer = validator(wire.demur)
    for path in ("/public/x", "/members/", "/.demur/client.js"):
        wire.said.clear()
        given = {**environ(PATH_INFO=path, SERVER_NAME="x", SERVER_PORT="1"), "wsgi.version": (1, 0)}
        given |= {
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        parts: Any = outer(given, lambda status, headers, exc_info=None: wire.start_response(status, headers, exc_info))
        assert b"".join(parts)
        parts.close()
