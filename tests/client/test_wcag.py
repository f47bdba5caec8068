"""The accessibility of what the client shows, criterion by criterion (WCAG 2.2), and what axe-core finds.

docs/how-to/accessibility.md lists these tests; tests/docs holds the two together.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scripts.screenshots import PAGES
from tests.client.boxes import ALICE, FOCUS, REFUSAL, answers, ask, expiring, nothing_left, page_with
from tests.client.engines import DIALOG

from demur.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Engines
    from tests.client.engines import Tab, Window
    from tests.client.lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NIGHTLY = "DEMUR_NIGHTLY" in os.environ
AXE = Path(__file__).parents[2] / "client/node_modules/axe-core/axe.min.js"
PAGE = """<main><h1>Report</h1><p><label>Title <input id="title"></label></p>
<p><button id="save">Save</button> <button id="next">Next</button></p></main>"""


def signing_in(tab: Tab, lab: Lab) -> None:
    """The dialog, as it comes when a call is refused."""
    lab.end("alice", "idle")
    tab.evaluate("() => { lab.call('/api/echo').then((answer) => answers.push(answer.status)) }")
    tab.wait_for_element("input[name=password]", frame=DIALOG)
    tab.wait_for("() => document.activeElement.matches('input')", frame=DIALOG)


def panel(tab: Tab, lab: Lab) -> None:
    """The explanation of a 403, with everything in it."""
    ask(tab, "forbidden", {**REFUSAL, "request_access": "/.demur/requests"}, ALICE)


def notice(tab: Tab, lab: Lab) -> None:
    """The first warning."""
    expiring(tab, 110)
    tab.wait_for_element("section [role=status]:not(:empty)")


def urge(tab: Tab, lab: Lab) -> None:
    """The last warning."""
    expiring(tab, 25)


BOXES: dict[str, Callable[[Tab, Lab], None]] = {
    "sign-in": signing_in,
    "notice": notice,
    "urge": urge,
    "absolute": lambda tab, lab: expiring(tab, 25, absolute=True),
    "forbidden": panel,
}
EVERY = pytest.mark.parametrize("name", BOXES)


def focused(tab: Tab) -> str:
    """What has the focus, in the frame as well."""
    name = str(tab.evaluate(FOCUS))
    if name != "Sign in" or not tab.has(DIALOG):
        return name
    inside = "() => { const at = document.activeElement; return at.ariaLabel || at.name || at.textContent.trim(); }"
    return str(tab.evaluate(inside, frame=DIALOG))


def stops(tab: Tab, number: int) -> list[str]:
    """Where Tab leads to, one after the other."""
    met = []
    for _ in range(number):
        tab.press("Tab")
        met.append(focused(tab))
    return met


# --- one criterion each ----------------------------------------------------------------------------------


@EVERY
def test_2_1_2_no_keyboard_trap(lab: Lab, window: Window, name: str) -> None:
    """Escape leads out of a dialog whatever has the focus, and Tab through what is none; then the page has it."""
    tab = page_with(window, lab, PAGE)
    tab.click("#save")
    BOXES[name](tab, lab)
    if name in {"notice", "forbidden"}:
        assert "next" in stops(tab, 5)
        return
    for _ in range(3):
        tab.press("Tab")
    tab.press("Escape")
    nothing_left(tab)
    assert tab.evaluate(FOCUS) == "save"


PRESS = """() => [...document.documentElement.children].find((host) => host.shadowRoot).shadowRoot
  .querySelector("section button").click()"""


def test_2_2_1_timing_adjustable(lab: Lab, window: Window) -> None:
    """Two minutes before a session ends by inactivity there is a warning, one press of a button extends it, and that
    works ten times and more: "the user is allowed to extend the time limit with a simple action [...] at least ten
    times" with "at least 20 seconds" for it."""
    window.sign_in(lab, "alice")
    tab = window.tab(lab.page("/page", PAGE))
    assert tab.evaluate("async () => (await lab.demur()).options.warn") == 120
    # So early that it comes anew a moment after each answer.
    client = f'<script src="/.demur/client.js" defer data-warn="{lab.idle - 0.3}"></script>'
    tab.goto(lab.page("/warned", PAGE, client=False, head=client))
    for number in range(1, 12):
        lab.now += 400
        tab.wait_for_element("section:popover-open")
        # Without a pointer: that would extend the session by itself, and this is about the button alone.
        tab.evaluate(PRESS)
        lab.wait_for(lambda number=number: len(lab.asked("/.demur/session/extend")) == number)  # type: ignore[misc]
        nothing_left(tab)
    assert lab.sessions("alice")[0].last_seen == lab.now


