"""The site under test and the browsers do what the other tests rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.client.conftest import Engines
    from tests.client.lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("engine", ["chromium", "firefox", "webkit"])
def test_an_engine_does_what_a_scenario_needs(lab: Lab, engines: Engines, engine: str, tmp_path: Path) -> None:
    """Sign in on the page, call the app, send a form and a file, look into a frame, take a picture, go back."""
    window = engines[engine].window()
    try:
        tab = window.tab()
        tab.sign_in_on_page(lab, "alice")
        assert tab.text("#who") == "alice"
        tab.click("#save")
        tab.wait_for("() => document.querySelector('#out').textContent === '200 alice'")
        assert [each.json for each in lab.done("/api/echo")] == [{"n": 1}]
        assert tab.evaluate("async (n) => { await null; return n + 1; }", 4) == 5
        (tmp_path / "note.txt").write_text("inside")
        tab.goto(lab.url("/upload"))
        tab.fill("#note", "näh")
        tab.choose("#file", tmp_path / "note.txt")
        tab.click("#send")
        tab.wait_for("() => location.pathname === '/thanks'")
        (sent,) = lab.done("/upload", "POST")
        assert sent.fields == {"note": ["näh"], "how": ["now"]}
        assert sent.files == {"file": ("note.txt", b"inside")}
        lab.page("/frames", '<iframe id="inner" src="/framed"></iframe>')
        lab.page("/framed", '<input id="typed"><p id="who">{subject}</p>')
        tab.goto(lab.url("/frames"))
        tab.wait_for("() => document.querySelector('#who')", frame="#inner")
        tab.fill("#typed", "hello", frame="#inner")
        assert tab.evaluate("() => document.querySelector('#typed').value", frame="#inner") == "hello"
        tab.click("#typed", frame="#inner")
        tab.press("a")
        assert tab.evaluate("() => document.querySelector('#typed').value", frame="#inner") == "helloa"
        assert tab.evaluate("() => lab.violations") == []
        tab.screenshot(tmp_path / "seen.png")
        other = window.tab(lab.url("/app"))
        assert other.text("#who") == "alice"
        other.goto(lab.url("/other"))
        other.back()
        other.wait_for("() => location.pathname === '/app'")
        other.close()
        assert tab.evaluate("() => location.pathname") == "/frames"
        lab.end("alice", "idle")
        tab.goto(lab.url("/app"))
        assert tab.has("input[name=password]")
    finally:
        window.close()
