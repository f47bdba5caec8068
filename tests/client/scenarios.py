"""What happens to a person in front of a page, from beginning to end, in any browser.

A scenario is a function of the site and a window; its docstring says what is true afterwards. It takes no account of
the engine: what a driver cannot do it says itself (`Cannot`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.client.engines import DIALOG

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.engines import Tab, Window
    from tests.client.lab import Lab

SAVED = "(said) => document.querySelector('#out').textContent === said"
CALL = """async ([path, init]) => {
  if (init.form) {
    init.body = new FormData();
    for (const [name, value] of init.form) init.body.append(name, value);
    init.body.append("file", new File(["inside"], "note.txt", { type: "text/plain" }));
    delete init.form;
  }
  return (await lab.call(path, init)).status;
}"""


def silent(tab: Tab) -> None:
    """Nothing was blocked by the page's policy, and no script failed."""
    assert tab.evaluate("() => [lab.violations, lab.errors]") == [[], []]


def ready(tab: Tab) -> None:
    """The client is at work in the page, and knows for whom it was made."""
    tab.wait_for("async () => (await lab.demur()).person && !String(EventSource).includes('native code')")


def start(tab: Tab, calls: dict[str, str]) -> None:
    """Make calls at once, without waiting for their answers: `answers` says later what became of them."""
    tab.evaluate(f"""() => {{
      window.answers = {{}};
      const call = {CALL};
      const note = (name, promise) => promise.then((said) => {{ answers[name] = said; }}, (error) => {{
        answers[name] = String(error);
      }});
      {"".join(f"note({name!r}, call({about}));" for name, about in calls.items())}
    }}""")


def answers(tab: Tab, number: int) -> dict[str, object]:
    """What became of calls, once all are answered."""
    tab.wait_for("(number) => Object.keys(answers).length === number", number)
    found: dict[str, object] = tab.evaluate("() => answers")
    return found


# --- sign in, repeat -----------------------------------------------------------------------------------


def sign_in_in_place(lab: Lab, window: Window) -> None:
    """A refused call waits in a dialog, a wrong password is told there, and the right one answers the call."""
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/app"))
    lab.end("alice", "idle")
    tab.click("#save")
    tab.wait_for_element(DIALOG)
    tab.type_password(lab, "alice", frame=DIALOG, password="not this one")
    tab.wait_for("() => document.body.innerText.includes('not right')", frame=DIALOG)
    assert lab.done("/api/echo") == []
    tab.sign_in_in_dialog(lab, "alice")
    tab.wait_for(SAVED, "200 alice")
    assert lab.counts("/api") == {"POST /api/echo": 1}
    assert [each.status for each in lab.asked("/api/echo")] == [401, 200]
    assert tab.evaluate("() => location.pathname") == "/app"
    assert tab.evaluate("() => lab.events") == ["refused", "required", "restored"]
    silent(tab)


def changed_their_mind(lab: Lab, window: Window) -> None:
    """Escape in the dialog gives the page its refusal, once, and the next click asks again."""
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/app"))
    lab.end("alice", "revoked")
    tab.click("#save")
    tab.wait_for_element("input[name=password]", frame=DIALOG)
    tab.press("Escape")
    tab.wait_for("() => document.querySelector('#out').textContent.startsWith('401')")
    tab.wait_until_gone(DIALOG)
    tab.click("#save")
    tab.sign_in_in_dialog(lab, "alice")
    tab.wait_for(SAVED, "200 alice")
    assert lab.counts("/api") == {"POST /api/echo": 1}
    silent(tab)


def repeats(lab: Lab, window: Window) -> None:
    """Calls of every kind are refused together, share one sign-in, and are executed once each, whole."""
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/app"))
    lab.end("alice", "idle")
    start(tab, {
        "get": "['/api/get', {}]",
        "json": "['/api/json', { method: 'POST', body: JSON.stringify({ text: 'grüße' }) }]",
        "form": "['/api/form', { method: 'POST', form: [['note', 'näh']] }]",
        "delete": "['/api/thing', { method: 'DELETE' }]",
        "put": "['/api/put', { method: 'PUT', body: new Uint8Array([0, 255, 7]) }]",
        "request": "[new Request('/api/request', { method: 'POST', body: 'asked' }), {}]",
    })  # fmt: skip
    lab.wait_for(lambda: len([each for each in lab.requests if each.path.startswith("/api") and each.status]) == 6)
    tab.sign_in_in_dialog(lab, "alice")
    assert set(answers(tab, 6).values()) == {200}
    assert lab.counts("/api") == {
        "GET /api/get": 1, "POST /api/json": 1, "POST /api/form": 1, "DELETE /api/thing": 1, "PUT /api/put": 1,
        "POST /api/request": 1,
    }  # fmt: skip
    assert lab.done("/api/json")[0].json == {"text": "grüße"}
    (form,) = lab.done("/api/form")
    assert (form.fields, form.files) == ({"note": ["näh"]}, {"file": ("note.txt", b"inside")})
    assert lab.done("/api/put")[0].body == b"\x00\xff\x07"
    assert {each.subject for each in lab.executed if each.path.startswith("/api")} == {"alice"}
    assert tab.evaluate("() => lab.events.filter((name) => name === 'required').length") == 1
    silent(tab)


