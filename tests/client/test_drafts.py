"""Drafts in real browsers: what is typed into a long form is kept for the person who typed it, and for nobody else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.client.test_forms import READY, VALUE, at, opened, over, ready, signed_in_elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.client.conftest import Engines
    from tests.client.engines import Tab, Window
    from tests.client.lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STORED = "() => Object.keys(sessionStorage).filter((name) => name.startsWith('demur:draft:'))"
DECRYPT = """(async () => {
  const { draft_key: k } = await (await lab.demur()).session();
  const [, iv, sealed] = JSON.parse(sessionStorage[name]);
  const key = await crypto.subtle.importKey("jwk", { kty: "oct", k }, "AES-GCM", false, ["decrypt"]);
  const plain = await crypto.subtle.decrypt({ name: "AES-GCM", iv: new Uint8Array(iv) }, key, new Uint8Array(sealed));
  return JSON.parse(new TextDecoder().decode(plain)).map(([, value]) => value);
})()"""
LONG = """<h1>Report</h1><form method="post" action="/long-form" id="long">
  <input name="title" id="title"><textarea name="text" id="text">Dear all,</textarea>
  <select name="kind" id="kind"><option>one<option>two<option>three</select>
  <input type="checkbox" name="urgent" id="urgent"> <input type="checkbox" name="copy" id="copy" checked>
  <input type="radio" name="size" value="s" id="small" checked> <input type="radio" name="size" value="l" id="large">
  <input type="password" name="secret" id="secret"> <input type="hidden" name="token" id="token" value="t0">
  <input name="card" id="card" autocomplete="cc-number"> <input name="code" id="code" autocomplete="one-time-code">
  <input name="mine" id="mine" data-demur-draft="off">
  <button id="send" name="how" value="now">Send</button> <button type="reset" id="reset">Reset</button></form>"""


@pytest.fixture(params=["chromium", "firefox"])
def either(engines: Engines, request: pytest.FixtureRequest) -> Iterator[Window]:
    """A window of Chromium and one of Firefox."""
    window = engines[request.param].window()
    yield window
    window.close()


def write(tab: Tab, **texts: str) -> None:
    """Type into fields, and wait until what is stored has changed for the last time."""
    for name, text in texts.items():
        before = tab.evaluate("() => JSON.stringify(sessionStorage)")
        tab.fill(f"#{name}", text)
        tab.wait_for("(before) => JSON.stringify(sessionStorage) !== before", before)


@pytest.fixture
def report(lab: Lab, either: Window) -> Tab:
    """A long form, in either browser, of which something is written."""
    lab.page("/report", LONG)
    tab = opened(lab, either, "/report")
    write(tab, title="Moonflower", text="Dear all,\nit blooms at night: 夜")
    tab.evaluate("""() => {
      document.querySelector("#kind").value = "two";
      for (const id of ["urgent", "copy", "large"]) document.querySelector("#" + id).click();
      for (const id of ["secret", "token", "card", "code", "mine"]) {
        const field = document.querySelector("#" + id);
        field.value = "hush-" + id;
        field.dispatchEvent(new Event("input", { bubbles: true }));
      }
    }""")
    # Two turns later everything is stored.
    write(tab, title="Moonflowers")
    return tab


SHOWN = """() => Object.fromEntries([...document.forms[0].elements].filter((each) => each.id).map((each) => [
  each.id, /checkbox|radio/.test(each.type) ? each.checked : each.value]))"""
KEPT = {
    "title": "Moonflowers", "text": "Dear all,\nit blooms at night: 夜", "kind": "two", "urgent": True, "copy": False,
    "small": False, "large": True, "secret": "", "token": "t0", "card": "", "code": "", "mine": "", "send": "now",
    "reset": "",
}  # fmt: skip


def test_what_was_typed_survives_a_reload(lab: Lab, report: Tab) -> None:
    """All but secrets is there again; the page is told, and one question was asked for it."""
    lab.forget()
    report.goto(lab.url("/other"))
    report.goto(lab.url("/report"))
    report.wait_for(VALUE, ["#title", "Moonflowers"])
    assert report.evaluate(SHOWN) == KEPT
    assert len(lab.asked("/.demur/session")) == 1
    assert report.evaluate("() => [lab.violations, lab.errors]") == [[], []]


def test_nothing_that_was_typed_can_be_read_in_the_storage(report: Tab) -> None:
    """Neither as it is nor as bytes of JSON, and secrets were not even encrypted."""
    stored = report.evaluate("() => JSON.stringify([sessionStorage, localStorage])")
    assert "Moonflower" not in stored
    assert "hush" not in stored
    bytes_of = ",".join(str(each) for each in b"Moonflower")
    assert bytes_of not in stored
    (name,) = report.evaluate(STORED)
    assert name.endswith("/report#long")
    assert report.evaluate(f"(name) => {DECRYPT}", name) == [
        "Moonflowers", "Dear all,\nit blooms at night: 夜", "two", True, False, False, True,
    ]  # fmt: skip


class Raw:
    """Chromium's own protocol for one page: Playwright gives up a page that has crashed."""

    def __init__(self, page: Any) -> None:
        target = page.context.new_cdp_session(page).send("Target.getTargetInfo")["targetInfo"]["targetId"]
        self._browser = page.context.browser.new_browser_cdp_session()
        self._heard: list[Any] = []
        self._browser.on(
            "Target.receivedMessageFromTarget", lambda event: self._heard.append(json.loads(event["message"]))
        )
        self._id = self._browser.send("Target.attachToTarget", {"targetId": target, "flatten": False})["sessionId"]
        self._said = 0

    def say(self, method: str, **about: Any) -> int:
        """Send a command, and do not wait for its answer."""
        self._said += 1
        message = json.dumps({"id": self._said, "method": method, "params": about})
        self._browser.send("Target.sendMessageToTarget", {"sessionId": self._id, "message": message})
        return self._said

    def wait_for(self, true: Callable[[Any], bool]) -> Any:
        """The first message of which something is true."""
        for _ in range(4000):
            for message in self._heard:
                if true(message):
                    return message
            self._browser.send("Browser.getVersion")
        raise AssertionError(self._heard)

    def evaluate(self, script: str) -> Any:
        """What an expression is in the page, or None if there is no page."""
        number = self.say("Runtime.evaluate", expression=script, returnByValue=True)
        answer = self.wait_for(lambda message: message.get("id") == number)
        return answer.get("result", {}).get("result", {}).get("value")


