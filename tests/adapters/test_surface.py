"""What all adapters share: what is left to the view, and what an app says in its own way."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

import demur
from demur.adapters.options import assemble
from demur.adapters.passed import Passed
from demur.adapters.surface import check_routes
from demur.core.model import ConfigError, Refused, Request, Response, Session, Subject
from demur.core.reasons import Reason
from demur.core.sessions import identify, mint
from demur.stores.keys import MemoryKeys

NOW = 1_795_000_000
ANNA = demur.person(7, "anna", ["staff"], authenticated_at=NOW - 60)
BO = demur.person(8, "bo", authenticated_at=NOW - 3600)
RULES = [
    {"path": "/open/**", "allow": "anyone"},
    {"path": "/**", "allow": "marked"},
    {"path": "/own/**", "allow": "app"},
    {"path": "/closed/**", "allow": "signed-in"},
]


def ask(path="/x", method="GET", **fields):
    """A request for this site."""
    lines = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in fields.items())
    return Request(method, path.encode(), "http", "app.example", "192.0.2.7", lines)


def surface(bridge, rules=RULES, **more):
    """A surface before an app with a login of its own."""
    given = {"bridge": bridge, "rules": rules, "login": "/login?next={next}", "permissions": {"report:read": ["staff"]}}
    return assemble(**{**given, "clock": lambda: NOW, **more})


def who(evidence):
    """A bridge that says always the same."""
    return lambda native: evidence


@pytest.fixture(params=["sync", "async"])
def way(request):
    """Through the surface without an event loop, and through the other: enter, judge, and what they gave."""

    async def walk(site, request_, found):
        passed = await site.aenter(request_, None)
        if isinstance(passed, Passed):
            await site.ajudge(passed, found, native="native")
        return passed

    def step(site, request_, found):
        passed = site.enter(request_, None)
        if isinstance(passed, Passed):
            site.judge(passed, found, native="native")
        return passed

    return step if request.param == "sync" else lambda *given: asyncio.run(walk(*given))


REQUIRE, REPORT, FRESH = demur.require(), demur.require("report:read"), demur.require(fresh="15m")


@pytest.mark.parametrize(
    ("path", "found", "evidence", "reason"),
    [
        ("/x", [REQUIRE], demur.nobody, Reason.SIGN_IN_REQUIRED),
        ("/x", [REQUIRE], demur.unknown, Reason.CREDENTIALS_INVALID),
        ("/x", [REQUIRE], demur.ended("idle", NOW - 5), Reason.SESSION_IDLE),
        ("/x", [REQUIRE], demur.ended("expired", NOW - 5), Reason.SESSION_EXPIRED),
        ("/x", [REQUIRE], demur.ended("ended", NOW - 5), Reason.SESSION_ENDED),
        ("/x", [REQUIRE], demur.person(9, expires_at=NOW - 1), Reason.SESSION_EXPIRED),
        ("/x", [REQUIRE], demur.person(9, suspended=True), Reason.ACCOUNT_SUSPENDED),
        ("/x", [REQUIRE], BO, None),
        ("/x", [REPORT], BO, Reason.NOT_PERMITTED),
        ("/x", [REPORT], ANNA, None),
        ("/x", [FRESH], BO, Reason.STEP_UP_REQUIRED),
        ("/x", [FRESH], ANNA, None),
        ("/x", [FRESH], demur.person(9), Reason.STEP_UP_REQUIRED),  # nobody knows how fresh it is
        ("/x", [REPORT, FRESH], ANNA, None),
        ("/x", [], demur.nobody, Reason.SIGN_IN_REQUIRED),  # no mark: closed
        ("/x", [], ANNA, Reason.NOT_PERMITTED),
        ("/x", [demur.public], demur.nobody, None),
        ("/own/x", [], demur.nobody, None),  # the app decides
        ("/own/x", [REPORT], BO, Reason.NOT_PERMITTED),
        ("/closed/x", [], demur.nobody, Reason.SIGN_IN_REQUIRED),
        ("/closed/x", [REPORT], BO, Reason.NOT_PERMITTED),  # the rule and the mark
        ("/closed/x", [demur.public], demur.nobody, Reason.SIGN_IN_REQUIRED),  # a mark opens nothing that a rule closes
        ("/open/x", [], demur.nobody, None),
        ("/open/x", [REPORT], BO, Reason.NOT_PERMITTED),
    ],
)
def test_a_view_is_judged(way, path, found, evidence, reason):
    """By its marks and the rule of its path, from what the bridge says."""
    passed = way(surface(who(evidence)), ask(path), found)
    assert (passed.refused.reason if passed.refused else None) == reason


def test_who_it_is(way):
    """The app is told who was let in."""
    passed = way(surface(who(ANNA)), ask(), [REPORT])
    assert passed.subject.name == "anna"
    assert not passed.left


@pytest.mark.parametrize(("path", "found"), [("/x", [demur.public]), ("/open/x", [])])
def test_a_public_view_asks_nobody(way, path, found):
    """The app's own login is read only if it matters."""

    def bridge(native):
        raise AssertionError(native)

    assert way(surface(bridge), ask(path), found).refused is None


