"""The sign-in page for a dialog in a real browser: what it tells the page around it, the other tabs, and people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.browser.test_pages import FAINT, SMALL, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FrameLocator, Page
    from tests.browser.conftest import Shown

pytestmark = pytest.mark.browser

# As the client does it, and believing only what comes out of that frame.
FRAME = """address => new Promise((resolve) => {
  window.told = [];
  const frame = document.createElement("iframe");
  frame.src = address;
  frame.style.cssText = "inline-size: 100%; border: 0";
  addEventListener("message", (event) => {
    if (event.source !== frame.contentWindow || event.origin !== location.origin) return;
    told.push(event.data);
    if (event.data.height) frame.style.blockSize = `${event.data.height}px`;
    if (event.data.demur === "ready") resolve();
  });
  document.body.append(frame);
})"""
LISTEN = """() => {
  window.heard = [];
  new BroadcastChannel("demur").addEventListener("message", (event) => heard.push(event.data));
}"""


def framed(sheet: Page, shown: Shown, name: str) -> FrameLocator:
    """A page inside a frame of another one that listens."""
    sheet.goto(shown("empty"))
    sheet.evaluate(FRAME, shown(name))
    return sheet.frame_locator("iframe")


def heard(sheet: Page, what: str, *, times: int = 1) -> list[Any]:
    """What a page was told, once it is so much."""
    sheet.wait_for_function(f"window.{what}.length >= {times}")
    return list(sheet.evaluate(f"window.{what}"))


@pytest.mark.parametrize("width", [320, 480])
def test_it_is_as_tall_as_it_says(browser: Browser, shown: Shown, width: int) -> None:
    """The page around it is told the height at the start and when it changes, and then nothing in it scrolls."""
    with opened(browser, shown("empty"), viewport={"width": width, "height": 700}) as sheet:
        inside = framed(sheet, shown, "embed-german")
        body = inside.locator("body")
        (ready, *_) = heard(sheet, "told")
        assert sorted(ready) == ["demur", "height"]
        assert ready["demur"] == "ready"
        assert 300 < ready["height"] < 800
        fits = (
            "() => { const e = document.documentElement;"
            " return e.scrollHeight <= e.clientHeight && e.scrollWidth <= e.clientWidth }"
        )
        assert body.evaluate(fits)
        before = len(sheet.evaluate("told"))
        body.evaluate("e => { e.querySelector('.lede').textContent += ' More words.'.repeat(30) }")
        told = heard(sheet, "told", times=before + 1)
        assert told[-1]["demur"] == "size"
        assert told[-1]["height"] > ready["height"]
        assert body.evaluate(fits)


@pytest.mark.parametrize("name", ["embed-idle", "embed-confirm", "embed-arabic", "embed-elsewhere"])
def test_it_can_be_left(browser: Browser, shown: Shown, name: str) -> None:
    """Escape and "Not now" are passed on to the page around it, which alone can close the dialog."""
    with opened(browser, shown("empty")) as sheet:
        inside = framed(sheet, shown, name)
        inside.locator("[data-close]").click()
        inside.locator("[data-close]").press("Escape")
        sheet.wait_for_function("told.filter(one => one.demur === 'close').length === 2")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_in_a_dialog_is_readable_and_large(browser: Browser, shown: Shown, scheme: Any) -> None:
    """What is shown in a frame only has the contrast and the size of everything else, and nothing runs out of it."""
    past = (
        "() => [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
    )
    with opened(browser, shown("empty"), color_scheme=scheme, viewport={"width": 320, "height": 900}) as sheet:
        for name in ("embed-confirm", "embed-unavailable", "embed-french", "embed-arabic", "embed-elsewhere"):
            body = framed(sheet, shown, name).locator("body")
            assert body.locator("[data-close]").is_visible()
            assert (body.evaluate(FAINT), body.evaluate(SMALL), body.evaluate(past)) == ([], [], [])


def test_escape_does_not_end_what_is_being_composed(browser: Browser, shown: Shown) -> None:
    """An input method uses Escape for itself."""
    with opened(browser, shown("empty")) as sheet:
        inside = framed(sheet, shown, "embed-chinese")
        press = (
            "(e, isComposing) => e.dispatchEvent("
            "new KeyboardEvent('keydown', {key: 'Escape', bubbles: true, isComposing}))"
        )
        field = inside.locator("#username")
        field.evaluate(press, True)
        field.evaluate(press, False)
        sheet.wait_for_function("told.some(one => one.demur === 'close')")
        assert sheet.evaluate("told.filter(one => one.demur === 'close').length") == 1


@pytest.mark.parametrize("script", [True, False])
def test_what_is_for_a_dialog_is_shown_in_one_only(browser: Browser, shown: Shown, script: bool) -> None:
    """In a window of its own, and without the script, there is nothing to leave."""
    with opened(browser, shown("embed-idle"), java_script_enabled=script) as sheet:
        assert sheet.locator("#password").is_visible()
        assert not sheet.locator("[data-close]").is_visible()
        assert not sheet.locator("[data-popup]").is_visible()
    with opened(browser, shown("empty")) as sheet:
        inside = framed(sheet, shown, "embed-idle")
        assert inside.get_by_role("button", name="Not now").is_visible()
        assert inside.get_by_role("link", name="Open in a window of its own").is_visible()


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("embed-sign-in", "username"),
        ("embed-idle", "password"),
        ("embed-confirm", "password"),
        ("embed-wrong", "password"),
    ],
)
def test_the_first_empty_field_has_the_focus(browser: Browser, shown: Shown, name: str, field: str) -> None:
    """Whoever sees the dialog can type at once, in the frame too."""
    with opened(browser, shown("empty")) as sheet:
        inside = framed(sheet, shown, name)
        assert inside.locator("body").evaluate("() => document.activeElement.name") == field
        assert sheet.evaluate("document.activeElement.tagName") == "IFRAME"


@pytest.mark.parametrize(("name", "said"), [("embed-done", "signed-in"), ("signed-out", "signed-out")])
def test_every_tab_is_told(browser: Browser, shown: Shown, name: str, said: str) -> None:
    """A sign-in and a sign-out are heard in the other tabs, with nothing in them but what it was."""
    with opened(browser, shown("empty")) as sheet:
        sheet.evaluate(LISTEN)
        other = sheet.context.new_page()
        other.goto(shown(name))
        assert heard(sheet, "heard") == [{"type": said}]


def test_no_other_page_says_so(browser: Browser, shown: Shown) -> None:
    """No form and no refusal is taken for a sign-in or sign-out."""
    with opened(browser, shown("empty")) as sheet:
        sheet.evaluate(LISTEN)
        other = sheet.context.new_page()
        for name in ("embed-confirm", "embed-wrong", "sign-in", "sign-out", "not-permitted", "embed-done"):
            other.goto(shown(name))
        assert heard(sheet, "heard") == [{"type": "signed-in"}]


def test_a_window_of_its_own(browser: Browser, shown: Shown) -> None:
    """The link opens a small window from the click; when it is done there, every tab hears it and the window closes."""
    with opened(browser, shown("empty")) as sheet:
        inside = framed(sheet, shown, "embed-idle")
        sheet.evaluate(LISTEN)
        with sheet.expect_popup() as caught:
            inside.get_by_role("link", name="Open in a window of its own").click()
        popup = caught.value
        popup.wait_for_load_state()
        assert popup.url == shown(".demur/sign-in?embed&popup&username=alma.reyes")
        with popup.expect_event("close"):
            popup.evaluate("address => { location.href = address }", shown("embed-done-popup"))
        assert heard(sheet, "heard") == [{"type": "signed-in"}]


def test_people_are_told_in_words(browser: Browser, shown: Shown) -> None:
    """A window that no script closes, or that none may close, says that it can be closed."""
    for script in (True, False):
        with opened(browser, shown("embed-done"), java_script_enabled=script) as sheet:
            assert sheet.locator("h1").text_content() == "You are signed in"
            assert sheet.get_by_role("status").text_content() == "You can close this window."


@pytest.mark.parametrize(
    ("name", "kept"),
    [("not-permitted", False), ("unavailable", False), ("idle", False), ("embed-wrong", True), ("sign-out", True)],
)
def test_a_refusal_means_that_nothing_was_sent(browser: Browser, shown: Shown, name: str, kept: bool) -> None:
    """The client's mark that a form is on its way goes when a refusal comes in its place, and only then."""
    with opened(browser, shown("empty")) as sheet:
        sheet.evaluate("sessionStorage.setItem('demur:sent', '/form'); sessionStorage.setItem('other', '1')")
        sheet.goto(shown(name))
        assert sheet.evaluate("sessionStorage.getItem('demur:sent')") == ("/form" if kept else None)
        assert sheet.evaluate("sessionStorage.getItem('other')") == "1"