def test_what_was_typed_survives_a_crash_of_the_tab(lab: Lab, window: Window) -> None:
    """The process of the page dies without a word, and the tab is loaded again."""
    lab.page("/report", LONG)
    tab = opened(lab, window, "/report")
    write(tab, text="Nearly done")
    raw = Raw(tab.page)
    raw.say("Page.crash")
    raw.wait_for(lambda message: message.get("method") == "Inspector.targetCrashed")
    lab.forget()
    raw.say("Page.reload")
    lab.wait_for(lambda: len(lab.asked("/.demur/session")) == 1)
    value = "document.querySelector('#text')?.value"
    assert any(raw.evaluate(value) == "Nearly done" for _ in range(400))


def test_what_was_typed_survives_a_refused_post_and_a_full_sign_in(lab: Lab, either: Window) -> None:
    """The page did not know that the session was over; the form is there again with what was typed."""
    lab.page("/report", LONG)
    tab = opened(lab, either, "/report")
    write(tab, text="Written over lunch")
    lab.end("alice", "idle")
    tab.click("#send")
    tab.wait_for_element("input[name=password]")
    assert [each.status for each in lab.asked("/long-form", "POST")] == [401]
    tab.type_password(lab, "alice")
    # There the server offers to send what it has kept. Who goes back instead has the form as it was.
    at(tab, "/.demur/kept")
    tab.goto(lab.url("/report"))
    tab.wait_for(VALUE, ["#text", "Written over lunch"])
    assert lab.done("/long-form", "POST") == []


@pytest.mark.parametrize("button", ["Send", "Discard"])
def test_a_draft_goes_with_what_the_server_had_kept(lab: Lab, window: Window, button: str) -> None:
    """Whoever sends the refused form from the page that offers it, or discards it, does not find it again."""
    lab.page("/report", LONG)
    tab = opened(lab, window, "/report")
    write(tab, text="Written over lunch")
    lab.end("alice", "idle")
    tab.click("#send")
    tab.wait_for_element("input[name=password]")
    tab.type_password(lab, "alice")
    at(tab, "/.demur/kept")
    tab.page.get_by_role("button", name=button, exact=True).click()
    at(tab, "/thanks" if button == "Send" else "/report")
    tab.wait_for(f"() => !({STORED})().length")
    assert len(lab.done("/long-form", "POST")) == (button == "Send")