def refused_after_it_ran(lab: Lab, window: Window) -> None:
    """What the app refuses after a side effect is repeated if it is a GET, and a POST is executed exactly once."""
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/app"))
    start(tab, {"post": "['/api/refused-after', { method: 'POST', body: 'x' }]"})
    tab.wait_for_element(DIALOG)
    tab.sign_in_in_dialog(lab, "alice")
    assert answers(tab, 1) == {"post": 401}
    assert lab.counts("/api") == {"POST /api/refused-after": 1}
    start(tab, {"get": "['/api/refused-after', {}]"})
    tab.sign_in_in_dialog(lab, "alice")
    # Once more, and never a third time.
    assert answers(tab, 1) == {"get": 401}
    assert lab.counts("/api") == {"POST /api/refused-after": 1, "GET /api/refused-after": 2}
    silent(tab)


def confirm(lab: Lab, window: Window) -> None:
    """Where a fresh sign-in is needed, the dialog asks for the password only, and the call is answered then."""
    window.sign_in(lab, "alice")
    lab.now += 1000
    tab = window.tab(lab.url("/app"))
    start(tab, {"post": "['/api/step-up/x', { method: 'POST', body: 'x' }]"})
    tab.wait_for_element("input[name=password]", frame=DIALOG)
    assert not tab.sees("input[name=username]", frame=DIALOG)
    tab.sign_in_in_dialog(lab, "alice")
    assert answers(tab, 1) == {"post": 200}
    assert lab.counts("/api") == {"POST /api/step-up/x": 1}
    silent(tab)


def another_person(lab: Lab, window: Window) -> None:
    """If somebody else signs in, nothing that waited is sent as them, and the page is theirs."""
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/app"))
    lab.end("alice", "idle")
    tab.click("#save")
    tab.wait_for_element("input[name=password]", frame=DIALOG)
    tab.type_password(lab, "bob", frame=DIALOG)
    tab.wait_for("() => document.querySelector('#who')?.innerText === 'bob'")
    assert lab.done("/api/echo") == []
    silent(tab)


# --- forms ---------------------------------------------------------------------------------------------


def form_after_expiry(lab: Lab, window: Window, folder: Path) -> None:
    """A plain form is held back while nobody is signed in, and then sent once, with its file and its button."""
    (folder / "plan.txt").write_text("a plan")
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/upload"))
    tab.fill("#note", "typed before it ended")
    tab.choose("#file", folder / "plan.txt")
    lab.end("alice", "idle")
    start(tab, {"poll": "['/api/news', {}]"})
    tab.wait_for_element("input[name=password]", frame=DIALOG)
    tab.press("Escape")
    assert answers(tab, 1) == {"poll": 401}
    tab.click("#send")
    tab.sign_in_in_dialog(lab, "alice")
    tab.wait_for("() => location.pathname === '/thanks'")
    (sent,) = lab.done("/upload", "POST")
    assert (sent.subject, sent.fields) == ("alice", {"note": ["typed before it ended"], "how": ["now"]})
    assert sent.files == {"file": ("plan.txt", b"a plan")}
    assert [each.status for each in lab.asked("/upload", "POST")] == [303]


def draft(lab: Lab, window: Window) -> None:
    """What was typed into a long form is there again after a reload, but for the password."""
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/long-form"))
    tab.fill("#title", "A title")
    tab.fill("#text", "Many words, and more of them")
    tab.fill("#secret", "nobody's business")
    tab.wait_for("() => Object.keys(sessionStorage).some((name) => name.startsWith('demur:draft:'))")
    tab.evaluate("() => { document.querySelector('#text').dispatchEvent(new Event('input', { bubbles: true })); }")
    tab.goto(lab.url("/other"))
    tab.goto(lab.url("/long-form"))
    tab.wait_for("() => document.querySelector('#text').value === 'Many words, and more of them'")
    assert tab.evaluate("() => [document.querySelector('#title').value, document.querySelector('#secret').value]") == [
        "A title", "",
    ]  # fmt: skip
    stored = tab.evaluate("() => JSON.stringify(sessionStorage)")
    assert "Many words" not in stored
    assert "business" not in stored
    silent(tab)