def fails(native):
    """A bridge to a table of users that is away."""
    raise ConnectionError(native)


@pytest.mark.parametrize("bridge", [fails, lambda native: "anna", lambda native: None])
def test_a_bridge_that_fails(way, bridge):
    """Is a fault of ours, and says so: neither a yes nor "please sign in". What needs nobody goes on."""
    assert way(surface(bridge), ask(), [REQUIRE]).refused.reason is Reason.UNAVAILABLE
    assert way(surface(bridge), ask("/closed/x"), []).refused.reason is Reason.UNAVAILABLE
    assert way(surface(bridge), ask(), [demur.identified]).refused is None
    site = surface(bridge)
    passed = way(site, ask("/own/x"), [])
    assert passed.refused is None
    assert leave(site, passed, 200) is None
    for status, fields in ((401, ()), (403, ()), (302, ((b"location", b"/login?next=/own/x"),))):
        said = leave(site, passed, status, *fields)
        assert said.status == 503
        assert json.loads(said.body)["reason"] == "unavailable"


def test_an_awaited_bridge_without_an_event_loop():
    """Is awaited in the one thread that has one."""

    async def bridge(native):
        await asyncio.sleep(0)
        return ANNA

    site = surface(bridge)
    passed = site.enter(ask(), None)
    assert site.judge(passed, [REPORT], native="native")


def test_an_awaited_bridge():
    """A bridge of an async framework may await."""

    async def bridge(native):
        await asyncio.sleep(0)
        return ANNA if native == "native" else demur.nobody

    async def walk():
        site = surface(bridge)
        passed = await site.aenter(ask(), None)
        assert await site.ajudge(passed, [REPORT], native="native")

    asyncio.run(walk())


def test_a_function_holds_permissions(way):
    """An app's own function says who holds one, with what the path captured."""
    asked = []

    def permits(subject, permission, captures):
        asked.append((subject.name, permission, captures))
        return captures["team"] == "red"

    site = surface(who(BO), [{"path": "/teams/{team}/**", "allow": "marked"}], permits=permits)
    assert way(site, ask("/teams/red/plan"), [demur.require("plan:read")]).refused is None
    assert way(site, ask("/teams/blue/plan"), [demur.require("plan:read")]).refused.reason is Reason.NOT_PERMITTED
    assert asked[0] == ("bo", "plan:read", {"team": "red"})


def unread(most):
    """Nothing here has content that is read."""


SAME = (b"sec-fetch-site", b"same-origin")


async def _signed_in(site):
    """The cookie of somebody who is signed in."""
    token, now = mint(b"r" * 32, site.guard.keys.ring().current), int(site.guard.clock())
    bo = Subject("0192f0c4-0000-7000-8000-000000000001", "bo")
    await site.guard.store.issue(Session(identify(token), bo.id, now, now, now, now + 86400, 3600), bo)
    return token.encode()