def test_2_2_1_an_absolute_end_is_told_and_can_be_met(lab: Lab, window: Window) -> None:
    """Where the end cannot be moved, that is said in time, and to sign in begins a new session before it comes."""
    tab = page_with(window, lab, PAGE)
    expiring(tab, 110, absolute=True)
    assert "This session cannot be extended" in tab.text("section")
    tab.click("text=Sign in again")
    assert answers(tab) == ["sign-in"]


def test_2_2_5_re_authenticating(lab: Lab, window: Window) -> None:
    """ "When an authenticated session expires, the user can continue the activity without loss of data after
    re-authenticating": the call is made, the file in it too, and what was typed is still there."""
    tab = page_with(window, lab, PAGE)
    tab.fill("#title", "Half a year of work")
    lab.end("alice", "idle")
    tab.evaluate("""() => {
      const data = new FormData();
      data.append("title", document.querySelector("#title").value);
      data.append("file", new File(["0123456789"], "figures.csv"));
      lab.call("/api/echo", { method: "POST", body: data }).then((answer) => answers.push(answer.status));
    }""")
    tab.sign_in_in_dialog(lab, "alice")
    assert answers(tab) == [200]
    (done,) = lab.done("/api/echo", "POST")
    assert done.fields == {"title": ["Half a year of work"]}
    assert done.files["file"] == ("figures.csv", b"0123456789")
    assert tab.evaluate("() => document.querySelector('#title').value") == "Half a year of work"


def test_2_2_6_timeouts(lab: Lab, window: Window) -> None:
    """ "Users are warned of the duration of any user inactivity that could cause data loss": where they sign in, on the
    page and in the dialog."""
    tab = page_with(window, lab, PAGE)
    signing_in(tab, lab)
    limit = "You will be signed out after 1 hour without activity."
    assert limit in tab.text(frame=DIALOG)
    tab.goto(lab.url("/.demur/sign-in"))
    assert limit in tab.text()


def test_2_4_3_focus_order(lab: Lab, window: Window) -> None:
    """A dialog begins where one can answer, Tab goes through it as it reads, and behind it there is nothing."""
    tab = page_with(window, lab, PAGE)
    tab.click("#save")
    signing_in(tab, lab)
    # The name is filled in, so there is nothing to do in the first field.
    assert focused(tab) == "password"
    assert stops(tab, 3) == ["Show password", "keep", "Sign in"]
    assert "Close" in stops(tab, 5)
    assert "save" not in stops(tab, 9)
    tab.press("Escape")
    nothing_left(tab)
    urge(tab, lab)
    assert [focused(tab), *stops(tab, 2)] == ["Stay signed in", "Sign out", "Close"]
    tab.press("Escape")
    nothing_left(tab)
    panel(tab, lab)
    assert [focused(tab), *stops(tab, 4)] == ["save", "Ask for access", "Use another account", "Close", "next"]


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("name", ["notice", "forbidden"])
def test_2_4_11_focus_not_obscured(lab: Lab, window: Window, name: str, width: int) -> None:
    """ "When a user interface component receives keyboard focus, the component is not entirely hidden due to
    author-created content": however one goes through a long page."""
    fields = "".join(f'<p><label>Field {n} <input id="f{n}"></label></p>' for n in range(40))
    tab = page_with(window, lab, f"<main><h1>Long</h1>{fields}</main>")
    tab.page.set_viewport_size({"width": width, "height": 900})
    BOXES[name](tab, lab)
    hidden = """() => {
      const at = document.activeElement;
      const box = document.documentElement.lastElementChild;
      if (at === box) return false;
      const { left, right, top, bottom } = at.getBoundingClientRect();
      const seen = (x, y) => document.elementFromPoint(x, y) === at;
      return ![left + 2, (left + right) / 2, right - 2].some((x) => [top + 2, bottom - 2].some((y) => seen(x, y)));
    }"""
    tab.click("#f0")
    for key, number in (("Tab", 30), ("Shift+Tab", 20)):
        for _ in range(number):
            tab.press(key)
            tab.wait_for(f"() => !({hidden})()")