# --- tabs ----------------------------------------------------------------------------------------------


def tabs_signed_out(lab: Lab, window: Window) -> None:
    """Who signs out in one tab is gone from all at once: nothing of the page is seen, and the way back is offered."""
    window.sign_in(lab, "alice")
    first = window.tab(lab.url("/app"))
    second = window.tab(lab.url("/.demur/sign-out"))
    second.click("form button")
    second.wait_for("() => location.pathname === '/.demur/signed-out'")
    first.show()
    first.wait_until_unseen("#who")
    first.sign_in_in_dialog(lab, "alice")
    first.wait_for_element("#who")
    silent(first)


def tabs_healed(lab: Lab, window: Window) -> None:
    """One sign-in heals all tabs, and each of their calls is executed once."""
    window.sign_in(lab, "alice")
    tabs = [window.tab(lab.url("/app")) for _ in range(2)]
    lab.end("alice", "idle")
    for each in tabs:
        each.show()
        each.click("#save")
        each.wait_for_element(DIALOG)
    tabs[1].sign_in_in_dialog(lab, "alice")
    for each in tabs:
        each.wait_for(SAVED, "200 alice")
        each.wait_until_gone(DIALOG)
        silent(each)
    assert lab.counts("/api") == {"POST /api/echo": 2}
    assert len(lab.asked("/.demur/sign-in", "POST")) == 1


def tabs_switched(lab: Lab, window: Window) -> None:
    """If another person signs in in one tab, the pages of all become theirs."""
    window.sign_in(lab, "alice")
    first = window.tab(lab.url("/app"))
    second = window.tab(lab.url("/.demur/sign-out"))
    second.click("form button")
    second.wait_for("() => location.pathname === '/.demur/signed-out'")
    second.sign_in_on_page(lab, "bob")
    first.show()
    first.wait_for("() => document.querySelector('#who')?.innerText === 'bob'")
    first.wait_for_element("#who")


# --- back ----------------------------------------------------------------------------------------------


def back_after_sign_out(lab: Lab, window: Window) -> None:
    """After sign-out, Back shows nothing of the person who left."""
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/app"))
    tab.goto(lab.url("/other"))
    tab.goto(lab.url("/.demur/sign-out"))
    tab.click("form button")
    tab.wait_for("() => location.pathname === '/.demur/signed-out' && document.readyState === 'complete'")
    for path in ("/other", "/app"):
        tab.evaluate("(path) => { history.go(path === '/other' ? -2 : -1); }", path)
        tab.wait_for("(path) => location.pathname === path && document.readyState === 'complete'", path)
        lab.wait_for(
            lambda path=path: any(  # type: ignore[misc]
                each.status == 401 for each in lab.requests if each.path in {path, "/.demur/session"}
            )
        )
        assert not tab.sees("#who")
        lab.forget()


def back_after_the_end(lab: Lab, window: Window) -> None:
    """After a session has ended by itself, Back asks who is there before anything is seen; a sign-in shows the page."""
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/app"))
    ready(tab)
    tab.goto(lab.url("/public"))
    lab.end("alice", "revoked")
    tab.back()
    tab.wait_for("() => location.pathname === '/app' && document.readyState === 'complete'")
    tab.wait_until_unseen("#who")
    # It may be the page as it was, or, where the browser did not keep it, the server's own form.
    if tab.has("#who"):
        tab.wait_for_element(DIALOG)
    other = window.tab()
    other.sign_in_on_page(lab, "alice")
    tab.show()
    if not tab.has("#who"):
        tab.goto(lab.url("/app"))
    tab.wait_for_element("#who")


def back_to_a_page_left_early(lab: Lab, window: Window) -> None:
    """A page that was left before its client was there is not seen for long either when the browser shows it again."""
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/public"))
    lab.hold("/.demur/client/core.js")
    tab.evaluate("(there) => { location.href = there; }", lab.url("/app"))
    tab.wait_for_element("#who")
    tab.click("#to-form")
    tab.wait_for("() => location.pathname === '/form'")
    lab.end("alice", "ended")
    tab.back()
    tab.wait_for("() => location.pathname === '/app' && document.body")
    lab.release("/.demur/client/core.js")
    tab.wait_until_unseen("#who")


