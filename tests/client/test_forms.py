"""Plain forms in real browsers, and a session that is over: the browser sends them once somebody is signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.client.conftest import Engines
    from tests.client.engines import Tab, Window
    from tests.client.lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# A dialog without looks: somebody signs in elsewhere in the browser, or it is closed.
READY = """async () => {
  const demur = await lab.demur();
  window.dialogs = 0;
  window.submits = 0;
  document.addEventListener("submit", () => { submits += 1; });
  demur.ui.signIn = (refusal, signal) => new Promise((resolve) => {
    dialogs += 1;
    window.closeDialog = () => resolve(false);
    signal.addEventListener("abort", () => resolve(true));
  });
  await import("/.demur/client/forms.js");
  await new Promise((done) => setTimeout(done));
}"""
OVER = "async () => { const demur = await lab.demur(); await demur.session(); return demur.over; }"
RELOADED = """() => document.readyState === "complete"
  && performance.getEntriesByType("navigation")[0].type === "reload" """
VALUE = "([selector, value]) => document.querySelector(selector).value === value"


def ready(tab: Tab, path: str) -> Tab:
    """A page whose forms are looked after."""
    tab.goto(path)
    tab.evaluate(READY)
    return tab


def opened(lab: Lab, window: Window, path: str, name: str = "alice") -> Tab:
    """The page of somebody who is signed in."""
    window.sign_in(lab, name)
    return ready(window.tab(), lab.url(path))


def over(lab: Lab, tab: Tab, how: str = "revoked") -> None:
    """The session is over, and the page knows it."""
    lab.end("alice", how)
    assert tab.evaluate(OVER) is True
    lab.forget()


def signed_in_elsewhere(window: Window, lab: Lab, tab: Tab, name: str = "alice") -> None:
    """Somebody signs in in another tab of this browser."""
    window.sign_in(lab, name)
    tab.evaluate("() => { new BroadcastChannel('demur').postMessage({ type: 'signed-in' }); }")


def at(tab: Tab, path: str) -> None:
    """Until the page of a path is there."""
    tab.wait_for("(path) => location.pathname === path && document.readyState === 'complete'", path)


def test_nothing_is_asked_while_the_session_is_alive(lab: Lab, window: Window) -> None:
    """A form is sent as if the client were not there."""
    tab = opened(lab, window, "/form")
    tab.fill("#note", "as ever")
    lab.forget()
    tab.click("#draft")
    at(tab, "/thanks")
    asked = [f"{each.method} {each.path}" for each in lab.requests]
    assert [each for each in asked if not each.endswith(".js")] == ["POST /form", "GET /thanks"]
    assert lab.done("/form", "POST")[0].fields == {"note": ["as ever"], "draft": ["yes"]}


@pytest.fixture(params=["chromium", "firefox"])
def either(engines: Engines, request: pytest.FixtureRequest) -> Iterator[Window]:
    """A window of Chromium and one of Firefox."""
    window = engines[request.param].window()
    yield window
    window.close()


def test_a_form_waits_for_the_sign_in_and_is_sent_by_the_browser(lab: Lab, either: Window, tmp_path: Path) -> None:
    """Files, the pressed button and the encoding are as they were; the app sees it once."""
    (tmp_path / "plan.txt").write_text("a plan")
    either.sign_in(lab, "alice")
    tab = either.tab(lab.url("/upload"))
    tab.evaluate("async () => { await lab.demur(); await import('/.demur/client/forms.js'); }")
    tab.fill("#note", "näh")
    tab.choose("#file", tmp_path / "plan.txt")
    over(lab, tab)
    tab.click("#send")
    tab.sign_in_in_dialog(lab, "alice")
    at(tab, "/thanks")
    (sent,) = lab.done("/upload", "POST")
    assert (sent.subject, sent.fields) == ("alice", {"note": ["näh"], "how": ["now"]})
    assert sent.files == {"file": ("plan.txt", b"a plan")}
    assert [each.status for each in lab.asked("/upload", "POST")] == [303]
    assert tab.evaluate("() => [lab.violations, lab.errors]") == [[], []]


def test_who_presses_twice_sends_once_and_the_app_hears_of_it_once(lab: Lab, window: Window) -> None:
    """What is pressed while the person signs in is the same submission, and the app's listeners are not run again."""
    tab = opened(lab, window, "/form")
    over(lab, tab)
    tab.evaluate(
        "() => document.forms[0].addEventListener('submit', (e) => e.target.dataset.sent && e.preventDefault())"
    )
    tab.evaluate("() => document.forms[0].addEventListener('submit', (e) => { e.target.dataset.sent = 'yes'; })")
    tab.click("#send")
    tab.wait_for("() => dialogs === 1")
    tab.evaluate("() => { delete document.forms[0].dataset.sent; document.forms[0].requestSubmit(); }")
    assert tab.evaluate("() => [submits, dialogs]") == [2, 1]
    signed_in_elsewhere(window, lab, tab)
    at(tab, "/thanks")
    assert len(lab.asked("/form", "POST")) == 1


def test_a_button_that_the_page_switches_off_is_sent_all_the_same(lab: Lab, window: Window) -> None:
    """As it would be if nothing had come in between."""
    tab = opened(lab, window, "/form")
    over(lab, tab)
    tab.evaluate("""() => document.forms[0].addEventListener("submit", (event) => {
      setTimeout(() => { event.submitter.disabled = true; });
    })""")
    tab.click("#draft")
    tab.wait_for("() => dialogs === 1 && document.querySelector('#draft').disabled")
    signed_in_elsewhere(window, lab, tab)
    at(tab, "/thanks")
    assert lab.done("/form", "POST")[0].fields == {"note": [""], "draft": ["yes"]}