@EVERY
def test_2_5_8_target_size(lab: Lab, window: Window, name: str) -> None:
    """ "The size of the target for pointer inputs is at least 24 by 24 CSS pixels", at 320 pixels as well."""
    tab = page_with(window, lab, PAGE)
    tab.page.set_viewport_size({"width": 320, "height": 640})
    BOXES[name](tab, lab)
    sizes = (
        tab.page.locator("dialog, section")
        .locator("button, a")
        .evaluate_all(
            "(all) => all.map((each) => each.getBoundingClientRect()).map(({ width, height }) => [width, height])"
        )
    )
    assert sizes
    assert all(width >= 24 and height >= 24 for width, height in sizes)


def test_3_3_7_redundant_entry(lab: Lab, window: Window) -> None:
    """A name that was typed is not asked for again: the session being over by inactivity, the password wrong, or the
    person in need of confirming who they are."""
    tab = page_with(window, lab, PAGE)
    signing_in(tab, lab)
    assert tab.evaluate("() => document.querySelector('[name=username]').value", frame=DIALOG) == "alice"
    tab.type_password(lab, "alice", frame=DIALOG, password="wrong")
    tab.wait_for_element("[role=alert]", frame=DIALOG)
    assert tab.evaluate("() => document.querySelector('[name=username]').value", frame=DIALOG) == "alice"
    tab.fill("input[name=password]", lab.password("alice"), frame=DIALOG)
    tab.press("Enter")
    assert answers(tab) == [200]
    lab.now += 1000
    tab.evaluate("() => { lab.call('/api/step-up/x').then((answer) => answers.push(answer.status)) }")
    tab.wait_for_element("input[name=password]", frame=DIALOG)
    assert tab.page.frame_locator(DIALOG).get_by_role("textbox").count() == 1
    tab.fill("input[name=password]", lab.password("alice"), frame=DIALOG)
    tab.press("Enter")
    assert answers(tab, 2) == [200, 200]


def test_3_3_8_accessible_authentication(lab: Lab, window: Window) -> None:
    """No step asks to remember or to transcribe: password managers know the fields, and a password can be pasted."""
    tab = page_with(window, lab, PAGE)
    tab.fill("#title", lab.password("alice"))
    tab.page.locator("#title").press("Control+a")
    tab.page.locator("#title").press("Control+c")
    signing_in(tab, lab)
    kinds = "() => [...document.querySelectorAll('[type=text], [type=password]')].map((each) => each.autocomplete)"
    assert tab.evaluate(kinds, frame=DIALOG) == ["username", "current-password"]
    tab.page.frame_locator(DIALOG).locator("input[name=password]").press("Control+v")
    tab.press("Enter")
    assert answers(tab) == [200]


def test_4_1_3_status_messages(lab: Lab, window: Window) -> None:
    """ "Status messages can be programmatically determined through role or properties such that they can be presented
    to the user by assistive technologies without receiving focus"."""
    tab = page_with(window, lab, PAGE)
    tab.click("#title")
    notice(tab, lab)
    assert tab.page.get_by_role("status").text_content() == "You will be signed out in 2 minutes."
    panel(tab, lab)
    assert "Your account does not have access to this." in (tab.page.get_by_role("alert").text_content() or "")
    assert tab.evaluate(FOCUS) == "title"


# --- axe-core --------------------------------------------------------------------------------------------

