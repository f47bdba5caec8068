"""The PHP site in a real browser: what a person meets who never sees a header."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.site.houses import PHP, House, needs_php

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, Playwright

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.php,
    needs_php,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium"),
]

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Playwright, for as long as the module's tests need it."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """A browser without a profile."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
    yield browser
    browser.close()


@pytest.fixture(params=["http", "https"])
def site(request: pytest.FixtureRequest) -> House:
    """The PHP site, on a plain loopback origin and over TLS."""
    return request.getfixturevalue("secure_php" if request.param == "https" else "php")  # type: ignore[no-any-return]


@pytest.fixture
def page(chromium: Browser, site: House) -> Iterator[Page]:
    """A tab of a browser that has been nowhere yet."""
    context = chromium.new_context(base_url=site.origin, ignore_https_errors=True)
    yield context.new_page()
    context.close()


def sign_in(page: Page, person: str, password: str | None = None) -> None:
    """Fill in the form that is there, and send it."""
    page.get_by_label("Name", exact=True).fill(person)
    page.locator('input[type="password"]').fill(PHP.people[person] if password is None else password)
    page.locator('form[action$="/sign-in"] button[type="submit"]').click()


def ready(page: Page) -> None:
    """Until the page has everything from its scripts."""
    page.wait_for_selector('html[data-ready="yes"]')


def test_deep_link_with_fragment(page, site):
    """The form stands at the very address; a wrong password keeps all; then the page opens, fragment included."""
    answer = page.goto("/members/?from=mail#new")
    assert answer is not None
    assert answer.status == 401
    assert page.url == f"{site.origin}/members/?from=mail#new"
    sign_in(page, "ben", "wrong")
    page.wait_for_selector('[role="alert"]')
    assert page.get_by_label("Name", exact=True).input_value() == "ben"
    sign_in(page, "ben")
    ready(page)
    assert page.url == f"{site.origin}/members/?from=mail#new"
    assert page.locator("#who").inner_text().startswith("Ben Okafor")


def test_second_person(page):
    """What the first one typed comes back for that person, and is never there for the next one at the same browser."""
    page.goto("/members/")
    sign_in(page, "ben")
    ready(page)
    with page.expect_response("**/members/draft.php"):
        page.locator("textarea").fill("a surprise for somebody")
        page.locator("textarea").blur()
    page.reload()
    ready(page)
    assert page.locator("textarea").input_value() == "a surprise for somebody"

    page.locator('form[action$="/sign-out"] button').click()
    page.wait_for_url("**/.demur/signed-out")
    page.goto("/members/")
    sign_in(page, "dov")
    ready(page)
    assert page.locator("#who").inner_text().startswith("Dov Årud")
    assert page.locator("textarea").input_value() == ""

    page.goto("/.demur/sign-in?next=/members/")
    sign_in(page, "ben")
    ready(page)
    assert page.locator("#who").inner_text().startswith("Ben Okafor")
    assert page.locator("textarea").input_value() == ""


def test_what_was_done_is_said_once_and_not_by_others(page, site):
    """After one's own click the page says that sessions were ended; a link in a mail makes it say nothing."""
    site.signed_in("dov")
    page.goto("/.demur/sign-in?next=/.demur/sessions")
    sign_in(page, "dov")
    page.get_by_role("button", name="End all others").click()
    page.wait_for_url("**/.demur/sessions?ended=*")
    assert "ended" in page.locator(".done").inner_text()

    crafted = {"Ended": "/.demur/sessions?ended=3", "Changed": "/.demur/account?changed"}
    mail = "".join(f'<p><a href="{site.origin}{target}">{name}</a></p>' for name, target in crafted.items())
    page.route("https://mail.example/", lambda route: route.fulfill(body=mail, content_type="text/html"))
    for name, target in crafted.items():
        page.goto("https://mail.example/")
        page.get_by_role("link", name=name).click()
        page.wait_for_url(f"{site.origin}{target}")
        assert page.locator('form[method="post"]').count() > 0
        assert page.locator(".done").count() == 0


def test_back_after_sign_out(page):
    """After signing out, Back shows no content: not from the browser's memory either."""
    page.goto("/members/")
    sign_in(page, "ben")
    ready(page)
    page.goto("/reports/")
    page.goto("/members/")
    ready(page)
    page.locator('form[action$="/sign-out"] button').click()
    page.wait_for_url("**/.demur/signed-out")
    page.wait_for_load_state("networkidle")
    page.go_back()
    page.wait_for_load_state("networkidle")
    text = page.locator("body").inner_text()
    assert "Ben Okafor" not in text
    assert "Oak boards" not in text


def test_nothing_typed_is_lost(page, site):
    """When the session ends under an open page, a dialog says why and asks to sign in; then the call goes on, once."""
    page.goto("/members/")
    sign_in(page, "ben")
    ready(page)
    page.locator("select").select_option("lathe")
    page.locator('input[type="date"]').fill("2026-12-09")
    page.locator("textarea").fill("six bushings")
    site.demur("sessions", "end", "--user", "ben")
    page.get_by_role("button", name="Book").click()
    dialog = page.frame_locator("dialog iframe")
    dialog.get_by_text("Your session was ended").first.wait_for()
    dialog.locator('input[name="username"]').fill("ben")
    dialog.locator('input[type="password"]').fill(PHP.people["ben"])
    dialog.locator('form[action*="/sign-in"] button[type="submit"]').click()
    page.get_by_text("Booked.").wait_for()
    assert page.locator("tbody").inner_text().count("six bushings") == 1


def test_the_site_refuses(page):
    """The site's own no arrives in its own words, with the reference."""
    page.goto("/members/")
    sign_in(page, "ben")
    ready(page)
    page.locator("select").select_option("laser")
    page.locator('input[type="date"]').fill("2026-12-09")
    with page.expect_response(lambda answer: answer.request.method == "POST" and "bookings" in answer.url) as answer:
        page.get_by_role("button", name="Book").click()
    page.get_by_text("Your introduction to the Laser cutter is on Thursday at six.").wait_for()
    assert answer.value.status == 403
    problem = json.loads(answer.value.body())
    assert problem["instance"].removeprefix("urn:uuid:") in page.locator("#note").inner_text()


def test_without_javascript(chromium, site):
    """With JavaScript off the way in and out is the same."""
    context = chromium.new_context(base_url=site.origin, ignore_https_errors=True, java_script_enabled=False)
    page = context.new_page()
    page.goto("/members/")
    sign_in(page, "ben")
    page.wait_for_url("**/members/")
    assert page.get_by_role("heading", name="My bookings").is_visible()
    page.locator('form[action$="/sign-out"] button').click()
    page.wait_for_url("**/.demur/signed-out")
    answer = page.goto("/members/")
    assert answer is not None
    assert answer.status == 401
    context.close()
