"""The boxes of the client in Chromium: what a person sees, hears and can do, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.client.boxes import (
    ALICE,
    BOX,
    FOCUS,
    HANDS,
    REFUSAL,
    SIGN_IN,
    answers,
    ask,
    dialog,
    expiring,
    nothing_left,
    page_with,
    silent,
    snapshot,
)
from tests.client.engines import DIALOG
from tests.client.upstream import POLICY

if TYPE_CHECKING:
    from tests.client.conftest import Engines
    from tests.client.engines import Tab, Window
    from tests.client.lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]


# --- signing in ------------------------------------------------------------------------------------------


def test_the_dialog_has_a_name_and_a_way_out(lab: Lab, window: Window) -> None:
    """A dialog, a frame with a title, and a button with a name."""
    tab = dialog(window, lab)
    snapshot(tab, "dialog", '- dialog "Sign in":\n  - iframe\n  - button "Close"')
    assert tab.page.locator("dialog iframe").get_attribute("title") == "Sign in"
    silent(tab)


def test_who_signs_in_types_at_once_and_goes_on_where_they_were(lab: Lab, window: Window) -> None:
    """The first empty field has the focus (the name is known), and afterwards what had it before."""
    tab = page_with(window, lab)
    lab.end("alice", "idle")
    tab.evaluate("() => document.querySelector('#save').focus()")
    tab.evaluate("() => { lab.call('/api/echo').then((answer) => answers.push(answer.status)) }")
    tab.wait_for_element("input[name=password]", frame=DIALOG)
    tab.wait_for("() => document.activeElement.name === 'password'", frame=DIALOG)
    assert tab.evaluate(FOCUS) == "Sign in"
    tab.sign_in_in_dialog(lab, "alice")
    assert answers(tab) == [200]
    nothing_left(tab)
    assert tab.evaluate(FOCUS) == "save"
    silent(tab)


def test_what_is_behind_cannot_be_reached(lab: Lab, window: Window) -> None:
    """Neither by the focus nor by pointing."""
    tab = dialog(window, lab)
    reach = """() => {
      const save = document.querySelector("#save"), { x, y } = save.getBoundingClientRect();
      save.focus();
      return [save.matches(":focus"), document.elementFromPoint(x + 2, y + 2) === save];
    }"""
    assert tab.evaluate(reach) == [False, False]


@pytest.mark.parametrize("how", ["inside", "outside", "close", "not now"])
def test_closing_it_loses_nothing(lab: Lab, window: Window, how: str) -> None:
    """Escape inside the frame and outside, and both buttons: the call stays refused, the page is as it was."""
    tab = dialog(window, lab)
    if how == "inside":
        tab.page.frame_locator(DIALOG).locator("input[name=username]").press("Escape")
    elif how == "outside":
        tab.page.locator("dialog .x").press("Escape")
    elif how == "close":
        tab.click("dialog .x")
    else:
        tab.click("[data-close]", frame=DIALOG)
    assert answers(tab) == [False]
    nothing_left(tab)
    assert tab.evaluate(FOCUS) == "save"
    silent(tab)


def test_keys_that_are_meant_for_a_box_do_nothing_to_the_page(lab: Lab, window: Window) -> None:
    """A page that closes its own things on Escape, or has letters for commands, hears of none."""
    tab = page_with(window, lab)
    tab.evaluate("() => { window.keys = []; addEventListener('keydown', ({ key }) => keys.push(key)); }")
    expiring(tab, 20)
    for key in ("Tab", "j", "Escape"):
        tab.press(key)
    assert answers(tab) == ["stay"]
    assert tab.evaluate("() => keys") == []


def test_without_its_words_the_dialog_is_still_there(lab: Lab, window: Window) -> None:
    """A file that does not come, such as in the middle of an upgrade, keeps nobody from signing in."""
    tab = page_with(window, lab)
    tab.page.route("**/lang/*.js", lambda route: route.abort())
    lab.end("alice", "idle")
    tab.evaluate("() => { lab.call('/api/echo').then((answer) => answers.push(answer.status)) }")
    tab.sign_in_in_dialog(lab, "alice")
    assert answers(tab) == [200]


def test_two_calls_share_one_dialog(lab: Lab, window: Window) -> None:
    """However many ask, the person is asked once, and may be asked again later."""
    tab = dialog(window, lab)
    tab.evaluate("(about) => { ask('signIn', about); }", SIGN_IN)
    assert tab.page.locator("dialog").count() == 1
    tab.press("Escape")
    assert answers(tab, 2) == [False, False]
    ask(tab, "signIn", SIGN_IN)
    assert tab.page.locator("dialog").count() == 1


def test_a_sign_in_somewhere_else_takes_the_dialog_away(lab: Lab, window: Window) -> None:
    """A signal that aborts is a sign-in that somebody else saw; before it is shown, nothing is."""
    tab = dialog(window, lab)
    tab.evaluate("() => stop.abort()")
    assert answers(tab) == [True]
    nothing_left(tab)
    tab.evaluate("(about) => { ask('signIn', about); }", SIGN_IN)
    assert answers(tab, 2) == [True, True]
    nothing_left(tab)
    silent(tab)


def test_the_dialog_is_as_tall_as_its_page(lab: Lab, window: Window) -> None:
    """Nothing in the frame has to be scrolled where there is room."""
    tab = dialog(window, lab)
    tab.page.set_viewport_size({"width": 900, "height": 1200})
    height = "() => Math.abs(document.documentElement.scrollHeight - innerHeight)"
    tab.wait_for(f"() => ({height})() < 2", frame=DIALOG)


@pytest.mark.parametrize("engine", ["chromium", "firefox", "webkit"])
@pytest.mark.parametrize("path", ["/page#part-2", "/page?a=1&b=2#x"])
def test_where_no_frame_is_allowed_the_whole_page_signs_in(lab: Lab, engines: Engines, engine: str, path: str) -> None:
    """The form is then on a page of its own, and leads back, fragment included."""
    window = engines[engine].window()
    try:
        lab.page("/page", "<p>Hello {subject}", csp=POLICY.replace("frame-src 'self'", "frame-src 'none'"))
        tab = window.tab()
        tab.sign_in_on_page(lab, "alice")
        tab.goto(lab.url(path))
        lab.end("alice", "idle")
        tab.evaluate("() => { lab.call('/api/echo'); }")
        tab.wait_for("() => location.pathname === '/.demur/sign-in'")
        tab.type_password(lab, "alice")
        tab.wait_for("(there) => location.href === there", lab.url(path))
    finally:
        window.close()


@pytest.mark.parametrize("engine", ["firefox", "webkit"])
def test_other_browsers_agree(lab: Lab, engines: Engines, engine: str) -> None:
    """The focus goes in and comes back, the panel takes none and is the next stop, Escape answers."""
    window = engines[engine].window()
    try:
        tab = window.tab()
        tab.sign_in_on_page(lab, "alice")
        tab.goto(lab.page("/page", '<button id="save">Save</button><button id="next">Next</button>'))
        assert tab.evaluate(HANDS, {})
        tab.evaluate("() => document.querySelector('#save').focus()")
        ask(tab, "forbidden", REFUSAL, ALICE)
        met = [tab.evaluate(FOCUS)]
        for _ in range(3):
            tab.press("Tab")
            met.append(tab.evaluate(FOCUS))
        assert met == ["save", "Use another account", "Close", "next"]
        expiring(tab, 20)
        assert tab.evaluate(FOCUS) == "Stay signed in"
        tab.press("Escape")
        assert answers(tab) == ["stay"]
        assert tab.evaluate(FOCUS) == "next"
        lab.end("alice", "idle")
        tab.evaluate("() => { lab.call('/api/echo').then((answer) => answers.push(answer.status)) }")
        tab.wait_for_element("input[name=password]", frame=DIALOG)
        tab.wait_for("() => document.activeElement.name === 'password'", frame=DIALOG)
        for key in "abc":
            tab.press(key)
        assert tab.evaluate("() => document.activeElement.value", frame=DIALOG) == "abc"
        tab.sign_in_in_dialog(lab, "alice")
        assert answers(tab, 2) == ["stay", 200]
        assert tab.evaluate(FOCUS) == "next"
        silent(tab)
    finally:
        window.close()


def test_a_sign_in_in_another_window_is_asked_about(lab: Lab, window: Window) -> None:
    """Where the sign-in is at another origin no message comes: when this window has the focus again, the server is
    asked."""
    tab = page_with(window, lab)
    lab.end("alice", "idle")
    tab.evaluate("async () => { lab.call('/api/echo').then((answer) => answers.push(answer.status)) }")
    tab.wait_for_element("input[name=password]", frame=DIALOG)
    window.sign_in(lab, "alice")
    lab.forget()
    tab.evaluate("() => dispatchEvent(new Event('focus'))", frame=DIALOG)
    assert answers(tab) == [200]
    assert len(lab.asked("/.demur/session")) == 1
    nothing_left(tab)


def described(tab: Tab, role: str) -> str:
    """The description of an element as Chromium tells it to a screen reader."""
    session = tab.page.context.new_cdp_session(tab.page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    (found,) = [node for node in nodes if node.get("role", {}).get("value") == role]
    return str(found["description"]["value"])


# --- before a session ends -------------------------------------------------------------------------------

HEARD = """() => {
  const text = document.documentElement.lastElementChild.shadowRoot.querySelector("[role=status]");
  window.heard = text.textContent ? [text.textContent] : [];
  new MutationObserver(() => heard.push(text.textContent)).observe(text, { childList: true });
}"""


def test_the_first_warning_is_quiet(lab: Lab, window: Window) -> None:
    """It takes no focus, is announced, and one button is enough."""
    tab = page_with(window, lab, clock=True)
    tab.evaluate("() => document.querySelector('#save').focus()")
    expiring(tab, 120)
    tab.evaluate(HEARD)
    tab.page.clock.run_for(300)
    assert tab.evaluate(FOCUS) == "save"
    assert tab.evaluate("() => heard") == ["You will be signed out in 2 minutes."]
    tree = """
    - region "Are you still there?":
      - heading "Are you still there?" [level=2]
      - status: You will be signed out in 2 minutes.
      - button "Stay signed in"
      - button "Close"
    """
    snapshot(tab, "section", tree)
    tab.click("text=Stay signed in")
    assert answers(tab) == ["stay"]
    nothing_left(tab)
    silent(tab)


def test_it_is_announced_at_coarse_steps(lab: Lab, window: Window) -> None:
    """Every quarter of a minute, and what is seen goes by the second in between."""
    tab = page_with(window, lab, clock=True)
    expiring(tab, 120)
    tab.evaluate(HEARD)
    tab.page.clock.run_for(89_000)
    said = tab.evaluate("() => heard")
    assert said == ["You will be signed out in 2 minutes."] + [
        f"You will be signed out in {left} seconds." for left in (90, 75, 60, 45)
    ]
    assert tab.page.locator("section p[aria-hidden]").text_content() == "You will be signed out in 31 seconds."


def test_at_the_end_it_is_a_dialog(lab: Lab, window: Window) -> None:
    """In the last seconds it asks, with the answer that loses nothing in the focus, and then gives up."""
    tab = page_with(window, lab, clock=True)
    tab.evaluate("() => document.querySelector('#save').focus()")
    expiring(tab, 31)
    assert tab.has("section")
    tab.page.clock.run_for(1300)
    tab.wait_for_element("dialog[open]")
    assert not tab.has("section")
    tree = """
    - alertdialog "Are you still there?":
      - heading "Are you still there?" [level=2]
      - status: You will be signed out in 30 seconds.
      - button "Stay signed in"
      - button "Sign out"
      - button "Close"
    """
    snapshot(tab, "dialog", tree)
    assert described(tab, "alertdialog") == "You will be signed out in 30 seconds."
    assert tab.evaluate(FOCUS) == "Stay signed in"
    tab.page.clock.run_for(30_000)
    assert answers(tab) == [None]
    nothing_left(tab)
    assert tab.evaluate(FOCUS) == "save"
    silent(tab)


@pytest.mark.parametrize(
    ("absolute", "press", "answer"),
    [
        (False, "Enter", "stay"),
        (False, "Escape", "stay"),
        (True, "Enter", "sign-in"),
        (True, "Escape", None),
        (False, "sign-out", "sign-out"),
        (True, "sign-out", "sign-out"),
    ],
)
def test_what_can_be_answered(lab: Lab, window: Window, *, absolute: bool, press: str, answer: str | None) -> None:
    """Who is there stays; an absolute end cannot be moved, and closing the dialog leaves everything as it is."""
    tab = page_with(window, lab)
    expiring(tab, 20, absolute=absolute)
    if press == "sign-out":
        tab.click("text=Sign out")
    else:
        tab.press(press)
    assert answers(tab) == [answer]
    nothing_left(tab)


def test_an_absolute_end_says_that_it_is_one(lab: Lab, window: Window) -> None:
    """It offers a sign-in before it comes, and who does not want that is not asked again."""
    tab = page_with(window, lab, clock=True)
    expiring(tab, 100, absolute=True)
    tab.page.clock.run_for(300)
    tree = """
    - region "This session cannot be extended":
      - heading "This session cannot be extended" [level=2]
      - status: You will be signed out in 2 minutes.
      - button "Sign in again"
      - button "Close"
    """
    snapshot(tab, "section", tree)
    tab.click("section .x")
    assert answers(tab) == [None]
    nothing_left(tab)


def test_after_sleep_it_is_right_at_once(lab: Lab, window: Window) -> None:
    """No timer is believed: a machine that slept for ten minutes shows nothing old."""
    tab = page_with(window, lab, clock=True, options={"warn": 900})
    expiring(tab, 900)
    tab.page.clock.run_for(300)
    assert "15 minutes" in tab.text("section")
    tab.page.clock.fast_forward(840_000)
    tab.page.clock.run_for(300)
    assert "59 seconds" in tab.text("section") or "60 seconds" in tab.text("section")
    tab.page.clock.fast_forward(600_000)
    tab.page.clock.run_for(600)
    assert answers(tab) == [None]
    nothing_left(tab)


def test_no_notice_hides_what_has_the_focus(lab: Lab, window: Window) -> None:
    """It goes to the other end of the window, and back."""
    fields = '<input id="a"><div style="height: 90vh"></div><input id="b">'
    csp = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
    tab = page_with(window, lab, fields, csp=csp)
    expiring(tab, 100)
    top = f"({BOX}).getBoundingClientRect().top > innerHeight / 2"
    for field, lower in (("#a", True), ("#b", False), ("#a", True)):
        tab.click(field)
        tab.wait_for(f"(lower) => {top} === lower", lower)


# --- a 403 -----------------------------------------------------------------------------------------------


def test_a_403_is_explained(lab: Lab, window: Window) -> None:
    """Who somebody is, what is missing, the reference; and the page goes on."""
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/app"))
    answer = tab.evaluate("async () => { await lab.demur(); return lab.call('/api/admin/x', { method: 'POST' }); }")
    assert answer["status"] == 403
    tab.wait_for_element("section:popover-open")
    reference = answer["body"]["instance"].removeprefix("urn:uuid:")
    tree = f"""
    - dialog "You may not open this":
      - alert:
        - heading "You may not open this" [level=2]
        - paragraph: Your account does not have access to this.
      - paragraph: Signed in as Alice Archer
      - paragraph: "What is needed: membership of a group that this account is not in"
      - paragraph: Reference {reference}
      - button "Use another account"
      - button "Close"
    """
    snapshot(tab, "section", tree)
    tab.page.locator("section b").last.click()
    assert tab.evaluate("() => getSelection().toString().trim()") == reference
    silent(tab)


def test_another_account_comes_back_here(lab: Lab, window: Window) -> None:
    """Signing out ends the session, and the form that is then in place of the page leads to it."""
    tab = page_with(window, lab)
    ask(tab, "forbidden", REFUSAL, ALICE)
    tab.click("text=Use another account")
    lab.wait_for(lambda: bool(lab.asked("/.demur/sign-out")))
    tab.wait_for_element("input[name=password]")
    assert tab.evaluate("() => location.href") == lab.url("/page")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("/.demur/requests?for=x", True),
        ("https://access.example.com/ask", True),
        ("http://access.example.com/ask", False),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("https://[", False),
        (None, False),
    ],
)
def test_access_is_asked_for_where_that_is_safe(lab: Lab, window: Window, address: str | None, shown: bool) -> None:
    """The link is there if it leads to this site or to another over https, and to nothing else."""
    tab = page_with(window, lab)
    ask(tab, "forbidden", {**REFUSAL, **({"request_access": address} if address else {})}, ALICE)
    assert tab.page.get_by_role("link", name="Ask for access").count() == shown


def test_nobody_is_told_who_they_are_if_that_is_not_known(lab: Lab, window: Window) -> None:
    """A refusal with nothing but its reason still has its panel."""
    tab = page_with(window, lab)
    ask(tab, "forbidden", {"status": 403, "reason": "not-permitted"}, None)
    snapshot(tab, "section", '- dialog "not-permitted":\n  - alert:\n    - heading "not-permitted"\n  - button "Close"')


def test_refusals_of_one_moment_have_one_panel(lab: Lab, window: Window) -> None:
    """And a later one takes the place of an earlier."""
    tab = page_with(window, lab)
    script = "(each) => { for (let n = 0; n < 5; n++) ask('forbidden', { ...each, detail: `Call ${n}` }, null); }"
    tab.evaluate(script, REFUSAL)
    tab.wait_for_element("section:popover-open")
    assert tab.page.locator("section").count() == 1
    assert "Call 4" in tab.text("section")
    ask(tab, "forbidden", {**REFUSAL, "detail": "Later"}, None)
    tab.wait_for("() => document.documentElement.children.length === 3")
    assert "Later" in tab.text("section")


def test_the_panel_takes_no_focus_and_traps_none(lab: Lab, window: Window) -> None:
    """It is the next stop of Tab from where the person is, Escape closes it, and the focus is where it was."""
    tab = page_with(window, lab, '<button id="save">Save</button><button id="next">Next</button>')
    tab.evaluate("() => document.querySelector('#save').focus()")
    ask(tab, "forbidden", REFUSAL, ALICE)
    met = [tab.evaluate(FOCUS)]
    for _ in range(3):
        tab.press("Tab")
        met.append(tab.evaluate(FOCUS))
    for _ in range(2):
        tab.press("Shift+Tab")
        met.append(tab.evaluate(FOCUS))
    assert met == ["save", "Use another account", "Close", "next", "Close", "Use another account"]
    tab.press("Escape")
    nothing_left(tab)
    assert tab.evaluate(FOCUS) == "save"


def test_it_can_be_used_above_a_dialog_of_the_page(lab: Lab, window: Window) -> None:
    """What was refused may have been sent from a modal dialog, which makes all else inert."""
    tab = page_with(window, lab, '<dialog><button id="save">Save</button></dialog>')
    tab.evaluate("() => document.querySelector('dialog').showModal()")
    ask(tab, "forbidden", REFUSAL, ALICE)
    tab.click("section .x")
    assert answers(tab) == [None]
    assert tab.evaluate(
        "() => [document.querySelector('dialog').open, document.querySelector('dialog').children.length]"
    ) == [True, 1]


def test_what_the_server_says_is_text(lab: Lab, window: Window) -> None:
    """Markup in a refusal is shown as it is written."""
    tab = page_with(window, lab)
    evil = "<img src=x onerror=alert(1)>"
    ask(
        tab, "forbidden", {**REFUSAL, "title": evil, "detail": evil, "missing": [evil]}, {**ALICE, "display_name": evil}
    )
    assert tab.page.locator("section img").count() == 0
    assert tab.text("section").count(evil) == 4
    silent(tab)
