"""The pages in a real browser: silent, narrow, readable, usable by keyboard and without JavaScript."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from scripts.screenshots import PAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page
    from tests.browser.conftest import Shown

pytestmark = pytest.mark.browser

SCHEMES = ("light", "dark")
# When a page has nothing to do any more: what its scripts begin they have begun by then.
IDLE = "new Promise((done) => requestIdleCallback(() => setTimeout(done, 0)))"

# Every element with text of its own whose colour does not stand out enough from what is behind it.
# Large text is 24 px, or 18.66 px and bold (WCAG 2.2, 1.4.3).
FAINT = """() => {
  const parse = (text) => { const p = text.match(/[\\d.]+/g).map(Number); return p.length < 4 ? [...p, 1] : p; };
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (at) => {
    for (; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return parse(getComputedStyle(document.documentElement).backgroundColor);
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own && !(element instanceof HTMLInputElement)) continue;
    if (!element.checkVisibility()) continue;
    const style = getComputedStyle(element), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const [a, b] = [light(parse(style.color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < (large ? 3 : 4.5)) found.push(`${element.outerHTML.slice(0, 80)}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""

# Every target smaller than 24 by 24 CSS pixels, but for links within a sentence (WCAG 2.2, 2.5.8).
SMALL = """() => [...document.querySelectorAll("a, button, input, label")].filter((element) => {
  if (!element.checkVisibility() || element.closest(".lede")) return false;
  const box = element.getBoundingClientRect();
  const label = element.id && document.querySelector(`label[for="${element.id}"]`);
  const reach = label ? Math.max(box.height, label.getBoundingClientRect().height) : box.height;
  return element.tagName !== "LABEL" && (Math.max(reach, box.height) < 24 || box.width < 19);
}).map((element) => element.outerHTML.slice(0, 80))"""


@contextmanager
def opened(browser: Browser, address: str, **how: Any) -> Iterator[Page]:
    """A page in a context of its own."""
    context = browser.new_context(**how)
    try:
        sheet = context.new_page()
        sheet.goto(address)
        yield sheet
    finally:
        context.close()


def test_nothing_is_blocked_or_fetched(browser: Browser, shown: Shown) -> None:
    """Under its own policy a page reports no violation and no error, and asks for nothing but itself."""
    said: list[str] = []
    expected: list[str] = []
    with opened(browser, shown("empty")) as sheet:
        sheet.on("console", lambda message: said.append(message.text) if message.type != "info" else None)
        sheet.on("pageerror", lambda error: said.append(str(error)))
        sheet.add_init_script(
            "window.violated = [];"
            "document.addEventListener('securitypolicyviolation', e => violated.push(e.blockedURI))"
        )
        shown.asked.clear()
        for name in PAGES:
            sheet.goto(shown(name))
            said += [f"{name}: {blocked}" for blocked in sheet.evaluate(f"{IDLE}.then(() => window.violated)")]
            expected += [f"/{name}", *(["/.demur/cleared.css"] if name == "signed-out" else [])]
            assert said == [], name
            assert _asked(shown) == expected
        sheet.wait_for_load_state("networkidle")
    assert (said, _asked(shown)) == ([], expected)


def _asked(shown: Shown) -> list[str]:
    """What a page asked for. The icon of a site is asked for by the browser itself, when it likes."""
    return [path for path in shown.asked if path != "/favicon.ico"]


@pytest.mark.parametrize(("width", "text"), [(320, "100%"), (640, "200%")])
def test_nothing_scrolls_sideways(browser: Browser, shown: Shown, width: int, text: str) -> None:
    """At 320 CSS pixels, and at twice the text size, nothing needs scrolling in two directions (1.4.10)."""
    past = "e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1"
    wide = {}
    with opened(browser, shown("empty"), viewport={"width": width, "height": 700}) as sheet:
        for name in PAGES:
            sheet.goto(shown(name))
            sheet.evaluate(f"document.documentElement.style.fontSize = '{text}'")
            assert sheet.evaluate("document.querySelectorAll('main *').length") > 1
            found = sheet.evaluate(f"[...document.querySelectorAll('body *')].filter({past}).map(e => e.outerHTML)")
            if found or sheet.evaluate("document.documentElement.scrollWidth") > width:
                wide[name] = found
    assert wide == {}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_is_readable_and_targets_are_large(browser: Browser, shown: Shown, scheme: Any) -> None:
    """In light and dark every text has the contrast of level AA, and every target its size."""
    found = {}
    with opened(browser, shown("empty"), color_scheme=scheme) as sheet:
        for name in PAGES:
            sheet.goto(shown(name))
            found[name] = [*sheet.evaluate(FAINT), *sheet.evaluate(SMALL)]
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_the_net_for_faint_text_has_no_holes(browser: Browser, shown: Shown) -> None:
    """The check above finds what it is for."""
    with opened(browser, shown("sign-in")) as sheet:
        sheet.evaluate("document.querySelector('h1').style.color = '#ccc'")
        sheet.evaluate("document.querySelector('.button').style.cssText = 'min-height: 0; padding: 0; font-size: 9px'")
        assert len(sheet.evaluate(FAINT)) == 1
        assert len(sheet.evaluate(SMALL)) == 1


@pytest.mark.parametrize(
    ("name", "tree"),
    [
        (
            "sign-in",
            """
            - main:
              - heading "Sign in to continue" [level=1]
              - paragraph: This page is for people who are signed in.
              - region "Sign in":
                - paragraph:
                  - text: Name
                  - textbox "Name"
                - paragraph:
                  - text: Password
                  - textbox "Password"
                  - button "Show password": Show
                  - status
                - paragraph:
                  - checkbox "Keep me signed in on this device"
                  - text: Keep me signed in on this device
                - paragraph:
                  - button "Sign in"
                - paragraph: You will be signed out after 30 minutes without activity.
            - contentinfo: /401 sign-in-required/
            """,
        ),
        (
            "wrong-password",
            """
            - main:
              - heading "Sign in to continue" [level=1]
              - region "Sign in":
                - alert: The name or the password is not right.
            """,
        ),
        (
            "confirm",
            """
            - region "Confirm that it is you":
              - paragraph:
                - text: Signed in as
                - strong: Alma Reyes
              - paragraph:
                - text: Password
                - textbox "Password"
              - paragraph:
                - button "Confirm"
              - button "Use another account"
            """,
        ),
        (
            "not-permitted",
            """
            - main:
              - heading "You may not open this" [level=1]
              - region "What you can do":
                - term: Signed in as
                - definition:
                  - strong: Alma Reyes
                - term: What is needed
                - definition: Membership of a group that this account is not in
                - button "Use another account"
                - link "Go to the start page"
                - paragraph:
                  - link "Help from Harbour Records"
            """,
        ),
        (
            "sessions",
            """
            - banner:
              - navigation "Your account":
                - link "Sessions"
            - main:
              - heading "Where you are signed in" [level=1]
              - list:
                - listitem:
                  - heading "Firefox on Linux" [level=2]
                  - button "Sign out"
                - listitem:
                  - heading "curl" [level=2]
                  - 'button "End: curl, signed in 1 hour ago"'
              - button "End all others"
            """,
        ),
        (
            "account-wrong",
            """
            - main:
              - heading "Your account" [level=1]
              - region "Change the password":
                - heading "Change the password" [level=2]
                - alert: Your password was not changed.
                - paragraph:
                  - textbox "Current password"
                  - text: This is not your current password.
                - paragraph:
                  - textbox "New password"
                - paragraph:
                  - button "Change the password"
            """,
        ),
    ],
)
def test_what_a_screen_reader_meets(browser: Browser, shown: Shown, name: str, tree: str) -> None:
    """Roles and names are what somebody needs who does not see the page."""
    from playwright.sync_api import expect  # noqa: PLC0415 - not needed to collect these tests

    with opened(browser, shown(name)) as sheet:
        expect(sheet.locator("body")).to_match_aria_snapshot(tree)


@pytest.mark.parametrize(
    ("name", "stops"),
    [
        ("sign-in", ["Name", "Password", "Show password", "Keep me signed in on this device", "Sign in"]),
        ("confirm", ["Password", "Show password", "Confirm", "Use another account"]),
        ("not-permitted", ["Use another account", "Go to the start page", "Help from Harbour Records"]),
        ("unavailable", ["Try again", "Go to the start page"]),
        ("host-unknown", ["Open http://localhost:8000", "Open https://records.harbour.example"]),
        ("framed", ["Open Harbour Records"]),
    ],
)
def test_the_keyboard_reaches_everything_in_order(browser: Browser, shown: Shown, name: str, stops: list[str]) -> None:
    """Tab goes through the page as it reads, and always shows where it is."""
    where = """() => {
      const at = document.activeElement, style = getComputedStyle(at);
      return [at.ariaLabel || at.labels?.[0]?.textContent || at.textContent, style.outlineStyle, style.outlineWidth];
    }"""
    with opened(browser, shown(name)) as sheet:
        # The first empty field has the focus already; start from the top all the same.
        sheet.evaluate("() => { const top = document.querySelector('h1'); top.tabIndex = -1; top.focus() }")
        met = []
        for _ in stops:
            sheet.keyboard.press("Tab")
            label, line, width = sheet.evaluate(where)
            met.append(label)
            assert (line, width) == ("solid", "3px")
        assert met == stops


@pytest.mark.parametrize(
    ("name", "field"), [("sign-in", "username"), ("idle", "password"), ("confirm", "password"), ("account", None)]
)
def test_the_first_empty_field_has_the_focus(browser: Browser, shown: Shown, name: str, field: str | None) -> None:
    """Whoever is asked to sign in can type at once; on a page that is read, nothing is focused."""
    with opened(browser, shown(name)) as sheet:
        assert (sheet.evaluate("document.activeElement.name") or None) == field


def test_signing_in_without_javascript(browser: Browser, shown: Shown) -> None:
    """Without the script the form is complete, sends what was typed, and shows no button that would do nothing."""
    with opened(browser, shown("sign-in"), java_script_enabled=False) as sheet:
        assert not sheet.locator(".reveal").is_visible()
        sheet.get_by_label("Name").fill("alma")
        sheet.get_by_label("Password", exact=True).fill("battery staple")
        sheet.get_by_label("Keep me signed in").check()
        sheet.get_by_role("button", name="Sign in").click()
        sheet.wait_for_url("**/.demur/sign-in")
    expected = {"next": "/records/2026?page=2", "username": "alma", "password": "battery staple", "keep": "on"}
    assert shown.posted == [{name: [value] for name, value in expected.items()}]


def test_the_fragment_survives(browser: Browser, shown: Shown) -> None:
    """What stands behind the # never reaches a server; the script carries it along."""
    with opened(browser, shown("idle#part-2")) as sheet:
        sheet.get_by_label("Password", exact=True).fill("x")
        sheet.keyboard.press("Enter")
        sheet.wait_for_url("**/.demur/sign-in")
    with opened(browser, shown("not-permitted#part-3")) as sheet:
        sheet.get_by_role("button", name="Use another account").click()
        sheet.wait_for_url("**/.demur/sign-out")
    assert [sent["next"] for sent in shown.posted] == [[f"/records/2026?page=2#part-{number}"] for number in (2, 3)]


def test_a_password_can_be_seen_and_is_hidden_when_sent(browser: Browser, shown: Shown) -> None:
    """Showing is a switch with a name that says what it does, and no browser remembers a shown password."""
    with opened(browser, shown("idle")) as sheet:
        field = sheet.get_by_label("Password", exact=True)
        field.fill("seen")
        sheet.get_by_role("button", name="Show password").click()
        assert field.get_attribute("type") == "text"
        assert sheet.evaluate("document.activeElement.id") == "password"
        sheet.get_by_role("button", name="Hide password").click()
        assert field.get_attribute("type") == "password"
        sheet.get_by_role("button", name="Show password").click()
        kind = "f => { f.addEventListener('submit', e => { e.preventDefault(); document.title = f.password.type }) }"
        sheet.locator("form").evaluate(kind)
        sheet.get_by_role("button", name="Sign in").click()
        assert sheet.title() == "password"


def test_caps_lock_is_mentioned(browser: Browser, shown: Shown) -> None:
    """A hint is announced while Caps Lock is on, and goes away."""
    press = "(e, on) => e.dispatchEvent(new KeyboardEvent('keydown', {key: 'A', modifierCapsLock: on}))"
    with opened(browser, shown("sign-in")) as sheet:
        field = sheet.get_by_label("Password", exact=True)
        hint = sheet.get_by_role("status")
        for on, said in ((True, "Caps Lock is on"), (False, "")):
            field.evaluate(press, on)
            assert hint.text_content() == said


def test_times_are_local(browser: Browser, shown: Shown) -> None:
    """Times are shown where the person is, and in UTC without the script."""
    with opened(browser, shown("expired"), timezone_id="Asia/Tokyo") as sheet:
        assert sheet.locator("time").text_content() == "22 November 2026 at 23:05"
    with opened(browser, shown("expired"), java_script_enabled=False) as sheet:
        assert sheet.locator("time").text_content() == "22 November 2026, 14:05 UTC"


def test_one_click_selects_the_reference(browser: Browser, shown: Shown) -> None:
    """The reference is selected as a whole, to be copied."""
    with opened(browser, shown("not-permitted")) as sheet:
        code = sheet.locator("code.copy")
        code.click()
        assert sheet.evaluate("getSelection().toString().trim()") == code.text_content()


@pytest.mark.parametrize("name", ["sign-in", "not-permitted", "sessions", "embed-confirm", "embed-elsewhere"])
def test_forced_colours_keep_the_shapes(browser: Browser, shown: Shown, name: str) -> None:
    """Where the system dictates the colours, buttons and slips still have an outline."""
    with opened(browser, shown(name), forced_colors="active") as sheet:
        for box in sheet.locator(".button, .quiet, .slip").all():
            line, width, colour, paper = box.evaluate(
                "e => { const s = getComputedStyle(e); return [s.borderTopStyle, s.borderTopWidth, s.borderTopColor,"
                " getComputedStyle(document.body).backgroundColor] }"
            )
            assert (line, width) == ("solid", "1px")
            assert colour != paper


def test_nothing_moves_for_whoever_wants_it_still(browser: Browser, shown: Shown) -> None:
    """With reduced motion there is no transition."""
    with opened(browser, shown("sign-in"), reduced_motion="reduce") as sheet:
        assert sheet.locator(".button").evaluate("e => getComputedStyle(e).transitionProperty") == "none"


def test_it_mirrors(browser: Browser, shown: Shown) -> None:
    """In a language that runs from right to left the page is its own mirror image."""
    edges = "() => ['.say', '.slip', '.site'].map(s => document.querySelector(s).getBoundingClientRect())"
    with opened(browser, shown("idle"), viewport={"width": 1280, "height": 800}) as sheet:
        straight = sheet.evaluate(f"({edges})().map(b => [Math.round(b.left), Math.round(b.right)])")
        sheet.evaluate("document.documentElement.dir = 'rtl'")
        mirrored = sheet.evaluate(f"({edges})().map(b => [Math.round(1280 - b.right), Math.round(1280 - b.left)])")
    assert mirrored == straight


def test_a_framed_page_opens_on_top(browser: Browser, shown: Shown) -> None:
    """The text in a frame can be seen there, and its link leaves the frame."""
    with opened(browser, shown("empty")) as sheet:
        sheet.evaluate(
            "address => { const f = document.createElement('iframe'); f.src = address; document.body.append(f) }",
            shown("framed"),
        )
        sheet.frame_locator("iframe").get_by_role("link", name="Open Harbour Records").click()
        sheet.wait_for_url(re.compile(r"/records/2026\?page=2$"))


@pytest.mark.parametrize(("after", "asked_again"), [("signed-out", True), ("not-found", False)])
@pytest.mark.parametrize("script", [True, False])
def test_what_was_left_open_does_not_come_back(
    browser: Browser, shown: Shown, after: str, asked_again: bool, script: bool
) -> None:
    """After signing out, going back asks the server, even for a page that may be stored, and without JavaScript. After
    any other page the browser shows what it has."""
    with opened(browser, shown("private"), java_script_enabled=script) as sheet:
        sheet.goto(shown(after))
        sheet.wait_for_load_state("networkidle")
        sheet.go_back(wait_until="commit")
        assert sheet.url == shown("private")
    assert (shown.asked.count("/private") == 2) == asked_again
