"""What an app's own tests say: who somebody is, and how they are refused."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import demur
from demur import stores, testing
from demur.adapters.asgi import Demur
from demur.adapters.surface import Surface
from demur.core.model import Actor, Ending
from demur.guard import Guard
from demur.stores.keys import MemoryKeys
from demur.testing import assert_allowed, assert_refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = 1_795_000_000
RULES: list[dict[str, Any]] = [
    {"path": "/public/**", "allow": "anyone"},
    {"path": "/**", "allow": "signed-in"},
    {"path": "/staff/**", "allow": {"groups": ["staff"]}},
    {"path": "/reports/**", "allow": {"permission": "report:read"}},
    {"path": "/keys/**", "allow": {"groups": ["staff"], "fresh": "15m"}},
    {"path": "/strong/**", "allow": {"strength": "mfa"}},
]


async def who(scope: Any, receive: Any, send: Any) -> None:
    """An app that says who asks."""
    passed = scope["demur"]
    text = passed.subject.name if passed.subject else "nobody"
    status = 303 if scope["path"].endswith("/moved") else 200
    headers = [(b"content-type", b"text/plain"), (b"location", b"/login")][: 2 if status == 303 else 1]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def with_sessions(**more: Any) -> Demur:
    """The app, with demur's sessions."""
    given: dict[str, Any] = {"store": stores.open("memory:"), "keys": MemoryKeys(), "clock": lambda: NOW} | more
    permissions = {"report:read": ["staff"]}
    return Demur(who, origin="https://app.example.com", rules=RULES, permissions=permissions, **given)


def with_bridge() -> Demur:
    """The app, with a login of its own, at which nobody is ever signed in."""
    permissions = {"report:read": ["staff"]}
    return Demur(who, bridge=lambda _: demur.nobody, rules=RULES, permissions=permissions, clock=lambda: NOW)


@pytest.fixture(params=[with_sessions, with_bridge], ids=["sessions", "bridge"])
def app(request: pytest.FixtureRequest) -> Iterator[Demur]:
    """The app, either way."""
    yield request.param()
    testing.forget()


