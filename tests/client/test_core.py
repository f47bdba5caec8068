"""The client in a real page: what was refused is read, healed and repeated, once, and as the same person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.client.engines import Tab, Window
    from tests.client.lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

READY = "async () => { await lab.demur(); return true; }"
STAND_IN = """async () => {
  const demur = await lab.demur();
  window.dialogs = [];
  demur.ui.signIn = (refusal, signal) => new Promise((resolve) => {
    dialogs.push(refusal.reason);
    window.closeDialog = () => resolve(false);
    signal.addEventListener("abort", () => resolve(true));
  });
}"""
"""A dialog without looks: the person signs in elsewhere in the browser, and says so on the channel."""


def signed_in_elsewhere(window: Window, lab: Lab, tab: Tab, name: str = "alice") -> None:
    """Somebody signs in in another window of this browser."""
    window.sign_in(lab, name)
    tab.evaluate("() => { const c = new BroadcastChannel('demur'); c.postMessage({type: 'signed-in'}); }")


def opened(window: Window, lab: Lab, path: str = "/app") -> Tab:
    """A page with the client, whose dialog is a stand-in."""
    window.sign_in(lab, "alice")
    tab = window.tab(lab.url(path))
    tab.evaluate(READY)
    tab.evaluate(STAND_IN)
    lab.forget()
    return tab


def test_a_refused_post_waits_and_is_executed_once(lab: Lab, window: Window) -> None:
    """Refused before the app saw it, it is repeated after the sign-in, and its caller sees only the answer."""
    tab = opened(window, lab)
    lab.end("alice", "revoked")
    tab.evaluate("() => { lab.call('/api/echo', {method: 'POST', body: '{\"a\":1}'}).then(r => window.answer = r); }")
    tab.wait_for("() => window.dialogs.length === 1")
    assert tab.evaluate("() => [dialogs, window.answer === undefined]") == [["session-revoked"], True]
    signed_in_elsewhere(window, lab, tab)
    tab.wait_for("() => window.answer")
    assert tab.evaluate("() => answer.status") == 200
    assert lab.counts("/api") == {"POST /api/echo": 1}
    assert [each.status for each in lab.asked("/api/echo")] == [401, 200]
    assert len(lab.asked("/.demur/session")) == 1


def test_nothing_is_asked_while_the_session_lives(lab: Lab, window: Window) -> None:
    """A page and its calls cost no request of ours."""
    tab = opened(window, lab)
    assert tab.evaluate("async () => (await lab.call('/api/echo')).status") == 200
    assert tab.evaluate("async () => (await lab.demur()).person") == lab.subject("alice").id
    assert {each.path for each in lab.requests} == {"/api/echo"}


def test_what_the_app_refused_after_it_ran_is_not_sent_again(lab: Lab, window: Window) -> None:
    """Without the proof a POST is not repeated, whatever the person does."""
    tab = opened(window, lab)
    path = "/api/refused-after?reason=step-up-required"
    tab.evaluate(f"() => {{ lab.call('{path}', {{method: 'POST'}}).then(r => window.answer = r); }}")
    tab.wait_for("() => window.dialogs.length === 1")
    signed_in_elsewhere(window, lab, tab)
    tab.wait_for("() => window.answer")
    assert tab.evaluate("() => answer.status") == 401
    assert lab.counts("/api") == {"POST /api/refused-after": 1}


def test_who_declines_is_not_asked_again_by_what_runs_by_itself(lab: Lab, window: Window) -> None:
    """The call fails as it was refused, and a poll opens nothing until the person does something."""
    tab = opened(window, lab)
    lab.end("alice", "idle")
    tab.evaluate("() => { lab.call('/api/echo').then(r => window.answer = r); }")
    tab.wait_for("() => window.dialogs.length === 1")
    tab.evaluate("() => closeDialog()")
    tab.wait_for("() => window.answer")
    assert tab.evaluate("() => answer.status") == 401
    assert tab.evaluate("async () => (await lab.call('/api/poll')).status") == 401
    assert tab.evaluate("() => dialogs.length") == 1
    tab.click("body")
    tab.evaluate("() => { lab.call('/api/echo').then(r => window.answer = r); }")
    tab.wait_for("() => window.dialogs.length === 2")


def test_nobody_elses_call_is_repeated(lab: Lab, window: Window) -> None:
    """If somebody else signs in, the queue is dropped and the page loaded anew, as theirs."""
    tab = opened(window, lab)
    lab.end("alice", "ended")
    tab.evaluate("() => { window.old = true; lab.call('/api/echo', {method: 'POST', body: 'x'}); }")
    tab.wait_for("() => window.dialogs.length === 1")
    signed_in_elsewhere(window, lab, tab, "bob")
    tab.wait_for("() => !window.old && document.querySelector('#who')?.textContent.includes('bob')")
    assert lab.counts("/api") == {}


def test_an_aborted_call_does_not_wait(lab: Lab, window: Window) -> None:
    """Who gives up on a call hears so at once."""
    tab = opened(window, lab)
    lab.end("alice", "ended")
    tab.evaluate(
        """() => { const c = new AbortController(); window.stop = () => c.abort();
        fetch('/api/echo', {signal: c.signal}).catch(e => window.failed = e.name); }"""
    )
    tab.wait_for("() => window.dialogs.length === 1")
    tab.evaluate("() => stop()")
    tab.wait_for("() => window.failed === 'AbortError'")


def test_a_body_is_sent_again_as_it_was(lab: Lab, window: Window) -> None:
    """What the caller does to a form's data in the meantime changes nothing."""
    tab = opened(window, lab)
    lab.end("alice", "ended")
    tab.evaluate(
        """() => { const form = new FormData(); form.append('a', '1');
        form.append('file', new File(['content'], 'note.txt', {type: 'text/plain'}));
        fetch(new Request('/api/echo', {method: 'PUT', body: form})).then(r => window.one = r.status);
        fetch('/api/echo', {method: 'POST', body: form}).then(r => window.two = r.status);
        form.delete('file'); form.set('a', '2'); }"""
    )
    tab.wait_for("() => window.dialogs.length === 1")
    signed_in_elsewhere(window, lab, tab)
    tab.wait_for("() => window.one === 200 && window.two === 200")
    assert lab.counts("/api") == {"PUT /api/echo": 1, "POST /api/echo": 1}
    for done in lab.executed:
        assert done.fields == {"a": ["1"]}
        assert len(done.files) == 1


def test_a_message_alone_changes_nothing(lab: Lab, window: Window) -> None:
    """Nobody believes the channel: a tab asks the server, and a live session stays as it is."""
    tab = opened(window, lab)
    tab.evaluate("() => new BroadcastChannel('demur').postMessage({type: 'signed-out'})")
    lab.wait_for(lambda: len(lab.asked("/.demur/session")) == 1)
    tab.wait_for("() => document.body.style.visibility === ''")
    assert tab.evaluate("() => dialogs.length") == 0


def test_a_call_that_was_aborted_before_it_was_read_does_not_wait(lab: Lab, window: Window) -> None:
    """Given up while its refusal is still on the way, a call fails at once, and asks nobody to sign in."""
    tab = opened(window, lab)
    lab.end("alice", "ended")
    tab.evaluate(
        """async () => { const c = new AbortController(), { prototype } = Response, { clone } = prototype;
        prototype.clone = function () { c.abort(); return clone.call(this); };
        await fetch('/api/echo', {signal: c.signal}).catch(e => window.failed = e.name);
        prototype.clone = clone; }"""
    )
    assert tab.evaluate("() => [window.failed, dialogs.length]") == ["AbortError", 0]