def leave(site, passed, status, *fields):
    """What the app's answer becomes: the whole response, or None if it leaves as it is."""
    said = site.leave(passed, status, fields)
    return said if isinstance(said, Response) else None


LOGIN = (b"location", b"/login?next=/own")


@pytest.mark.parametrize(
    ("status", "fields", "evidence", "asked", "reason"),
    [
        (200, [], demur.nobody, ask("/own"), None),
        (401, [], demur.nobody, ask("/own"), "sign-in-required"),
        (401, [], demur.ended("idle", NOW - 9), ask("/own"), "session-idle"),
        (401, [], demur.unknown, ask("/own"), "credentials-invalid"),
        (403, [], demur.nobody, ask("/own"), "sign-in-required"),
        (403, [], BO, ask("/own"), "not-permitted"),
        (401, [], BO, ask("/own"), "not-permitted"),
        (401, [(b"www-authenticate", b'Bearer scope="items"')], BO, ask("/own"), "scope-insufficient"),
        (302, [LOGIN], demur.nobody, ask("/own"), "sign-in-required"),
        (303, [(b"location", b"http://app.example/login?next=%2Fx")], demur.nobody, ask("/own"), "sign-in-required"),
        (302, [LOGIN], BO, ask("/own"), "not-permitted"),
        (302, [(b"location", b"/elsewhere")], demur.nobody, ask("/own"), None),
        (302, [(b"location", b"http://evil.example/login")], demur.nobody, ask("/own"), None),
        (302, [(b"location", b"/login/other")], demur.nobody, ask("/own"), None),
        (403, [(b"content-type", b"text/html")], demur.nobody, ask("/login", "POST"), None),
        (404, [], demur.nobody, ask("/own"), None),
        (200, [(b"demur-refuse", b"context-refused")], BO, ask("/own"), "context-refused"),
    ],
)
def test_what_an_app_says_in_its_own_way(status, fields, evidence, asked, reason):
    """Becomes the right refusal, without the promise that nothing was processed."""
    site = surface(who(evidence), [{"path": "/**", "allow": "app"}])
    passed = site.enter(asked, None)
    site.judge(passed, [])
    said = leave(site, passed, status, *fields)
    problem = json.loads(said.body) if said else {}
    assert problem.get("reason") == reason
    assert "processed" not in problem
    if reason and said.status == 401:
        assert any(name == b"www-authenticate" for name, _ in said.fields)


@pytest.mark.parametrize("status", [401, 403, 302])
def test_what_is_open_is_the_apps_own_affair(way, status):
    """A login for programs says 401 in its own words, and a page for everybody may lead to the login."""
    site = surface(who(demur.nobody), [{"path": "/**", "allow": "app"}, {"path": "/token", "allow": "anyone"}])
    for path, found in (("/token", []), ("/own", [demur.public])):
        assert leave(site, way(site, ask(path, "POST"), found), status, LOGIN) is None


def test_a_bad_token_is_not_the_absence_of_one():
    """Who brought a token that the app did not take is told that it is not valid, and nobody else is."""
    site = surface(who(demur.nobody), [{"path": "/**", "allow": "app"}], accepts=["bearer"], login="", cookie="")
    told = []
    for fields in ({}, {"authorization": "Bearer nonsense"}):
        passed = site.enter(ask(**fields), None)
        site.judge(passed, [])
        said = leave(site, passed, 401)
        told.append([value for name, value in said.fields if name == b"www-authenticate"])
    assert told[0] == [b'Bearer realm="this site"']
    assert len(told[1]) == 1
    assert b'error="invalid_token"' in told[1][0]


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_a_login_that_nobody_named(accept):
    """An app that keeps its login and does not say where it is has no sign-in of ours: none is named, and there is no
    form; and a 401 has a challenge, though the app has no cookie and its scheme would have a browser prompt."""
    rules = [{"path": "/**", "allow": "signed-in"}]
    site = surface(who(demur.nobody), rules, accepts=["basic"], login="", cookie="")
    passed = site.enter(ask(accept=accept), None)
    site.judge(passed, [])
    said = leave(site, passed, 200)
    assert said.status == 401
    assert [value for name, value in said.fields if name == b"www-authenticate"] == [b'Cookie realm="this site"']
    assert b"sign_in" not in said.body
    assert b"<form" not in said.body
    assert b"/.demur/" not in b"".join((said.body, *(value for _, value in said.fields)))