@pytest.mark.parametrize("name", ["embed-done", "signed-out", "not-permitted", "embed-idle"])
def test_where_the_browser_keeps_things_from_us(browser: Browser, shown: Shown, name: str) -> None:
    """Without storage and channels there is no error, and the rest of the script runs."""
    context = browser.new_context()
    sheet = context.new_page()
    sheet.add_init_script(
        "for (const name of ['BroadcastChannel', 'sessionStorage'])"
        " Object.defineProperty(window, name, { get() { throw new DOMException('no', 'SecurityError') } })"
    )
    errors: list[str] = []
    sheet.on("pageerror", lambda error: errors.append(str(error)))
    sheet.goto(shown(name))
    sheet.wait_for_load_state("load")
    assert errors == []
    context.close()


def test_the_scripts_words_are_the_pages(browser: Browser, shown: Shown) -> None:
    """Showing the password and Caps Lock are spoken of in the page's language."""
    press = "(e, on) => e.dispatchEvent(new KeyboardEvent('keydown', {key: 'A', modifierCapsLock: on}))"
    with opened(browser, shown("embed-german")) as sheet:
        sheet.get_by_role("button", name="Passwort zeigen").click()
        assert sheet.get_by_role("button", name="Passwort verbergen").text_content() == "Verbergen"
        sheet.locator("#password").evaluate(press, True)
        assert sheet.get_by_role("status").text_content() == "Die Feststelltaste ist an"