MODES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "forced colours": {"forced_colors": "active"},
    "320 px": {"viewport": {"width": 320, "height": 640}},
    "200 %": {"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2},
    "right to left": {},
}
# What another look can change. Names, roles and order are the same elements in all of them, and `make nightly` asks for
# those in each.
LOOKS = ["color-contrast", "link-in-text-block", "scrollable-region-focusable"]
RUN = """async (only) => {
  const how = only.length ? { runOnly: only } : {};
  const { violations } = await axe.run(document, { iframes: false, resultTypes: ["violations"], ...how });
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`);
}"""
EVERY_MODE = pytest.mark.parametrize("mode", MODES)


def faults(tab: Tab, *, mode: str = "light", frame: str = "") -> list[str]:
    """What axe-core finds wrong: everything in the light, and elsewhere what can be different there."""
    if not tab.evaluate("() => 'axe' in window", frame=frame):
        tab.evaluate(f"() => {{ {AXE.read_text(encoding='utf-8')} }}", frame=frame)
    rules = [] if mode == "light" or NIGHTLY else LOOKS
    found: list[str] = tab.evaluate(f"() => ({RUN})({json.dumps(rules)})", frame=frame)
    return found


needs_axe = pytest.mark.skipif(not AXE.exists(), reason="axe-core is not here: `npm ci` in client/ brings it")


@needs_axe
@EVERY_MODE
@EVERY
def test_axe_finds_nothing_in_a_box(lab: Lab, engines: Engines, name: str, mode: str) -> None:
    """In every look, each dialog, notice and panel, and the page in the dialog."""
    window = engines["chromium"].window(reduced_motion="reduce", **MODES[mode])
    try:
        tab = page_with(window, lab, PAGE, lang="ar" if mode == "right to left" else "en")
        if mode == "dark":
            tab.evaluate("() => { document.documentElement.style.colorScheme = 'light dark'; }")
        BOXES[name](tab, lab)
        assert faults(tab, mode=mode) == []
        wide = "() => document.documentElement.scrollWidth > innerWidth"
        assert not tab.evaluate(wide)
        if name == "sign-in":
            assert faults(tab, mode=mode, frame=DIALOG) == []
            assert not tab.evaluate(wide, frame=DIALOG)
    finally:
        window.close()


@pytest.fixture(scope="module")
def documents() -> dict[str, str]:
    """Every page of demur's own; made in a thread, as a browser's event loop may run in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: {name: make().decode() for name, make in PAGES.items()}).result()


@needs_axe
@EVERY_MODE
def test_axe_finds_nothing_in_a_page(documents: dict[str, str], engines: Engines, mode: str) -> None:
    """In every look, each of demur's own pages."""
    window = engines["chromium"].window(reduced_motion="reduce", **MODES[mode])
    try:
        tab = window.tab()
        found = {}
        for name, document in documents.items():
            tab.page.set_content(document)
            if mode == "right to left":
                tab.evaluate("() => { document.documentElement.dir = 'rtl'; }")
            found[name] = faults(tab, mode=mode)
        assert {name: each for name, each in found.items() if each} == {}
    finally:
        window.close()


@needs_axe
def test_axe_would_find_something(lab: Lab, window: Window) -> None:
    """The net has no holes: it looks into the shadow roots as well."""
    tab = page_with(window, lab, PAGE)
    panel(tab, lab)
    break_it = "document.documentElement.lastElementChild.shadowRoot.querySelector('section .x').ariaLabel = ''"
    tab.evaluate(f"() => {{ {break_it}; {break_it.replace('ariaLabel', 'textContent')}; }}")
    assert [fault.partition(":")[0] for fault in faults(tab)] == ["button-name"]


def test_every_reason_of_the_session_is_said(lab: Lab, window: Window) -> None:
    """Why somebody has to sign in stands in the dialog, in words."""
    said = {
        "idle": "You were away for a while",
        "revoked": "Your session was ended",
        "ended": "You have signed out",
    }
    assert set(said) < {reason.value.removeprefix("session-") for reason in Reason}
    for how, title in said.items():
        tab = page_with(window, lab, PAGE)
        lab.end("alice", how)
        tab.evaluate("() => { lab.call('/api/echo'); }")
        tab.wait_for_element("h1, h2", frame=DIALOG)
        assert title in tab.text(frame=DIALOG)
        tab.close()
