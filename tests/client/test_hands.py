"""Each hand with the real library, on the pages of examples/frameworks: a refused call waits, is executed once, and its
answer reaches who called; what no sign-in mends is the library's own error; and nothing goes round."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from collections import UserDict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.client.engines import DIALOG

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Engines
    from tests.client.engines import Tab, Window
    from tests.client.lab import Lab
    from tests.client.upstream import Executed

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "frameworks"
XHR = ("axios", "jquery", "htmx-2")
CALLS = (*XHR, "htmx-4", "query", "angular", "angular/?fetch")
PAGES = ("react", "vue", "svelte")


def example() -> Any:
    """The module that is the examples' site."""
    spec = importlib.util.spec_from_file_location("frameworks_app", EXAMPLES / "app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Site(UserDict[str, "Callable[[Executed], tuple[int, str, bytes]]"]):
    """What the examples' site answers, at all of its paths."""

    def __init__(self, built: Path) -> None:
        super().__init__()
        self._app, self._built = example(), built

    def __contains__(self, path: object) -> bool:
        return str(path).startswith("/api/") or self._app.find(str(path), self._built) is not None

    def __getitem__(self, path: str) -> Callable[[Executed], tuple[int, str, bytes]]:
        return self._api if path.startswith("/api/") else lambda _: (200, *self._app.find(path, self._built))

    def _api(self, done: Executed) -> tuple[int, str, bytes]:
        body = self._app.said(done.method, done.subject, len(done.body))
        if "hx-request" in done.headers:
            return 200, "text/html", json.loads(body)["said"].encode()
        return 200, "application/json", body


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples' build makes."""
    if shutil.which("node") is None or not example().MODULES.is_dir():
        pytest.skip("client/node_modules is not set up: (cd client && npm ci)")
    folder = tmp_path_factory.mktemp("built")
    subprocess.run(["node", EXAMPLES / "build.mjs", folder], check=True, timeout=120)
    return folder


@pytest.fixture
def site(lab: Lab, built: Path) -> Lab:
    """The examples, behind demur."""
    lab.site.answers = Site(built)  # type: ignore[assignment]
    return lab


def opened(window: Window, site: Lab, name: str) -> Tab:
    """An example, for alice."""
    window.sign_in(site, "alice")
    tab = window.tab(site.url(f"/{name}" if "?" in name else f"/{name}/"))
    tab.wait_for("() => document.readyState === 'complete' && document.querySelector('#save')")
    return tab


OUT = "(text) => document.querySelector('#out').textContent.includes(text)"
ERRORS = """() => {
  window.told = [];
  for (const name of ['htmx:responseError', 'htmx:response:error']) {
    document.addEventListener(name, ({ detail }) => {
      const text = detail.xhr ? detail.xhr.responseText : detail.ctx.text;
      told.push((detail.xhr ?? detail.ctx.response).status + ' ' + JSON.parse(text).reason);
    });
  }
}"""
"""What htmx says by an event, and not in the page."""
REFUSED = """(text) => {
  const shown = document.querySelector('#out').textContent;
  return told.length ? told.length === 1 && told[0].startsWith(text) && !shown : shown.startsWith('refused: ' + text);
}"""


@pytest.mark.parametrize("name", CALLS)
def test_a_refused_call_is_executed_once_and_answered(site: Lab, window: Window, name: str) -> None:
    """The session has ended; the person signs in again in the dialog; the caller hears of nothing but the answer."""
    tab = opened(window, site, name)
    site.end("alice", "idle")
    tab.click("#save")
    tab.sign_in_in_dialog(site, "alice")
    tab.wait_for(OUT, "POST by alice")
    (done,) = site.done("/api/notes", "POST")
    assert b"a note" in done.body.replace(b"+", b" ").replace(b"%20", b" ")
    asked = site.asked("/api/notes", "POST")
    assert [each.status for each in asked] == [401, 200]
    assert len({each.headers.get("content-type") for each in asked}) == 1


@pytest.mark.parametrize("name", [*XHR, "angular"])
def test_whose_page_it_is_goes_along(site: Lab, window: Window, name: str) -> None:
    """What goes by XMLHttpRequest is never executed as another person: the server is told whose page it is."""
    tab = opened(window, site, name)
    tab.click("#save")
    tab.wait_for(OUT, "POST by alice")
    (asked,) = site.asked("/api/notes", "POST")
    assert asked.headers["demur-subject"] == site.subject("alice").id


@pytest.mark.parametrize("name", CALLS)
def test_an_upload_is_sent_again_with_its_file(site: Lab, window: Window, name: str, tmp_path: Path) -> None:
    """A form with a file, to the last byte."""
    tab = opened(window, site, name)
    if name.startswith("htmx"):
        (tmp_path / "notes.txt").write_bytes(b"seeds and soil")
        tab.choose("#file", tmp_path / "notes.txt")
    site.end("alice", "revoked")
    tab.click("#upload")
    tab.sign_in_in_dialog(site, "alice")
    tab.wait_for(OUT, "POST by alice")
    (done,) = site.done("/api/notes", "POST")
    assert done.files == {"file": ("notes.txt", b"seeds and soil")}
    assert [each.status for each in site.asked("/api/notes", "POST")] == [401, 200]


@pytest.mark.parametrize("name", CALLS)
def test_what_is_forbidden_is_the_librarys_own_error(site: Lab, window: Window, name: str) -> None:
    """A 403 is explained by the client, delivered to the caller, asked for once, and never swapped into a page."""
    tab = opened(window, site, name)
    tab.evaluate(ERRORS)
    tab.click("#admin")
    tab.wait_for(REFUSED, "403 not-permitted")
    assert [each.status for each in site.asked("/api/admin/notes")] == [403]
    assert site.done("/api/admin/notes") == []


@pytest.mark.parametrize("name", CALLS)
def test_who_does_not_sign_in_gets_the_refusal_once(site: Lab, window: Window, name: str) -> None:
    """The dialog is closed: the library's error, no second dialog, no second attempt."""
    tab = opened(window, site, name)
    tab.evaluate(ERRORS)
    site.end("alice", "ended")
    tab.click("#save")
    tab.wait_for_element("input[name=password]", frame=DIALOG)
    tab.press("Escape")
    tab.wait_for(REFUSED, "401 session-ended")
    assert not tab.sees(DIALOG)
    assert [each.status for each in site.asked("/api/notes", "POST")] == [401]


@pytest.mark.parametrize("name", [*XHR, "angular"])
def test_a_second_refusal_is_the_last(site: Lab, window: Window, name: str) -> None:
    """Refused again after it was sent again: delivered, and nobody is asked once more."""
    tab = opened(window, site, name)
    tab.evaluate(ERRORS)
    tab.evaluate(
        """async () => {
          const { demur } = await import("/.demur/client.js");
          window.recovered = 0;
          demur.recover = async () => !!++recovered;
        }"""
    )
    site.end("alice", "ended")
    tab.click("#save")
    tab.wait_for(REFUSED, "401 session-ended")
    assert tab.evaluate("() => recovered") == 1
    assert [each.status for each in site.asked("/api/notes", "POST")] == [401, 401]


@pytest.mark.parametrize("name", XHR)
def test_firefox_tells_an_end_once_too(site: Lab, engines: Engines, name: str) -> None:
    """Who listens to an XMLHttpRequest, and in which order, is the browser's to keep: the same as above in another."""
    window = engines["firefox"].window()
    tab = opened(window, site, name)
    tab.evaluate(ERRORS)
    site.end("alice", "idle")
    tab.click("#save")
    tab.sign_in_in_dialog(site, "alice")
    tab.wait_for(OUT, "POST by alice")
    assert tab.evaluate("() => told") == []
    assert [each.status for each in site.asked("/api/notes", "POST")] == [401, 200]
    window.close()


def test_what_was_given_up_is_not_sent_again(site: Lab, window: Window) -> None:
    """jQuery's abort, while the dialog is open: `fail` at once, and nothing is executed after the sign-in."""
    tab = opened(window, site, "jquery")
    site.end("alice", "idle")
    tab.evaluate(
        """() => {
          window.told = [];
          window.call = $.post("/api/notes", "x").fail((_, how) => told.push(how)).done(() => told.push("done"));
        }"""
    )
    tab.wait_for_element(DIALOG)
    tab.evaluate("() => { call.abort(); }")
    assert tab.evaluate("() => told") == ["abort"]
    tab.sign_in_in_dialog(site, "alice")
    assert tab.evaluate("async () => { await fetch('/api/after'); return told; }") == ["abort"]
    assert [each.status for each in site.asked("/api/notes", "POST")] == [401]


def test_a_request_of_ones_own(site: Lab, window: Window) -> None:
    """An XMLHttpRequest without any library: each of its events comes once, at the end."""
    tab = opened(window, site, "jquery")
    site.end("alice", "idle")
    tab.evaluate(
        """async () => {
          const { recovering } = await import("/.demur/client/hands/xhr.js");
          const xhr = recovering(new XMLHttpRequest());
          window.told = [];
          for (const kind of ["load", "loadend", "error", "abort"]) {
            xhr.addEventListener(kind, () => told.push([kind, xhr.status]));
          }
          xhr.onreadystatechange = () => xhr.readyState === 4 && told.push(["ready", xhr.status]);
          xhr.open("PUT", "/api/notes");
          xhr.responseType = "json";
          xhr.setRequestHeader("content-type", "text/plain");
          xhr.send("a note");
        }"""
    )
    tab.sign_in_in_dialog(site, "alice")
    tab.wait_for("() => told.length === 3")
    assert tab.evaluate("() => told") == [["ready", 200], ["load", 200], ["loadend", 200]]
    (done,) = site.done("/api/notes", "PUT")
    assert (done.body, done.headers["content-type"]) == (b"a note", "text/plain")


def test_a_cached_error_goes_with_the_sign_in(site: Lab, window: Window) -> None:
    """TanStack Query: what was refused is not asked three times, and is asked again when somebody has signed in."""
    tab = opened(window, site, "query")
    tab.wait_for("() => document.querySelector('#list').textContent === 'GET by alice'")
    site.end("alice", "ended")
    site.forget()
    tab.click("#refetch")
    tab.wait_for_element("input[name=password]", frame=DIALOG)
    tab.press("Escape")
    tab.wait_for("() => document.querySelector('#list').textContent === 'refused: 401'")
    assert len(site.asked("/api/notes")) == 1
    tab.click("#save")
    tab.sign_in_in_dialog(site, "alice")
    tab.wait_for("() => document.querySelector('#list').textContent === 'GET by alice'")
    assert site.counts("/api") == {"POST /api/notes": 1, "GET /api/notes": 1}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stays_while_somebody_signs_in_again(site: Lab, window: Window, name: str) -> None:
    """It knows who is there, says that the session is over, keeps what was typed, and goes on."""
    tab = opened(window, site, name)
    who = "(text) => document.querySelector('#who')?.textContent === text"
    tab.wait_for(who, "alice")
    tab.fill("#text", "typed before")
    site.end("alice", "idle")
    tab.click("#save")
    tab.wait_for_element(DIALOG)
    tab.wait_for(who, "alice, who has to sign in again")
    tab.sign_in_in_dialog(site, "alice")
    tab.wait_for(OUT, "POST by alice")
    tab.wait_for(who, "alice")
    assert tab.evaluate("() => document.querySelector('#text').value") == "typed before"
    assert site.counts("/api") == {"POST /api/notes": 1}


def test_who_comes_and_goes_is_known(site: Lab, window: Window) -> None:
    """Nobody at first, then whoever signs in, nobody when they have left in another tab, and they again."""
    tab = window.tab(site.url("/public"))
    seen = "(name) => states.at(-1)?.session === null ? !name : states.at(-1)?.session?.name === name"
    tab.evaluate(
        """async () => {
          const { session } = await import("/.demur/client/hands/svelte.js");
          window.states = [];
          session.subscribe((state) => states.push(state));
        }"""
    )
    tab.wait_for(seen, "")
    tab.evaluate("async () => { (await lab.demur()).signIn(); }")
    tab.sign_in_in_dialog(site, "alice")
    tab.wait_for(seen, "alice")
    other = window.tab(site.url("/app"))
    other.evaluate("async () => { (await lab.demur()).signOut(); }")
    other.wait_for("() => location.pathname === '/.demur/signed-out'")
    tab.wait_for(seen, "")
    tab.show()
    tab.sign_in_in_dialog(site, "alice")
    tab.wait_for(seen, "alice")
    assert tab.evaluate("() => states.at(-1).over") is False


BUNDLED = """
import { demur } from "./client/dist/core.js";
demur.install();
document.querySelector("#save").onclick = async () => {
  const said = await demur.fetch("/api/notes", { method: "POST", body: "a note" });
  document.querySelector("#out").textContent = (await said.json()).said;
};
"""


def script(body: bytes, _: Executed) -> tuple[int, str, bytes]:
    """The answer of the app that is a script."""
    return 200, "text/javascript", body


def test_the_package_works_out_of_a_bundle(site: Lab, window: Window, tmp_path: Path) -> None:
    """Built into a site's own files, it finds its dialog, its words and its sheet."""
    client, bundle = ROOT / "client", tmp_path / "bundle"
    (tmp_path / "client").mkdir()
    for name in ("package.json", "tsconfig.json", "tsconfig.pack.json", "pack.mjs"):
        shutil.copy(client / name, tmp_path / "client" / name)
    (tmp_path / "client" / "node_modules").symlink_to(client / "node_modules")
    shutil.copy(ROOT / "LICENSE", tmp_path)
    shutil.copytree(ROOT / "src/demur/pages/static", tmp_path / "src/demur/pages/static")
    subprocess.run(["node", "pack.mjs"], cwd=tmp_path / "client", check=True, timeout=120)
    (tmp_path / "app.js").write_text(BUNDLED)
    esbuild = [str(client / "node_modules/.bin/esbuild"), "app.js", "--bundle", "--splitting", "--minify"]
    subprocess.run([*esbuild, "--format=esm", f"--outdir={bundle}", "--log-level=error"], cwd=tmp_path, check=True)
    site.site.answers = {}
    for file in bundle.iterdir():
        site.answer(f"/public/{file.name}", partial(script, file.read_bytes()))
    site.answer("/api/notes", lambda done: (200, "application/json", b'{"said": "POST by %b"}' % done.subject.encode()))
    head = '<script type="module" src="/public/app.js"></script>'
    address = site.page(
        "/bundled", '<button id="save">Save</button><output id="out"></output>', client=False, head=head
    )
    window.sign_in(site, "alice")
    tab = window.tab(address)
    tab.wait_for("() => !!document.querySelector('#save').onclick")
    site.end("alice", "idle")
    tab.click("#save")
    tab.sign_in_in_dialog(site, "alice")
    tab.wait_for(OUT, "POST by alice")
    assert site.counts("/api") == {"POST /api/notes": 1}
    assert [each.status for each in site.asked("/.demur/client/ui.css")] == [200]
    assert tab.evaluate("() => [lab.violations, lab.errors]") == [[], []]
