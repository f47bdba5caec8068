"""The numbers of one run: a session ends, and three tabs make fifty calls at once while four forms are half written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.client.engines import DIALOG, TWICE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.client.conftest import Engines
    from tests.client.engines import Tab, Window
    from tests.client.lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

KINDS = {"get": "GET", "json": "POST", "upload": "POST", "delete": "DELETE", "xhr": "POST"}
"""Two fetches, one with a file, one that changes something without a body, and an XMLHttpRequest by hand."""
EACH = (4, 3, 3)
"""How many of each kind the tabs make: ten in all."""
START = """async ([kinds, tab, each]) => {
  const demur = await lab.demur();
  const byHand = (path) => new Promise((done, fail) => {
    const send = (again) => {
      const request = new XMLHttpRequest();
      request.open("POST", path);
      for (const [name, value] of Object.entries(demur.headers())) request.setRequestHeader(name, value);
      request.onerror = fail;
      request.onload = async () => {
        const { status, responseText } = request;
        const headers = { get: (name) => request.getResponseHeader(name) };
        const refusal = again ? null : await demur.read({ status, url: path, headers, text: () => responseText });
        if (refusal && await demur.recover(refusal, { method: "POST" })) send(true);
        else done(status);
      };
      request.send("by hand " + path);
    };
    send(false);
  });
  const upload = (path) => {
    const form = new FormData();
    form.append("note", path);
    form.append("file", new File(["inside " + path], "note.txt", { type: "text/plain" }));
    return fetch(path, { method: "POST", body: form });
  };
  const make = {
    get: (path) => fetch(path),
    json: (path) => fetch(path, { method: "POST", body: JSON.stringify({ path }) }),
    upload,
    delete: (path) => fetch(path, { method: "DELETE" }),
    xhr: byHand,
  };
  window.came = {};
  for (const kind of kinds) {
    for (let number = 0; number < each; number++) {
      const path = `/api/${kind}/${tab}/${number}`;
      const note = (said) => { came[path] = said.status ?? said; };
      make[kind](path).then(note, (error) => note(String(error)));
    }
  }
}"""
TEXT = "Grüße aus Köln, 東京, 🌳 and \\ \" ' < & %20 +.\n" * 20
FORMS = {"/long-form": "#text", "/long-form?2": "#text", "/upload": "#note", "/form": "#note"}
"""The pages with forms, and the field that somebody has written into."""


def written(field: str, number: int) -> str:
    """What stands in a form; a field of one line has no line breaks."""
    return f"{number} " + (TEXT if field == "#text" else TEXT.replace("\n", " "))


def reads(tab: Tab, field: str) -> str:
    """What stands in a field now."""
    return str(tab.evaluate("(field) => document.querySelector(field).value", field))


def lost(sent: str, came: str) -> int:
    """How many characters did not come; a form sends line breaks as CR LF (HTML, constructing the entry list)."""
    came = came.replace("\r\n", "\n")
    return 0 if came == sent else max(1, len(sent) - len(came))


def open_dialogs(tabs: list[Tab]) -> tuple[int, int]:
    """How many of these tabs somebody sees, and how many dialogs there are."""
    seen = [tab for tab in tabs if tab.evaluate("() => !document.hidden")]
    for tab in seen:
        tab.wait_for_element(DIALOG)
    return len(seen), sum(tab.has(DIALOG) for tab in tabs)


def fifty_calls(lab: Lab, tabs: list[Tab]) -> str:
    """Calls in each tab, one sign-in, and what became of them."""
    lab.end("alice", "idle")
    lab.forget()
    for number, tab in enumerate(tabs):
        tab.evaluate(START, [list(KINDS), number, EACH[number]])
    calls = len(KINDS) * sum(EACH)
    lab.wait_for(lambda: len([each for each in lab.requests if each.path.startswith("/api") and each.status]) == calls)
    seen, dialogs = open_dialogs(tabs)
    assert lab.counts("/api") == {}
    tabs[0].show()
    tabs[0].sign_in_in_dialog(lab, "alice")
    answers: dict[str, object] = {}
    for number, tab in enumerate(tabs):
        tab.wait_for("(number) => Object.keys(came).length === number", len(KINDS) * EACH[number])
        answers |= tab.evaluate("() => came")
        tab.wait_until_gone(DIALOG)
    done = lab.counts("/api")
    asked = len([each for each in lab.requests if each.path.startswith("/api")])
    sign_ins = len([each for each in lab.asked("/.demur/sign-in", "POST") if each.status == 303])
    assert (calls, dialogs, sign_ins, len(answers)) == (50, seen, 1, 50)
    assert set(answers.values()) == {200}
    assert done == {f"{KINDS[path.split('/')[2]]} {path}": 1 for path in answers}
    assert asked == 2 * calls
    # The tab that only has a form hears of the sign-in as well.
    questions = len(lab.asked("/.demur/session"))
    assert questions <= 2 * len(FORMS)
    for each in lab.executed:
        kind = each.path.split("/")[2] if each.path.startswith("/api") else ""
        assert kind != "json" or each.json == {"path": each.path}
        assert kind != "upload" or each.files == {"file": ("note.txt", b"inside " + each.path.encode())}
        assert kind != "xhr" or each.body == b"by hand " + each.path.encode()
    return (
        f"{calls} calls of {len(KINDS)} kinds in {len(tabs)} tabs, {dialogs} dialogs in {seen} visible tabs, "
        f"{sign_ins} sign-in, {len(answers)} answers, each executed {max(done.values())} time, "
        f"{questions} questions about the session"
    )


def four_forms(lab: Lab, tabs: list[Tab]) -> str:
    """Forms that are sent into a session that is over, one sign-in, and what the site got."""
    lab.end("alice", "revoked")
    lab.forget()
    for tab in tabs:
        # A form is looked after where it is known that the session is over.
        assert tab.evaluate("async () => await (await lab.demur()).session()") is None
        tab.click("#send")
    seen, dialogs = open_dialogs(tabs)
    tabs[-1].sign_in_in_dialog(lab, "alice")
    for tab in tabs:
        tab.wait_for("() => document.body.innerText.includes('Thank you, alice')")
    came = [each for each in lab.executed if each.method == "POST"]
    gone = 0
    whole = 0
    for number, (page, field) in enumerate(FORMS.items()):
        sent = written(field, number)
        whole += len(sent)
        (text,) = [
            each.fields[field[1:]][0]
            for each in came
            if each.path == page.partition("?")[0] and each.fields[field[1:]][0].startswith(f"{number} ")
        ]
        gone += lost(sent, text)
    (upload,) = [each for each in came if each.path == "/upload"]
    assert (len(came), dialogs, gone) == (len(tabs), seen, 0)
    assert upload.files == {"file": ("note.txt", b"inside")}
    assert upload.fields["how"] == ["now"]
    return f"{len(tabs)} forms, {gone} of {whole} characters lost"


def somebody_else(lab: Lab, tabs: list[Tab]) -> str:
    """Calls wait in each tab, and another person signs in."""
    for tab in tabs:
        tab.goto(lab.url("/app"))
        tab.wait_for("async () => (await lab.demur()).person")
    lab.end("alice", "expired")
    lab.forget()
    for number, tab in enumerate(tabs):
        tab.evaluate(START, [list(KINDS), number, 1])
    open_dialogs(tabs)
    tabs[0].show()
    tabs[0].sign_in_in_dialog(lab, "bob")
    for tab in tabs:
        tab.wait_for("() => document.querySelector('#who')?.textContent === 'bob'")
    wrong = sum(lab.counts("/api").values())
    assert wrong == 0
    return f"{wrong} repeated as another person"


def refused_after(lab: Lab, window: Window) -> str:
    """The app does something, and refuses."""
    tab = window.tab(lab.url("/app"))
    lab.forget()
    tab.evaluate("""() => {
      lab.call("/api/refused-after", { method: "POST" }).then(({ status }) => { window.came = status; });
    }""")
    tab.sign_in_in_dialog(lab, "bob")
    tab.wait_for("() => came === 401")
    done = len(lab.done("/api/refused-after"))
    assert done == 1
    return f"refused after a side effect: executed {done} time"


@pytest.mark.parametrize("engine", TWICE)
def test_numbers(lab: Lab, engines: Engines, engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fifty calls and four forms survive the end of a session, once each, and for nobody else."""
    note = tmp_path / "note.txt"
    note.write_text("inside")
    window = engines.window(engine, lab)
    try:
        window.sign_in(lab, "alice")
        tabs = []
        for number, (page, field) in enumerate(FORMS.items()):
            tab = window.tab(lab.url(page))
            tab.wait_for("async () => (await lab.demur()).person && !fetch.native")
            tab.fill(field, written(field, number))
            if page == "/upload":
                tab.choose("#file", note)
            tabs.append(tab)
        said = [fifty_calls(lab, tabs[:3])]
        for number, (tab, field) in enumerate(zip(tabs, FORMS.values(), strict=True)):
            assert reads(tab, field) == written(field, number)
        said += [four_forms(lab, tabs), somebody_else(lab, tabs[:3]), refused_after(lab, window)]
        with capsys.disabled():
            print(f"\nnumbers in {engine}: {'; '.join(said)}")
    finally:
        window.close()
