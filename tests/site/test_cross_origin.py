"""Pages of another origin and what they may read here: on the wire, and as a browser judges it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from tests.site.streets import QUIET, RULES, Street, street
from tests.site.wire import SCRIPT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")
pytestmark = pytest.mark.slow

# To a browser these are one site, so that it sends the cookie, and three origins, so that CORS is asked.
CONFIG = f"""
[[site]]
origin = "https://api.example.test:PORT"
upstream = UPSTREAM

[site.cors]
origins = ["https://app.example.test:PORT"]
methods = ["GET", "PUT", "POST"]
headers = ["content-type"]
{RULES}
[[site.rule]]
path = "/hooks/**"
allow = "signed-in"
origins = ["https://partner.example.test:PORT"]

[[site]]
origin = "https://*.example.test:PORT"
upstream = UPSTREAM
{RULES}
"""
FOREIGN = ("unlisted", "app.example.test.evil", "partner", "null")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[Street]:
    """An API that lists one origin, and hosts for pages beside it."""
    with street(tmp_path_factory.mktemp("api"), CONFIG, "__Host-demur", tls=certificate) as here:
        yield here


@pytest.fixture(scope="module")
def token(api: Street) -> str:
    """The token of bob's session at the API."""
    return api.house.session("bob")[0]


def origin(api: Street, name: str) -> str:
    """The origin of a page."""
    return name if name == "null" else api.origin(f"{name}.example.test")


def asked_from(api: Street, name: str, mode: str = "cors") -> list[tuple[str, str]]:
    """The fields of a script's request from there."""
    usual = [(key, value) for key, value in SCRIPT if not key.startswith("Sec-Fetch")]
    return [*usual, ("Origin", origin(api, name)), ("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", mode)]


ANSWERS: list[tuple[str, str, bool, int]] = [
    ("GET", "/x", False, 401),
    ("GET", "/x", True, 200),
    ("PUT", "/x", False, 401),
    ("GET", "/strong/", True, 401),
    ("GET", "/public/x", False, 200),
    ("GET", "/a%00b", False, 400),
    ("GET", "/.demur/session", False, 401),
    ("GET", "/.demur/session", True, 200),
    ("GET", "/.demur/nothing", False, 404),
]


@pytest.mark.parametrize(("method", "path", "signed_in", "status"), ANSWERS)
def test_a_listed_origin_reads_every_answer(
    api: Street, token: str, method: str, path: str, signed_in: bool, status: int
) -> None:
    """Allowed, refused, or one of our own: the listed origin is named, with credentials, and its fields are exposed."""
    answer = api.ask(method, f"api.example.test{path}", asked_from(api, "app"), token=token if signed_in else None)
    assert answer.status == status
    assert answer.value("access-control-allow-origin") == origin(api, "app")
    assert answer.value("access-control-allow-credentials") == "true"
    exposed = {name.strip().lower() for name in (answer.value("access-control-expose-headers") or "").split(",")}
    assert {"www-authenticate", "retry-after", "link"} <= exposed
    assert "origin" in ", ".join(answer.values("vary")).lower()


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize(("method", "path", "signed_in", "status"), ANSWERS)
def test_no_other_origin_is_named(
    api: Street, token: str, name: str, method: str, path: str, signed_in: bool, status: int
) -> None:
    """Whoever is not listed reads nothing, and no cache may give one origin what was meant for another."""
    answer = api.ask(method, f"api.example.test{path}", asked_from(api, name), token=token if signed_in else None)
    assert answer.status == status
    assert not any(field.startswith("access-control-") for field, _ in answer.fields)
    assert "origin" in ", ".join(answer.values("vary")).lower()


def test_our_other_pages_are_read_by_nobody_else(api: Street, token: str) -> None:
    """Who may read the site may not read a person's account and sessions, nor change anything there."""
    for path in ("account", "sessions"):
        answer = api.ask("GET", f"api.example.test/.demur/{path}", asked_from(api, "app"), token=token)
        assert answer.status == 200
        assert answer.value("access-control-allow-origin") is None
    for path in ("sign-out", "sign-in", "session/extend", "account"):
        answer = api.ask("POST", f"api.example.test/.demur/{path}", asked_from(api, "app"), token=token)
        assert (answer.status, answer.problem["reason"]) == (403, "cross-site-refused")