def test_what_was_refused_before_the_view():
    """Says that nothing was processed, whatever the framework answered in the meantime."""
    site = surface(who(demur.nobody))
    passed = site.enter(ask("/x", "POST"), None)
    site.judge(passed, [REQUIRE])
    said = leave(site, passed, 500)
    assert said.status == 401
    assert json.loads(said.body)["processed"] is False
    assert (b"demur-processed", b"?0") in said.fields


@pytest.mark.parametrize(
    ("path", "evidence", "status", "becomes"),
    [
        ("/x", ANNA, 200, 403),  # nobody marked it
        ("/x", demur.nobody, 200, 401),
        ("/x", demur.nobody, 101, 401),  # a WebSocket
        ("/x", demur.nobody, 404, None),
        ("/x", demur.nobody, 301, None),
        ("/x", demur.nobody, 500, None),
        ("/own/x", demur.nobody, 200, None),
        ("/closed/x", demur.nobody, 200, 401),
        ("/closed/x", ANNA, 200, None),
        ("/closed/x", demur.nobody, 404, 401),  # whoever may not come in learns nothing of what is there
        ("/closed/x", demur.nobody, 405, 401),
        ("/closed/x", ANNA, 404, None),
    ],
)
@pytest.mark.parametrize("way", ["leave", "aleave"])
def test_what_nobody_judged_does_not_get_out(path, evidence, status, becomes, way):
    """An adapter that is not in its place opens nothing; what the framework says by itself leaves as it is, unless a
    rule says who may come there."""
    site = surface(who(evidence))
    passed = site.enter(ask(path), None)
    said = site.leave(passed, status, ()) if way == "leave" else asyncio.run(site.aleave(passed, status, ()))
    assert (said.status if isinstance(said, Response) else None) == becomes
    if becomes:
        assert ("processed" in json.loads(said.body)) is (status in (404, 405))  # a view may have run


def test_what_is_concealed_is_asked_for_elsewhere(way):
    """The app is asked for a page that nobody has, and its view is judged as that."""
    rules_: list[dict[str, Any]] = [
        {"path": "/**", "allow": "marked"},
        {"path": "/vault/**", "allow": {"groups": ["keepers"]}, "conceal": True},
    ]
    issued = assemble(origin="http://localhost", store="memory:", rules=rules_, can_ask=True, keys=MemoryKeys())
    request = replace(ask("/vault/7", "POST"), host="localhost")
    refused = issued.enter(request, unread)
    assert isinstance(refused, Response)
    assert refused.status == 401  # nobody is signed in
    token = asyncio.run(_signed_in(issued))
    passed = issued.enter(replace(request, fields=((b"cookie", b"demur-dev=" + token), SAME)), unread)
    assert isinstance(passed, Passed)
    assert passed.request.method == "GET"
    assert not passed.request.target.startswith(b"/vault")
    assert leave(issued, passed, 404) is None


def test_refused_in_the_middle_of_a_view(way):
    """A view may ask by itself, and the whole answer is made of what was found."""
    site = surface(who(BO), [{"path": "/**", "allow": "app"}])
    passed = way(site, ask(), [])
    with pytest.raises(Refused) as refused:
        passed.require("report:read")
    said = site.raised(passed, refused.value)
    assert said.status == 403
    assert "processed" not in json.loads(said.body)
    assert passed.require().name == "bo"
    assert site.raised(passed, ValueError()) is None
    detail = json.loads(site.raised(passed, Refused(Reason.NOT_PERMITTED, "Only the author may.")).body)["detail"]
    assert detail == "Only the author may."


