"""What the tests of the client's boxes share: a page with the client at hand, and a clock that they set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.client.engines import DIALOG

if TYPE_CHECKING:
    from tests.client.engines import Tab, Window
    from tests.client.lab import Lab

HANDS = """async (options) => {
  window.demur = (await lab.demur()).configure({ off: "expiry", ...options }) ?? (await lab.demur());
  window.ui = await import("/.demur/client/ui.js");
  window.stop = new AbortController();
  window.answers = [];
  window.ask = (name, ...about) => {
    const stop = name === "forbidden" ? [] : [window.stop.signal];
    Promise.resolve(ui[name](demur, ...about, ...stop)).then((answer) => answers.push(answer));
  };
  return true;
}"""
"""`ask(name, …)` shows a box, `answers` is what came of it, `stop.abort()` takes it away."""

REFUSAL: dict[str, Any] = {
    "status": 403,
    "reason": "not-permitted",
    "remedy": "explain",
    "processed": False,
    "url": "/api/admin",
    "title": "You may not open this",
    "detail": "Your account does not have access to this.",
    "missing": ["group"],
    "instance": "urn:uuid:0192f3a1-7c44-7e0e-9b1c-6a0f5d2e8b31",
}
SIGN_IN = {"status": 401, "reason": "session-idle", "remedy": "sign-in", "processed": False, "url": ""}
BOX = "document.documentElement.lastElementChild.shadowRoot.querySelector('section')"
ALICE = {"subject": "1", "name": "alice", "display_name": "Alice Archer"}

FOCUS = """() => {
  let at = document.activeElement;
  while (at.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  return at.id || at.ariaLabel || at.title || at.textContent || at.tagName;
}"""
"""What has the focus, in shadow roots as well: its id, or its name."""


def page_with(
    window: Window, lab: Lab, body: str = '<button id="save">Save</button>', *, clock: bool = False, **how: Any
) -> Tab:
    """A page with the client, and with `ask` in it."""
    options = how.pop("options", {})
    window.sign_in(lab, "alice")
    tab = window.tab()
    if clock:
        tab.page.clock.install(time=0)
    tab.goto(lab.page("/page", body, **how))
    assert tab.evaluate(HANDS, options)
    return tab


def ask(tab: Tab, name: str, *about: object) -> None:
    """Show one of the boxes, and wait until it is seen."""
    tab.evaluate("([name, about]) => { ask(name, ...about); }", [name, list(about)])
    tab.wait_for_element("section:popover-open" if name == "forbidden" else "dialog[open], section:popover-open")


def expiring(tab: Tab, seconds: float, *, absolute: bool = False) -> None:
    """Warn of a session that ends in so many seconds, by the clock of the page."""
    script = """([seconds, absolute]) => { ask("expiring", { ends: Date.now() + seconds * 1000, absolute }); }"""
    tab.evaluate(script, [seconds, absolute])
    tab.wait_for_element("dialog[open], section:popover-open")


def answers(tab: Tab, number: int = 1) -> Any:
    """What came of the boxes, when so many have been answered."""
    return tab.wait_for("(number) => answers.length >= number && answers", number)


def nothing_left(tab: Tab) -> None:
    """No box is there any more, and nothing of one in the document."""
    tab.wait_for("() => document.documentElement.children.length === 2")


def snapshot(tab: Tab, selector: str, tree: str) -> None:
    """The roles and names that a screen reader meets."""
    from playwright.sync_api import expect  # noqa: PLC0415 - not needed to collect these tests

    expect(tab.page.locator(selector)).to_match_aria_snapshot(tree)


def silent(tab: Tab) -> None:
    """Nothing was blocked, and nothing went wrong."""
    assert tab.evaluate("() => [lab.violations, lab.errors]") == [[], []]


def dialog(window: Window, lab: Lab, **how: Any) -> Tab:
    """A page whose button has the focus, and above it the dialog, with its form."""
    tab = page_with(window, lab, **how)
    lab.end("alice", "idle")
    tab.evaluate("() => document.querySelector('#save').focus()")
    ask(tab, "signIn", SIGN_IN)
    tab.wait_for_element("input[name=password]", frame=DIALOG)
    return tab
