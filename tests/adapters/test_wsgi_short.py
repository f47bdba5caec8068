"""The short way of WSGI and the long one cannot be told apart: not by the app, the client or the log."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from tests.adapters.test_wsgi import Wire
from tests.adapters.test_wsgi_environ import environ
from tests.core.support import NOW, make_site

from demur.core.marks import identified, public, require
from demur.core.model import Actor, End, Ending, Refused, Session, Subject
from demur.core.reasons import Reason
from demur.core.rules import load
from demur.core.sessions import identify, mint
from demur.core.site import Cors

NAMES = ("at", "origin", "request", "outcome", "status", "reason", "rule", "subject", "error")


class Side(Wire):
    """A site that notes which way a request went, and what its app saw."""

    def __init__(self, *, short: bool, **more: Any) -> None:
        super().__init__(self.answer, **more)
        self.taken, self.seen, self.does = 0, list[Any](), ""
        self.demur.short._works = short
        enter = self.demur.short.enter

        def counted(given: dict[str, Any]) -> Any:
            passed = enter(given)
            self.taken += passed is not None
            return passed

        self.demur.short.enter = counted  # type: ignore[assignment, method-assign]

    def answer(self, given: dict[str, Any], start_response: Any) -> list[bytes]:
        passed = given["demur.passed"]
        told = [getattr(passed, name) for name in ("allow", "subject", "session", "request", "left", "site")]
        assert passed.reference == passed.checked.reference
        self.seen.append((told, {key: value for key, value in given.items() if "." not in key}))
        if self.does == "raises":
            raise Refused(Reason.NOT_PERMITTED, "no")
        if self.does == "asks":
            passed.require(groups=["nobody"])
        headers = [("Content-Type", "text/plain"), *[("Demur-Refuse", "not-permitted")] * (self.does == "refuses")]
        headers += {"private": [("Cache-Control", "public, max-age=9")], "cookie": [("Set-Cookie", "a=b")]}.get(
            self.does, []
        )
        start_response("404 Not Found" if self.does == "missing" else "200 OK", headers)
        return [b"hello"]

    def went(self, **asked: Any) -> Any:
        """All that can be told of a request."""
        self.said, self.body = [], b""
        self.ask(asked.pop("path", "/members/"), **asked)
        log = [{name: getattr(each, name) for name in NAMES} for each in self.noted[-1:]]
        fields = [(name.lower(), value) for name, value in self.said[-1][1]]
        body = b"" if self.status >= 400 else self.body
        return self.status, fields if self.status < 400 else [], body, self.seen[-1], log

    def went_nowhere(self, **asked: Any) -> None:
        """Ask for what is refused."""
        self.said, self.body = [], b""
        self.ask(asked.pop("path"), **asked)


ASKED: list[dict[str, Any]] = [
    {},
    {"QUERY_STRING": "a=b"},
    {"QUERY_STRING": "a=#"},
    {"REQUEST_METHOD": "HEAD"},
    {"REQUEST_METHOD": "POST"},
    {"HTTP_X_NEW": "1"},
    {"HTTP_REMOTE_USER": "root"},
    {"HTTP_ORIGIN": "https://x.example"},
    {"HTTP_DEMUR_BACKGROUND": "?1"},
    {"path": "/public/x"},
    {"path": "/members/else"},
    {"path": "/public/x", "HTTP_COOKIE": ""},
    {"HTTP_HOST": "APP.example.com"},
    {"SCRIPT_NAME": "/members", "path": "/"},
]


@pytest.mark.parametrize("asked", ASKED, ids=map(str, range(len(ASKED))))
@pytest.mark.parametrize("does", ["", "raises", "asks", "refuses", "private", "cookie", "missing"])
def test_both_ways_are_the_same(asked: dict[str, Any], does: str) -> None:
    """Whatever is asked, and whatever the app does."""
    sides = [Side(short=True), Side(short=False)]
    cookie, _ = (side.cookie() for side in sides)
    for _ in range(3):
        for one in ({}, {"path": "/public/x"}, asked):
            found = []
            for side in sides:
                side.does = does if one is asked else ""
                found.append(side.went(**{"HTTP_COOKIE": cookie, **one}))
            assert _but_sites(found[0]) == _but_sites(found[1])
    assert (sides[0].taken > 0, sides[1].taken) == (True, 0)


def _but_sites(found: Any) -> Any:
    status, fields, body, (told, given), log = found
    return status, fields, body, told[:-1], given, log


def test_what_ends_holds_at_once() -> None:
    """Who is signed out does not go the short way any more."""
    side = Side(short=True)
    cookie = side.cookie()
    assert [side.went(HTTP_COOKIE=cookie)[0] for _ in range(3)] == [200, 200, 200]
    assert side.taken > 0
    (session,) = asyncio.run(side.store.sessions())
    asyncio.run(side.store.apply([End(session.id, Ending.REVOKED, Actor.ADMINISTRATOR, NOW)]))
    assert side.went(HTTP_COOKIE=cookie)[0] == 401


@pytest.mark.parametrize("sent", ["{ours}; {ours}", "x{ours}", "a=b;{ours}", "{ours}x", "{others}", "a=1; {ours}; b=2"])
def test_only_a_cookie_as_browsers_send_it(sent: str) -> None:
    """Any other goes the long way, and is judged there."""
    sides = [Side(short=True), Side(short=False)]
    cookie, _ = (side.cookie().removeprefix("theirs=1; ") for side in sides)
    line = sent.replace("{ours}", cookie).replace("{others}", cookie[:-3] + "abc")
    for side in sides:
        side.went(HTTP_COOKIE=cookie)
        side.went(HTTP_COOKIE=cookie)
    found = []
    for side in sides:
        side.went(HTTP_COOKIE=line)
        found.append((side.status, side.passed[-1].get("HTTP_COOKIE")))
    assert found[0] == found[1]


def test_a_site_that_other_origins_read_is_dressed_at_length() -> None:
    """What depends on the origin is not remembered."""
    side = Side(short=True, site=make_site(cors=Cors(frozenset(("https://partner.example",)), ("GET",))))
    cookie = side.cookie()
    for _ in range(3):
        found = dict(side.went(HTTP_COOKIE=cookie)[1])
        assert found["vary"] == "Origin"


def test_the_environ_is_the_servers_own() -> None:
    """It is changed in its place, as on the long way."""
    side = Side(short=True)
    cookie = side.cookie()
    for _ in range(2):
        side.went(HTTP_COOKIE=cookie)
    given = environ(PATH_INFO="/members/", HTTP_COOKIE=cookie)
    list(side.demur(given, lambda *_: side.write))
    assert given["HTTP_COOKIE"] == "theirs=1"
    assert given["demur.passed"].native is given


def test_a_server_may_leave_out_what_is_empty() -> None:
    """The place is known without it (PEP 3333, environ Variables), and what is given is another place."""
    side, taken = Side(short=True), list[int]()
    cookie = side.cookie()
    for script in (None, None, None, "", "/members", "/members"):
        given = environ(PATH_INFO="/members/", HTTP_COOKIE=cookie, SCRIPT_NAME=script)
        if script is None:
            del given["SCRIPT_NAME"], given["QUERY_STRING"]
        side.said = []
        list(side.demur(given, side.start_response))
        taken.append(side.taken)
    assert taken == [0, 1, 2, 2, 2, 3]


# --- marks ------------------------------------------------------------------------------------------

MARKED = make_site(rules=load([{"path": "/**", "allow": "marked"}], {"a:b": ["staff"]}, views=True))
MARKS = {
    "/in": (require(),),
    "/staff": (require(groups=["staff"]), require()),
    "/board": (require(groups=["board"]),),
    "/fresh": (require(fresh=300),),
    "/one": (require("a:b"),),
    "/open": (public,),
    "/whoever": (identified,),
    "/none": (),
}


class Marked(Side):
    """A site whose views say by their marks who may open them."""

    def __init__(self, *, short: bool) -> None:
        super().__init__(short=short, site=MARKED)
        self.now = float(NOW)
        self.guard.clock = lambda: self.now

    def answer(self, given: dict[str, Any], start_response: Any) -> list[bytes]:
        passed = given["demur.passed"]
        left = passed.left
        if not self.demur.short.judge(passed, MARKS[given["PATH_INFO"]], given):
            start_response("200 OK", [])
            return [b"never seen"]
        assert passed.checked.plan is not None
        return [str(left).encode(), *super().answer(given, start_response)]

    def went(self, **asked: Any) -> Any:
        self.seen.append(([], {}))
        return super().went(**asked)


@pytest.mark.parametrize("age", [0, 200, 301, 100_000])
@pytest.mark.parametrize("path", MARKS)
def test_marks_are_judged_the_same_on_both_ways(path: str, age: int) -> None:
    """Whoever asks, in whichever order, and when time has passed."""
    sides = [Marked(short=True), Marked(short=False)]
    cookie, _ = (side.cookie() for side in sides)
    asked: list[dict[str, Any]] = [{"HTTP_COOKIE": cookie}, {}, {"HTTP_COOKIE": "a=b"}, {"HTTP_COOKIE": f"x; {cookie}"}]
    for step in range(4):
        for one in asked:
            for at in dict.fromkeys((path, "/in", "/none")):
                found = []
                for side in sides:
                    side.now = float(NOW + (age if step > 1 else 0))
                    found.append(_but_sites(side.went(path=at, **one)))
                assert found[0] == found[1], (at, one)
    assert (sides[0].taken > 0, sides[1].taken) == (True, 0)


def test_marks_know_one_person_from_another() -> None:
    """What one may, another may not, and both are known."""
    side = Marked(short=True)
    cookies = [side.cookie()]
    for token, groups in ((b"a", ["board"]), (b"b", [])):
        subject = Subject(f"0192-{token.decode()}", token.decode(), frozenset(groups))
        made = mint(token * 32, side.keys.ring().current)
        session = Session(identify(made), subject.id, NOW, NOW, NOW, NOW + 86400, idle=3600)
        asyncio.run(side.store.issue(session, subject))
        cookies.append(f"__Host-demur={made}")
    for _ in range(4):
        found = {path: [side.went(path=path, HTTP_COOKIE=each)[0] for each in cookies] for path in ("/staff", "/board")}
        assert found == {"/staff": [200, 403, 403], "/board": [403, 200, 403]}
    assert side.taken > 0
    for session in asyncio.run(side.store.sessions()):
        asyncio.run(side.store.apply([End(session.id, Ending.REVOKED, Actor.ADMINISTRATOR, NOW)]))
    assert [side.went(path="/in", HTTP_COOKIE=each)[0] for each in cookies] == [401, 401, 401]


# --- what was refused -------------------------------------------------------------------------------

NOBODYS: list[dict[str, Any]] = [
    {},
    {"HTTP_ACCEPT": "text/html"},
    {"HTTP_ACCEPT": "text/html", "HTTP_SEC_FETCH_MODE": "navigate"},
    {"HTTP_COOKIE": "a=b"},
    {"HTTP_COOKIE": "__Host-demur=made-up"},
    {"HTTP_AUTHORIZATION": "Bearer x"},
    {"HTTP_ORIGIN": "https://x.example"},
    {"QUERY_STRING": "a=b"},
    {"REQUEST_METHOD": "HEAD"},
    {"REQUEST_METHOD": "POST"},
    {"CONTENT_LENGTH": "3"},
    {"HTTP_TRANSFER_ENCODING": "chunked"},
    {"HTTP_X_FORWARDED_HOST": "elsewhere.example"},
    {"HTTP_HOST": "elsewhere.example"},
    {"REMOTE_ADDR": "203.0.113.99"},
]


@pytest.mark.parametrize("asked", NOBODYS, ids=map(str, range(len(NOBODYS))))
@pytest.mark.parametrize("kind", [Side, Marked])
def test_what_is_refused_is_said_again_the_same(kind: Any, asked: dict[str, Any]) -> None:
    """To whoever has no session: byte for byte, but for the reference, and it is noted each time."""
    sides = [kind(short=True), kind(short=False)]
    path = "/in" if kind is Marked else "/members/"
    for _ in range(5):
        for one in ({}, asked, {"path": "/staff"}):
            found = []
            for side in sides:
                side.went_nowhere(**{"path": path, **one})
                reference = side.noted[-1].reference
                assert len({each.reference for each in side.noted}) == len(side.noted)
                assert (reference.encode() in side.body) is bool(side.body)
                said = [(name, value.replace(reference, "-")) for name, value in side.said[-1][1]]
                log = {name: getattr(side.noted[-1], name) for name in (*NAMES, "method", "path")}
                found.append((side.said[-1][0], said, side.body.replace(reference.encode(), b"-"), log))
            assert found[0] == found[1]
    assert bool(sides[0].demur.short._noes) is True
    assert not sides[1].demur.short._noes


def test_a_session_is_not_told_what_nobody_was() -> None:
    """What is said again is said to the same request only."""
    for kind, path in ((Side, "/members/"), (Marked, "/in")):
        side: Any = kind(short=True)
        cookie = side.cookie()
        for _ in range(3):
            side.went_nowhere(path=path)
            assert side.status == 401
            assert side.went(path=path, HTTP_COOKIE=cookie)[0] == 200


def test_what_a_refused_client_still_sends_is_dropped_each_time() -> None:
    """At a view, too, which it reached on the short way."""
    side = Marked(short=True)
    for _ in range(4):
        side.went_nowhere(path="/in")
        content = io.BytesIO(b"abc")
        side.went_nowhere(path="/in", CONTENT_LENGTH="3", **{"wsgi.input": content})
        assert (side.status, content.read()) == (401, b"")
    assert side.taken > 0