@pytest.mark.parametrize("name", ["embed-idle", "embed-confirm"])
def test_passwords_can_be_pasted_and_filled_in(browser: Browser, shown: Shown, name: str) -> None:
    """Nothing stands in the way of paste or a password manager (WCAG 2.2, 3.3.8); a known name is there (3.3.7)."""
    with opened(browser, shown(name)) as sheet:
        paste = "e => e.dispatchEvent(new ClipboardEvent('paste', {cancelable: true, bubbles: true}))"
        assert sheet.locator("#password").evaluate(paste)
        assert sheet.locator("#password").get_attribute("autocomplete") == "current-password"
        assert sheet.locator("[name=username]").get_attribute("autocomplete") == "username"
        assert sheet.locator("[name=username]").input_value() == "alma.reyes"


def test_arabic_runs_from_right_to_left(browser: Browser, shown: Shown) -> None:
    """The document runs from right to left by itself."""
    with opened(browser, shown("embed-arabic"), viewport={"width": 480, "height": 700}) as sheet:
        box = sheet.locator(".reveal").bounding_box()
        field = sheet.locator("#password").bounding_box()
        assert box is not None
        assert field is not None
        assert box["x"] - field["x"] < 10
        assert sheet.locator("h1").evaluate("e => getComputedStyle(e).direction") == "rtl"


@pytest.mark.parametrize(
    ("name", "tree"),
    [
        (
            "embed-idle",
            """
            - main:
              - heading "You were away for a while" [level=1]
              - paragraph: Your session ended because nothing happened for some time. Sign in again to go on.
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
              - button "Not now"
              - link "Open in a window of its own"
            """,
        ),
        (
            "embed-confirm",
            """
            - main:
              - heading "Confirm that it is you" [level=1]
              - paragraph: Enter your password to go on.
              - paragraph:
                - text: Signed in as
                - strong: Alma Reyes
              - paragraph:
                - text: Password
                - textbox "Password"
              - paragraph:
                - button "Confirm"
              - paragraph: You will be signed out after 30 minutes without activity.
              - paragraph:
                - text: Not you?
                - link "Use another account"
            """,
        ),
    ],
)
def test_what_a_screen_reader_meets(browser: Browser, shown: Shown, name: str, tree: str) -> None:
    """Roles and names are what somebody needs who does not see the dialog."""
    from playwright.sync_api import expect  # noqa: PLC0415 - not needed to collect these tests

    with opened(browser, shown("empty")) as sheet:
        expect(framed(sheet, shown, name).locator("body")).to_match_aria_snapshot(tree)


def test_the_keyboard_reaches_everything_in_order(browser: Browser, shown: Shown) -> None:
    """Tab goes through the dialog as it reads."""
    with opened(browser, shown("empty")) as sheet:
        body = framed(sheet, shown, "embed-confirm").locator("body")
        where = (
            "() => { const at = document.activeElement;"
            " return at.ariaLabel || at.labels?.[0]?.textContent || at.textContent.trim() }"
        )
        met = [body.evaluate(where)]
        for _ in range(5):
            sheet.keyboard.press("Tab")
            met.append(body.evaluate(where))
    assert met == [
        "Password",
        "Show password",
        "Confirm",
        "Use another account",
        "Not now",
        "Open in a window of its own",
    ]
