"""Several sites of a domain with one sign-in: on the wire, and as a browser has it."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.site.streets import QUIET, RULES, Street, street
from tests.site.wire import NAVIGATION, SCRIPT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")
pytestmark = pytest.mark.slow


def site(host: str, more: str = "") -> str:
    return f'[[site]]\norigin = "http://{host}:PORT"\nupstream = UPSTREAM\n{more}{RULES}'


def shared(domain: str) -> str:
    """A login, two apps, an API, hosts for teams."""
    cors = (
        f'cors = {{ origins = ["http://app.{domain}:PORT"], methods = ["GET", "PUT"], headers = ["content-type"] }}\n'
    )
    names = ("login", "app", "shop", "*.team")
    sites = "".join(site(f"{name}.{domain}") for name in names) + site(f"api.{domain}", cors)
    return f'[sessions]\nshared_domain = "{domain}"\nsign_in = "http://login.{domain}:PORT"\n{sites}'


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[Street]:
    """Sites below example.test, and one that is not."""
    # The certificate is for localhost; the origins become https as the rest of the configuration does.
    text = shared("example.test") + site("other.test", "shares_sign_in = false\n")
    text = text.replace('"http://', '"https://')
    with street(tmp_path_factory.mktemp("sites"), text, "__Secure-demur", tls=certificate) as here:
        yield here


@pytest.fixture(scope="module")
def at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """The same without TLS, on names that lead to this machine."""
    with street(tmp_path_factory.mktemp("at-home"), shared("demo.localhost"), "demur-dev") as here:
        yield here


def signed_in(here: Street) -> str:
    """The token of a new session."""
    answer = here.send(
        "login.example.test/.demur/sign-in",
        {"username": "bob", "password": "bob-borrows-beans"},
        ("Origin", here.origin("login.example.test")),
    )
    assert answer.status == 303, answer.text[:500]
    return answer.cookies["__Secure-demur"].partition(";")[0]


# --- on the wire --------------------------------------------------------------------------------------


def test_a_refusal_leads_to_the_one_sign_in(sites: Street) -> None:
    """The page at any site has the form of the sign-in origin, which leads back; so have challenge and problem."""
    answer = sites.ask("GET", "app.example.test/a/b?c=d")
    login, app = sites.origin("login.example.test"), sites.origin("app.example.test")
    assert answer.status == 401
    assert f'action="{login}/.demur/sign-in"' in answer.text
    assert f'name="next" value="{app}/a/b?c=d"' in answer.text
    challenge = answer.value("www-authenticate") or ""
    assert f'form-action="{login}/.demur/sign-in"' in challenge
    assert 'cookie-name="__Secure-demur"' in challenge
    assert sites.ask("GET", "app.example.test/", SCRIPT).problem["sign_in"] == f"{login}/.demur/sign-in"
    policy = answer.value("content-security-policy") or ""
    action = next(part for part in policy.split("; ") if part.startswith("form-action"))
    assert {login, sites.origin("shop.example.test"), sites.origin("*.team.example.test")} <= set(action.split())
    assert sites.origin("other.test") not in action
    assert answer.value("referrer-policy") == "strict-origin-when-cross-origin"


def test_the_cookie_is_for_the_domain(sites: Street) -> None:
    """One session opens every site below the domain, and is taken away for all of them."""
    fields = ("Origin", sites.origin("app.example.test")), ("Sec-Fetch-Site", "same-site")
    values = {"username": "bob", "password": "bob-borrows-beans", "next": sites.origin("app.example.test") + "/x?y"}
    answer = sites.send("login.example.test/.demur/sign-in", values, *fields)
    assert answer.status == 303
    assert answer.value("location") == sites.origin("app.example.test") + "/x?y"
    token, _, rest = answer.cookies["__Secure-demur"].partition("; ")
    assert set(rest.split("; ")) == {"Path=/", "Domain=example.test", "Secure", "HttpOnly", "SameSite=Lax"}
    for host in ("app", "shop", "api", "login", "red.team", "blue.team"):
        assert sites.ask("GET", f"{host}.example.test/", token=token).status == 200
    assert sites.ask("GET", "other.test/", token=token).status == 401
    own = (("Origin", sites.origin("shop.example.test")), ("Sec-Fetch-Site", "same-origin"))
    out = sites.send("shop.example.test/.demur/sign-out", {}, *own, token=token)
    gone = next(value for value in out.values("set-cookie") if value.startswith("__Secure-demur="))
    assert {"Domain=example.test", "Max-Age=0", "Secure"} <= set(gone.split("; "))
    assert sites.ask("GET", "app.example.test/", token=token).status == 401


def test_no_site_sees_or_sets_the_cookie(sites: Street) -> None:
    """What is behind gets nobody's token, and plants none; not even a site that does not share."""
    token = signed_in(sites)
    assert json.loads(sites.ask("GET", "app.example.test/", SCRIPT, token=token).body)["cookie"] is None
    for host in ("app.example.test", "other.test"):
        kept = sites.ask("GET", f"{host}/public/x", [*SCRIPT, ("Cookie", "a=b; __Secure-demur=x; __Host-demur=y")])
        assert json.loads(kept.body)["cookie"] == "a=b"
    assert sites.ask("GET", "shop.example.test/plant", token=token).cookies.keys() == {"own"}


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("app.example.test", 303),
        ("red.team.example.test", 303),
        ("other.test", 403),
        ("example.test", 403),
        ("evil.example.test", 403),
        ("a.b.team.example.test", 403),
        ("app.example.test.evil.test", 403),
    ],
)
def test_relatives_alone_send_people_here(sites: Street, origin: str, status: int) -> None:
    """A form of a page that shares the sign-in is taken, anybody else's is not, neighbours' neither."""
    values = {"username": "bob", "password": "bob-borrows-beans"}
    for fetch_site in ("same-site", "cross-site"):
        more = (("Origin", sites.origin(origin)), ("Sec-Fetch-Site", fetch_site))
        assert sites.send("login.example.test/.demur/sign-in", values, *more).status == status


def test_elsewhere_only_the_site_itself_changes_something(sites: Street) -> None:
    """Signing out, and signing in at a site that is not for that, is not for relatives' pages."""
    token = signed_in(sites)
    more = (("Origin", sites.origin("shop.example.test")), ("Sec-Fetch-Site", "same-site"))
    for url in ("app.example.test/.demur/sign-out", "login.example.test/.demur/sign-out"):
        assert sites.send(url, {}, *more, token=token).status == 403
    values = {"username": "bob", "password": "bob-borrows-beans"}
    assert sites.send("app.example.test/.demur/sign-in", values, *more).status == 403
    assert sites.ask("GET", "app.example.test/", token=token).status == 200


NEXT: list[tuple[str, str]] = [
    ("/a?b=c#d", "/a?b=c#d"),
    ("https://app.example.test:PORT/a?b=c#d", "https://app.example.test:PORT/a?b=c#d"),
    ("https://app.example.test:PORT", "https://app.example.test:PORT/"),
    ("https://red.team.example.test:PORT/x", "https://red.team.example.test:PORT/x"),
    ("https://login.example.test:PORT/x", "/x"),
    ("https://other.test:PORT/", "/"),
    ("https://app.example.test/", "/"),  # another port
    ("https://app.example.test:PORT1/", "/"),
    ("https://app.example.test:PORT.evil.test/", "/"),
    ("https://app.example.test:PORT@evil.test/", "/"),
    ("https://evil.test@app.example.test:PORT/", "/"),
    ("https://evil.test/https://app.example.test:PORT/", "/"),
    ("https://evil.test#https://app.example.test:PORT/", "/"),
    ("https://app.example.test:PORT\\@evil.test/", "/"),
    ("https:\\\\app.example.test:PORT/", "/"),
    ("https:/app.example.test:PORT/", "/"),
    ("https:app.example.test:PORT/", "/"),
    ("//app.example.test:PORT/", "/"),
    ("///app.example.test:PORT/", "/"),
    ("/\\app.example.test:PORT/", "/"),
    ("http://app.example.test:PORT/", "/"),  # another scheme
    ("javascript://app.example.test:PORT/%0aalert(1)", "/"),
    ("HTTPS://APP.EXAMPLE.TEST:PORT/", "/"),  # not as browsers write it
    ("https://app.example.test.:PORT/", "/"),
    ("https://app.example.test:PORT//evil.test/", "/"),
    ("https://app.example.test:PORT/\\evil.test/", "/"),
    ("https://app.example.test:PORT?x", "/"),
    ("https://app.example.test:PORT/\r\nx: y", "/"),
    ("https://app\t.example.test:PORT/", "/"),
    ("https://\uff41pp.example.test:PORT/", "/"),  # a full-width letter, which browsers make a plain one
    ("https://app.example\u3002test:PORT/", "/"),  # an ideographic full stop, likewise
    ("https://evil.test/.team.example.test:PORT/", "/"),
    ("https://evil/.team.example.test:PORT/", "/"),
    ("https://evil?.team.example.test:PORT/", "/"),
    ("https://evil#.team.example.test:PORT/", "/"),
    ("https://evil\\.team.example.test:PORT/", "/"),
    ("https://a@.team.example.test:PORT/", "/"),
    ("https://.team.example.test:PORT/", "/"),
    ("https://*.team.example.test:PORT/", "/"),
    ("https://a.b.team.example.test:PORT/", "/"),
    ("https://team.example.test:PORT/", "/"),
    ("https://xteam.example.test:PORT/", "/"),
    ("https://%61.team.example.test:PORT/", "/"),
]


def test_next_leads_to_relatives_only(sites: Street) -> None:
    """After signing in nobody lands on a site that does not share it, however the address is written."""
    token = signed_in(sites)
    port = str(sites.house.port)
    wrong = []
    for next_, leads in NEXT:
        values = {"password": "bob-borrows-beans", "next": next_.replace("PORT", port)}
        more = (("Origin", sites.origin("login.example.test")),)
        answer = sites.send("login.example.test/.demur/sign-in", values, *more, token=token)
        token = answer.cookies["__Secure-demur"].partition(";")[0]
        if answer.status != 303 or answer.value("location") != leads.replace("PORT", port):
            wrong.append((next_, answer.status, answer.value("location")))
    assert wrong == []


def test_a_wrong_password_is_told_where_people_sign_in(sites: Street) -> None:
    """The form comes again with what was typed and where it leads; 303 is for who is in."""
    next_ = sites.origin("app.example.test") + "/x"
    values = {"username": "bob", "password": "wrong", "next": next_}
    more = (("Origin", sites.origin("app.example.test")), ("Sec-Fetch-Mode", "navigate"))
    answer = sites.send("login.example.test/.demur/sign-in", values, *more)
    assert answer.status == 401
    assert 'action="/.demur/sign-in"' in answer.text
    assert f'name="next" value="{next_}"' in answer.text
    assert 'value="bob"' in answer.text
    assert sites.origin("app.example.test") in (answer.value("content-security-policy") or "")


def test_the_form_of_any_site_is_at_the_sign_in_origin(sites: Street) -> None:
    """A bookmark of a site's own sign-in page leads there, and from there back."""
    answer = sites.ask("GET", "shop.example.test/.demur/sign-in?next=/basket")
    there = sites.origin("login.example.test")
    back = sites.origin("shop.example.test").replace(":", "%3A").replace("/", "%2F")
    assert answer.status == 303
    assert answer.value("location") == f"{there}/.demur/sign-in?next={back}%2Fbasket"
    form = sites.ask("GET", (answer.value("location") or "").replace(there, "login.example.test"))
    assert f'name="next" value="{sites.origin("shop.example.test")}/basket"' in form.text


def test_old_cookies_of_one_host_mean_nothing(sites: Street) -> None:
    """Who has a `__Host-demur` from before is asked to sign in, once, and loses it when signing out."""
    token = signed_in(sites)
    old = ("Cookie", f"__Host-demur={token}")
    assert sites.ask("GET", "app.example.test/", [*NAVIGATION, old]).status == 401
    own = (("Origin", sites.origin("app.example.test")), ("Cookie", f"__Host-demur=x; __Secure-demur={token}"))
    out = sites.send("app.example.test/.demur/sign-out", {}, *own)
    assert {value.partition("=")[0] for value in out.values("set-cookie")} == {"__Host-demur", "__Secure-demur"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("red.team.example.test", 401),
        ("xn--bcher-kva.team.example.test", 401),
        ("a.b.team.example.test", 421),
        ("team.example.test", 421),
        ("example.test", 421),
        ("login.example.test.evil.test", 421),
        ("*.team.example.test", 421),
    ],
)
def test_a_star_is_one_label(sites: Street, host: str, status: int) -> None:
    """Any one label is served below a wildcard, and nothing else."""
    assert sites.ask("GET", f"{host}/").status == status


# --- in a browser -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def old_session(sites: Street) -> str:
    """The token of a session whose sign-in is not fresh any more."""
    an_hour_ago = int(time.time()) - 3000
    return sites.house.session("bob", authenticated_at=an_hour_ago, issued_at=an_hour_ago)[0]


@pytest.fixture(scope="module")
def chromium(sites: Street, at_home: Street, old_session: str) -> Iterator[Browser]:
    """A browser for which every name leads to this machine; made after the gateways, which want a loop."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser that has been nowhere yet."""
    made = chromium.new_context(ignore_https_errors=True)
    yield made
    made.close()


@pytest.fixture(params=["https", "http"])
def anywhere(request: pytest.FixtureRequest, sites: Street, at_home: Street) -> tuple[Street, str]:
    """With TLS, and at home without; and the domain."""
    return (sites, "example.test") if request.param == "https" else (at_home, "demo.localhost")


def fill(page: Page, password: str = "bob-borrows-beans") -> None:
    """Type name and password, and send them."""
    page.fill("#username", "bob")
    page.fill("#password", password)
    page.click("button[type=submit]")


@pytest.mark.browser
@needs_chromium
def test_one_sign_in_in_place(context: BrowserContext, anywhere: tuple[Street, str]) -> None:
    """Signing in on the page that was asked for opens it, deep link and fragment kept, and then every other site."""
    here, domain = anywhere
    page = context.new_page()
    page.goto(here.origin(f"app.{domain}") + "/deep/page?x=1#part")
    fill(page, "wrong")
    page.wait_for_url("**/.demur/sign-in*")
    assert page.url.startswith(here.origin(f"login.{domain}"))
    fill(page)
    page.wait_for_url("**/deep/page*")
    assert page.url == here.origin(f"app.{domain}") + "/deep/page?x=1#part"
    assert "Hello bob" in page.content()
    (cookie,) = context.cookies()
    assert (cookie["name"], cookie["domain"], cookie["httpOnly"]) == (here.cookie, f".{domain}", True)
    assert (cookie["sameSite"], cookie["secure"]) == ("Lax", here.cookie.startswith("__Secure"))
    for host in ("shop", "red.team"):
        answer = page.goto(here.origin(f"{host}.{domain}") + "/")
        assert answer is not None
        assert answer.status == 200
    page.goto(here.origin(f"shop.{domain}") + "/.demur/sign-out")
    page.click("button[type=submit]")
    page.wait_for_url("**/signed-out")
    answer = page.goto(here.origin(f"app.{domain}") + "/")
    assert answer is not None
    assert answer.status == 401
    assert context.cookies() == []


ASK = """async ([url, init]) => {
  try {
    const answer = await fetch(url, { credentials: "include", ...init });
    const text = await answer.text();
    return { status: answer.status, challenge: answer.headers.get("www-authenticate"), said: JSON.parse(text || "null"),
             link: answer.headers.get("link"), type: answer.headers.get("content-type") };
  } catch (error) { return { status: 0, error: error.name }; }
}"""
JSON = {"content-type": "application/json", "accept": "application/json"}


def asker(page: Page) -> Callable[..., dict[str, Any]]:
    """`fetch` in a page."""
    return lambda url, **init: page.evaluate(ASK, [url, init])


@pytest.mark.browser
@needs_chromium
def test_a_script_signs_in_and_repeats(context: BrowserContext, anywhere: tuple[Street, str]) -> None:
    """A page's PUT to the API is refused readably, its script signs in at the sign-in origin, and the same PUT works;
    a page that the API does not list reads nothing."""
    here, domain = anywhere
    page = context.new_page()
    page.goto(here.origin(f"app.{domain}") + "/public/x")
    ask, url = asker(page), here.origin(f"api.{domain}") + "/seeds/1"
    put = {"method": "PUT", "headers": JSON, "body": '{"seed": "bean"}'}
    refused = ask(url, **put)
    assert refused["status"] == 401
    assert refused["said"]["reason"] == "sign-in-required"
    assert refused["said"]["processed"] is False
    assert refused["said"]["sign_in"] in refused["challenge"]
    assert refused["link"].endswith('rel="help"')
    wrong = ask(
        refused["said"]["sign_in"], method="POST", headers=JSON, body='{"username": "bob", "password": "wrong"}'
    )
    assert (wrong["status"], wrong["said"]["reason"]) == (401, "credentials-invalid")
    typed = '{"username": "bob", "password": "bob-borrows-beans", "next": "' + page.url + '"}'
    right = ask(refused["said"]["sign_in"], method="POST", headers=JSON, body=typed)
    assert (right["status"], right["said"]["name"], right["said"]["next"]) == (200, "bob", page.url)
    done = ask(url, **put)
    assert (done["status"], done["said"]["who"], done["said"]["sent"]) == (200, "bob", '{"seed": "bean"}')
    assert ask(here.origin(f"api.{domain}") + "/.demur/session")["said"]["name"] == "bob"
    page.goto(here.origin(f"shop.{domain}") + "/public/x")
    assert asker(page)(url) == {"status": 0, "error": "TypeError"}
    assert asker(page)(url, **put) == {"status": 0, "error": "TypeError"}


@pytest.mark.browser
@needs_chromium
def test_confirming_leads_back(old_session: str, context: BrowserContext, sites: Street) -> None:
    """Where a fresh sign-in is wanted, the password is asked for in place, the session gets a new id, and the page
    opens."""
    token = old_session
    context.add_cookies(
        [{"name": "__Secure-demur", "value": token, "domain": ".example.test", "path": "/", "secure": True}]
    )
    page = context.new_page()
    answer = page.goto(sites.origin("app.example.test") + "/vault/1")
    assert answer is not None
    assert answer.status == 401
    assert page.locator("#username").count() == 0
    page.fill("#password", "bob-borrows-beans")
    page.click("form[data-sign-in] button[type=submit]")
    page.wait_for_selector("text=Hello bob")
    assert page.url == sites.origin("app.example.test") + "/vault/1"
    (cookie,) = context.cookies()
    assert cookie["value"] != token