def test_another_person_in_the_same_tab_gets_nothing_of_it(lab: Lab, window: Window) -> None:
    """Bob sees the server's form, asks nothing about a draft, and Alice finds hers when she is back."""
    lab.page("/report", LONG)
    tab = opened(lab, window, "/report")
    write(tab, text="From Alice, for Alice")
    lab.end("alice", "idle")
    tab.goto(lab.url("/public"))
    window.sign_in(lab, "bob")
    lab.forget()
    ready(tab, lab.url("/report"))
    write(tab, title="Bob's own")
    assert tab.evaluate("() => document.querySelector('#text').value") == "Dear all,"
    assert len(tab.evaluate(STORED)) == 2
    assert "Alice, for" not in tab.evaluate("() => JSON.stringify(sessionStorage)")
    # With Bob's key it cannot be opened.
    mine = lab.subject("alice").id
    opens = "(mine) => { const name = Object.keys(sessionStorage).find((each) => each.includes(mine)); return "
    assert tab.evaluate(opens + DECRYPT + ".then(() => 'read', (error) => error.name); }", mine) == "OperationError"
    tab.goto(lab.url("/public"))
    window.sign_in(lab, "alice")
    tab.goto(lab.url("/report"))
    tab.wait_for(VALUE, ["#text", "From Alice, for Alice"])
    assert tab.evaluate("() => document.querySelector('#title').value") == ""


def test_a_draft_goes_when_the_form_was_sent(lab: Lab, report: Tab) -> None:
    """The page that came of it drops it, and the form is empty again."""
    report.click("#send")
    at(report, "/thanks")
    report.wait_for("() => Object.keys(sessionStorage).length === 0")
    ready(report, lab.url("/report"))
    assert report.evaluate("() => document.querySelector('#title').value") == ""


def test_a_draft_stays_when_the_app_failed(lab: Lab, window: Window) -> None:
    """After a page of an error the form has what was typed."""
    lab.page("/report", LONG.replace("/long-form", "/broken"))
    lab.page("/broken", "<h1>Something broke</h1>", status=500)
    tab = opened(lab, window, "/report")
    write(tab, text="Not lost")
    tab.click("#send")
    at(tab, "/broken")
    tab.evaluate(READY)
    tab.goto(lab.url("/report"))
    tab.wait_for(VALUE, ["#text", "Not lost"])


def test_a_draft_goes_when_the_form_is_reset(report: Tab) -> None:
    """That is how a person, or a page, throws it away."""
    report.click("#reset")
    report.wait_for("() => Object.keys(sessionStorage).length === 0")


def test_a_draft_goes_with_sign_out(lab: Lab, report: Tab) -> None:
    """From this tab, and from one where somebody else pressed the button."""
    other = report.page.context.new_page()
    other.goto(lab.url("/other"))
    other.evaluate("async () => { await (await lab.demur()).signOut(); }")
    report.wait_for("() => Object.keys(sessionStorage).length === 0")


def test_a_draft_goes_with_sign_out_in_its_own_tab(lab: Lab, report: Tab) -> None:
    """By demur's page, without the client."""
    report.goto(lab.url("/.demur/sign-out"))
    report.click("form button")
    at(report, "/.demur/signed-out")
    assert report.evaluate(STORED) == []


def test_a_draft_stays_when_the_session_ends_by_itself(lab: Lab, window: Window) -> None:
    """Back shows nothing until somebody signs in; who does that on the whole page has what was typed."""
    lab.page("/report", LONG)
    tab = opened(lab, window, "/report")
    write(tab, text="Still mine")
    tab.goto(lab.url("/public"))
    lab.end("alice", "idle")
    tab.back()
    tab.wait_for("() => window.dialogs === 1")
    tab.evaluate("() => closeDialog()")
    tab.wait_for_element("input[name=password]")
    tab.type_password(lab, "alice")
    at(tab, "/report")
    tab.wait_for(VALUE, ["#text", "Still mine"])


