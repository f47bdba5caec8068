"""What would go wrong with the client if nobody had tried: pages and people that mean no harm, at the worst moment."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from tests.client.test_core import READY, opened, signed_in_elsewhere

if TYPE_CHECKING:
    from tests.client.engines import Window
    from tests.client.lab import Lab

SIGNED_OUT = "() => new BroadcastChannel('demur').postMessage({type: 'signed-out'})"
SEEN = "() => document.querySelector('h1').checkVisibility({visibilityProperty: true, opacityProperty: true})"

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_what_wraps_fetch_before_the_client_is_there_is_no_loop(lab: Lab, window: Window) -> None:
    """Scripts that measure calls wrap `fetch` while the client is still on its way. Theirs stays."""
    wrapper = b"{ const { fetch } = window; window.seen = 0; window.fetch = (...call) => (seen++, fetch(...call)); }"
    lab.answer("/public/measure.js", lambda _: (200, "text/javascript", wrapper))
    head = '<script src="/.demur/client.js" defer></script><script src="/public/measure.js" defer></script>'
    lab.page("/wrapped", "<p>Hello", client=False, head=head)
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url("/wrapped"))
    tab.evaluate(READY)
    ask = "async () => (await Promise.race([fetch('/api/echo'), new Promise((r) => setTimeout(r, 3000, 0))])).status"
    assert tab.evaluate(ask) == 200
    assert tab.evaluate("() => seen") == 1
    assert lab.counts("/api") == {"GET /api/echo": 1}
    lab.end("alice", "revoked")
    tab.evaluate("() => { fetch('/api/echo', {method: 'POST'}).then((r) => window.answer = r.status); }")
    tab.wait_for_element("dialog iframe")


def test_a_post_that_ran_before_it_led_to_a_refusal_is_not_sent_again(lab: Lab, window: Window) -> None:
    """The refusal is about the page that it led to, and says nothing of what was sent."""
    tab = opened(window, lab)
    lab.page("/public/order", "", status=303, headers=(("location", "/api/thanks"),))
    lab.end("alice", "revoked")
    tab.evaluate("() => { lab.call('/public/order', {method: 'POST', body: 'one'}).then(r => window.answer = r); }")
    tab.wait_for("() => window.dialogs.length === 1")
    signed_in_elsewhere(window, lab, tab)
    tab.wait_for("() => window.answer")
    assert lab.counts("/public")["POST /public/order"] == 1


def test_nobody_is_asked_to_sign_in_for_a_form_that_is_open_to_all(lab: Lab, window: Window) -> None:
    """Who was never signed in is neither kept alive nor stopped on a page for anyone."""
    form = '<form method="post" action="/public/contact"><textarea name="text"></textarea><button>Send</button></form>'
    lab.page("/public/form", form)
    tab = window.tab(lab.url("/public/form"))
    tab.evaluate(READY)
    tab.fill("textarea", "hello")
    tab.press("a")
    tab.press("b")
    tab.click("button")
    lab.wait_for(lambda: bool(lab.done("/public/contact", "POST")))
    assert not [each for each in lab.requests if each.path.startswith("/.demur/session")]


def test_a_key_is_a_request_about_ten_times_in_an_idle_time(lab: Lab, window: Window) -> None:
    """Also where the page was opened before anybody had signed in."""
    tab = window.tab(lab.url("/public"))
    tab.evaluate(READY)
    window.sign_in(lab, "alice")
    tab.evaluate("async () => { await (await lab.demur()).session(); }")
    for key in "abcdef":
        tab.press(key)
    tab.evaluate("() => fetch('/api/echo').then((r) => r.status)")
    assert lab.asked("/.demur/session/extend") == []


def test_what_is_sent_again_is_what_was_sent(lab: Lab, window: Window) -> None:
    """The page may be elsewhere by then, and what `fetch` takes in place of options may be a request of its own."""
    tab = opened(window, lab)
    lab.end("alice", "revoked")
    tab.evaluate("""() => {
      window.answers = Promise.all([
        fetch("api/relative", { method: "POST", body: "1" }),
        fetch("api/gone", { method: "DELETE" }),
        fetch("/api/other", new Request("/unused", { method: "DELETE", headers: { "x-mark": "m" } })),
      ]);
      history.pushState(0, "", "/deep/down/");
    }""")
    tab.wait_for("() => window.dialogs.length === 1")
    signed_in_elsewhere(window, lab, tab)
    assert tab.evaluate("async () => (await answers).map((answer) => answer.status)") == [200, 200, 200]
    assert lab.counts("/") == {"POST /api/relative": 1, "DELETE /api/gone": 1, "DELETE /api/other": 1}
    assert lab.done("/api/other")[0].headers["x-mark"] == "m"


def test_what_is_hidden_is_hidden_whatever_the_sheets_of_the_page_say(lab: Lab, window: Window) -> None:
    """`visibility` alone is inherited only by what does not set its own."""
    tab = opened(window, lab)
    tab.evaluate("() => { document.querySelector('h1').style.visibility = 'visible'; }")
    lab.hold("/.demur/session")
    tab.evaluate(SIGNED_OUT)
    tab.wait_for("() => document.body.style.visibility === 'hidden'")
    assert tab.evaluate(SEEN) is False
    lab.release("/.demur/session")
    tab.wait_for(SEEN)


def test_a_page_that_sees_to_another_person_itself_is_not_loaded_anew(lab: Lab, window: Window) -> None:
    """Not by the check after somebody has signed out, either; nor does it stay hidden."""
    tab = opened(window, lab)
    tab.evaluate("() => { window.same = 1; addEventListener('demur:switched', (event) => event.preventDefault()); }")
    window.sign_in(lab, "bob")
    tab.evaluate(SIGNED_OUT)
    tab.wait_for("() => lab.events.includes('switched')")
    lab.wait_for(lambda: bool(lab.asked("/.demur/session")))
    tab.wait_for(SEEN)
    assert tab.evaluate("() => same") == 1


def test_what_was_typed_outlives_a_check_without_a_network(lab: Lab, window: Window) -> None:
    """Nobody could be asked: the page is not seen, and is there again when the server is."""
    tab = opened(window, lab)
    tab.evaluate("() => { window.same = 1; }")
    tab.page.context.set_offline(True)
    tab.evaluate(SIGNED_OUT)
    tab.wait_for("() => document.body.style.visibility === 'hidden'")
    tab.page.context.set_offline(False)
    tab.wait_for(SEEN)
    assert tab.evaluate("() => same") == 1


def test_neither_is_one_by_an_xmlhttprequest(lab: Lab, window: Window) -> None:
    """As jQuery and htmx send it."""
    tab = opened(window, lab)
    lab.page("/public/order", "", status=303, headers=(("location", "/api/thanks"),))
    lab.end("alice", "revoked")
    tab.evaluate("""async () => {
      const { recovering } = await import("/.demur/client/hands/xhr.js");
      const xhr = recovering(new XMLHttpRequest());
      xhr.open("POST", "/public/order");
      xhr.onloadend = () => { window.answer = xhr.status; };
      xhr.send("one");
    }""")
    tab.wait_for("() => window.dialogs.length === 1")
    signed_in_elsewhere(window, lab, tab)
    tab.wait_for("() => window.answer")
    assert lab.counts("/public")["POST /public/order"] == 1


class _Storage(BaseHTTPRequestHandler):
    """Files at another origin, for any page to read without more ado."""

    def do_GET(self) -> None:
        """A file."""
        self.send_response(200)
        self.send_header("access-control-allow-origin", "*")
        self.send_header("content-length", "4")
        self.end_headers()
        self.wfile.write(b"file")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_download_that_leads_to_another_origin_still_does(lab: Lab, window: Window) -> None:
    """The field that says whom a call is meant for is not for others, and would make them be asked first."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Storage) as storage:
        Thread(target=storage.serve_forever, daemon=True).start()
        there = f"http://127.0.0.1:{storage.server_port}"
        lab.page("/download", "", status=302, headers=(("location", there + "/file"),))
        csp = f"script-src 'self'; connect-src 'self' {there}"
        lab.page("/files", "<p>Files", csp=csp)
        window.sign_in(lab, "alice")
        tab = window.tab(lab.url("/files"))
        tab.evaluate(READY)
        said = tab.evaluate("() => fetch('/download').then((answer) => answer.text(), String)")
        storage.shutdown()
    assert said == "file"