def test_a_button_that_is_gone_does_no_harm(lab: Lab, window: Window) -> None:
    """The form stays as it is, and its next submission is heard by everybody."""
    tab = opened(lab, window, "/form")
    over(lab, tab)
    tab.click("#draft")
    tab.wait_for("() => dialogs === 1")
    tab.evaluate("() => { document.querySelector('#draft').remove(); }")
    window.sign_in(lab, "alice")
    with tab.page.expect_event("pageerror"):
        tab.evaluate("() => { new BroadcastChannel('demur').postMessage({ type: 'signed-in' }); }")
    tab.evaluate("() => { submits = 0; addEventListener('submit', (event) => event.preventDefault()); }")
    tab.click("#send")
    assert tab.evaluate("() => submits") == 1


def test_who_declines_stays_with_what_was_typed_and_may_press_again(lab: Lab, window: Window) -> None:
    """Nothing is sent; the next press asks again."""
    tab = opened(lab, window, "/form")
    tab.fill("#note", "still here")
    over(lab, tab)
    for presses in (1, 2):
        tab.click("#send")
        tab.wait_for("(presses) => dialogs === presses", presses)
        tab.evaluate("() => closeDialog()")
    tab.click("#send")
    tab.wait_for("() => dialogs === 3")
    assert lab.asked("/form", "POST") == []
    assert tab.evaluate(VALUE, ["#note", "still here"])
    signed_in_elsewhere(window, lab, tab)
    at(tab, "/thanks")
    assert lab.done("/form", "POST")[0].fields == {"note": ["still here"]}


def test_nothing_is_sent_as_somebody_else(lab: Lab, window: Window) -> None:
    """If another person signs in, the form is not sent and the page is theirs."""
    tab = opened(lab, window, "/form")
    tab.fill("#note", "by alice")
    over(lab, tab)
    tab.click("#send")
    tab.wait_for("() => dialogs === 1")
    signed_in_elsewhere(window, lab, tab, "bob")
    tab.wait_for(RELOADED)
    assert lab.asked("/form", "POST") == []


def test_nothing_is_sent_as_somebody_who_was_there_first(lab: Lab, window: Window) -> None:
    """Nor if the other person signed in before the button was pressed, and no tab has heard of it."""
    tab = opened(lab, window, "/form")
    over(lab, tab)
    window.sign_in(lab, "bob")
    tab.click("#send")
    tab.wait_for(RELOADED)
    assert lab.asked("/form", "POST") == []
    assert lab.done("/form", "GET")[0].subject == "bob"


def test_a_form_that_asks_for_a_page_waits_too(lab: Lab, window: Window) -> None:
    """GET forms, with their button."""
    lab.page("/search", '<form><input name="q" id="q"><button name="in" value="all" id="go">Go</button></form>')
    tab = opened(lab, window, "/search")
    tab.fill("#q", "moon")
    over(lab, tab)
    tab.click("#go")
    tab.wait_for("() => dialogs === 1")
    signed_in_elsewhere(window, lab, tab)
    tab.wait_for("() => location.search === '?q=moon&in=all'")
    assert len(lab.asked("/search")) == 1


def test_offline_the_browser_speaks_for_itself(lab: Lab, window: Window) -> None:
    """Who cannot be asked decides nothing."""
    tab = opened(lab, window, "/form")
    over(lab, tab)
    tab.page.route("**/.demur/session", lambda route: route.abort())
    tab.click("#send")
    # The server refuses, as it does without the client.
    tab.wait_for_element("input[name=password]")
    assert [each.status for each in lab.asked("/form", "POST")] == [401]


@pytest.mark.parametrize(
    "form",
    [
        pytest.param('<form method="post" action="http://127.0.0.1:9/">', id="another origin"),
        pytest.param('<form method="post" action="/.demur/sign-in">', id="our own sign-in"),
        pytest.param('<form method="post" action="/form" target="_blank">', id="another window"),
        pytest.param('<form method="post" action="/form" data-demur="off">', id="told so"),
        pytest.param('<form method="dialog">', id="a dialog"),
        pytest.param('<form method="post" action="mailto:a@example.com">', id="a mail"),
        pytest.param('<form method="post" action="/form" id="handled">', id="the app sends it itself"),
    ],
)
def test_what_is_not_ours_is_left_alone(lab: Lab, window: Window, form: str) -> None:
    """No question and no dialog, and the event is as the app left it."""
    lab.page("/f", f'{form}<input name="action"><input name="method"><button id="send">Send</button></form>')
    tab = opened(lab, window, "/f")
    over(lab, tab)
    tab.evaluate("""() => {
      document.querySelector("#handled")?.addEventListener("submit", (event) => event.preventDefault());
      // Registered after ours, it is the last to see the event, and keeps the page here.
      window.seen = [];
      addEventListener("submit", (event) => { seen.push(event.defaultPrevented); event.preventDefault(); });
    }""")
    tab.click("#send")
    assert tab.evaluate("() => [seen.length, dialogs]") == [1, 0]
    assert tab.evaluate("() => seen[0] === !!document.querySelector('#handled')")
    assert lab.requests == []


def test_what_the_browser_finds_wrong_is_not_asked_about(lab: Lab, window: Window) -> None:
    """A required field that is empty is the browser's business, before and after."""
    lab.page(
        "/f",
        '<form method="post" action="/form"><input name="note" id="note" required><button id="send">x</button></form>',
    )
    tab = opened(lab, window, "/f")
    over(lab, tab)
    tab.click("#send")
    assert tab.evaluate("() => [submits, dialogs]") == [0, 0]
    assert lab.requests == []