def test_a_page_may_forbid_the_restoring(lab: Lab, window: Window) -> None:
    """The event says which fields would get what; prevented, nothing is changed and the draft is gone."""
    listen = """addEventListener("demur:draft", (event) => {
      window.told = event.detail.values.map(([field, value]) => [field.name, value, event.target.id]);
      event.preventDefault();
    });"""
    lab.page("/report", LONG, listen)
    tab = opened(lab, window, "/report")
    write(tab, text="Again")
    tab.click("#large")
    write(tab, text="Again and again")
    tab.goto(lab.url("/report"))
    told = [["text", "Again and again", "long"], ["size", False, "long"], ["size", True, "long"]]
    assert tab.wait_for("() => window.told") == told
    tab.wait_for(f"() => !({STORED})().length")
    assert tab.evaluate("() => document.querySelector('#text').value") == "Dear all,"


def test_what_the_server_has_changed_meanwhile_stays(lab: Lab, window: Window) -> None:
    """A field is restored only over the value that it was typed over."""
    lab.page("/report", LONG)
    tab = opened(lab, window, "/report")
    write(tab, text="Mine", title="A title")
    lab.page("/report", LONG.replace("Dear all,", "Dear colleagues,"))
    tab.goto(lab.url("/report"))
    tab.wait_for(VALUE, ["#title", "A title"])
    assert tab.evaluate("() => document.querySelector('#text').value") == "Dear colleagues,"


def test_frameworks_hear_of_what_is_restored(lab: Lab, window: Window) -> None:
    """By `input` and `change`, also those that watch the property of the element; a box is clicked."""
    lab.page("/report", LONG, """
      window.heard = [];
      const title = document.querySelector("#title");
      // as React does
      const { get, set } = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");
      let known = title.value;
      Object.defineProperty(title, "value", { get, set(value) { known = value; set.call(this, value); } });
      title.addEventListener("input", () => { if (known !== title.value) heard.push("title"); });
      document.querySelector("#kind").addEventListener("change", () => heard.push("kind"));
      document.querySelector("#urgent").addEventListener("click", () => heard.push("urgent"));
      document.querySelector("#copy").addEventListener("click", () => heard.push("copy"));
    """)  # fmt: skip
    tab = opened(lab, window, "/report")
    write(tab, title="x")
    tab.page.select_option("#kind", "three")
    tab.click("#urgent")
    write(tab, title="xy")
    tab.goto(lab.url("/report"))
    tab.wait_for("() => heard.length === 3")
    assert sorted(tab.evaluate("() => heard")) == ["kind", "title", "urgent"]


def test_a_draft_is_small_and_young(lab: Lab, window: Window) -> None:
    """More than 64 kB is not kept, what is older than a day is thrown away, and what is kept stays what it was."""
    lab.page("/report", LONG)
    tab = opened(lab, window, "/report")
    write(tab, text="m" * 65_000)
    tab.evaluate("() => { window.before = JSON.stringify(sessionStorage); }")
    tab.fill("#text", "m" * 65_600)
    tab.evaluate("async () => { for (let i = 0; i < 9; i++) await new Promise((done) => setTimeout(done)); }")
    assert tab.evaluate("() => before === JSON.stringify(sessionStorage)")
    (name,) = tab.evaluate(STORED)
    age = """([name, days]) => {
      const [, ...rest] = JSON.parse(sessionStorage[name]);
      sessionStorage[name] = JSON.stringify([Date.now() - days * 86400e3, ...rest]);
    }"""
    tab.evaluate(age, [name, 0.99])
    tab.goto(lab.url("/report"))
    tab.wait_for(VALUE, ["#text", "m" * 65_000])
    write(tab, text="less")
    tab.evaluate(age, [name, 1.01])
    ready(tab, lab.url("/other"))
    assert tab.evaluate(STORED) == []


def test_who_types_only_after_the_end_is_not_forgotten(lab: Lab, window: Window) -> None:
    """The key is there before the session ends, if a long form is."""
    lab.page("/report", LONG)
    tab = opened(lab, window, "/report")
    tab.evaluate("async () => { const demur = await lab.demur(); dispatchEvent(new CustomEvent('demur:expiring')); }")
    lab.wait_for(lambda: any(each.status == 200 for each in lab._requests if each.path == "/.demur/session"))
    over(lab, tab)
    write(tab, text="After lunch")
    assert lab.requests == []
    tab.page.evaluate("() => { location.reload(); }")
    tab.wait_for_element("input[name=password]")
    tab.type_password(lab, "alice")
    tab.wait_for(VALUE, ["#text", "After lunch"])


@pytest.mark.parametrize(
    "form",
    [
        pytest.param('<form method="post"><input id="x" name="x"></form>', id="a short one"),
        pytest.param('<form><textarea id="x" name="x"></textarea></form>', id="one that asks"),
        pytest.param('<form method="post" data-demur-draft="off"><textarea id="x"></textarea></form>', id="told so"),
        pytest.param('<p data-demur-draft="off"></p><div data-demur-draft="off"><form method="post">'
                     '<textarea id="x"></textarea></form></div>', id="told so for a part of the page"),
    ],
)  # fmt: skip
def test_other_forms_are_not_kept(lab: Lab, window: Window, form: str) -> None:
    """Nothing is stored, and nothing is asked for it."""
    lab.page("/f", form)
    tab = opened(lab, window, "/f")
    lab.forget()
    tab.fill("#x", "typed")
    tab.evaluate("async () => { for (let i = 0; i < 9; i++) await new Promise((done) => setTimeout(done)); }")
    assert tab.evaluate("() => Object.keys(sessionStorage)") == []
    assert lab.requests == []


@pytest.mark.parametrize(
    "form",
    [
        pytest.param('<form data-demur-draft><input id="x" name="x"></form>', id="told so"),
        pytest.param('<form method="POST"><input id="x" name="x"><input><input><input><input></form>', id="much"),
        pytest.param('<form method="post"><textarea id="x"></textarea><input name="id"><input name="action">'
                     '<input name="method"><button name="reset"></button></form>', id="names that hide"),
    ],
)  # fmt: skip
def test_these_forms_are_kept(lab: Lab, window: Window, form: str) -> None:
    """Nothing is asked before something is typed."""
    lab.page("/f", form)
    tab = opened(lab, window, "/f")
    assert lab.asked("/.demur/session") == []
    write(tab, x="typed")
    tab.goto(lab.url("/f"))
    tab.wait_for(VALUE, ["#x", "typed"])


def test_what_was_typed_before_the_client_was_there_is_kept_too(lab: Lab, window: Window) -> None:
    """Scripts are late on slow lines, and people are not."""
    lab.page("/f", LONG, client=False)
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/f"))
    tab.fill("#text", "early")
    tab.evaluate("async () => { (await lab.demur()).install(); }")
    tab.wait_for("() => Object.keys(sessionStorage).length === 1")
    lab.page("/f", LONG)
    tab.goto(lab.url("/f"))
    tab.wait_for(VALUE, ["#text", "early"])


def test_a_form_that_comes_later_is_kept_too(lab: Lab, window: Window) -> None:
    """Its draft is there as soon as it is touched."""
    lab.page("/f", '<template><form method="post"><textarea id="x"></textarea></form></template>')
    show = "() => { document.body.append(document.querySelector('template').content.cloneNode(true)); }"
    tab = opened(lab, window, "/f")
    tab.evaluate(show)
    write(tab, x="typed")
    ready(tab, lab.url("/f"))
    tab.evaluate(show)
    tab.click("#x")
    tab.wait_for(VALUE, ["#x", "typed"])


def test_without_storage_the_form_is_sent_all_the_same(lab: Lab, window: Window) -> None:
    """No drafts, no errors."""
    lab.page("/report", LONG, head='<script src="/public/none.js"></script>')
    none = b"""Object.defineProperty(window, "sessionStorage", {
      get() { throw new DOMException("", "SecurityError"); },
    });"""
    lab.answer("/public/none.js", lambda _: (200, "text/javascript", none))
    tab = opened(lab, window, "/report")
    tab.fill("#text", "typed")
    over(lab, tab)
    tab.click("#send")
    tab.wait_for("() => dialogs === 1")
    signed_in_elsewhere(window, lab, tab)
    at(tab, "/thanks")
    assert tab.evaluate("() => lab.errors") == []