def client(app: Demur) -> httpx.AsyncClient:
    """A client that talks http, and to a host that the site does not have."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver")


async def test_somebody_is_signed_in(app: Demur) -> None:
    """With their name and groups, and only with what they hold."""
    alice = testing.signed_in(client(app), "alice", groups=["staff"])
    answer = await alice.get("/staff/")
    assert_allowed(answer)
    assert answer.text == "alice"
    assert_allowed(await alice.get("/reports/"))
    assert_allowed(await testing.signed_in(alice, groups="staff").get("/staff/"))
    bob = testing.signed_in(client(app), "bob")
    assert_refused(await bob.get("/staff/"), "not-permitted", processed=False)
    assert_refused(await bob.get("/reports/"), "not-permitted")
    assert_allowed(await testing.signed_in(bob, "bob", permissions=["report:read"]).get("/reports/"))


@pytest.mark.parametrize(("reason", "be"), testing.REFUSALS.items(), ids=list(testing.REFUSALS))
@pytest.mark.parametrize("accept", ["application/json", "text/html"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_everybody_is_refused_for_their_reason(
    app: Demur, reason: str, be: Callable[[Any], Any], accept: str, method: str
) -> None:
    """Each way not to be signed in has its reason, for pages and for programs, and without content."""
    asked = be(client(app))
    for _ in range(2):  # it stays so
        problem = assert_refused(await asked.request(method, "/x", headers={"accept": accept}), reason, processed=False)
        assert problem.get("reason", reason) == reason
    assert_allowed(await asked.get("/public/"))


async def test_where_people_come_with_tokens_they_have_one() -> None:
    """An app without a cookie is refused for a token, in the words of RFC 6750."""
    app = Demur(who, bridge=lambda _: demur.nobody, accepts=["bearer"], rules=RULES[:2], clock=lambda: NOW)
    asked = testing.expired(client(app))
    answer = await asked.get("/x")
    assert_refused(answer, "token-expired", processed=False)
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert_refused(await testing.invalid(asked).get("/x"), "credentials-invalid")
    assert_refused(await testing.anonymous(asked).get("/x"), "sign-in-required")
    assert_allowed(await testing.signed_in(asked).get("/x"))
    testing.forget()


async def test_a_sign_in_is_fresh_or_stale(app: Demur) -> None:
    """As long ago as it is said, and as strong."""
    for ago, reason in ((0, None), (14 * 60, None), (16 * 60, "step-up-required"), (10**7, "step-up-required")):
        answer = await testing.signed_in(client(app), groups=["staff"], ago=ago).get("/keys/")
        assert_refused(answer, reason) if reason else assert_allowed(answer)
    assert_refused(await testing.stale(client(app), groups=["staff"]).get("/keys/"), "step-up-required")
    assert_allowed(await testing.stale(client(app)).get("/x"))
    assert_refused(await testing.signed_in(client(app)).get("/strong/"), "step-up-required")
    assert_allowed(await testing.signed_in(client(app), strength="mfa").get("/strong/"))


async def test_a_client_is_one_person_after_the_other(app: Demur) -> None:
    """Who it was before, it is not any more; and another client never was."""
    one, other = client(app), client(app)
    testing.signed_in(one, "alice")
    assert (await one.get("/x")).text == "alice"
    assert (await testing.signed_in(one, "bob").get("/x")).text == "bob"
    assert_refused(await testing.anonymous(one).get("/x"), "sign-in-required")
    assert_refused(await testing.anonymous(other).get("/x"), "sign-in-required")


async def test_nobody_gets_in_by_guessing(app: Demur) -> None:
    """A key that nobody made in this process is nothing, and one that is forgotten is nothing any more."""
    name, key = testing.carried(testing.Persona("alice"))
    wire = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://app.example.com")
    assert_allowed(await wire.get("/x", headers={name: key}))
    for wrong in ("", "alice", key[:-1], key + "A", "é"):
        assert_refused(await wire.get("/x", headers=[(name.encode(), wrong.encode())]), "sign-in-required")
    testing.forget()
    assert_refused(await wire.get("/x", headers={name: key}), "sign-in-required")


def test_nothing_is_different_without_a_call() -> None:
    """What is put in the way of requests is taken away again."""
    before = (Surface.misplaced, Guard.acheck, Guard.judge)
    testing.carried(testing.Persona())
    assert (Surface.misplaced, Guard.acheck, Guard.judge) != before
    testing.forget()
    assert (Surface.misplaced, Guard.acheck, Guard.judge) == before


async def test_a_session_is_real() -> None:
    """It is in the store, and ends there: by an administrator, and by signing out, which forgets the cookie."""
    store = stores.open("memory:")
    app = with_sessions(store=store)
    alice = testing.signed_in(client(app), "alice")
    assert_allowed(await alice.get("/x"))
    (session,) = await store.sessions()
    assert session.authenticated_at == NOW
    await store.end_all(None, Ending.REVOKED, Actor.ADMINISTRATOR, NOW)
    assert_refused(await alice.get("/x"), "session-revoked")
    testing.forget()


async def test_pages_of_demurs_own_know_them(tmp_path: Path) -> None:
    """They say who it is, and whoever signs out there is signed out: the cookie is gone, as in a browser."""
    store = stores.open(f"sqlite:{tmp_path / 'sessions.db'}")
    app = with_sessions(store=store, keys=str(tmp_path / "keys"), people=f"sqlite:{tmp_path / 'accounts.db'}")
    alice = testing.signed_in(client(app), "alice", display_name="Alice Arden")
    session = await alice.get("/.demur/session")
    assert (session.status_code, session.json()["name"], session.json()["display_name"]) == (
        200,
        "alice",
        "Alice Arden",
    )
    assert_allowed(await alice.get("/x"))
    gone = await alice.post("/.demur/sign-out", headers={"sec-fetch-site": "same-origin"})
    assert gone.status_code < 400
    assert_refused(await alice.get("/x"), "sign-in-required")
    assert_allowed(await testing.signed_in(alice).get("/x"))
    testing.forget()
    await app.surface.aclose()


async def test_a_cookie_of_its_own_counts() -> None:
    """What a client got by a later sign-in is newer than what a test said before."""
    app = with_sessions()
    alice = testing.invalid(client(app))
    assert_refused(await alice.get("/x"), "credentials-invalid")
    (other, guard) = (testing.signed_in(client(app), "bob"), app.surface.guard)
    assert_allowed(await other.get("/x"))
    (entry,) = [each for each in testing.personas._known.values() if each.who.name == "bob"]
    alice.cookies.set(guard.site.cookie.name, entry.tokens[guard] or "")
    assert (await alice.get("/x")).text == "bob"
    testing.forget()


# --- what is said of an answer --------------------------------------------------------------------


async def test_a_wrong_expectation_says_what_came() -> None:
    """Status, reason and detail, or where a redirect leads."""
    asked = testing.signed_in(client(with_sessions()), "bob")
    refused, moved = await asked.get("/staff/"), await asked.get("/x/moved")
    with pytest.raises(AssertionError, match=r"not refused as session-expired \(401\), but: 403 not-permitted You"):
        assert_refused(refused, "session-expired")
    with pytest.raises(AssertionError, match="not allowed, but: 403 not-permitted"):
        assert_allowed(refused)
    with pytest.raises(AssertionError, match="not allowed, but: 303 to /login"):
        assert_allowed(moved)
    assert_allowed(moved, 303)
    with pytest.raises(AssertionError, match="not refused as not-permitted"):
        assert_refused(await asked.get("/x"), "not-permitted")
    with pytest.raises(AssertionError, match="before it was passed on"):
        assert_refused(refused, "not-permitted", processed=True)
    with pytest.raises(ValueError, match=r"'session-expire' is no reason\. Did you mean 'session-expired'"):
        assert_refused(refused, "session-expire")
    testing.forget()


def test_a_client_that_is_not_known_is_named() -> None:
    """With what to do about it."""
    with pytest.raises(TypeError, match="object is no test client known here"):
        testing.signed_in(object())


TWO_TESTS = """
from demur.testing import personas

class Client:
    headers = {}

def test_one(demur_signed_in):
    assert demur_signed_in(Client(), "alice").headers
    assert personas._known

def test_two():
    assert not personas._known
"""


def test_the_fixture_ends_with_its_test(tmp_path: Path) -> None:
    """What one test says of who somebody is, the next one does not know."""
    (tmp_path / "test_two.py").write_text(TWO_TESTS)
    others = [word for name in ("schemathesis", "xdist", "hypothesispytest") for word in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *others]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout
