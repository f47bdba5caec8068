"""Signing in inside a frame, and in a window that it opens, at a real server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from argon2 import Parameters, Type
from tests.browser.test_embed import FRAME, LISTEN, heard

from demur import accounts
from demur.accounts.people import New
from demur.adapters.asgi import Demur, Surface
from demur.authenticators.password import Argon2Hasher
from demur.authenticators.throttle import Throttle
from demur.core import page, rules
from demur.core.sessions import NIST_AAL2
from demur.core.site import Cookie, Site
from demur.gateway.server.serve import Listener, serve
from demur.guard import Guard
from demur.pages.router import Pages
from demur.pages.signin import SignInPages
from demur.signin.password import PasswordSignIn
from demur.signin.sessions import Sessions
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page
    from tests.browser.conftest import Shown

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHEAP = Parameters(Type.ID, 19, 16, 16, 1, 8, 1)
EMBED = "/.demur/sign-in?embed"
ASK = """async () => {
  const said = await fetch("/.demur/session");
  return said.ok ? (await said.json()).name : said.status;
}"""


async def site(scope: Any, receive: Any, send: Any) -> None:
    """A page that anybody may see."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": b"<!doctype html><title>x</title><body>"})


async def _app(folder: Path, origin: str) -> Demur:
    store, keys, hasher = MemoryStore(), MemoryKeys(), Argon2Hasher(CHEAP)
    people = accounts.open(f"sqlite:{folder / 'accounts.db'}", store)
    for name in ("bo", "anna"):
        await people.add(New(name, frozenset(), "", "", await hasher.hash(f"{name}'s password")), by="test")
    here = Site(
        origin=origin,
        name="Sample",
        rules=rules.load([{"path": "/**", "allow": "anyone"}]),
        cookie=Cookie("demur-dev", secure=False),
    )
    guard, held = Guard(here, store, keys), Sessions(store, keys, NIST_AAL2)
    sign_in = PasswordSignIn(people, hasher, Throttle(store), held)
    routes = SignInPages(sign_in, held, page.DEFAULT, idle=NIST_AAL2.idle).routes()
    return Demur(site, Surface(guard, Pages(guard, page.DEFAULT, routes), page.DEFAULT))


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site under our own server, in a thread of its own."""
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"

        async def run() -> None:
            app = await _app(tmp_path_factory.mktemp("live"), address)
            await serve([Listener(listening, app, None)], stop, ready=ready.set, drain=0.2)

        def work() -> None:
            with contextlib.closing(loop):
                loop.run_until_complete(run())

        thread = threading.Thread(target=work)
        thread.start()
        assert ready.wait(30)
        yield address
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that nobody is signed in with."""
    made = browser.new_context()
    yield made
    made.close()


def tab(context: BrowserContext, origin: str) -> Page:
    """A tab with a page of the site, which listens."""
    made = context.new_page()
    made.goto(f"{origin}/")
    made.evaluate(LISTEN)
    return made


def dialog(sheet: Page, query: str = "") -> FrameLocator:
    """The sign-in page inside a frame."""
    sheet.evaluate(FRAME, EMBED + query)
    return sheet.frame_locator("iframe")


def enter(where: FrameLocator | Page, password: str, name: str | None = None) -> None:
    if name is not None:
        where.locator("#username").fill(name)
    where.locator("#password").fill(password)
    where.locator("#password").press("Enter")


def test_one_sign_in_is_heard_everywhere(context: BrowserContext, origin: str) -> None:
    """A wrong password stays inside the frame with the name; the right one is heard in this tab and in the other."""
    one, other = tab(context, origin), tab(context, origin)
    inside = dialog(one, "&lang=de")
    enter(inside, "wrong", "bo")
    inside.get_by_role("alert").wait_for()
    assert inside.get_by_role("alert").text_content() == "Der Benutzername oder das Passwort ist nicht richtig."
    assert inside.locator("#username").input_value() == "bo"
    assert inside.locator("body").evaluate("() => document.activeElement.id") == "password"
    enter(inside, "bo's password")
    for sheet in (one, other):
        assert heard(sheet, "heard") == [{"type": "signed-in"}]
        assert sheet.evaluate(ASK) == "bo"
    assert inside.locator("h1").text_content() == "Sie sind angemeldet"
    assert one.evaluate("history.length") == other.evaluate("history.length") + 2  # the frame's own
    assert one.url == f"{origin}/"


def test_a_window_of_its_own(context: BrowserContext, origin: str) -> None:
    """From the click inside the frame a window opens, which closes when it is done; the page has heard it by then."""
    sheet = tab(context, origin)
    inside = dialog(sheet, "&username=bo")
    with sheet.expect_popup() as caught:
        inside.locator("[data-popup]").click()
    popup = caught.value
    popup.wait_for_load_state()
    assert popup.locator("#username").input_value() == "bo"
    assert not popup.locator("[data-close]").is_visible()
    with popup.expect_event("close"):
        enter(popup, "bo's password")
    assert heard(sheet, "heard") == [{"type": "signed-in"}]
    assert sheet.evaluate(ASK) == "bo"


def test_confirming_and_another_account(context: BrowserContext, origin: str) -> None:
    """Who is signed in confirms the password, or signs in as somebody else, in the same frame."""
    first = tab(context, origin)
    enter(dialog(first), "bo's password", "bo")
    heard(first, "heard")
    sheet = tab(context, origin)
    inside = dialog(sheet)
    assert inside.locator("strong").text_content() == "bo"
    enter(inside, "bo's password")
    heard(sheet, "heard")
    assert sheet.evaluate(ASK) == "bo"
    third = tab(context, origin)
    inside = dialog(third)
    inside.get_by_role("link", name="Use another account").click()
    inside.locator("#username").wait_for(state="visible")
    enter(inside, "anna's password", "anna")
    heard(third, "heard")
    assert third.evaluate(ASK) == "anna"


def test_signing_out_is_heard(context: BrowserContext, origin: str) -> None:
    """The page after signing out tells the other tabs."""
    sheet = tab(context, origin)
    enter(dialog(sheet), "bo's password", "bo")
    heard(sheet, "heard")
    other = tab(context, origin)
    other.goto(f"{origin}/.demur/sign-out")
    other.get_by_role("button", name="Sign out").click()
    assert heard(sheet, "heard", times=2)[1:] == [{"type": "signed-out"}]
    assert sheet.evaluate(ASK) == 401


def test_without_javascript(browser: Browser, origin: str) -> None:
    """As an ordinary page it signs in, and says that it is done."""
    context = browser.new_context(java_script_enabled=False)
    sheet = context.new_page()
    sheet.goto(f"{origin}{EMBED}&popup&lang=ar")
    enter(sheet, "wrong", "bo")
    assert sheet.get_by_role("alert").is_visible()
    enter(sheet, "bo's password")
    sheet.wait_for_url("**/.demur/sign-in?embed&popup&done&lang=ar")
    assert sheet.get_by_role("status").text_content() == "يمكنك إغلاق هذه النافذة."
    context.close()


def test_another_origin_gets_nothing_into_its_frame(context: BrowserContext, origin: str, shown: Shown) -> None:
    """The browser keeps the page out of a frame of any other origin, and shows it in one of its own."""
    sheet = context.new_page()
    sheet.goto(shown("empty"))
    put = "address => { const f = document.createElement('iframe'); f.src = address; document.body.append(f) }"
    with sheet.expect_event("requestfailed") as failed:
        sheet.evaluate(put, origin + EMBED)
    assert failed.value.failure == "net::ERR_BLOCKED_BY_RESPONSE"
    assert dialog(tab(context, origin)).locator("form").is_visible()