@pytest.mark.parametrize(
    ("name", "path", "status"),
    [
        ("app", "/x", 200),
        ("app", "/hooks/1", 200),
        ("partner", "/hooks/1", 200),
        ("partner", "/x", 403),
        ("unlisted", "/x", 403),
        ("unlisted", "/hooks/1", 403),
        ("null", "/x", 403),
    ],
)
def test_listed_origins_may_change_something(api: Street, token: str, name: str, path: str, status: int) -> None:
    """A POST with the cookie is taken from origins that the site or the rule lists, and from no others."""
    answer = api.ask("POST", f"api.example.test{path}", asked_from(api, name), b"x", token=token)
    assert answer.status == status
    if status == 403:
        assert answer.problem["reason"] == "cross-site-refused"


@pytest.mark.parametrize(
    ("name", "path", "leave"),
    [
        ("app", "/x", True),
        ("app", "/.demur/session", True),
        ("unlisted", "/x", False),
        ("unlisted", "/.demur/session", False),
        ("null", "/x", False),
    ],
)
def test_preflights_are_answered_here(api: Street, name: str, path: str, leave: bool) -> None:
    """A preflight is a 204 with leave for listed origins, and never reaches the site."""
    api.house.upstream_saw()
    fields = [*asked_from(api, name), ("Access-Control-Request-Method", "PUT")]
    answer = api.ask("OPTIONS", f"api.example.test{path}", fields)
    assert answer.status == 204
    assert (answer.value("access-control-allow-origin") == origin(api, name)) is leave
    assert any(field.startswith("access-control-allow") for field, _ in answer.fields) is leave
    assert "origin" in (answer.value("vary") or "").lower()
    assert api.house.upstream_saw() == b""


# --- in a browser -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium(api: Street, token: str) -> Iterator[Browser]:
    """A browser for which every name leads to this machine."""
    module = pytest.importorskip("playwright.sync_api")
    with module.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


ASK = """async ([url, init]) => {
  try {
    const answer = await fetch(url, { credentials: "include", ...init });
    const text = await answer.text();
    const named = (name) => answer.headers.get(name);
    return { status: answer.status, challenge: named("www-authenticate"), link: named("link"), text };
  } catch (error) { return { status: 0, error: error.name }; }
}"""


@pytest.fixture
def at(chromium: Browser, api: Street) -> Iterator[Callable[[str], Page]]:
    """A page of an origin, in a browser that has been nowhere yet."""
    context = chromium.new_context(ignore_https_errors=True)

    def open_(name: str) -> Page:
        page = context.new_page()
        page.goto(f"{origin(api, name)}/public/x")
        return page

    yield open_
    context.close()


def ask(page: Page, url: str, **init: object) -> dict[str, Any]:
    """`fetch` in a page."""
    return page.evaluate(ASK, [url, init])  # type: ignore[no-any-return]


@pytest.mark.browser
@needs_chromium
def test_a_script_reads_why_it_was_refused(api: Street, token: str, at: Callable[[str], Page]) -> None:
    """A listed page reads status, challenge and problem; its PUT, repeated once its person is signed in, works."""
    page, url = at("app"), api.origin("api.example.test") + "/seeds/1"
    put = {"method": "PUT", "headers": {"content-type": "application/json"}, "body": "{}"}
    refused = ask(page, url, **put)
    assert refused["status"] == 401
    assert refused["challenge"].startswith('Cookie realm="api.example.test"')
    assert refused["link"] == '</.demur/reasons/sign-in-required>; rel="help"'
    assert json.loads(refused["text"])["reason"] == "sign-in-required"
    page.context.add_cookies(
        [{"name": "__Host-demur", "value": token, "url": api.origin("api.example.test"), "secure": True}]
    )
    done = ask(page, url, **put)
    assert (done["status"], json.loads(done["text"])["who"]) == (200, "bob")
    assert json.loads(ask(page, api.origin("api.example.test") + "/.demur/session")["text"])["name"] == "bob"
    posted = ask(page, url, method="POST", body="x")
    assert (posted["status"], json.loads(posted["text"])["sent"]) == (200, "x")


@pytest.mark.browser
@needs_chromium
def test_a_page_that_is_not_listed_reads_nothing(api: Street, token: str, at: Callable[[str], Page]) -> None:
    """A page beside it gets an error in place of an answer, and what it sends with the cookie does nothing."""
    page, url = at("unlisted"), api.origin("api.example.test")
    page.context.add_cookies([{"name": "__Host-demur", "value": token, "url": url, "secure": True}])
    api.house.upstream_saw()
    for path, init in (
        ("/seeds/1", {}),
        ("/.demur/session", {}),
        ("/seeds/1", {"method": "PUT", "body": "{}"}),
        ("/seeds/1", {"method": "POST", "body": "x"}),
    ):
        assert ask(page, url + path, **init) == {"status": 0, "error": "TypeError"}
    seen = api.house.upstream_saw()
    assert seen.startswith(b"GET /seeds/1 ")
    assert b"PUT " not in seen
    assert b"POST " not in seen