def test_the_page_leads_to_the_login():
    """The app's own login cannot stand in our page; a link leads there, and back."""
    site = surface(who(demur.nobody))
    passed = site.enter(ask("/x?a=1", accept="text/html"), None)
    site.judge(passed, [REQUIRE])
    said = leave(site, passed, 401)
    assert b'href="/login?next=/x%3Fa%3D1"' in said.body
    assert b"<form" not in said.body
    challenge = next(value for name, value in said.fields if name == b"www-authenticate")
    assert b'form-action="/login"' in challenge


def test_preflights(way):
    """Nobody is asked who they are, and nobody gets in: at a view that is not open demur answers."""
    preflight = ask("/x", "OPTIONS", origin="https://other.example", access_control_request_method="POST")
    passed = way(surface(who(demur.nobody)), preflight, [REQUIRE])
    assert passed.answer.status == 204
    assert not any(name.startswith(b"access-control") for name, _ in passed.answer.fields)
    assert way(surface(who(demur.nobody)), preflight, [demur.public]).answer is None


def test_routes_without_a_mark():
    """A check at start names every route that nobody opened or marked."""
    site = surface(who(demur.nobody))
    check_routes(site, {"/open/a": (), "/a": (REPORT,), "/closed/b": (), "/own/c": ()})
    with pytest.raises(ConfigError, match="Nobody says who may open /b"):
        check_routes(site, {"/a": (REPORT,), "/b": ()})
    with pytest.raises(ConfigError, match="No group holds the permission 'report:raed'"):
        check_routes(site, {"/a": (demur.require("report:raed"),)})
    assert site.requirement("/closed/b", (REPORT,)) == "rule /closed/**, report:read"
    assert site.requirement("/a") == "marked"


def test_a_foreign_authorization_and_the_apps_cookie_are_the_apps():
    """With a login of its own the app gets what its people send."""
    site = surface(who(ANNA), accepts=["bearer"])
    asked = replace(ask(cookie="session=1; demur-dev=2", authorization="Bearer x"), target=b"/x")
    passed = site.enter(asked, None)
    lines = (*asked.fields, (b"remote-user", b"root"))
    assert site.incoming(lines, passed.checked, asked) == asked.fields


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "Nobody says who is signed in"),
        ({"bridge": who(ANNA), "store": "memory:"}, "Either the app keeps its login"),
        ({"store": "memory:"}, "for one site, and nobody says which"),
        ({"bridge": who(ANNA), "login": "login"}, "no path on this site"),
        ({"bridge": who(ANNA), "logn": "/login"}, "Unknown option 'logn'"),
        ({"bridge": who(ANNA), "rules": [{"path": "/x", "allow": "marekd"}]}, "is not something to allow"),
        ({"store": "mongodb:x", "origin": "http://localhost"}, "is not a store"),
        ({"bridge": who(ANNA), "accepts": ["digest"]}, "digest"),
        ({"bridge": who(ANNA), "keep_forms": True}, "Forms are kept in ASGI apps only"),
        (
            {"store": "memory:", "origin": "http://localhost", "keep_forms": True, "can_keep": True},
            "nobody signs in here",
        ),
        ({"bridge": who(ANNA), "assertion": True}, "Only where demur keeps the sessions"),
        ({"store": "memory:", "origin": "http://localhost", "assertion": {"audeince": "a"}}, "no 'audeince'"),
        ({"store": "memory:", "origin": "http://localhost", "assertion": {"audience": 7}}, "7 is no audience"),
        ({"store": "memory:", "origin": "http://localhost", "assertion": {"lifetime": 5}}, "10 to 300 seconds"),
        ({"store": "memory:", "origin": "app.example"}, "origin"),
        ({"store": "memory:", "origin": "http://app.example"}, "http"),
    ],
)
def test_options_that_cannot_be_meant(options, said):
    """Are errors at start, with their fix."""
    with pytest.raises(ConfigError, match=said) as error:
        assemble(**options)
    assert error.value.fix