def stale_cache(lab: Lab, window: Window) -> None:
    """A page that the browser may show from its cache is not seen once the session has ended."""
    lab.page("/cached", '<h1>Kept</h1><p id="who">{subject}</p>', headers=(("cache-control", "private, max-age=600"),))
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/cached"))
    tab.goto(lab.url("/public"))
    lab.end("alice", "ended")
    tab.evaluate("(there) => { location.href = there; }", lab.url("/cached"))
    tab.wait_for("() => location.pathname === '/cached' && document.readyState === 'complete'")
    lab.wait_for(lambda: any(each.status == 401 for each in lab.requests))
    assert not tab.sees("#who")


# --- what fails without saying why ---------------------------------------------------------------------


def images_and_modules(lab: Lab, window: Window) -> None:
    """Images and a module that fail are one question and one dialog, and the images are there afterwards."""
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/app"))
    ready(tab)
    lab.end("alice", "idle")
    lab.forget()
    tab.evaluate("""() => {
      for (const name of ["a", "b", "c"]) {
        const image = document.createElement("img");
        image.alt = name;
        image.src = `/pictures/${name}.svg`;
        document.body.append(image);
      }
      import("/modules/x.js").catch(() => {});
    }""")
    tab.sign_in_in_dialog(lab, "alice")
    tab.wait_for("() => [...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    assert len([each for each in lab.asked("/.demur/session") if each.status == 401]) == 1


def streams(lab: Lab, window: Window) -> None:
    """When the end of a session closes events and a socket, the page asks why, once, and offers sign-in."""
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/app"))
    ready(tab)
    tab.evaluate("""() => {
      window.heard = [];
      const events = new EventSource("/events");
      events.onmessage = ({ data }) => heard.push(data);
      const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/socket");
      socket.onmessage = ({ data }) => heard.push(data);
      socket.onclose = ({ code }) => heard.push(code);
    }""")
    tab.wait_for("() => heard.length === 2")
    lab.forget()
    lab.end("alice", "revoked")
    tab.sign_in_in_dialog(lab, "alice")
    tab.wait_for("() => heard.includes(3000)")
    assert len([each for each in lab.asked("/.demur/session") if each.status == 401]) == 1
    silent(tab)


# --- told ----------------------------------------------------------------------------------------------


def forbidden(lab: Lab, window: Window) -> None:
    """Who may not do something is told who they are and the reference; the call gets its 403 and is not repeated."""
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/app"))
    start(tab, {"post": "['/api/admin/x', { method: 'POST', body: 'x' }]"})
    assert answers(tab, 1) == {"post": 403}
    tab.wait_for_element("[role=dialog]")
    tab.wait_for("() => lab.refusal")
    said, reference = tab.text("[role=dialog]"), tab.evaluate("() => lab.refusal.instance")
    assert "Alice Archer" in said
    assert reference.removeprefix("urn:uuid:") in said
    assert len(lab.asked("/api/admin/x")) == 1
    silent(tab)


def expiring(lab: Lab, window: Window) -> None:
    """Before the end there is a notice that takes no focus; one action keeps the session."""
    lab.page(
        "/warned",
        '<h1>Here</h1><input id="typing" autofocus>',
        client=False,
        head='<script src="/.demur/client.js" data-warn="3500" defer></script>',
    )
    window.sign_in(lab, "alice")
    before = lab.sessions("alice")[0].last_seen
    # Less than a tenth of the limit is not worth writing down, and so does not count.
    lab.now += 300
    tab = window.tab(lab.url("/warned"))
    tab.wait_for_element("[role=region]")
    assert tab.evaluate("() => document.activeElement?.id") == "typing"
    lab.now += 100
    tab.click("[role=region] button:not(.x)")
    tab.wait_until_gone("[role=region]")
    lab.wait_for(lambda: any(each.path == "/.demur/session/extend" for each in lab.requests))
    tab.wait_for("async () => (await (await fetch('/.demur/session')).json()).idle_ends_in > 3500")
    assert lab.sessions("alice")[0].last_seen > before
    silent(tab)


SCENARIOS: tuple[Callable[..., None], ...] = (
    sign_in_in_place,
    changed_their_mind,
    repeats,
    refused_after_it_ran,
    confirm,
    another_person,
    form_after_expiry,
    draft,
    tabs_signed_out,
    tabs_healed,
    tabs_switched,
    back_after_sign_out,
    back_after_the_end,
    back_to_a_page_left_early,
    stale_cache,
    images_and_modules,
    streams,
    forbidden,
    expiring,
)
OVER_TLS: tuple[Callable[..., None], ...] = (sign_in_in_place, tabs_healed, back_after_sign_out)
"""Those that are tried over HTTPS as well, where the cookie is `Secure` and its name begins with `__Host-`."""
ENGINES = ("chromium", "firefox", "webkit")
